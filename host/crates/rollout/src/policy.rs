//! What passes between the core and the policies: facts by value one way, a proposal the other.
//!
//! The shapes are those of `wit/policy`; the runtime converts, and refuses what is out of bounds.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{Digest, Strategy, VersionNumber, Window};

/// A version as policies see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Version {
    /// The host's number for it.
    pub number: VersionNumber,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// SHA-256 of the configuration that it runs with.
    pub config_digest: Digest,
    /// Bytes of the component.
    pub size: u64,
}

/// Where a reload stands, as policies see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Compile and instantiate.
    Preparing,
    /// Health checks and warm-up.
    Starting,
    /// Some traffic or copies of it.
    InProgress,
    /// All traffic, watched.
    Baking,
}

/// How an earlier reload of the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The candidate became permanent.
    Completed,
    /// It never served, or could not be taken back.
    Failed,
    /// An operator or a removal ended it.
    Cancelled,
    /// It was taken back.
    RolledBack,
    /// A newer file took its place.
    Superseded,
}

/// An earlier reload of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// The version it was about.
    pub version: Version,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Milliseconds.
    pub ended_ms_ago: u64,
}

/// The facts about the reload that a policy is asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Context {
    /// The reload's identifier.
    pub reload_id: String,
    /// Milliseconds until `on_inconclusive` acts; none while nothing is waited for.
    pub deadline_ms: Option<u64>,
    /// Paused by an operator.
    pub paused: bool,
    /// The agent's name.
    pub agent: String,
    /// None on a first deployment.
    pub stable: Option<Version>,
    /// The version that is coming in.
    pub candidate: Version,
    /// Whether state moves between versions.
    pub stateful: bool,
    /// Where the reload stands.
    pub phase: Phase,
    /// The present stage, from 0.
    pub stage: u32,
    /// How many stages were planned.
    pub stages: u32,
    /// Milliseconds.
    pub stage_elapsed_ms: u64,
    /// Milliseconds.
    pub elapsed_ms: u64,
    /// Per cent of traffic meant for the candidate.
    pub split: u8,
    /// The stable version before this reload began, in the window's `stable` arm.
    pub baseline: Option<Window>,
    /// Newest first, at most 16.
    pub history: Vec<Attempt>,
    /// The only randomness there is.
    pub seed: u64,
}

/// One thing that a policy looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What was measured.
    pub metric: String,
    /// Its value.
    pub observed: f64,
    /// What it is compared with.
    pub limit: f64,
    /// How many observations that rests on.
    pub sample: u64,
    /// How it was compared, for example `threshold`.
    pub statistic: String,
    /// What the comparison gave.
    pub value: f64,
    /// Whether it speaks against the version.
    pub breached: bool,
}

/// Why a policy says what it says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// A short word for machines, for example `error-rate`.
    pub code: String,
    /// A sentence for people.
    pub summary: String,
    /// What it rests on.
    pub findings: Vec<Finding>,
}

/// Who is to blame for a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// Something around the agent.
    Environment,
    /// It cannot be told.
    Unknown,
    /// The new version.
    Candidate,
}

/// What a rollback policy says; the order is that of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Enough evidence for the version.
    Proceed,
    /// Not enough evidence either way.
    Undecided,
    /// Something speaks against going on, and it is not surely the candidate.
    Hold,
    /// Go back.
    Rollback(Blame),
}

/// A rollback policy's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RollbackAnswer {
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    pub why: Explanation,
    /// What it wants to be handed at its next call.
    #[serde(skip)]
    pub state: Vec<u8>,
}

/// A share of traffic and what must be seen before the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stage {
    /// Per cent of traffic for the candidate, 1 to 99.
    pub split: u8,
    /// How long the stage lasts at least.
    #[serde(rename = "at-least-ms", with = "millis")]
    pub at_least: Duration,
    /// How many requests the candidate has answered in it at least.
    pub at_least_requests: u64,
    /// Whether an operator must let it pass.
    pub needs_operator: bool,
}

/// How a strategy policy wants the version to come in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// The strategy.
    pub strategy: Strategy,
    /// Health checks pass for this long before any traffic.
    #[serde(rename = "warm-up-ms", with = "millis")]
    pub warm_up: Duration,
    /// The old version may finish what it has for this long.
    #[serde(rename = "drain-ms", with = "millis")]
    pub drain: Duration,
    /// Traffic-splitting only.
    pub stages: Vec<Stage>,
    /// Watched for this long with all traffic.
    #[serde(rename = "bake-ms", with = "millis")]
    pub bake: Duration,
    /// The old version stays compiled for this long after that.
    #[serde(rename = "keep-previous-ms", with = "millis")]
    pub keep_previous: Duration,
    /// Whether state moves to the new version.
    pub preserve_state: bool,
    /// Why this plan.
    pub why: Explanation,
}

/// What a strategy policy wants to happen next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// The next planned stage.
    Advance,
    /// This share, 0 to 100.
    SetSplit(u8),
    /// All traffic; after the bake, permanent.
    Promote,
    /// Stay until an operator acts, for this reason.
    Hold(String),
}

/// A strategy policy's answer to `next`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StrategyAnswer {
    /// What it wants.
    pub step: Step,
    /// Why.
    pub why: Explanation,
    /// When it wants to be asked again, at the latest.
    #[serde(rename = "next-check-ms", with = "optional_millis")]
    pub next_check: Option<Duration>,
    /// What it wants to be handed at its next call.
    #[serde(skip)]
    pub state: Vec<u8>,
}

/// How a policy failed to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// There is no policy of that name.
    Missing,
    /// It trapped.
    Trap,
    /// It used up its fuel.
    OutOfFuel,
    /// It did not answer in time.
    OutOfTime,
    /// It reached its memory limit.
    OutOfMemory,
    /// It answered with an error.
    Error,
    /// It refused its settings.
    Settings,
    /// It answered what cannot be.
    Nonsense,
}

/// A policy that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("policy {policy}: {message}")]
pub struct Fault {
    /// The policy's name.
    pub policy: String,
    /// What kind of failure it was. In events it stands beside their own `kind`, so it has another name there.
    #[serde(rename = "fault")]
    pub kind: FaultKind,
    /// What happened, for people.
    pub message: String,
}

/// Times as whole milliseconds, as `wit/policy` has them.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn of(time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        of(*time).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same where there may be none.
mod optional_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(super::millis::of).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
