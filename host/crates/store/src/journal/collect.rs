//! Removes what is too old, too much, or named by nothing: a little at a time, so that what is to be written does not wait.

use std::collections::BTreeSet;
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, SystemTime};

use caxton_rollout::{Digest, Moment};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::queue::{Asker, now};
use super::rows::int;
use super::types::{Collected, Limits};
use crate::{BlobKind, Blobs};

/// Events that are removed in one step.
const EVENTS_AT_ONCE: i64 = 5_000;

/// Pages that are given back to the system in one step.
const PAGES_AT_ONCE: i64 = 1_000;

/// Pages that stay free for what comes: giving back and taking anew costs more than keeping.
const PAGES_FREE: i64 = 1_000;

/// How long nothing is removed after damage: what names a file may have been lost, and a person may want to bring it back.
const AFTER_DAMAGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Records,
    Events,
    Rows,
    Files,
    Pages,
}

/// One collection while it goes on.
#[derive(Debug)]
pub(super) struct Collection {
    stage: Stage,
    done: Collected,
    /// Bytes of decision records as they were counted last.
    recorded: u64,
    /// That they were, and nobody was told.
    is_counted: bool,
    askers: Vec<Asker>,
}

impl Collection {
    pub(super) fn new(askers: Vec<Asker>) -> Self {
        Self {
            stage: Stage::Records,
            done: Collected::default(),
            recorded: 0,
            is_counted: false,
            askers,
        }
    }

    /// Somebody else asks: it begins again, and answers both at the end.
    pub(super) fn again(&mut self, askers: Vec<Asker>) {
        self.stage = Stage::Records;
        self.askers.extend(askers);
    }

    /// Bytes of decision records that are left, once, right after they were counted: what is written later is not in it.
    pub(super) fn counted(&mut self) -> Option<u64> {
        std::mem::take(&mut self.is_counted).then_some(self.recorded)
    }

    /// It is over.
    pub(super) fn answer(self) {
        let done = self.done;
        if done != Collected::default() {
            tracing::info!(
                files = done.files,
                bytes = done.bytes,
                records = done.records,
                events = done.events,
                "removed what is too old, too much, or named by nothing"
            );
        }
        for asker in self.askers {
            let _ = asker.send(Ok(done));
        }
    }

    pub(super) fn refuse(self, why: &str) {
        for asker in self.askers {
            let _ = asker.send(Err(why.to_owned()));
        }
    }

    /// Does a little; false when nothing is left to do.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        blobs: &Blobs,
        limits: &Limits,
        files: &Mutex<()>,
    ) -> rusqlite::Result<bool> {
        let now = now();
        let more = match self.stage {
            Stage::Records => self.records(connection, limits, now)?,
            Stage::Events => self.events(connection, limits, now)?,
            Stage::Rows => {
                rows(connection, before(now, limits.grace))?;
                false
            }
            Stage::Files => {
                match files.try_lock() {
                    Ok(_guard) => self.files(connection, blobs, limits, now)?,
                    // Whoever holds it reads files; they go the next time.
                    Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => {}
                }
                false
            }
            Stage::Pages => pages(connection)?,
        };
        if more {
            return Ok(true);
        }
        self.stage = match self.stage {
            Stage::Records => {
                self.is_counted = true;
                Stage::Events
            }
            Stage::Events => Stage::Rows,
            Stage::Rows => Stage::Files,
            Stage::Files => Stage::Pages,
            Stage::Pages => return Ok(false),
        };
        Ok(true)
    }

    /// Removes the decision records of the reload that was written to longest ago, where there is too much or it is too old.
    fn records(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
        now: Moment,
    ) -> rusqlite::Result<bool> {
        let transaction = connection.transaction()?;
        let all: i64 = transaction.query_row(
            "SELECT coalesce(sum(bytes), 0) FROM recordings",
            [],
            |row| row.get(0),
        )?;
        self.recorded = u64::try_from(all).unwrap_or(0);
        // Once there is too much, a tenth is made free, so that it is not looked for with each line.
        let enough = if self.done.records == 0 {
            limits.records_bytes
        } else {
            limits.records_bytes / 10 * 9
        };
        let too_old = if self.recorded > enough {
            i64::MAX
        } else {
            before(now, limits.records_age)
        };
        let oldest: Option<String> = transaction
            .query_row(
                "SELECT reload FROM recordings
                 WHERE is_over AND changed < ?1 AND reload NOT IN (SELECT id FROM reloads WHERE going_on)
                 ORDER BY changed, reload LIMIT 1",
                [too_old],
                |row| row.get(0),
            )
            .optional()?;
        let Some(oldest) = oldest else {
            return Ok(false);
        };
        transaction.execute("DELETE FROM recordings WHERE reload = ?1", [oldest])?;
        transaction.commit()?;
        self.done.records += 1;
        Ok(true)
    }

    fn events(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
        now: Moment,
    ) -> rusqlite::Result<bool> {
        let mut removed = 0;
        for table in ["events", "acts"] {
            let sql = format!(
                "DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table}
                   WHERE at < ?1 OR seq <= (SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?2) ORDER BY seq LIMIT ?3)"
            );
            let oldest = before(now, limits.events_age);
            removed +=
                connection.execute(&sql, params![oldest, int(limits.events), EVENTS_AT_ONCE])?;
        }
        self.done.events += removed as u64;
        Ok(removed > 0)
    }

    /// Removes files that nothing names, and that nobody is about to name.
    fn files(
        &mut self,
        connection: &Connection,
        blobs: &Blobs,
        limits: &Limits,
        now: Moment,
    ) -> rusqlite::Result<()> {
        let time = SystemTime::now();
        blobs.tidy(time);
        let damaged_at: Option<String> = connection
            .query_row(
                "SELECT value FROM meta WHERE key = 'damaged_at'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let damaged_at = damaged_at.and_then(|at| at.parse().ok().map(Moment));
        if damaged_at.is_some_and(|at| now.since(at) < AFTER_DAMAGE) {
            return Ok(());
        }
        for kind in BlobKind::ALL {
            let named = named(connection, kind)?;
            let found = match blobs.list(kind) {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!("what nothing names stays: {error}");
                    continue;
                }
            };
            for file in found {
                if named.contains(&file.digest) {
                    continue;
                }
                match blobs.remove_old(kind, file.digest, limits.grace) {
                    // It is young, or was put again just now.
                    Ok(false) => {}
                    Ok(true) => {
                        self.done.files += 1;
                        self.done.bytes = self.done.bytes.saturating_add(file.bytes);
                    }
                    Err(error) => tracing::warn!("what nothing names stays: {error}"),
                }
            }
        }
        Ok(())
    }
}

