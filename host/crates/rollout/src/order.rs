//! What an operator may ask for. Orders work in every phase and go before policies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AgentName, ErrorKind, HotReloadId, VersionNumber};

/// An operator's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Take no step forward; judging goes on, and so does going back.
    Pause,
    /// Go on after a pause or a hold.
    Resume,
    /// All traffic as soon as the candidate is ready, then bake.
    Promote {
        /// End the bake as well.
        now: bool,
    },
    /// End the reload; what was permanent serves.
    Abort {
        /// What state it serves with.
        state: StateChoice,
    },
    /// Go back.
    Rollback {
        /// To this kept version; none: during a reload the permanent one, afterwards the one before it.
        to: Option<VersionNumber>,
        /// What state it serves with.
        state: StateChoice,
    },
    /// Give the candidate this share until told otherwise.
    SetSplit {
        /// Per cent, 1 to 99.
        percent: u8,
    },
    /// Let the wanted version try again although it was quarantined or set aside.
    Retry,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
            Self::Promote { now: false } => f.write_str("promote"),
            Self::Promote { now: true } => f.write_str("promote --now"),
            Self::Abort { state } => write!(f, "abort{state}"),
            Self::Rollback { to: None, state } => write!(f, "rollback{state}"),
            Self::Rollback {
                to: Some(number),
                state,
            } => write!(f, "rollback --to {number}{state}"),
            Self::SetSplit { percent } => write!(f, "set-split {percent}"),
            Self::Retry => f.write_str("retry"),
        }
    }
}

/// What state an operator's way back brings. Without meaning for agents that keep none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateChoice {
    /// That of the version which serves: `save` there, `load` on the target. Where the target refuses, nothing changes.
    #[default]
    Carry,
    /// What the target itself had saved last.
    Snapshot,
    /// None: the target begins empty.
    Fresh,
}

impl fmt::Display for StateChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Carry => "",
            Self::Snapshot => " --state snapshot",
            Self::Fresh => " --state fresh",
        })
    }
}

/// Why an order was not taken. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such agent.
    #[error("agent {agent} is not found: `caxton ls` lists those there are")]
    AgentNotFound {
        /// Who was meant.
        agent: AgentName,
    },
    /// Something else is going on.
    #[error(
        "agent {agent}: {order} conflicts with reload {reload}, which is {doing}: wait for its end or abort it"
    )]
    AlreadyInProgress {
        /// The agent.
        agent: AgentName,
        /// What was ordered.
        order: Order,
        /// What it conflicts with.
        reload: HotReloadId,
        /// Where that stands.
        doing: &'static str,
    },
    /// There is no such version to go to.
    #[error("agent {agent} keeps no version {number}; {}", kept_sentence(kept))]
    VersionNotFound {
        /// The agent.
        agent: AgentName,
        /// What was asked for.
        number: VersionNumber,
        /// Those that can be gone to.
        kept: Vec<VersionNumber>,
    },
    /// The order has nothing to act on, or asks for what cannot be.
    #[error("agent {agent}: `{order}` was not taken, and nothing has changed: {why}")]
    NothingToDo {
        /// The agent.
        agent: AgentName,
        /// What was ordered.
        order: Order,
        /// What is missing.
        why: &'static str,
    },
}

impl OrderError {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AgentNotFound { .. } => ErrorKind::AgentNotFound,
            Self::AlreadyInProgress { .. } => ErrorKind::AlreadyInProgress,
            Self::VersionNotFound { .. } => ErrorKind::VersionNotFound,
            Self::NothingToDo { .. } => ErrorKind::ValidationFailed,
        }
    }
}

fn kept_sentence(kept: &[VersionNumber]) -> String {
    if kept.is_empty() {
        return "none is kept".to_owned();
    }
    let numbers: Vec<String> = kept.iter().map(ToString::to_string).collect();
    format!("kept are {}", numbers.join(", "))
}
