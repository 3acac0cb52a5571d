//! What a killed host left: its journal, looked at in a copy, before the next host touches it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension, params};

use super::aim::BLOBS;
use super::seen::{Seen, Taken, Told};
use super::wal::{JOURNAL, Last, Log, Owners, with};
use crate::admin::text;

/// Bytes that came this shortly before the kill were just being put there.
const JUST_NOW: Duration = Duration::from_millis(10);

/// Tables in which nothing is written as reloads go on.
const OTHERS: [&str; 2] = ["meta", "unreadable"];

/// A reload that went on.
#[derive(Debug, Clone)]
pub struct GoingOn {
    /// Its id.
    pub id: String,
    /// The candidate.
    pub number: u64,
    /// What that is made of.
    pub component: String,
    /// Where it stood.
    pub status: String,
}

/// An agent as the journal has it.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What a start must serve.
    pub permanent: Option<u64>,
    /// What that is made of.
    pub component: Option<String>,
    /// The reload that was interrupted.
    pub going_on: Option<GoingOn>,
    /// What the newest state of the permanent version counts.
    pub count: Option<u64>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Autopsy {
    /// Tables that the last transaction wrote to.
    pub written: BTreeSet<String>,
    /// All tables that are written as reloads go on.
    pub tables: BTreeSet<String>,
    /// Whether bytes were just being put into their place.
    pub blob: bool,
    /// Where the newest reload of each agent stood.
    pub standing: BTreeSet<String>,
    /// Each agent.
    pub agents: BTreeMap<String, Standing>,
    /// Agents with a later permanent version than was told: a completion or a return whose telling the kill prevented.
    pub later_permanent: BTreeSet<String>,
    /// Reloads that went on after they had ended, to be rolled back.
    pub moved_on: BTreeSet<String>,
    /// The journal's bytes, its log among them.
    pub bytes: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Autopsy {
    /// Of the data directory of a host that has just been killed and had told this.
    ///
    /// # Errors
    /// Nothing can be looked at.
    pub fn of(data: &Path, killed: SystemTime, seen: &Seen) -> Result<Self> {
        let journal = data.join(JOURNAL);
        let last = Log::beside(&journal).map_or_else(|_| Last::default(), |log| log.last());
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join(JOURNAL);
        let mut bytes = std::fs::copy(&journal, &copy)
            .with_context(|| format!("there is no journal {}", journal.display()))?;
        if let Ok(more) = std::fs::copy(with(&journal, "-wal"), with(&copy, "-wal")) {
            bytes += more;
        }
        let connection = Connection::open(&copy)?;
        let mut found = Self {
            blob: is_blob_new(data, killed),
            bytes,
            ..Self::default()
        };
        found.integrity(&connection)?;
        found.written = Owners::read(&connection)?.tables(&last);
        found.tables = tables(&connection)?;
        found.standing = newest_statuses(&connection)?;
        found.agents = agents(&connection, data)?;
        found.later_permanent = later_permanent(&connection, seen)?;
        found.moved_on = moved_on(&connection)?;
        for told in seen.events.iter().filter(|told| told.lasts()) {
            found.holds_event(&connection, told)?;
        }
        for taken in &seen.taken {
            found.holds_act(&connection, taken, seen)?;
        }
        Ok(found)
    }

    fn integrity(&mut self, journal: &Connection) -> Result<()> {
        for check in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
            let mut ask = journal.prepare(check)?;
            let mut rows = ask.query([])?;
            while let Some(row) = rows.next()? {
                let said: String = row.get(0)?;
                if said != "ok" {
                    self.violations.push(format!("{check}: {said}"));
                }
            }
        }
        Ok(())
    }

    fn holds_event(&mut self, journal: &Connection, told: &Told) -> Result<()> {
        let reload = told.json.get("reload").and_then(|id| id.as_str());
        let found: i64 = journal
            .prepare_cached(
                "SELECT count(*) FROM events WHERE agent = ? AND kind = ? AND reload IS ? AND abs(at - ?) <= 1000",
            )?
            .query_row(
                params![told.agent(), told.kind(), reload, told.at() as i64],
                |row| row.get(0),
            )?;
        if found == 0 {
            self.violations
                .push(format!("told, and not in the journal: {}", told.json));
        }
        Ok(())
    }

    fn holds_act(&mut self, journal: &Connection, taken: &Taken, seen: &Seen) -> Result<()> {
        let same = |other: &&Taken| {
            other.agent == taken.agent && other.order == taken.order && other.since >= taken.since
        };
        let expected = seen.taken.iter().filter(same).count();
        let found: usize = journal
            .prepare_cached(
                "SELECT count(*) FROM acts WHERE agent = ? AND act = ? AND at >= ? AND refused IS NULL",
            )?
            .query_row(
                params![taken.agent, taken.order, taken.since as i64],
                |row| row.get::<_, i64>(0),
            )?
            .try_into()
            .unwrap_or_default();
        if found < expected {
            self.violations.push(format!(
                "an order was answered and is not in the journal: {} {} ({found} of {expected})",
                taken.agent, taken.order
            ));
        }
        Ok(())
    }
}

