//! What was written: the tables of NAME.toml as they stand in the file, unknown keys refused.
//!
//! Nothing is filled in here. A key that was not written is `None`, so that what makes a version is only what a
//! person wrote and never a default of this release. What stands above a key is its description in `caxton schema`, and
//! `default` there is held against the real one by a test.

use std::path::PathBuf;
use std::time::Duration;

use caxton_rollout::{
    Digest, MAX_STAGES, MirrorRequests, OnCrashLoop, OnInconclusive, OnUnproven, PolicyMode,
    Strategy,
};
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::agent::{MAX_BREAKER, MAX_CONCURRENCY, MAX_POLICIES};
use super::env::Variables;
use super::{schema, units};

/// What an agent's own file says, `NAME.toml` beside `NAME.wasm`; the same tables stand under `[defaults]` in caxton.toml.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Whether the agent runs. `false`: it is known and stopped; its versions and its history stay.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// The component that this file goes with: neither is taken until both are there.
    #[serde(deserialize_with = "units::digest")]
    #[schemars(schema_with = "schema::digest")]
    pub component: Option<Digest>,
    /// How a new version comes in.
    pub reload: Reload,
    /// When to go back.
    pub rollback: Rollback,
    /// How health is checked, where the component exports caxton:agent/health or has a path for it.
    pub health: Health,
    /// How state is kept, where the component exports caxton:agent/state.
    pub state: State,
    /// How long instances live.
    pub instances: Instances,
    /// What one instance and one call may use.
    pub limits: Limits,
    /// What the agent may reach. What is not granted is denied.
    pub grants: Grants,
    /// What the agent claims beside `/NAME/`.
    pub route: Route,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    /// How a new version takes over.
    #[schemars(schema_with = "schema::words::<Strategy>", extend("default" = "graceful"))]
    pub strategy: Option<Strategy>,
    /// The strategy policy: `standard`, or the name of one in the policies directory.
    #[schemars(schema_with = "schema::policy", extend("default" = "standard"))]
    pub policy: Option<String>,
    /// Settings of the strategy policy, laid over those of its own file.
    #[schemars(schema_with = "schema::table", extend("default" = {}))]
    pub policy_settings: Option<toml::Table>,
    /// With `progressive = false`: per cent of the requests for the new version.
    #[schemars(range(min = 1, max = 99), extend("default" = 10))]
    pub split: Option<u8>,
    /// With traffic-splitting: in stages. `false`: the share `split`, held as it is.
    #[schemars(extend("default" = true))]
    pub progressive: Option<bool>,
    /// The stages of traffic-splitting; their shares rise. Left out: 5, 10, 25, 50 and 75 % for 30 s each.
    #[schemars(length(min = 1, max = MAX_STAGES))]
    pub stages: Option<Vec<Stage>>,
    /// What tells callers apart: those with the same value stay together.
    #[serde(deserialize_with = "affinity")]
    #[schemars(extend("default" = { "header": "x-caxton-key" }))]
    pub affinity: Option<Affinity>,
    /// What `parallel` copies.
    pub mirror: Mirror,
    /// How long calls of the old version may take to end.
    #[serde(deserialize_with = "units::timeout")]
    #[schemars(schema_with = "schema::timeout", extend("default" = "60s"))]
    pub drain_timeout: Option<Duration>,
    /// How long health checks must pass before any traffic. Left out: 10 s, and none where there is no health check.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait")]
    pub warm_up: Option<Duration>,
    /// How long a version that has all traffic is judged before it is permanent.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "5m"))]
    pub bake: Option<Duration>,
    /// How long the old version stays compiled.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "15m"))]
    pub keep_previous: Option<Duration>,
    /// With state: how long requests may wait while it moves; `save` and `load` fit into it.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "30s"))]
    pub gate_timeout: Option<Duration>,
    /// With state and `immediate`: how long the running call may take to end.
    #[serde(deserialize_with = "units::timeout")]
    #[schemars(schema_with = "schema::timeout", extend("default" = "1s"))]
    pub immediate_grace: Option<Duration>,
    /// `false`: run a component that exports caxton:agent/state without moving its state. Makes a version.
    #[schemars(extend("default" = true))]
    pub preserve_state: Option<bool>,
    /// How long a reload may go without progress.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "1h"))]
    pub deadline: Option<Duration>,
    /// What happens at the deadline before full traffic.
    #[schemars(schema_with = "schema::words::<OnInconclusive>", extend("default" = "abort"))]
    pub on_inconclusive: Option<OnInconclusive>,
    /// What happens to a version that baked without enough evidence.
    #[schemars(schema_with = "schema::words::<OnUnproven>", extend("default" = "keep"))]
    pub on_unproven: Option<OnUnproven>,
}

/// One step of progressive traffic-splitting.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Per cent of the requests for the new version, more than in the stage before.
    #[schemars(range(min = 1, max = 99))]
    pub split: u8,
    /// How long the stage lasts at least.
    #[serde(default, deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "30s"))]
    pub at_least: Option<Duration>,
    /// How many requests the new version answers in it at least.
    #[serde(default)]
    pub at_least_requests: u64,
    /// Whether an operator has to let it go on.
    #[serde(default)]
    pub needs_operator: bool,
}

