//! What becomes of a version: the decisions of a reload, as plain values in and plain values out.
//!
//! [`Fleet::step`] takes the time and an [`Event`] and answers with [`Command`]s. The same events at the same times
//! give the same commands: nothing here reads a clock, a file, a random number or another thread, and nothing here
//! knows wasmtime, HTTP or directories. Whoever drives it carries the commands out and reports back.
//!
//! What must hold, whatever the events:
//! - a version that is not ready is never routed to;
//! - an agent that had a serving version has one until its file is removed;
//! - every accepted version ends live or unloaded;
//! - a policy proposes and this crate decides;
//! - nothing gives a version more than it has before that is written, and nothing towards safety waits for it.
//!
//! Where to look: an event becomes facts in `answers`, `ticks` and `orders`; `moves` says which move is due, without
//! changing anything; `enter` carries a move out and is the only place that changes where a reload stands; `agent` calls
//! it, and drops what nothing points to any more. `asks` sends questions, `show` makes views, `fleet` gives out slots.
//! `rounds` takes the answers of policies in and tells what came of them, in the words of `deeds`.
//! `stages` holds what comes between the first traffic and all of it, `bake` what follows; `handover` brings state to a
//! candidate, `carry` brings it back; `traffic` is the one pointer that is stored.
//!
//! What outlives the process is a [`Memory`]: `remember` takes it from an agent and gives it out where it has changed, before the
//! commands that follow; `written` holds back what widens until it is on the disk; `restore` begins with what is remembered, and
//! `revive` brings up what is permanent. `breaker`, `crash` and `unwell` look at an agent over its reloads. `checks` says
//! when a health check is due.

mod agent;
mod answers;
mod asks;
mod back;
mod bake;
mod breaker;
mod carry;
mod checks;
mod command;
mod crash;
mod decision;
mod deeds;
mod diverged;
mod endings;
mod enter;
mod error;
mod event;
mod figures;
mod fleet;
mod fresh;
mod handover;
mod judge;
mod memory;
mod metrics;
mod mint;
mod moves;
mod names;
mod notice;
mod order;
mod orders;
mod plan;
mod policy;
mod progress;
mod reload;
mod remember;
mod restore;
mod result;
mod results;
mod revive;
mod rounds;
mod series;
mod settings;
mod show;
mod stages;
mod status;
mod steps;
mod ticks;
mod traffic;
mod unwell;
mod usage;
mod validate;
mod versions;
mod view;
mod written;

pub use command::{Command, PolicyCall, Split, StateSource, Traffic};
pub use decision::{Action, Decided, Decision};
pub use error::ErrorKind;
pub use event::{
    Content, Event, HandOverError, HandOverStep, HandedOver, HealthOutcome, Measure, Mirrored,
    Settings, StateFrom, Ticket,
};
pub use figures::Figures;
pub use fleet::{Fleet, FleetSettings};
pub use judge::{Judgement, combine};
pub use memory::{
    Aside, EndingMemory, Memory, Past, ReloadMemory, Remembered, ResourceUsage, ReturnMemory,
    VersionMemory,
};
pub use notice::{Happened, Notice, RollbackCause};
pub use order::{Order, OrderError, StateChoice};
pub use plan::MAX_STAGES;
pub use result::{Evidence, HotReloadResult, Restored, StateReport};
pub use series::{MAX_WINDOWS, Series};
pub use status::HotReloadStatus;
pub use validate::{HotReloadRequest, MAX_COMPONENT_BYTES, ValidationError};
pub use view::{
    AgentState, AgentView, Attention, QuarantineView, ReloadView, VerdictView, VersionView,
    WantedView,
};

pub use metrics::{
    Absence, Arm, Bucket, CustomMetric, LATENCY_BOUNDS_US, MetricValue, ReloadMetrics, Window,
};
pub use names::{
    AgentName, AgentNameError, Digest, DigestError, HotReloadId, Identity, Moment, VersionNumber,
};
pub use policy::{
    Attempt, Blame, Context, Explanation, Fault, FaultKind, Finding, Outcome, Phase, Plan,
    RollbackAnswer, Stage, Step, StrategyAnswer, Verdict, Version,
};
pub use settings::{
    Breaker, HealthSettings, MirrorRequests, MirrorSettings, OnCrashLoop, OnInconclusive,
    OnUnproven, PolicyMode, PolicyRef, ReloadSettings, RollbackSettings, Strategy,
};
