//! Decision records: the lines of one reload, in order, and how many there are of all.
//!
//! Without its first lines nothing of a reload is kept. Where lines are lost on the way to the disk, its records end with a
//! line that says so before the result: no records say what did not happen.

use std::collections::BTreeSet;

use caxton_rollout::{HotReloadId, Moment};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::queue::{Item, Shared, now};
use super::rows::int;
use super::types::{Limits, RecordBatch};

/// Bytes of one reload's records: whoever records bounds them at 64 MiB, and results are added to that.
const RECORDING_BYTES_MAX: i64 = 65 * 1024 * 1024;

/// What the thread knows of all records.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    /// Bytes of all of them, as they were counted last, and as many as were added since.
    bytes: u64,
    added: u64,
    /// They are counted again once there are more than this: where only reloads that go on are left, counting at once more
    /// would find them again.
    look_above: Option<u64>,
    /// Reloads of which lines were lost on the way to the disk.
    broken: BTreeSet<HotReloadId>,
    /// Reloads whose loss is told, once that is written.
    told: Vec<HotReloadId>,
    /// The first lines of a reload are among what is being written.
    begins: bool,
}

impl Recordings {
    /// Writes lines of a reload, where its first ones are there.
    pub(super) fn append(
        &mut self,
        rows: &Connection,
        batch: &RecordBatch,
    ) -> rusqlite::Result<()> {
        let is_broken = self.broken.contains(&batch.reload) && !self.told.contains(&batch.reload);
        if is_broken && !batch.ends {
            return Ok(());
        }
        let full = is_broken.then(|| full(batch.at));
        let reload = batch.reload.to_string();
        if batch.begins {
            rows.prepare_cached(
                "INSERT INTO recordings (reload, agent, began, changed, lines, bytes, is_over) VALUES (?1, ?2, ?3, ?3, 0, 0, 0)
                 ON CONFLICT (reload) DO UPDATE SET is_over = 0",
            )?
            .execute(params![reload, batch.agent.as_ref(), int(batch.at.0)])?;
        }
        let there = rows
            .prepare_cached("SELECT lines, bytes FROM recordings WHERE reload = ?1")?
            .query_row([&reload], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        // It was never begun, or its beginning was lost, or it was removed for room.
        let Some((mut line, before)): Option<(i64, i64)> = there else {
            return Ok(());
        };
        let texts = full.iter().chain(&batch.lines);
        let size = int(texts.clone().map(|text| text.len() as u64).sum());
        if before.saturating_add(size) > RECORDING_BYTES_MAX {
            return Ok(());
        }
        for text in texts {
            rows.prepare_cached(
                "INSERT INTO records (reload, line, at, text) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![reload, line, int(batch.at.0), text])?;
            line += 1;
        }
        rows.prepare_cached(
            "UPDATE recordings SET lines = ?2, bytes = ?3, changed = max(changed, ?4) WHERE reload = ?1",
        )?
        .execute(params![reload, line, before.saturating_add(size), int(batch.at.0)])?;
        self.added = self.added.saturating_add(u64::try_from(size).unwrap_or(0));
        self.begins |= batch.begins;
        if is_broken {
            self.told.push(batch.reload);
        }
        Ok(())
    }

    /// The reload's records may go.
    pub(super) fn over(&mut self, rows: &Connection, reload: HotReloadId) -> rusqlite::Result<()> {
        self.broken.remove(&reload);
        // There may be something to remove now where there was nothing.
        self.look_above = None;
        rows.prepare_cached("UPDATE recordings SET is_over = 1 WHERE reload = ?1")?
            .execute([reload.to_string()])?;
        Ok(())
    }

    /// Lines of a reload cannot be written: what follows of them is not, either.
    pub(super) fn breaks(&mut self, item: &Item) {
        if let Item::Records(batch) = item {
            self.broken.insert(batch.reload);
        }
    }

    /// Tells that an item could not be written although everything else could.
    pub(super) fn lost(item: &Item, fault: &Fault, shared: &Shared) {
        tracing::error!(
            "something cannot be written into the journal: {}: {item:?}",
            fault.problem
        );
        if let Some(missed) = item.missed() {
            let sentence = format!("{missed} ({})", fault.problem);
            shared.health().damaged(now(), sentence);
        }
        if let Item::Records(batch) = item {
            shared.health().lose(
                batch.at,
                batch.lines.len() as u64,
                &fault.problem,
                &fault.help,
            );
        }
    }

    /// What was appended is on the disk; whether a reload's first lines are among it.
    pub(super) fn committed(&mut self) -> bool {
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut self.added));
        for reload in std::mem::take(&mut self.told) {
            self.broken.remove(&reload);
        }
        std::mem::take(&mut self.begins)
    }

    /// What was appended is not on the disk.
    pub(super) fn forget(&mut self) {
        self.added = 0;
        self.told.clear();
        self.begins = false;
    }

    pub(super) fn are_too_much(&self, limits: &Limits) -> bool {
        self.bytes > self.look_above.unwrap_or(limits.records_bytes)
    }

    /// So many bytes are there after room was made.
    pub(super) fn counted(&mut self, bytes: u64, limits: &Limits) {
        self.bytes = bytes;
        let beyond = bytes > limits.records_bytes;
        self.look_above = beyond.then(|| bytes.saturating_add(limits.records_bytes / 10));
    }
}

/// When a host starts, nobody goes on recording but the reloads that go on: the others' records may go when room is needed.
pub(super) fn end_all(rows: &Connection) -> rusqlite::Result<()> {
    rows.execute(
        "UPDATE recordings SET is_over = 1 WHERE NOT is_over AND reload NOT IN (SELECT id FROM reloads WHERE going_on)",
        [],
    )?;
    Ok(())
}

/// The line that says that no more is kept but the end.
fn full(at: Moment) -> String {
    format!(r#"{{"record":"full","at":{}}}"#, at.0)
}
