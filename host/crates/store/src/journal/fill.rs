//! Puts everything that waits into one transaction. What cannot be written for a reason of its own is left out of it, so that
//! it keeps nothing else from being written.

use std::collections::BTreeMap;

use caxton_rollout::{AgentName, Moment};
use rusqlite::Connection;

use super::fault::{What, what};
use super::queue::{Backlog, Item, Waiting};
use super::records::Recordings;
use super::rows::{self, Known};

/// Agents whose memory alone could not be written, and why.
pub(super) type Refused = BTreeMap<AgentName, String>;

/// What a transaction holds.
#[derive(Default)]
pub(super) struct Filled<'a> {
    /// Agents of which nothing from before stands there then.
    pub forgotten: Vec<&'a AgentName>,
    /// What stands there then.
    pub done: Vec<Known>,
    /// What was left out of memories.
    pub refused: Refused,
    /// What was left out of the rest.
    pub lost: Vec<(&'a Item, rusqlite::Error)>,
}

/// Writes all of it.
///
/// # Errors
/// Nothing can be written now.
pub(super) fn fill<'a>(
    rows: &Connection,
    known: &BTreeMap<AgentName, Known>,
    pending: &'a Backlog,
    recordings: &mut Recordings,
    now: Moment,
) -> rusqlite::Result<Filled<'a>> {
    let mut filled = Filled::default();
    for (agent, waiting) in &pending.memories {
        if waiting.is_forgotten {
            rows::forget(rows, agent)?;
            filled.forgotten.push(agent);
        }
    }
    // What could not be written for certain the last time stands there as it should, before or after.
    let unsure = known
        .iter()
        .filter(|(agent, known)| !known.sure && !pending.memories.contains_key(*agent))
        .map(|(_, known)| &known.memory);
    for memory in pending
        .memories
        .values()
        .filter_map(Waiting::memory)
        .chain(unsure)
    {
        let known = known
            .get(&memory.agent)
            .filter(|known| !filled.forgotten.contains(&&known.memory.agent));
        match within(rows, |rows| rows::remember(rows, known, memory, now)) {
            Ok(known) => filled.done.push(known),
            Err(error) if what(&error) == What::Item => {
                filled
                    .refused
                    .insert(memory.agent.clone(), error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    for item in &pending.items {
        match within(rows, |rows| write(rows, item, recordings, now)) {
            Ok(()) => {}
            Err(error) if what(&error) == What::Item => {
                recordings.breaks(item);
                filled.lost.push((item, error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Does something whole or not at all within a transaction.
fn within<T>(
    rows: &Connection,
    write: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    rows.prepare_cached("SAVEPOINT item")?.execute([])?;
    let result = write(rows);
    if result.is_err() {
        // Where the whole transaction is rolled back already, there is nothing left to go back to.
        let _ = rows
            .prepare_cached("ROLLBACK TO item")
            .and_then(|mut back| back.execute([]));
    }
    let released = rows
        .prepare_cached("RELEASE item")
        .and_then(|mut release| release.execute([]));
    match result {
        Ok(value) => released.map(|_| value),
        error => error,
    }
}

fn write(
    rows: &Connection,
    item: &Item,
    recordings: &mut Recordings,
    now: Moment,
) -> rusqlite::Result<()> {
    match item {
        Item::Content(content) => rows::content(rows, content, now),
        Item::Event(event) => rows::event(rows, event),
        Item::Act(act) => rows::act(rows, act),
        Item::Pins(agent, reload, pins) => rows::pins(rows, agent, *reload, pins),
        Item::Snapshot(snapshot) => rows::snapshot(rows, snapshot),
        Item::Records(batch) => recordings.append(rows, batch),
        Item::Over(reload) => recordings.over(rows, *reload),
        Item::Forget(agent) => rows::forget_rest(rows, agent),
        #[cfg(test)]
        Item::Panic => panic!("on purpose"),
    }
}
