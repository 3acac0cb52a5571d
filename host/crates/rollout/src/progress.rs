//! Where a reload stands, and what belongs to that place alone.

use crate::handover::HandingOver;
use crate::stages::{Listening, Splitting};
use crate::{
    Aside, Blame, Fault, HotReloadStatus, Moment, RollbackCause, StateReport, Ticket, VersionNumber,
};

/// Where a reload stands, with what belongs to that alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Progress {
    /// It waits for its policies, then for its turn.
    Pending { pinned: Asking },
    /// The candidate is brought up.
    Preparing,
    /// The candidate is ready, and its health is watched.
    Starting { planned: Asking },
    /// The candidate answers a share of the requests and is judged.
    Splitting(Splitting),
    /// The candidate hears copies and is judged by its answers to them.
    Listening(Listening),
    /// Its state is on its way to the candidate.
    HandingOver(HandingOver),
    /// The candidate has all traffic and is judged.
    Baking,
    /// The candidate is permanent and judged on, until then.
    Unproven { until: Moment },
    /// It had ended, and is taken up again only to be rolled back: it stands here within one move.
    Settled(HotReloadStatus),
    /// Traffic is to go back, and waits until the target is ready.
    Returning(Return),
}

impl Progress {
    pub(crate) fn status(&self) -> HotReloadStatus {
        match self {
            Self::Pending { .. } => HotReloadStatus::Pending,
            Self::Preparing => HotReloadStatus::Preparing,
            Self::Starting { .. } => HotReloadStatus::Starting,
            Self::Splitting(_) | Self::Listening(_) | Self::HandingOver(_) | Self::Baking => {
                HotReloadStatus::InProgress
            }
            Self::Unproven { .. } => HotReloadStatus::Completed,
            Self::Settled(status) => *status,
            Self::Returning(_) => HotReloadStatus::RollingBack,
        }
    }

    /// The candidate has not all traffic.
    pub(crate) fn is_before_swap(&self) -> bool {
        let early = matches!(
            self,
            Self::Pending { .. } | Self::Preparing | Self::Starting { .. } | Self::HandingOver(_)
        );
        early || self.is_on_trial()
    }

    /// The candidate has some traffic, or copies of it.
    pub(crate) fn is_on_trial(&self) -> bool {
        matches!(self, Self::Splitting(_) | Self::Listening(_))
    }
}

/// A question to the outside, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asking {
    /// It is to be asked.
    Due,
    /// It was asked, and is asked again if nothing comes until then.
    Asked { ticket: Ticket, until: Moment },
    /// The answer was a fault: it is asked again then.
    Faulty { fault: Fault, again_at: Moment },
    /// It was answered.
    Done,
}

impl Asking {
    pub(crate) fn waits_for(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Asked { ticket: waits, .. } if *waits == ticket)
    }

    pub(crate) fn is_due(&self, now: Moment) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    pub(crate) fn due(&self) -> Option<Moment> {
        match self {
            Self::Due => Some(Moment::default()),
            Self::Asked { until, .. } => Some(*until),
            Self::Faulty { again_at, .. } => Some(*again_at),
            Self::Done => None,
        }
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Faulty { fault, .. } => Some(fault),
            _ => None,
        }
    }
}

/// A way back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Return {
    pub(crate) target: VersionNumber,
    pub(crate) bad: VersionNumber,
    pub(crate) why: Back,
    pub(crate) until: Moment,
    /// What becomes of the state by it.
    pub(crate) state: Option<StateReport>,
    /// Its state is what it was when it was saved: what others answer until the target is up is missing, too.
    pub(crate) as_it_was: bool,
}

/// Why traffic goes back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Back {
    pub(crate) by: By,
    pub(crate) reason: String,
}

/// Who wants traffic to go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A policy.
    Verdict(Blame),
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
}

impl By {
    /// What becomes of the content that is gone back from; none where it may come in again at once.
    pub(crate) fn aside(self) -> Option<Aside> {
        match self {
            Self::Verdict(Blame::Candidate | Blame::Unknown)
            | Self::Guard
            | Self::Operator
            | Self::CrashLoop => Some(Aside::Quarantined),
            Self::Verdict(Blame::Environment) | Self::Unproven => Some(Aside::Blameless),
            Self::File => None,
        }
    }

    /// The word for it outside of the core.
    pub(crate) fn cause(self) -> RollbackCause {
        match self {
            Self::Verdict(_) => RollbackCause::Policy,
            Self::Guard => RollbackCause::Guard,
            Self::Operator => RollbackCause::Operator,
            Self::File => RollbackCause::File,
            Self::Unproven => RollbackCause::Unproven,
            Self::CrashLoop => RollbackCause::CrashLoop,
        }
    }

    /// A policy or the guard said so.
    pub(crate) fn is_judged(self) -> bool {
        matches!(self, Self::Verdict(_) | Self::Guard)
    }
}
