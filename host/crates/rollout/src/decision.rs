//! One round of judging and what came of it: what is kept of a decision beside its inputs.

use serde::{Deserialize, Serialize};

use crate::{AgentName, Blame, Evidence, HotReloadId, Judgement, Step, Ticket, VersionNumber};

/// What was made of the answers that came with [`crate::Event::Judged`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The agent.
    pub agent: AgentName,
    /// The reload.
    pub reload: HotReloadId,
    /// From the [`crate::Command::Judge`] that asked.
    pub ticket: Ticket,
    /// What came of it.
    pub outcome: Decided,
}

/// The part of a decision that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decided {
    /// What the rollback policies that enforce come to together.
    pub judgement: Judgement,
    /// What the strategy policy proposed, nonsense too; none where it was not asked or gave no answer.
    pub step: Option<Step>,
    /// What the core did.
    pub action: Action,
    /// What was proposed and not done, or done otherwise: one sentence each, for people.
    pub clamps: Vec<String>,
}

/// What the core did after a round of judging: the furthest of the moves that it made at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: the reload stays where it is.
    Stay,
    /// The reload stays until an operator acts, or what is said against going on is said no more.
    Hold {
        /// What `attention` says meanwhile.
        reason: String,
    },
    /// The candidate gets this share of the traffic.
    Share {
        /// Per cent.
        percent: u8,
        /// The stage that this belongs to, from 0.
        stage: u32,
    },
    /// The candidate gets all traffic, or first the state that it needs for it.
    Promote,
    /// The candidate is permanent.
    Complete {
        /// What that rests on.
        evidence: Evidence,
    },
    /// A completed candidate that was unproven is now proven, and watched no more.
    Disarm,
    /// Traffic goes back.
    RollBack {
        /// To whom.
        to: VersionNumber,
        /// Whose fault it is said to be; none where that is the lack of evidence.
        blame: Option<Blame>,
        /// By the built-in guard, because a policy was at fault.
        guard: bool,
    },
    /// The reload ended otherwise.
    End {
        /// Why.
        reason: String,
    },
}