/// What names a file may have been lost just now.
pub(super) fn damaged(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('damaged_at', ?1)",
        [int(now().0).to_string()],
    )?;
    Ok(())
}

/// So long ago.
fn before(now: Moment, age: Duration) -> i64 {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    int(now.0.saturating_sub(age))
}

/// Removes rows that only others were interested in, which are gone.
fn rows(connection: &mut Connection, seen_before: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "DELETE FROM contents WHERE seen_at < ?1
           AND (agent, component, config) NOT IN (SELECT agent, component, config FROM versions)
           AND (agent, component, config) NOT IN (SELECT agent, component, config FROM endings)
           AND (agent, component, config) NOT IN (SELECT name, wanted_component, wanted_config FROM agents
                                                  WHERE wanted_component IS NOT NULL AND wanted_config IS NOT NULL)
           AND (agent, component, config) NOT IN (SELECT agent, component, config FROM reloads
                                                  WHERE going_on AND component IS NOT NULL AND config IS NOT NULL)",
        [seen_before],
    )?;
    transaction.execute(
        "DELETE FROM pins WHERE reload NOT IN (SELECT id FROM reloads) AND reload NOT IN (SELECT reload FROM recordings)",
        [],
    )?;
    transaction.execute(
        "DELETE FROM snapshots WHERE taken_at < ?1 AND (agent, number) NOT IN (SELECT agent, number FROM versions)",
        [seen_before],
    )?;
    transaction.commit()
}

/// What the journal names of one kind.
pub(super) fn named(connection: &Connection, kind: BlobKind) -> rusqlite::Result<BTreeSet<Digest>> {
    let sql = match kind {
        BlobKind::Component => {
            "SELECT component FROM contents UNION SELECT component FROM versions UNION SELECT component FROM endings
             UNION SELECT wanted_component FROM agents UNION SELECT component FROM reloads WHERE going_on"
        }
        BlobKind::Config => "SELECT file FROM contents",
        BlobKind::Policy => "SELECT DISTINCT digest FROM pins",
        BlobKind::State => "SELECT blob FROM snapshots",
    };
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut named = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let text: Option<String> = row.get(0)?;
        // What is no digest names no file.
        named.extend(text.and_then(|text| text.parse::<Digest>().ok()));
    }
    Ok(named)
}

/// Gives room back to the system.
fn pages(connection: &Connection) -> rusqlite::Result<bool> {
    let free = || connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free()?;
    if before <= PAGES_FREE {
        return Ok(false);
    }
    let most = PAGES_AT_ONCE.min(before - PAGES_FREE);
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({most})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(free()? < before)
}
