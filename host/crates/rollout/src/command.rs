//! What the core asks for. Whoever drives it carries commands out in the order in which they come.

use std::sync::Arc;

use std::time::Duration;

use crate::{
    AgentName, Context, Decision, HotReloadId, HotReloadResult, Identity, Memory, Notice, Plan,
    PolicyMode, ReloadMetrics, Ticket, VersionNumber, Window,
};

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Hold on to these policies, as they are now, for the length of this reload. Answer: `Pinned`.
    ///
    /// They are let go at [`Command::Finished`] of the reload, or when its result has become final for the armed.
    Pin {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The reload.
        reload: HotReloadId,
        /// The strategy policy.
        strategy: PolicyCall,
        /// The rollback policies that are not off; none where rollback is disabled.
        rollback: Vec<PolicyCall>,
        /// A reload that a stop of the host interrupted, and that this one begins again: what that one held by a name is held
        /// again, whatever stands there now.
        continues: Option<HotReloadId>,
    },
    /// Let go of the policies of this reload: they are asked no more.
    Unpin {
        /// The agent.
        agent: AgentName,
        /// The reload.
        reload: HotReloadId,
    },
    /// Compile and bring up. Answer: `Prepared` or `PrepareFailed`.
    Prepare {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The version.
        number: VersionNumber,
        /// What it is made of: content that came with `Wanted` and was not forgotten since.
        identity: Identity,
    },
    /// Ask the strategy policy how the version is to come in. Answer: `Planned`.
    Plan {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The reload.
        reload: HotReloadId,
        /// What the policy is told.
        context: Box<Context>,
        /// What the configuration says.
        configured: Plan,
        /// Whom to ask.
        policy: PolicyCall,
    },
    /// One health check, within the configured time. Answer: `Health`.
    CheckHealth {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The version.
        number: VersionNumber,
    },
    /// New requests go this way from now on; with none they are answered "stopped". One store, no waiting.
    ///
    /// It opens the gate that [`Command::HandOver`] closed: those who wait there go this way, too, first come first served.
    Route {
        /// The agent.
        agent: AgentName,
        /// Who serves.
        traffic: Option<Traffic>,
    },
    /// Put state into a version of a stateful agent. Answer: `HandedOver`.
    ///
    /// With [`StateSource::Live`] new requests wait at the agent's gate from now on, until the next [`Command::Route`] of the
    /// agent, whatever the answer is. An error leaves `from` and its instance as they were, ready to be routed to again; only a
    /// cut ends its instance.
    HandOver {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The version that gets the state: ready, and not routed to.
        to: VersionNumber,
        /// Where the state comes from.
        source: StateSource,
        /// For all of it: waiting, `save`, `load`.
        timeout: Duration,
    },
    /// Say when nothing is in flight on this version any more; cut nothing. Answer: `Drained`.
    ///
    /// A later [`Command::Route`] to the version takes this back.
    Drain {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The version.
        number: VersionNumber,
    },
    /// End the calls that run on this version, now. Answer: `Cut`, once they have ended.
    Cut {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The version.
        number: VersionNumber,
    },
    /// Ask the policies what they make of it. Answer: `Judged`, then `Monitored` where there are any that monitor.
    ///
    /// The rollback policies that enforce are asked first; then the strategy policy, if [`crate::combine`] of their
    /// answers says so, with `fit` from there; then those that monitor.
    Judge {
        /// The agent.
        agent: AgentName,
        /// For the answer.
        ticket: Ticket,
        /// The reload.
        reload: HotReloadId,
        /// What the policies are told.
        context: Box<Context>,
        /// The figures.
        metrics: ReloadMetrics,
        /// Oldest first, at most [`crate::MAX_WINDOWS`].
        windows: Arc<[Window]>,
        /// The rollback policies that are not off.
        rollback: Vec<PolicyCall>,
        /// None once the reload has completed and is only watched.
        strategy: Option<PolicyCall>,
    },
    /// Drop the version's instances and its compiled code, and end its preparation if that still runs.
    ///
    /// Its content stays until [`Command::Forget`]: it may be prepared again.
    Unload {
        /// The agent.
        agent: AgentName,
        /// The version.
        number: VersionNumber,
    },
    /// No version can be made of this content any more, unless it comes with `Wanted` again: drop it.
    Forget {
        /// The agent.
        agent: AgentName,
        /// The content.
        identity: Identity,
    },
    /// What is remembered of the agent has changed: hand it to the journal, before anything that follows is carried out.
    ///
    /// With a ticket a move waits for it, one that gives a version more than it has: it is the memory as it will be once the
    /// move is made. Answer: `Written`. Without one nothing waits: where it cannot be written now it is kept, the newest of each
    /// agent, and written when writing works again.
    Remember {
        /// What is remembered of the agent from now on, whole.
        memory: Box<Memory>,
        /// For the answer.
        ticket: Option<Ticket>,
    },
    /// A round of judging and what came of it, for the records; it stands before the commands that carry it out.
    Decided(Decision),
    /// For logs and the event stream; nothing depends on it.
    Tell(Notice),
    /// A reload has a result. The same id may come again: the later result replaces the earlier.
    ///
    /// That happens when calls are cut after the end, and when a completed version is rolled back.
    Finished {
        /// The agent.
        agent: AgentName,
        /// What became of it.
        result: HotReloadResult,
    },
}

