//! The only part of Caxton that knows wasmtime: agents and policies as components.
//!
//! The agents' side takes bytes and settings, and gives a [`Version`] that answers calls: [`Runtime::inspect`] looks at bytes
//! without running them, [`Runtime::prepare`] compiles them and tries one instance, [`Version::http`] and [`Version::handle`]
//! answer, [`Version::take_window`] tells what happened. It knows nothing of files, routes, reloads or policies' verdicts.
//!
//! What must hold: no guest runs without a memory limit and a deadline; an instance that trapped or was cut is never entered
//! again; a reply that is not whole never ends cleanly; nothing of a version outlives its last call.

mod admission;
mod bindings;
mod body;
mod cache;
mod call;
mod compile;
mod counts;
mod drive;
mod engine;
mod inspect;
mod instance;
mod limits;
mod logs;
mod metrics;
mod nearest;
mod origin;
mod outbound;
pub mod policy;
mod prepare;
mod refusals;
mod requests;
mod restarts;
mod run;
mod serving;
mod single;
mod spec;
mod state;
mod store;
mod supervision;
mod turn;
mod version;

pub use admission::Admission;
pub use body::AgentBody;
pub use call::{BodyError, CallError, CallInfo, Failure, Message};
pub use compile::{CodeCounts, CodeSource};
pub use counts::{ArmCounts, Bucket};
pub use engine::{Holdings, Runtime, RuntimeError, RuntimeOptions};
pub use inspect::{Contract, Inspection, MAX_COMPONENT_SIZE, Refusal, incomplete};
pub use logs::{LogLine, LogSink, LogStream, MAX_LINE, TracingSink};
pub use metrics::{CustomMetric, MAX_NAME_LENGTH, MAX_NAMES, MetricValue};
pub use nearest::nearest;
pub use origin::{Origin, OriginError};
pub use prepare::PrepareError;
pub use restarts::CrashLoop;
pub use spec::{
    AgentSpec, DEFAULT_REUSE, DirGrant, Instances, Limits, MAX_MEMORY, MIN_MEMORY, Outbound,
    StateSpec,
};
pub use state::{Snapshot, StateError, StateLoss};
pub use version::{HealthOutcome, Version};
