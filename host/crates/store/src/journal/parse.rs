//! Rows about agents as the values that they were written from.

use caxton_rollout::{
    AgentName, Digest, EndingMemory, HotReloadId, HotReloadResult, HotReloadStatus, Identity,
    Memory, Past, ReloadMemory, ResourceUsage, ReturnMemory, Version, VersionMemory, VersionNumber,
};

use super::fields::Fields;
use super::types::{Pin, SnapshotRow};
use crate::Content;

/// A row about a reload.
pub(super) struct ReloadRow {
    pub id: HotReloadId,
    pub rank: i64,
    pub number: VersionNumber,
    pub past: Option<Past>,
    pub going_on: Option<ReloadMemory>,
}

/// Of an agent only the name must make sense: what else does not is as if it were not there, and what hangs on the row stays.
pub(super) fn agent(row: &Fields<'_>) -> Result<(Memory, Vec<String>), String> {
    let name: AgentName = row.parsed("name")?;
    let mut damage = Vec::new();
    let mut told = |problem: String| {
        damage.push(format!(
            "{name}: what its row in the journal says makes no sense and counts as not there: {problem}"
        ));
    };
    let memory = Memory {
        // Numbers that were given are found again below.
        next: row.opt_number("next_number").unwrap_or_else(|problem| {
            told(problem);
            Some(VersionNumber::FIRST)
        }),
        wanted: or_none(wanted(row), &mut told),
        serving: or_none(row.opt_number("serving"), &mut told),
        permanent: or_none(row.opt_number("permanent"), &mut told),
        kept: Vec::new(),
        versions: Vec::new(),
        reload: None,
        endings: Vec::new(),
        history: Vec::new(),
        removed_at: or_none(row.opt_time("removed_at"), &mut told),
        last_error: or_none(row.opt_text("last_error"), &mut told),
        rollbacks: or_none(row.json("rollbacks"), &mut told),
        agent: name.clone(),
    };
    Ok((memory, damage))
}

fn or_none<T: Default>(read: Result<T, String>, told: &mut impl FnMut(String)) -> T {
    read.unwrap_or_else(|problem| {
        told(problem);
        T::default()
    })
}

fn wanted(row: &Fields<'_>) -> Result<Option<Identity>, String> {
    match (
        row.opt_parsed::<Digest>("wanted_component")?,
        row.opt_parsed::<Digest>("wanted_config")?,
    ) {
        (Some(component), Some(config)) => Ok(Some(Identity { component, config })),
        (None, None) => Ok(None),
        _ => Err("wanted: half of it is there".to_owned()),
    }
}

pub(super) fn version(row: &Fields<'_>) -> Result<(VersionMemory, Option<i64>), String> {
    let usage = if row.has("memory_peak") {
        Some(ResourceUsage {
            memory_peak: row.count("memory_peak")?,
            fuel: row.opt_count("fuel")?,
            requests: row.count("requests")?,
            failures: row.count("failures")?,
            mean_response_us: row.opt_count("mean_response_us")?,
        })
    } else {
        None
    };
    let version = VersionMemory {
        number: row.number("number")?,
        content: caxton_rollout::Content {
            identity: row.identity()?,
            size: row.count("size")?,
            has_health: row.flag("has_health")?,
            stateful: row.flag("stateful")?,
        },
        reload: row.parsed("reload")?,
        created_at: row.time("created_at")?,
        usage,
    };
    Ok((version, row.opt_count("kept")?))
}

pub(super) fn ending(row: &Fields<'_>) -> Result<EndingMemory, String> {
    Ok(EndingMemory {
        identity: row.identity()?,
        aside: row.word("aside")?,
        reason: row.text("reason")?,
        since: row.time("since")?,
        again_at: row.opt_time("again_at")?,
        blocks: row.flag("blocks")?,
        tries: row.count("tries")?,
    })
}

pub(super) fn reload(row: &Fields<'_>) -> Result<ReloadRow, String> {
    let (id, number) = (row.parsed("id")?, row.number("number")?);
    let past = if row.has("result") {
        let result: HotReloadResult = row.json("result")?;
        if result.id != id {
            return Err("result: it is another reload's".to_owned());
        }
        let identity = row.identity()?;
        Some(Past {
            result,
            version: Version {
                number,
                digest: identity.component,
                config_digest: identity.config,
                size: row.count("size")?,
            },
            outcome: row.word("outcome")?,
        })
    } else {
        None
    };
    let going_on = row.flag("going_on")?;
    if past.is_none() && !going_on {
        return Err("result: there is none, and it does not go on".to_owned());
    }
    let going_on = going_on
        .then(|| going_on_reload(row, id, number))
        .transpose()?;
    Ok(ReloadRow {
        id,
        rank: row.get("rank")?,
        number,
        past,
        going_on,
    })
}

fn going_on_reload(
    row: &Fields<'_>,
    id: HotReloadId,
    number: VersionNumber,
) -> Result<ReloadMemory, String> {
    let returning = match row.opt_number("return_target")? {
        None => None,
        Some(target) => Some(ReturnMemory {
            target,
            aside: row
                .has("return_aside")
                .then(|| row.word("return_aside"))
                .transpose()?,
            reason: row.text("return_reason")?,
        }),
    };
    let status: HotReloadStatus = row.word("status")?;
    // One that has completed goes on while it is not proven, and again on its way back.
    if status.is_terminal() && status != HotReloadStatus::Completed {
        return Err("status: it goes on, and has ended".to_owned());
    }
    Ok(ReloadMemory {
        id,
        number,
        stable: row.opt_number("stable")?,
        status,
        strategy: row.word("strategy")?,
        stage: row.opt_count("stage")?,
        split: row.count("split")?,
        started_at: row.time("started_at")?,
        returning,
    })
}

pub(super) fn content(row: &Fields<'_>) -> Result<Content, String> {
    Ok(Content {
        agent: row.parsed("agent")?,
        identity: row.identity()?,
        config: row.parsed("file")?,
        shown: row.text("shown")?,
        size: row.count("size")?,
        taken_at: row.time("taken_at")?,
    })
}

pub(super) fn pin(row: &Fields<'_>) -> Result<(AgentName, HotReloadId, Pin), String> {
    let pin = Pin {
        policy: row.text("policy")?,
        kind: row.text("kind")?,
        mode: row.word("mode")?,
        digest: row.parsed("digest")?,
        settings: row.text("settings")?,
    };
    Ok((row.parsed("agent")?, row.parsed("reload")?, pin))
}

pub(super) fn snapshot(row: &Fields<'_>) -> Result<SnapshotRow, String> {
    Ok(SnapshotRow {
        agent: row.parsed("agent")?,
        number: row.number("number")?,
        identity: row.identity()?,
        taken_at: row.time("taken_at")?,
        cause: row.text("cause")?,
        format: row.text("format")?,
        saved_by: row.parsed("saved_by")?,
        saved_by_number: row.number("saved_by_number")?,
        blob: row.parsed("blob")?,
        size: row.count("size")?,
    })
}