/// Who gets an agent's new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Gets whatever no share takes away.
    pub serving: VersionNumber,
    /// Another version that answers a share of the requests. Never for a stateful agent.
    pub split: Option<Split>,
    /// Another version that gets copies, and whose answers no caller sees.
    pub listener: Option<VersionNumber>,
}

impl Traffic {
    /// Everything goes to one version.
    #[must_use]
    pub fn all_to(serving: VersionNumber) -> Self {
        Self {
            serving,
            split: None,
            listener: None,
        }
    }
}

/// A share of an agent's new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Who gets it.
    pub candidate: VersionNumber,
    /// Per cent, 1 to 99.
    pub percent: u8,
}

/// Where a version's state comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSource {
    /// From the version that serves: `save` on it once it has no call in flight, `load` on the other.
    Live {
        /// Who is saved.
        from: VersionNumber,
        /// How long its calls may take to end.
        wait: Duration,
        /// What happens to those that take longer: they are ended, the instance with them, and its last checkpoint takes the place
        /// of a `save`; or nothing is cut and the hand-over fails.
        cut: bool,
    },
    /// What the version itself saved last; where its instance is still as it was at that `save`, that instance.
    Snapshot,
    /// Nowhere: a new instance that begins empty.
    Fresh,
}

/// Whom to ask, with what they need for it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCall {
    /// The policy's name.
    pub name: String,
    /// Whether its answer decides; a strategy policy always does.
    pub mode: PolicyMode,
    /// A JSON object.
    pub settings: String,
    /// What its last answer in this reload left; empty at first.
    pub state: Arc<[u8]>,
}

impl Command {
    /// Whom the command is about.
    #[must_use]
    pub fn agent(&self) -> &AgentName {
        match self {
            Self::Pin { agent, .. }
            | Self::Unpin { agent, .. }
            | Self::Prepare { agent, .. }
            | Self::Plan { agent, .. }
            | Self::CheckHealth { agent, .. }
            | Self::Route { agent, .. }
            | Self::HandOver { agent, .. }
            | Self::Drain { agent, .. }
            | Self::Cut { agent, .. }
            | Self::Judge { agent, .. }
            | Self::Unload { agent, .. }
            | Self::Forget { agent, .. }
            | Self::Finished { agent, .. }
            | Self::Decided(Decision { agent, .. })
            | Self::Tell(Notice { agent, .. }) => agent,
            Self::Remember { memory, .. } => &memory.agent,
        }
    }
}
