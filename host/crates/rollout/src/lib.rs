//! What becomes of a version: the decisions of a reload, as plain values in and plain values out.
//!
//! [`Fleet::step`] takes the time and an [`Event`] and answers with [`Command`]s. The same events at the same times
//! give the same commands: nothing here reads a clock, a file, a random number or another thread, and nothing here
//! knows wasmtime, HTTP or directories. Whoever drives it carries the commands out and reports back.
//!
//! What must hold, whatever the events:
//! - a version that is not ready is never routed to;
//! - an agent that had a serving version has one, unless its file was removed or an operator stopped it;
//! - every accepted version ends live or unloaded;
//! - a policy proposes and this crate decides.

mod metrics;
mod names;
mod policy;
mod settings;

pub use metrics::{
    Absence, Arm, Bucket, CustomMetric, LATENCY_BOUNDS_US, MetricValue, ReloadMetrics, Window,
};
pub use names::{AgentName, AgentNameError, Digest, HotReloadId, Identity, Moment, VersionNumber};
pub use policy::{
    Attempt, Blame, Context, Explanation, Fault, FaultKind, Finding, Outcome, Phase, Plan,
    RollbackAnswer, Stage, Step, StrategyAnswer, Verdict, Version,
};
pub use settings::{
    HealthSettings, OnInconclusive, OnUnproven, PolicyMode, PolicyRef, ReloadSettings,
    RollbackSettings, Strategy,
};
