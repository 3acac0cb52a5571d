//! What became of a reload.

use serde::{Deserialize, Serialize};

use crate::{
    ErrorKind, HotReloadId, HotReloadStatus, Moment, ReloadMetrics, StateFrom, Strategy,
    VersionNumber,
};

/// How much speaks for a version that completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What became of the state; none for agents that keep none, and where it did not move.
    pub state: Option<StateReport>,
    /// Calls that were cut because of this reload.
    pub lost_requests: u64,
}

/// What state a version began with, or was gone back to with. What does not apply is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateReport {
    /// After a swap: where the new version's state came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_from: Option<StateFrom>,
    /// After a rollback or an abort: which state serves again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<Restored>,
    /// Calls that the other version had answered since, and that the restored state does not know of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_since: Option<u64>,
    /// How old the restored state is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_since: Option<u64>,
}

/// Which state serves again after a way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restored {
    /// The target's own instance, as it was when it was saved.
    Live,
    /// Its last checkpoint: its instance was cut when the other version took over. Since then counts from that moment; what it
    /// answered between the checkpoint and the cut is gone, too.
    Checkpoint,
    /// That of the version that served last: nothing is gone.
    Carried,
    /// What the target had saved last, by choice.
    Snapshot,
    /// None: it began empty, by choice, or because it was cut before its first checkpoint.
    None,
}
