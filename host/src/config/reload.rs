//! What the `[reload]` table of an agent's configuration means.

use caxton_rollout::{MAX_STAGES, MirrorSettings, ReloadSettings, Stage};
use http::HeaderName;

use super::agent::{TrafficConfig, json, or, policy_name};
use super::{ConfigError, written};
use crate::routes::Affinity;

pub(super) fn reload(file: &str, written: written::Reload) -> Result<ReloadSettings, ConfigError> {
    let default = ReloadSettings::default();
    let mirror = MirrorSettings {
        requests: or(written.mirror.requests, default.mirror.requests),
        at_least: or(written.mirror.at_least, default.mirror.at_least),
        at_least_requests: or(
            written.mirror.at_least_requests,
            default.mirror.at_least_requests,
        ),
    };
    Ok(ReloadSettings {
        strategy: or(written.strategy, default.strategy),
        split: split(file, or(written.split, default.split))?,
        progressive: or(written.progressive, default.progressive),
        stages: match written.stages {
            Some(stages) => stages_of(file, &stages)?,
            None => default.stages,
        },
        mirror,
        preserve_state: or(written.preserve_state, default.preserve_state),
        gate_timeout: or(written.gate_timeout, default.gate_timeout),
        immediate_grace: or(written.immediate_grace, default.immediate_grace),
        policy: match written.policy {
            Some(name) => policy_name(file, "reload.policy", name)?,
            None => default.policy,
        },
        policy_settings: json(file, "reload.policy_settings", written.policy_settings)?,
        drain_timeout: or(written.drain_timeout, default.drain_timeout),
        warm_up: written.warm_up,
        bake: or(written.bake, default.bake),
        keep_previous: or(written.keep_previous, default.keep_previous),
        deadline: or(written.deadline, default.deadline),
        on_inconclusive: or(written.on_inconclusive, default.on_inconclusive),
        on_unproven: or(written.on_unproven, default.on_unproven),
    })
}

/// A share that leaves both versions something.
fn split(file: &str, percent: u8) -> Result<u8, ConfigError> {
    if (1..=99).contains(&percent) {
        return Ok(percent);
    }
    Err(ConfigError::of(
        file,
        "reload.split",
        format!(
            " is {percent}: it goes from 1 to 99 per cent, because at 0 nothing is tried and at 100 nothing is \
             split; for all traffic at once write strategy = \"graceful\""
        ),
    ))
}

fn stages_of(file: &str, written: &[written::Stage]) -> Result<Vec<Stage>, ConfigError> {
    let wrong = |why: String| ConfigError::of(file, "reload.stages", format!(": {why}"));
    if written.is_empty() || written.len() > MAX_STAGES {
        return Err(wrong(format!(
            "write 1 to {MAX_STAGES} of them, or leave the key out"
        )));
    }
    let mut before = 0;
    for (at, stage) in written.iter().enumerate() {
        if !(1..=99).contains(&stage.split) || stage.split <= before {
            let wrong = wrong(format!(
                "a stage of {} % after {before} %: shares go from 1 to 99 and rise; the step to all traffic comes after the \
                 last stage by itself",
                stage.split
            ));
            return Err(wrong.at(&at.to_string()).at("split"));
        }
        before = stage.split;
    }
    let stage = |written: &written::Stage| Stage {
        at_least: or(written.at_least, Stage::of(written.split).at_least),
        at_least_requests: written.at_least_requests,
        needs_operator: written.needs_operator,
        ..Stage::of(written.split)
    };
    Ok(written.iter().map(stage).collect())
}

pub(super) fn traffic(file: &str, written: &written::Reload) -> Result<TrafficConfig, ConfigError> {
    let header = |key: &str, name: &str| {
        name.parse::<HeaderName>().map_err(|_| {
            let why = format!(": {name:?} is no header's name");
            ConfigError::of(file, &format!("reload.{key}"), why)
        })
    };
    let affinity = match &written.affinity {
        None => Affinity::default(),
        Some(written::Affinity::Header(name)) => Affinity::Header(header("affinity.header", name)?),
        Some(written::Affinity::Cookie(name)) if is_token(name) => Affinity::Cookie(name.clone()),
        Some(written::Affinity::Cookie(name)) => {
            let why = format!(": {name:?} is no cookie's name");
            return Err(ConfigError::of(file, "reload.affinity.cookie", why));
        }
    };
    let ignored = written.mirror.ignore_headers.iter();
    Ok(TrafficConfig {
        affinity,
        grants_to_listener: written.mirror.grants,
        ignore_headers: ignored
            .enumerate()
            .map(|(at, name)| {
                let read = header("mirror.ignore_headers", name);
                read.map_err(|error| error.at(&at.to_string()))
            })
            .collect::<Result<_, _>>()?,
    })
}

/// A cookie's name has the alphabet of a header's (RFC 6265, 4.1.1).
fn is_token(name: &str) -> bool {
    name.parse::<HeaderName>().is_ok()
}
