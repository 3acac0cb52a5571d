//! What kinds of things go wrong, in the words of the domain.

use serde::{Deserialize, Serialize};

/// The kind of an error, for whoever branches on it; the sentence beside it carries the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The version, its configuration or the order is not acceptable.
    ValidationFailed,
    /// There is no such agent.
    AgentNotFound,
    /// Something else is going on.
    AlreadyInProgress,
    /// The host could not do its part: disk, memory.
    InsufficientResources,
    /// State did not move to the new version; the old one serves on with it.
    StatePreservationFailed,
    /// Traffic could not be split.
    TrafficSplittingFailed,
    /// A policy, the built-in guard or the lack of evidence took the version back.
    AutomaticRollback,
    /// The version to go back to could not be brought up.
    RollbackFailed,
    /// There is no such version to go to.
    VersionNotFound,
    /// It made no progress for too long.
    Timeout,
}

impl ErrorKind {
    /// All ten.
    pub const ALL: [Self; 10] = [
        Self::ValidationFailed,
        Self::AgentNotFound,
        Self::AlreadyInProgress,
        Self::InsufficientResources,
        Self::StatePreservationFailed,
        Self::TrafficSplittingFailed,
        Self::AutomaticRollback,
        Self::RollbackFailed,
        Self::VersionNotFound,
        Self::Timeout,
    ];
}
