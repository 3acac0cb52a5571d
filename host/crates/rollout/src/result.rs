//! What became of a reload.

use serde::Serialize;

use crate::{
    ErrorKind, HotReloadId, HotReloadStatus, Moment, ReloadMetrics, Strategy, VersionNumber,
};

/// How much speaks for a version that completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Every policy that enforces said `proceed`.
    Sufficient,
    /// The bake ended before they did.
    Insufficient,
    /// An operator ended the bake.
    Operator,
    /// It was not judged: a first deployment, rollback disabled, or an end before any traffic.
    None,
}

/// One entry of an agent's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HotReloadResult {
    /// The reload.
    pub id: HotReloadId,
    /// How it ended: a terminal status.
    pub status: HotReloadStatus,
    /// How the version came in.
    pub strategy: Strategy,
    /// Who served before; swapped with `to` when rolled back. None on a first deployment.
    pub from: Option<VersionNumber>,
    /// Who was to serve.
    pub to: Option<VersionNumber>,
    /// Milliseconds since the Unix epoch.
    pub started_at: Moment,
    /// Milliseconds since the Unix epoch.
    pub completed_at: Moment,
    /// Why it was rolled back.
    pub rollback_reason: Option<String>,
    /// Why it failed or was cancelled.
    pub error: Option<String>,
    /// What kind of thing that was, or the rollback; none where somebody wanted it so.
    pub error_kind: Option<ErrorKind>,
    /// What a completion rests on.
    pub evidence: Evidence,
    /// The candidate's figures at the end.
    pub metrics: ReloadMetrics,
    /// What became of the state; none for agents that keep none.
    pub state: Option<String>,
    /// Calls that were cut because of this reload.
    pub lost_requests: u64,
}
