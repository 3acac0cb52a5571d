//! What the core is told: facts about the directory and the answers to its own commands.
//!
//! An answer brings back the [`Ticket`] of the command that asked. One whose ticket is no longer waited for is
//! ignored, so that late, doubled and lost answers need no care from whoever drives the core.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AgentName, Arm, Fault, HealthSettings, Identity, Moment, Plan, ReloadSettings, RollbackAnswer,
    RollbackSettings, StrategyAnswer, VersionNumber,
};

/// Ties an answer to the command that asked for it. Never given out twice by one fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

/// Something that happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Time has passed: sent when [`crate::Fleet::next_wakeup`] is reached.
    Time,
    /// The directory asks for this content. It was read, parsed and validated: what is refused never comes here.
    ///
    /// The same identity again changes nothing but the settings, which hold from the next reload.
    Wanted {
        /// Whose file it is.
        agent: AgentName,
        /// What would become a version.
        content: Content,
        /// How that version would be judged.
        settings: Arc<Settings>,
    },
    /// The agent's file is gone, and the grace for replacing it has passed.
    Removed {
        /// Whose file it was.
        agent: AgentName,
    },
    /// The agent's configuration says that it is not to run. Its file is there, so nothing of it is forgotten with time.
    Disabled {
        /// Whose configuration.
        agent: AgentName,
    },
    /// Answer to [`crate::Command::Pin`].
    Pinned {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// `Err` with the first policy that cannot be used: the reload stays pending and asks again.
        result: Result<(), Fault>,
    },
    /// Answer to [`crate::Command::Prepare`]: the version can be routed to.
    Prepared {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
    },
    /// Answer to [`crate::Command::Prepare`]: the version cannot be brought up. Nothing of it is left.
    PrepareFailed {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// What is wrong, where, and what to do.
        error: String,
        /// The host's fault (disk, memory): tried again by itself.
        hosts_fault: bool,
    },
    /// Answer to [`crate::Command::Plan`].
    Planned {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// Checked against the bounds of the contract.
        plan: Result<Plan, Fault>,
    },
    /// Answer to [`crate::Command::CheckHealth`].
    Health {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// What came of it.
        outcome: HealthOutcome,
    },
    /// Answer to [`crate::Command::Drain`]: no call is in flight on the version.
    Drained {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
    },
    /// Answer to [`crate::Command::Cut`].
    Cut {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// How many running calls were ended.
        calls: u64,
    },
    /// Answer to [`crate::Command::HandOver`]: the version has the state, or why it has not.
    HandedOver {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// What the version begins with.
        result: Result<HandedOver, HandOverError>,
    },
    /// What was counted since the last one: once per host tick for each agent that has a version that serves or drains.
    Measured {
        /// The agent.
        agent: AgentName,
        /// Start of the interval.
        start: Moment,
        /// End of the interval.
        end: Moment,
        /// One entry for each live version that took calls; the core knows which of them is on trial.
        versions: Vec<Measure>,
    },
    /// Answer to [`crate::Command::Remember`] with a ticket: it is written, or why it is not.
    Written {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// `Err`: what is wrong with the journal. The move that waits for it is not made, and it is asked for again.
        result: Result<(), String>,
    },
    /// The version that serves keeps failing for reasons of its own, outside of any reload: its instances trap again and again.
    CrashLoop {
        /// The agent.
        agent: AgentName,
        /// The version.
        number: VersionNumber,
        /// What was seen: how often, in what time, and the last trap.
        reason: String,
    },
    /// Answer to [`crate::Command::Judge`].
    Judged {
        /// The agent.
        agent: AgentName,
        /// From the command.
        ticket: Ticket,
        /// By name, of every policy in the command that enforces.
        rollback: Vec<(String, Result<RollbackAnswer, Fault>)>,
        /// None where [`crate::Judgement::asks_strategy`] said no.
        strategy: Option<Result<StrategyAnswer, Fault>>,
    },
    /// What the policies that only monitor said, after the decision. It changes nothing but what is shown.
    Monitored {
        /// The agent.
        agent: AgentName,
        /// From the same [`crate::Command::Judge`] as the decision before.
        ticket: Ticket,
        /// By name.
        rollback: Vec<(String, Result<RollbackAnswer, Fault>)>,
    },
}

impl Event {
    /// Whom the event is about; none for [`Event::Time`], which is about everyone.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Time => None,
            Self::Wanted { agent, .. }
            | Self::Removed { agent }
            | Self::Disabled { agent }
            | Self::Pinned { agent, .. }
            | Self::Prepared { agent, .. }
            | Self::PrepareFailed { agent, .. }
            | Self::Planned { agent, .. }
            | Self::Health { agent, .. }
            | Self::Drained { agent, .. }
            | Self::Cut { agent, .. }
            | Self::HandedOver { agent, .. }
            | Self::Measured { agent, .. }
            | Self::Written { agent, .. }
            | Self::CrashLoop { agent, .. }
            | Self::Judged { agent, .. }
            | Self::Monitored { agent, .. } => Some(agent),
        }
    }
}

/// What a version is made of, as far as the core needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Content {
    /// What makes it the same as another.
    pub identity: Identity,
    /// Bytes of the component.
    pub size: u64,
    /// Whether there is a health check to make.
    pub has_health: bool,
    /// Whether it keeps state.
    pub stateful: bool,
}

/// Everything that is configured about how an agent's versions are judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// The `[reload]` table.
    pub reload: ReloadSettings,
    /// The `[rollback]` table.
    pub rollback: RollbackSettings,
    /// The `[health]` table.
    pub health: HealthSettings,
}

/// What one version did in one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Which version.
    pub number: VersionNumber,
    /// Increases inside the interval. `health_passed` and `health_total` are left zero: the core counts them.
    pub arm: Arm,
    /// Distinct affinity keys since the version first got traffic.
    pub callers: u64,
    /// Of those, keys with at least one failure.
    pub failing_callers: u64,
    /// What it made of copies, while it listens.
    pub mirrored: Option<Mirrored>,
}

/// What a listener made of copies in one interval.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mirrored {
    /// As for real requests, in columns of its own.
    pub arm: Arm,
    /// Copies that it answered differently from the version that serves.
    pub mismatches: u64,
    /// Requests of which it got no copy: it was full, or the body was too large.
    pub skipped: u64,
}

/// What a version's state is after a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedOver {
    /// Where it came from.
    pub state_from: StateFrom,
    /// How many calls were ended for it.
    pub cut: u64,
}

/// Where the state that a version began with came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateFrom {
    /// A `save` of the version before it, with all calls that it had answered.
    Live,
    /// A checkpoint: calls that were answered after it are gone.
    Checkpoint,
    /// What was saved at an earlier time, by choice: calls that were answered after it are gone.
    Snapshot,
    /// There was none: it began empty.
    None,
}

/// Why state was not handed over. The version that served can serve on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HandOverError {
    /// At which step.
    pub step: HandOverStep,
    /// What is wrong, and what to do.
    pub message: String,
    /// How many calls were ended before it failed.
    pub cut: u64,
}

/// The steps of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandOverStep {
    /// Calls did not end in time.
    Drain,
    /// The old version did not save.
    Save,
    /// The new version did not load.
    Load,
}

/// How a health check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthOutcome {
    /// The version is well.
    Passed,
    /// It is not, or did not answer in time; with the reason.
    Failed(String),
    /// It could not begin because every instance was busy: neither passed nor failed.
    Busy,
}
