//! Writes the reloads of an agent, those that are over and the one that goes on, as far as they differ from what stands there.

use std::collections::BTreeMap;
use std::sync::Arc;

use caxton_rollout::{HotReloadId, Memory, Past, ReloadMemory};
use rusqlite::{Connection, params};

use super::rows::{Known, int, json, number, time, word};

/// What one row about a reload says: an earlier one may go on again.
type Both<'a> = (Option<&'a Arc<Past>>, Option<&'a ReloadMemory>);

/// The reloads of an agent, oldest first.
fn both(memory: &Memory) -> Vec<(HotReloadId, Both<'_>)> {
    let going_on = memory.reload.as_ref();
    let mut reloads: Vec<(HotReloadId, Both<'_>)> = Vec::new();
    for past in memory.history.iter().rev() {
        let id = past.result.id;
        reloads.push((id, (Some(past), going_on.filter(|reload| reload.id == id))));
    }
    if let Some(reload) = going_on
        && reloads.iter().all(|(id, _)| *id != reload.id)
    {
        reloads.push((reload.id, (None, Some(reload))));
    }
    reloads
}

fn same(one: &Both<'_>, other: &Both<'_>) -> bool {
    let same_past = match (one.0, other.0) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    };
    same_past && one.1 == other.1
}

pub(super) fn reloads(
    rows: &Connection,
    known: Option<&Known>,
    memory: &Memory,
) -> rusqlite::Result<BTreeMap<HotReloadId, i64>> {
    let before: BTreeMap<_, _> = known
        .map(|known| both(&known.memory))
        .into_iter()
        .flatten()
        .collect();
    let known_ranks = known.map(|known| &known.ranks);
    let mut highest = known_ranks.and_then(|ranks| ranks.values().max().copied());
    let mut last = None;
    let mut ranks = BTreeMap::new();
    for (id, now) in both(memory) {
        // One that keeps its place keeps its rank; one that is new, or has moved to the end, gets the next one.
        let known_rank = known_ranks.and_then(|ranks| ranks.get(&id)).copied();
        let rank = known_rank
            .filter(|rank| last.is_none_or(|last| *rank > last))
            .unwrap_or_else(|| highest.map_or(0, |highest| highest.saturating_add(1)));
        let is_there = before.get(&id).is_some_and(|before| same(before, &now));
        if !is_there || known_rank != Some(rank) {
            reload(rows, memory, id, &now, rank)?;
        }
        highest = highest.max(Some(rank));
        last = Some(rank);
        ranks.insert(id, rank);
    }
    for id in before.keys().filter(|id| !ranks.contains_key(id)) {
        rows.prepare_cached("DELETE FROM reloads WHERE id = ?1")?
            .execute([id.to_string()])?;
    }
    Ok(ranks)
}

fn reload(
    rows: &Connection,
    memory: &Memory,
    id: HotReloadId,
    (past, going_on): &Both<'_>,
    rank: i64,
) -> rusqlite::Result<()> {
    let result = past.map(|past| &past.result);
    let (candidate, status, strategy, started_at) = match (going_on, past) {
        (Some(reload), _) => (
            reload.number,
            reload.status,
            reload.strategy,
            reload.started_at,
        ),
        (None, Some(past)) => (
            past.version.number,
            past.result.status,
            past.result.strategy,
            past.result.started_at,
        ),
        (None, None) => return Ok(()),
    };
    let made_of = match past {
        Some(past) => Some((
            past.version.digest,
            past.version.config_digest,
            past.version.size,
        )),
        None => {
            let version = memory
                .versions
                .iter()
                .find(|version| version.number == candidate);
            version.map(|version| {
                let content = &version.content;
                (
                    content.identity.component,
                    content.identity.config,
                    content.size,
                )
            })
        }
    };
    let returning = going_on.and_then(|reload| reload.returning.as_ref());
    let aside = returning.and_then(|returning| returning.aside.as_ref());
    rows.prepare_cached(
        "INSERT OR REPLACE INTO reloads (id, agent, number, component, config, size, going_on, status, strategy, stage, split,
           stable, started_at, return_target, return_aside, return_reason, ended_at, outcome, result, rank)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )?
    .execute(params![
        id.to_string(),
        memory.agent.as_ref(),
        int(candidate.get()),
        made_of.map(|(component, _, _)| component.to_string()),
        made_of.map(|(_, config, _)| config.to_string()),
        made_of.map(|(_, _, size)| int(size)),
        going_on.is_some(),
        word(&status)?,
        word(&strategy)?,
        going_on.and_then(|reload| reload.stage),
        going_on.map(|reload| reload.split),
        number(going_on.and_then(|reload| reload.stable)),
        int(started_at.0),
        returning.map(|returning| int(returning.target.get())),
        aside.map(word).transpose()?,
        returning.map(|returning| returning.reason.as_str()),
        time(result.map(|result| result.completed_at)),
        past.map(|past| word(&past.outcome)).transpose()?,
        result.map(json).transpose()?,
        rank,
    ])?;
    Ok(())
}
