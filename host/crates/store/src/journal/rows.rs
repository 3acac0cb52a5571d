//! Writes values as rows. Of an agent only what differs from what is known to stand there is written.

use std::collections::BTreeMap;

use caxton_rollout::{AgentName, Digest, HotReloadId, Memory, Moment, VersionNumber};
use rusqlite::{Connection, params};
use serde::Serialize;

use super::queue::Event;
use super::reloads;
use super::types::{Act, Pin, SnapshotRow};
use crate::Content;

/// What the journal holds of an agent.
#[derive(Debug)]
pub(super) struct Known {
    pub memory: Memory,
    /// The rank of each of its reloads.
    pub ranks: BTreeMap<HotReloadId, i64>,
    /// False where rows may stand there that are not these: then all of them are written anew.
    pub sure: bool,
}

/// SQLite has no numbers beyond this; times and counts beyond it are none.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(number: Option<VersionNumber>) -> Option<i64> {
    number.map(|number| int(number.get()))
}

pub(super) fn time(at: Option<Moment>) -> Option<i64> {
    at.map(|at| int(at.0))
}

/// An enum without fields as the word that it has everywhere.
pub(super) fn word(value: &impl Serialize) -> rusqlite::Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(unwritable(format!("{other} is not a word").into())),
        Err(error) => Err(unwritable(error.into())),
    }
}

pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| unwritable(error.into()))
}

fn unwritable(error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error)
}

/// Makes the agent's rows say this; answers with what stands there then.
pub(super) fn remember(
    rows: &Connection,
    known: Option<&Known>,
    memory: &Memory,
    now: Moment,
) -> rusqlite::Result<Known> {
    let known = known.filter(|known| known.sure);
    if known.is_none() {
        forget(rows, &memory.agent)?;
    }
    let before = known.map(|known| &known.memory);
    agent(rows, before, memory, now)?;
    if before.is_none_or(|old| old.versions != memory.versions || old.kept != memory.kept) {
        versions(rows, memory)?;
    }
    if before.is_none_or(|old| old.endings != memory.endings) {
        endings(rows, memory)?;
    }
    let ranks = reloads::reloads(rows, known, memory)?;
    Ok(Known {
        memory: memory.clone(),
        ranks,
        sure: true,
    })
}

/// Removes the agent's row with everything that hangs on it.
pub(super) fn forget(rows: &Connection, agent: &AgentName) -> rusqlite::Result<()> {
    rows.prepare_cached("DELETE FROM agents WHERE name = ?1")?
        .execute([agent.as_ref()])?;
    Ok(())
}

/// Removes what only bears the agent's name. What it did stays until it is too old.
pub(super) fn forget_rest(rows: &Connection, agent: &AgentName) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM contents WHERE agent = ?1",
        "DELETE FROM pins WHERE agent = ?1",
        "DELETE FROM snapshots WHERE agent = ?1",
        "UPDATE recordings SET is_over = 1 WHERE agent = ?1",
    ] {
        rows.prepare_cached(sql)?.execute([agent.as_ref()])?;
    }
    Ok(())
}

fn agent(
    rows: &Connection,
    before: Option<&Memory>,
    memory: &Memory,
    now: Moment,
) -> rusqlite::Result<()> {
    let row = |memory: &Memory| {
        (
            memory.next,
            memory.wanted,
            memory.serving,
            memory.permanent,
            memory.removed_at,
        )
    };
    if before.is_some_and(|old| {
        row(old) == row(memory)
            && old.last_error == memory.last_error
            && old.rollbacks == memory.rollbacks
    }) {
        return Ok(());
    }
    let wanted = |digest: fn(&caxton_rollout::Identity) -> Digest| {
        memory
            .wanted
            .as_ref()
            .map(|wanted| digest(wanted).to_string())
    };
    // Not `OR REPLACE`, which would remove what hangs on the row.
    rows.prepare_cached(
        "INSERT INTO agents (name, next_number, wanted_component, wanted_config, serving, permanent, removed_at, last_error,
           rollbacks, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (name) DO UPDATE SET next_number = ?2, wanted_component = ?3, wanted_config = ?4, serving = ?5,
           permanent = ?6, removed_at = ?7, last_error = ?8, rollbacks = ?9, updated_at = ?10",
    )?
    .execute(params![
        memory.agent.as_ref(),
        number(memory.next),
        wanted(|wanted| wanted.component),
        wanted(|wanted| wanted.config),
        number(memory.serving),
        number(memory.permanent),
        time(memory.removed_at),
        memory.last_error,
        json(&memory.rollbacks)?,
        int(now.0),
    ])?;
    Ok(())
}

