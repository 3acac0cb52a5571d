//! What the admin surface answers, as far as the tables show it. Anything else in it is passed over, and what is missing
//! is shown as missing, so that this client also reads the hosts before and after its own version.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Agent {
    pub agent: String,
    pub state: String,
    /// Not told by older hosts.
    pub enabled: Option<bool>,
    pub stable: Option<Version>,
    pub candidate: Option<Version>,
    pub split: u8,
    pub split_actual: Option<f64>,
    pub gate: Option<Gate>,
    pub live: Vec<Live>,
    pub reload: Option<Reload>,
    pub in_flight: u64,
    pub quarantined: Vec<Quarantined>,
    pub attention: Vec<Attention>,
    pub last_error: Option<String>,
    pub wanted: Option<Wanted>,
    pub refused: Vec<RefusedFile>,
    pub diverged: Option<String>,
    pub serving: Option<u64>,
    pub kept: Vec<Version>,
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Version {
    pub number: u64,
    pub digest: String,
}

/// What the directory asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub digest: String,
}

/// A file that was refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct RefusedFile {
    pub file: String,
    pub size: Option<u64>,
    pub digest: Option<String>,
    pub error: String,
}

/// Where a stateful agent's requests wait while its state moves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gate {
    pub closed: bool,
    pub waiting: u64,
}

/// A version that has an instance or may get one: what it does now.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Live {
    pub number: u64,
    pub in_flight: u64,
    pub requests_per_second: Option<f64>,
    pub failures_per_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub contract: String,
    pub passed_over: Vec<String>,
    pub stateful: bool,
    pub listening: bool,
    pub copies: Option<u64>,
    pub mismatches: Option<u64>,
    pub skipped: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reload {
    pub id: String,
    pub status: String,
    pub strategy: String,
    pub stage: u32,
    pub stages: u32,
    /// Told by hosts that do not tell `since`.
    pub stage_elapsed_ms: Option<u64>,
    pub since: Option<u64>,
    pub at_least_ms: Option<u64>,
    pub at_least_requests: Option<u64>,
    pub requests: Option<u64>,
    pub started_at: u64,
    pub paused: bool,
    pub reason: Option<String>,
    pub waits_for: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quarantined {
    pub digest: String,
    pub reason: String,
    pub since: u64,
    pub blamed: bool,
    pub again_at: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attention {
    pub kind: String,
    pub since: u64,
    pub text: String,
    pub command: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Verdict {
    pub policy: String,
    pub enforcing: bool,
    pub verdict: Value,
    pub why: Why,
    pub faults: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Why {
    pub summary: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostAttention {
    pub attention: Vec<Attention>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub id: String,
    pub status: String,
    pub strategy: String,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub started_at: u64,
    pub completed_at: u64,
    pub rollback_reason: Option<String>,
    pub error: Option<String>,
    pub evidence: String,
    pub lost_requests: u64,
    pub state: Option<StateReport>,
}

/// What became of an agent's state.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct StateReport {
    pub state_from: Option<String>,
    pub restored_from: Option<String>,
    pub calls_since: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Happened {
    pub at: u64,
    pub agent: Option<String>,
    pub kind: String,
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}
