//! What the core tells the world about its decisions: for the event stream and for logs.

use serde::Serialize;

use crate::{
    AgentName, Blame, Evidence, Explanation, Fault, HotReloadId, HotReloadStatus, Identity,
    StateFrom, Verdict, VersionNumber,
};

/// One thing that happened to an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// Whom it happened to.
    pub agent: AgentName,
    /// During which reload.
    pub reload: Option<HotReloadId>,
    /// What it was.
    #[serde(flatten)]
    pub what: Happened,
}

/// Who wants traffic to go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackCause {
    /// A rollback policy.
    Policy,
    /// The built-in guard.
    Guard,
    /// An operator.
    Operator,
    /// The permanent version's content is in the directory again.
    File,
    /// There was not enough evidence.
    Unproven,
    /// It kept crashing, outside of any reload.
    CrashLoop,
    /// It was decided before the host was started anew.
    Earlier,
}

/// What happened, in kebab-case under `kind`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Happened {
    /// A reload began.
    ReloadStarted {
        /// The permanent version.
        from: Option<VersionNumber>,
        /// The candidate.
        to: VersionNumber,
        /// What the candidate is made of.
        #[serde(flatten)]
        identity: Identity,
    },
    /// A reload moved on.
    StatusChanged {
        /// Where it stood.
        from: HotReloadStatus,
        /// Where it stands.
        to: HotReloadStatus,
        /// Why, where there is more to say than the name of the status.
        reason: Option<String>,
    },
    /// A reload waits for something that is not its own.
    Waiting {
        /// What for.
        reason: String,
    },
    /// New requests go elsewhere.
    Swapped {
        /// Who served.
        from: Option<VersionNumber>,
        /// Who serves.
        to: Option<VersionNumber>,
    },
    /// A candidate has this share of the requests from now on.
    Share {
        /// The candidate.
        number: VersionNumber,
        /// Per cent.
        percent: u8,
        /// The present stage, from 0.
        stage: u32,
        /// How many there are.
        stages: u32,
    },
    /// A candidate hears copies of requests from now on.
    Listening {
        /// The candidate.
        number: VersionNumber,
    },
    /// A version has its state, and is not routed to yet.
    HandedOver {
        /// The version.
        to: VersionNumber,
        /// Where its state came from.
        state_from: StateFrom,
    },
    /// An order was taken and could not be carried out; nothing has changed.
    OrderFailed {
        /// In its own words.
        order: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A health check of a candidate failed.
    HealthFailed {
        /// The candidate.
        number: VersionNumber,
        /// Why.
        reason: String,
    },
    /// What a policy says has changed.
    Verdict {
        /// The policy.
        policy: String,
        /// Whether it decides.
        enforcing: bool,
        /// What it says.
        verdict: Verdict,
        /// Why.
        why: Explanation,
    },
    /// A policy gave no usable answer.
    Fault {
        /// Whether it decides.
        enforcing: bool,
        /// What was wrong.
        #[serde(flatten)]
        fault: Fault,
        /// How many in a row.
        in_a_row: u32,
    },
    /// A version is permanent.
    Completed {
        /// The version.
        number: VersionNumber,
        /// What that rests on.
        evidence: Evidence,
    },
    /// A completed version that was unproven is watched no more.
    Disarmed {
        /// The version.
        number: VersionNumber,
        /// Proven, out of time, or replaced.
        reason: String,
    },
    /// Traffic went back.
    RolledBack {
        /// From whom.
        from: VersionNumber,
        /// To whom.
        to: VersionNumber,
        /// Why.
        reason: String,
        /// Who is to blame, where a policy or the guard said so.
        blame: Option<Blame>,
        /// Who wanted it.
        cause: RollbackCause,
    },
    /// A version will not come back by itself.
    Quarantined {
        /// What it was made of.
        #[serde(flatten)]
        identity: Identity,
        /// Why.
        reason: String,
    },
    /// A version was put aside without blame.
    SetAside {
        /// What it was made of.
        #[serde(flatten)]
        identity: Identity,
        /// Why.
        reason: String,
        /// Milliseconds until it is tried again by itself; none: only on `retry` or with other bytes.
        again_in_ms: Option<u64>,
    },
    /// The directory asks for something that does not come in.
    Diverged {
        /// What it asks for.
        #[serde(flatten)]
        identity: Identity,
        /// Why it does not come in.
        reason: String,
    },
    /// Calls were ended before they were answered.
    CallsCut {
        /// On which version.
        number: VersionNumber,
        /// How many.
        calls: u64,
    },
    /// An operator's order was taken.
    Ordered {
        /// In its own words.
        order: String,
    },
    /// The agent was stopped: its file is gone, or says that it is not to run.
    Stopped {
        /// Which of both.
        reason: &'static str,
    },
    /// What comes next for the reload cannot be recorded, and waits.
    NotRecorded {
        /// What is wrong.
        reason: String,
    },
    /// The host has started, and this agent is as it is remembered.
    Restored {
        /// What comes up at once.
        permanent: Option<VersionNumber>,
        /// The candidate of the reload that went on when the host ended.
        candidate: Option<VersionNumber>,
        /// What became of that reload: cancelled, rolled back where it was on its way back, or completed.
        became: Option<HotReloadStatus>,
    },
    /// A reload that the end of the host had interrupted begins again from its first stage, with evidence at zero.
    BegunAgain {
        /// The one that was interrupted.
        continues: HotReloadId,
        /// The candidate of both.
        number: VersionNumber,
    },
    /// What serves keeps crashing, outside of any reload of its own.
    CrashLoop {
        /// The version.
        number: VersionNumber,
        /// What was seen.
        reason: String,
        /// What is done about it.
        follows: String,
    },
}