/// An agent has a handful, so all of them are written.
fn versions(rows: &Connection, memory: &Memory) -> rusqlite::Result<()> {
    let agent = memory.agent.as_ref();
    rows.prepare_cached("DELETE FROM versions WHERE agent = ?1")?
        .execute([agent])?;
    let mut insert = rows.prepare_cached(
        "INSERT INTO versions (agent, number, component, config, size, has_health, stateful, reload, created_at, place, kept,
           memory_peak, fuel, requests, failures, mean_response_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    for (place, version) in (0i64..).zip(&memory.versions) {
        let kept = (0i64..).zip(&memory.kept);
        let kept = kept.filter(|(_, kept)| **kept == version.number);
        let content = &version.content;
        let usage = version.usage.as_ref();
        insert.execute(params![
            agent,
            int(version.number.get()),
            content.identity.component.to_string(),
            content.identity.config.to_string(),
            int(content.size),
            content.has_health,
            content.stateful,
            version.reload.to_string(),
            int(version.created_at.0),
            place,
            kept.map(|(place, _)| place).next(),
            usage.map(|usage| int(usage.memory_peak)),
            usage.and_then(|usage| usage.fuel).map(int),
            usage.map(|usage| int(usage.requests)),
            usage.map(|usage| int(usage.failures)),
            usage.and_then(|usage| usage.mean_response_us).map(int),
        ])?;
    }
    Ok(())
}

fn endings(rows: &Connection, memory: &Memory) -> rusqlite::Result<()> {
    let agent = memory.agent.as_ref();
    rows.prepare_cached("DELETE FROM endings WHERE agent = ?1")?
        .execute([agent])?;
    let mut insert = rows.prepare_cached(
        "INSERT INTO endings (agent, component, config, aside, reason, since, again_at, blocks, tries, place)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for (place, ending) in (0i64..).zip(&memory.endings) {
        insert.execute(params![
            agent,
            ending.identity.component.to_string(),
            ending.identity.config.to_string(),
            word(&ending.aside)?,
            ending.reason,
            int(ending.since.0),
            time(ending.again_at),
            ending.blocks,
            ending.tries,
            place,
        ])?;
    }
    Ok(())
}

/// The time of the first is kept: it is when the content was first taken.
pub(super) fn content(rows: &Connection, content: &Content, now: Moment) -> rusqlite::Result<()> {
    rows.prepare_cached(
        "INSERT INTO contents (agent, component, config, file, shown, size, taken_at, seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (agent, component, config) DO UPDATE SET file = ?4, shown = ?5, size = ?6, seen_at = ?8",
    )?
    .execute(params![
        content.agent.as_ref(),
        content.identity.component.to_string(),
        content.identity.config.to_string(),
        content.config.to_string(),
        content.shown,
        int(content.size),
        int(content.taken_at.0),
        int(now.0),
    ])?;
    Ok(())
}

pub(super) fn act(rows: &Connection, act: &Act) -> rusqlite::Result<()> {
    rows.prepare_cached("INSERT INTO acts (at, agent, act, refused) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            int(act.at.0),
            act.agent.as_ref(),
            act.order,
            act.refused,
        ])?;
    Ok(())
}

pub(super) fn pins(
    rows: &Connection,
    agent: &AgentName,
    reload: HotReloadId,
    pins: &[Pin],
) -> rusqlite::Result<()> {
    let reload = reload.to_string();
    rows.prepare_cached("DELETE FROM pins WHERE reload = ?1")?
        .execute([&reload])?;
    for (place, pin) in (0i64..).zip(pins) {
        rows.prepare_cached(
            "INSERT INTO pins (reload, place, agent, policy, kind, mode, digest, settings)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            reload,
            place,
            agent.as_ref(),
            pin.policy,
            pin.kind,
            word(&pin.mode)?,
            pin.digest.to_string(),
            pin.settings,
        ])?;
    }
    Ok(())
}

pub(super) fn snapshot(rows: &Connection, snapshot: &SnapshotRow) -> rusqlite::Result<()> {
    rows.prepare_cached(
        "INSERT OR REPLACE INTO snapshots (agent, number, component, config, taken_at, cause, format, saved_by, saved_by_number,
           blob, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        snapshot.agent.as_ref(),
        int(snapshot.number.get()),
        snapshot.identity.component.to_string(),
        snapshot.identity.config.to_string(),
        int(snapshot.taken_at.0),
        snapshot.cause,
        snapshot.format,
        snapshot.saved_by.to_string(),
        int(snapshot.saved_by_number.get()),
        snapshot.blob.to_string(),
        int(snapshot.size),
    ])?;
    Ok(())
}

pub(super) fn event(rows: &Connection, event: &Event) -> rusqlite::Result<()> {
    rows.prepare_cached(
        "INSERT INTO events (at, agent, reload, kind, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        int(event.at.0),
        event.agent.as_ref().map(|agent| agent.as_ref()),
        event.reload.map(|reload| reload.to_string()),
        event.kind,
        event.detail,
    ])?;
    Ok(())
}