/// Agents of which the journal knows that a reload completed or came back, and the observer does not yet.
fn later_permanent(journal: &Connection, seen: &Seen) -> Result<BTreeSet<String>> {
    let told = ended_by_events(seen);
    let mut ask = journal.prepare(
        "SELECT agent, id, status FROM reloads WHERE status IN ('completed', 'rolled-back', 'rolling-back')
         AND rank = (SELECT max(rank) FROM reloads AS r WHERE r.agent = reloads.agent)",
    )?;
    let rows = ask.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    let mut later = BTreeSet::new();
    for row in rows {
        let (agent, id, status) = row?;
        if told.get(&id).map(|(_, told)| told) != Some(&status) {
            later.insert(agent);
        }
    }
    Ok(later)
}

fn moved_on(journal: &Connection) -> Result<BTreeSet<String>> {
    let mut ask = journal
        .prepare("SELECT id FROM reloads WHERE status IN ('rolled-back', 'rolling-back')")?;
    let ids = ask.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn tables(journal: &Connection) -> Result<BTreeSet<String>> {
    let mut ask = journal.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names = ask.query_map([], |row| row.get::<_, String>(0))?;
    let mut names = names.collect::<Result<BTreeSet<_>, _>>()?;
    names.retain(|name| !name.starts_with("sqlite_") && !OTHERS.contains(&name.as_str()));
    Ok(names)
}

fn newest_statuses(journal: &Connection) -> Result<BTreeSet<String>> {
    let mut ask = journal.prepare(
        "SELECT status FROM reloads WHERE rank = (SELECT max(rank) FROM reloads AS r WHERE r.agent = reloads.agent)",
    )?;
    let statuses = ask.query_map([], |row| row.get(0))?;
    Ok(statuses.collect::<Result<_, _>>()?)
}

fn agents(journal: &Connection, data: &Path) -> Result<BTreeMap<String, Standing>> {
    let mut ask = journal.prepare("SELECT name, permanent FROM agents")?;
    let rows = ask.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let mut agents = BTreeMap::new();
    for row in rows {
        let (name, permanent) = row?;
        let component = journal
            .query_row(
                "SELECT component FROM versions WHERE agent = ? AND number = ?",
                params![name, permanent],
                |row| row.get(0),
            )
            .optional()?;
        let going_on = journal
            .query_row(
                "SELECT id, number, component, status FROM reloads WHERE agent = ? AND going_on",
                params![name],
                |row| {
                    Ok(GoingOn {
                        id: row.get(0)?,
                        number: row.get::<_, i64>(1)?.unsigned_abs(),
                        component: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                        status: row.get(3)?,
                    })
                },
            )
            .optional()?;
        let blob: Option<String> = journal
            .query_row(
                "SELECT blob FROM snapshots WHERE agent = ? AND number = ?",
                params![name, permanent],
                |row| row.get(0),
            )
            .optional()?;
        let count = blob.and_then(|blob| counted(&data.join(format!("state/{blob}.bin"))));
        let standing = Standing {
            permanent: permanent.map(i64::unsigned_abs),
            component,
            going_on,
            count,
        };
        agents.insert(name, standing);
    }
    Ok(agents)
}

/// What the counter saved: eight bytes, the little end first.
fn counted(file: &Path) -> Option<u64> {
    let bytes = std::fs::read(file).ok()?;
    bytes.first_chunk().map(|count| u64::from_le_bytes(*count))
}

fn is_blob_new(data: &Path, killed: SystemTime) -> bool {
    let files = BLOBS
        .iter()
        .filter_map(|folder| std::fs::read_dir(data.join(folder)).ok())
        .flat_map(Iterator::flatten);
    files
        .filter_map(|file| file.metadata().ok()?.modified().ok())
        .any(|changed| {
            killed
                .duration_since(changed)
                .map_or(true, |age| age < JUST_NOW)
        })
}

/// Files in the data directory that look like something unfinished and were there before this moment.
#[must_use]
pub fn leftovers(data: &Path, before: SystemTime) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if !is_older(&entry, before) {
                // The host that runs now is at work on it.
            } else if name.starts_with('.')
                || ["tmp", "temp", "new", "part", "partial"]
                    .iter()
                    .any(|end| name.ends_with(&format!(".{end}")))
                || name.contains(".tmp")
            {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}

fn is_older(entry: &std::fs::DirEntry, moment: SystemTime) -> bool {
    let changed = entry.metadata().and_then(|data| data.modified());
    changed.is_ok_and(|changed| changed < moment)
}

/// What the permanent version must be by what was told: the last completion or return of each agent.
#[must_use]
pub fn permanent_by_events(seen: &Seen) -> BTreeMap<String, u64> {
    let mut permanent = BTreeMap::new();
    for told in &seen.events {
        let number = match told.kind() {
            "completed" => told.json.get("number"),
            "rolled-back" => told.json.get("to"),
            _ => continue,
        };
        if let Some(number) = number.and_then(serde_json::Value::as_u64) {
            permanent.insert(told.agent().to_owned(), number);
        }
    }
    permanent
}

/// The ids of reloads and the terminal status that each was told to have.
#[must_use]
pub fn ended_by_events(seen: &Seen) -> BTreeMap<String, (String, String)> {
    let mut ended = BTreeMap::new();
    for told in &seen.events {
        let Some(status) = told.status() else {
            continue;
        };
        let id = text(&told.json, "reload").to_owned();
        if super::seen::is_terminal(status) {
            ended.insert(id, (told.agent().to_owned(), status.to_owned()));
        } else {
            // It was over, and goes on to be rolled back.
            ended.remove(&id);
        }
    }
    ended
}
