//! What was written: the tables of NAME.toml as they stand in the file, unknown keys refused.
//!
//! Nothing is filled in here. A key that was not written is `None`, so that what makes a version is only what a
//! person wrote and never a default of this release.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use caxton_rollout::{
    Digest, MirrorRequests, OnCrashLoop, OnInconclusive, OnUnproven, PolicyMode, Strategy,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::units;

/// NAME.toml, and `[defaults]` in caxton.toml.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    #[serde(deserialize_with = "units::digest")]
    pub component: Option<Digest>,
    pub reload: Reload,
    pub rollback: Rollback,
    pub health: Health,
    pub state: State,
    pub instances: Instances,
    pub limits: Limits,
    pub grants: Grants,
    pub route: Route,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    pub strategy: Option<Strategy>,
    pub policy: Option<String>,
    pub policy_settings: Option<toml::Table>,
    pub split: Option<u8>,
    pub progressive: Option<bool>,
    pub stages: Option<Vec<Stage>>,
    #[serde(deserialize_with = "affinity")]
    pub affinity: Option<Affinity>,
    pub mirror: Mirror,
    #[serde(deserialize_with = "units::timeout")]
    pub drain_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::wait")]
    pub warm_up: Option<Duration>,
    #[serde(deserialize_with = "units::wait")]
    pub bake: Option<Duration>,
    #[serde(deserialize_with = "units::wait")]
    pub keep_previous: Option<Duration>,
    #[serde(deserialize_with = "units::limit")]
    pub gate_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::timeout")]
    pub immediate_grace: Option<Duration>,
    pub preserve_state: Option<bool>,
    #[serde(deserialize_with = "units::wait")]
    pub deadline: Option<Duration>,
    pub on_inconclusive: Option<OnInconclusive>,
    pub on_unproven: Option<OnUnproven>,
}

/// One step of progressive traffic-splitting.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub split: u8,
    #[serde(default, deserialize_with = "units::wait")]
    pub at_least: Option<Duration>,
    #[serde(default)]
    pub at_least_requests: u64,
    #[serde(default)]
    pub needs_operator: bool,
}

/// What tells callers apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    Header(String),
    Cookie(String),
}

fn affinity<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Affinity>, D::Error> {
    let written = toml::Value::deserialize(from)?;
    let affinity = written.clone().try_into().map_err(|_| {
        D::Error::custom(format!(
            "`{written}` tells no callers apart: write {{ header = \"NAME\" }} or {{ cookie = \"NAME\" }}"
        ))
    })?;
    Ok(Some(affinity))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    pub requests: Option<MirrorRequests>,
    #[serde(deserialize_with = "units::wait")]
    pub at_least: Option<Duration>,
    pub at_least_requests: Option<u64>,
    pub grants: bool,
    pub ignore_headers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    pub enabled: Option<bool>,
    pub preserve_versions: Option<u8>,
    #[serde(deserialize_with = "units::timeout")]
    pub timeout: Option<Duration>,
    pub policies: Option<Vec<Policy>>,
    pub breaker: Breaker,
    pub on_crash_loop: Option<OnCrashLoop>,
}

/// So many rollbacks by policies within the time, and no version comes in by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    pub count: Option<u32>,
    #[serde(deserialize_with = "units::window")]
    pub window: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: String,
    #[serde(default)]
    pub mode: PolicyMode,
    #[serde(default)]
    pub settings: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    #[serde(deserialize_with = "units::limit")]
    pub interval: Option<Duration>,
    #[serde(deserialize_with = "units::limit")]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    #[serde(deserialize_with = "units::interval_or_off")]
    pub checkpoint: Option<Interval>,
    #[serde(deserialize_with = "units::memory")]
    pub max_size: Option<u64>,
}

/// How often something is done at most, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Interval {
    Off,
    Every(Duration),
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instances {
    pub mode: Option<Mode>,
    pub reuse: Option<u32>,
}

/// How long an instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One request.
    Fresh,
    /// Several requests, one after the other.
    Reused,
    /// All of its version's requests, one after the other.
    Single,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    #[serde(deserialize_with = "units::memory")]
    pub memory: Option<u64>,
    #[serde(deserialize_with = "units::limit")]
    pub request_timeout: Option<Duration>,
    #[serde(deserialize_with = "units::limit")]
    pub idle_timeout: Option<Duration>,
    pub concurrency: Option<u32>,
    pub isolation: Option<bool>,
    #[serde(deserialize_with = "units::body")]
    pub request_body: Option<u64>,
    #[serde(deserialize_with = "units::body")]
    pub reply_body: Option<u64>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    pub env: BTreeMap<String, String>,
    pub dirs: Vec<Dir>,
    pub outbound: Vec<String>,
}

/// A directory of the host that an agent sees.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Where it is on the host.
    pub host: PathBuf,
    /// Where the agent sees it.
    pub guest: String,
    /// Whether the agent may change it.
    #[serde(default)]
    pub write: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    pub host: Option<String>,
    pub path: Option<String>,
}