/// What tells callers apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// The value of this header.
    Header(String),
    /// The value of this cookie.
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Which requests: `safe` are GET, HEAD and OPTIONS; `all` are messages to handlers, too.
    #[schemars(schema_with = "schema::words::<MirrorRequests>", extend("default" = "safe"))]
    pub requests: Option<MirrorRequests>,
    /// How long the new version listens at least.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "60s"))]
    pub at_least: Option<Duration>,
    /// How many copies it answers at least.
    #[schemars(extend("default" = 25))]
    pub at_least_requests: Option<u64>,
    /// `true`: the copies, too, may write into directories and send requests.
    pub grants: bool,
    /// Headers in which two answers may differ.
    pub ignore_headers: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// Whether versions are judged, and gone back from.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// How many versions that were permanent are kept to go back to.
    #[schemars(extend("default" = 3))]
    pub preserve_versions: Option<u8>,
    /// How long going back may take.
    #[serde(deserialize_with = "units::timeout")]
    #[schemars(schema_with = "schema::timeout", extend("default" = "60s"))]
    pub timeout: Option<Duration>,
    /// Who judges; the gravest verdict holds.
    #[schemars(length(max = MAX_POLICIES), extend("default" = [{ "name": "evidence" }]))]
    pub policies: Option<Vec<Policy>>,
    /// After so many ways back no version comes in by itself.
    pub breaker: Breaker,
    /// What happens where a version traps again and again outside of a reload.
    #[schemars(schema_with = "schema::words::<OnCrashLoop>", extend("default" = "tell"))]
    pub on_crash_loop: Option<OnCrashLoop>,
}

/// So many rollbacks by policies within the time, and no version comes in by itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// How many rollbacks by policies; 0: never.
    #[schemars(range(min = 0, max = MAX_BREAKER), extend("default" = 3))]
    pub count: Option<u32>,
    /// Within what time.
    #[serde(deserialize_with = "units::window")]
    #[schemars(schema_with = "schema::window", extend("default" = "1h"))]
    pub window: Option<Duration>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// One in the binary (`evidence`, `thresholds`, `manual`), or the name of one in the policies directory.
    #[schemars(schema_with = "schema::policy")]
    pub name: String,
    /// `monitor`: asked and recorded, and decides nothing.
    #[serde(default)]
    #[schemars(schema_with = "schema::words::<PolicyMode>")]
    pub mode: PolicyMode,
    /// Its settings, laid over those of its own file.
    #[serde(default)]
    #[schemars(schema_with = "schema::table")]
    pub settings: toml::Table,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// How often.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "5s"))]
    pub interval: Option<Duration>,
    /// How long an answer may take.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "1s"))]
    pub timeout: Option<Duration>,
    /// Where an HTTP agent without caxton:agent/health is asked by GET: 2xx is healthy. Left out: it is not asked.
    #[schemars(regex(pattern = "^/"))]
    pub path: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// How often it is kept between calls, at most and only after calls; or `off`.
    #[serde(deserialize_with = "units::interval_or_off")]
    #[schemars(schema_with = "schema::interval_or_off", extend("default" = "10s"))]
    pub checkpoint: Option<Interval>,
    /// How large what `save` answers may be.
    #[serde(deserialize_with = "units::memory")]
    #[schemars(schema_with = "schema::memory", extend("default" = "64MiB"))]
    pub max_size: Option<u64>,
}

/// How often something is done at most, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Interval {
    Off,
    Every(Duration),
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Instances {
    /// How many requests an instance takes. Left out: `fresh` for HTTP, `reused` for handlers, `single` with state.
    #[schemars(schema_with = "schema::words::<Mode>")]
    pub mode: Option<Mode>,
    /// With `reused`: requests that an instance takes. Left out: 128.
    #[schemars(range(min = 1))]
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

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of one instance.
    #[serde(deserialize_with = "units::memory")]
    #[schemars(schema_with = "schema::memory", extend("default" = "64MiB"))]
    pub memory: Option<u64>,
    /// How long a call may take to the head of its reply.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "30s"))]
    pub request_timeout: Option<Duration>,
    /// How long it may take between chunks after that.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "30s"))]
    pub idle_timeout: Option<Duration>,
    /// Calls at once; with a single instance, the running one and those in line.
    #[schemars(range(min = 1, max = MAX_CONCURRENCY), extend("default" = 100))]
    pub concurrency: Option<u32>,
    /// `false`: never two versions side by side, so neither parallel nor traffic-splitting.
    #[schemars(extend("default" = true))]
    pub isolation: Option<bool>,
    /// How large a request's body may be.
    #[serde(deserialize_with = "units::body")]
    #[schemars(schema_with = "schema::body", extend("default" = "8MiB"))]
    pub request_body: Option<u64>,
    /// How large a reply's body may be.
    #[serde(deserialize_with = "units::body")]
    #[schemars(schema_with = "schema::body", extend("default" = "64MiB"))]
    pub reply_body: Option<u64>,
    /// Units of fuel, about one for each instruction, that a request has. Left out: it is not metered.
    #[schemars(range(min = 1))]
    pub fuel: Option<u64>,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Environment variables that the agent sees.
    pub env: Variables,
    /// Directories that it sees.
    pub dirs: Vec<Dir>,
    /// Where it may send HTTP requests: scheme, host and port. Never to the host's own admin address.
    #[schemars(schema_with = "schema::origins")]
    pub outbound: Vec<String>,
}

/// A directory of the host that an agent sees.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dir {
    /// Where it is on the host. A relative path begins at the agents directory.
    pub host: PathBuf,
    /// Where the agent sees it.
    #[schemars(regex(pattern = "^/"))]
    pub guest: String,
    /// Whether the agent may change it.
    #[serde(default)]
    pub write: bool,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Requests with this host name, beside `/NAME/`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$"))]
    pub host: Option<String>,
    /// Requests below this path.
    #[schemars(regex(pattern = "^/"))]
    pub path: Option<String>,
}
