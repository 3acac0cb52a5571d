//! Why a version could not be made ready.

use crate::call::CallError;
use crate::inspect::Refusal;
use std::time::Duration;

/// Why [`Runtime::prepare`](crate::Runtime::prepare) failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The bytes cannot be an agent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// They are valid and cannot be compiled.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// An interface is there with other functions or types than the component expects.
    #[error(
        "the component does not fit this host: {0}; build it against the WIT that `caxton wit agent` prints"
    )]
    Link(String),
    /// The first instance trapped.
    #[error(
        "the component traps when it is instantiated: {0}; the trap is in its start code, before any call"
    )]
    Trap(String),
    /// The first instance did not come to be, for another reason.
    #[error("the component cannot be instantiated: {0}")]
    Instantiation(String),
    /// The first instance took too long.
    #[error("the component was not instantiated within {} ms, its request_timeout", .limit.as_millis())]
    Deadline {
        /// The agent's `request_timeout`.
        limit: Duration,
    },
    /// The host holds as many instances as it may.
    #[error(
        "the host has no room for another instance: {0}; try again when fewer calls are in flight"
    )]
    Busy(String),
    /// The version's settings are out of bounds.
    #[error("the agent's settings are out of bounds: {0}")]
    Spec(String),
    /// Its state is to be kept, and it has no way to hand it over.
    #[error(
        "the component's state is to be kept, and it does not export caxton:agent/state@0.1; export it, or keep no state. It \
         exports {}",
        .exports.join(", ")
    )]
    NoState {
        /// What it exports.
        exports: Vec<String>,
    },
    /// Our own fault.
    #[error("the host failed: {0}")]
    Host(String),
}

impl PrepareError {
    /// Whether trying the same bytes again later may end otherwise.
    pub fn is_hosts_fault(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Host(_))
    }

    /// A stable word for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Compile(_) => "compile",
            Self::Link(_) => "link",
            Self::Trap(_) => "trap-in-instantiation",
            Self::Instantiation(_) => "instantiation",
            Self::Deadline { .. } => "deadline-in-instantiation",
            Self::Busy(_) => "busy",
            Self::Spec(_) => "settings",
            Self::NoState { .. } => "no-state",
            Self::Host(_) => "host",
        }
    }
}

impl From<CallError> for PrepareError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Trap(message) => Self::Trap(message),
            CallError::Busy(message) => Self::Busy(message),
            CallError::Instantiation(message) => Self::Instantiation(message),
            other => Self::Host(other.to_string()),
        }
    }
}
