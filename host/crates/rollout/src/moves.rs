//! The moves that a reload can make, and which of them is due. Deciding changes nothing: see `enter` for what does.

use std::time::Duration;

use crate::agent::{Agent, Wanted};
use crate::carry::After;
use crate::handover::Then;
use crate::reload::{Asking, Back, By, Progress, Pushed, Reload};
use crate::{
    ErrorKind, Evidence, HotReloadStatus, Identity, Moment, OnInconclusive, StateChoice,
    VersionNumber,
};

/// How many versions of one agent are live at most before a newer one waits for older ones to end: room for those that
/// serve, listen and come in, and for a few whose last calls are long.
pub(crate) const MAX_GENERATIONS: usize = 8;

/// One step in the life of a reload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Move {
    /// A reload begins: with a new version, or with one that serves and was never judged to its end.
    Begin { existing: Option<VersionNumber> },
    /// The candidate is brought up.
    Prepare,
    /// The candidate is ready: its health is watched.
    Start,
    /// The candidate gets the share of this stage.
    Stage(usize),
    /// The candidate gets this share, within the stage.
    Share { percent: u8, ordered: bool },
    /// The candidate hears copies.
    Listen,
    /// The state of whoever serves goes to the candidate.
    HandOver(Then),
    /// New requests go to the candidate.
    Swap,
    /// The candidate is permanent.
    Complete(Evidence),
    /// The completed candidate is watched no more.
    Disarm {
        evidence: Option<Evidence>,
        reason: String,
    },
    /// It came to nothing.
    Fail { error: String, kind: ErrorKind },
    /// It is ended, by nobody's fault.
    Cancel { why: Ended, reason: String },
    /// Traffic is to go back.
    GoBack { target: VersionNumber, why: Back },
    /// The target is ready: traffic goes back.
    Arrive,
    /// The permanent version serves again, in place of one that no reload is about.
    Home,
    /// After a start: the permanent version is brought up.
    Revive,
    /// A target is to get its state before anything goes back to it.
    Carry {
        target: VersionNumber,
        then: After,
        choice: StateChoice,
    },
    /// The target is up: it gets it.
    Give,
    /// The target did not take it: nothing changes.
    Refuse { error: String },
    /// Nothing serves any more; what runs may end by itself for so long.
    Stop { drain: Duration },
}

/// Why a reload is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A newer content took its place.
    Superseded,
    /// The permanent version's content is in the directory again.
    FileBack,
    /// An operator said so.
    Operator,
    /// The file is gone.
    Removed,
    /// It made no progress for too long.
    Deadline,
}

impl Move {
    /// The status that a reload has after it; none for moves that leave it as it is.
    pub(crate) fn status(&self) -> Option<HotReloadStatus> {
        match self {
            Self::Begin { .. } => Some(HotReloadStatus::Pending),
            Self::Prepare => Some(HotReloadStatus::Preparing),
            Self::Start => Some(HotReloadStatus::Starting),
            Self::Stage(_) | Self::Listen | Self::HandOver(_) | Self::Swap => {
                Some(HotReloadStatus::InProgress)
            }
            Self::Complete(_) => Some(HotReloadStatus::Completed),
            Self::Fail { .. } => Some(HotReloadStatus::Failed),
            Self::Cancel { .. } => Some(HotReloadStatus::Cancelled),
            Self::GoBack { .. } => Some(HotReloadStatus::RollingBack),
            Self::Arrive => Some(HotReloadStatus::RolledBack),
            Self::Share { .. }
            | Self::Disarm { .. }
            | Self::Home
            | Self::Revive
            | Self::Carry { .. }
            | Self::Give
            | Self::Refuse { .. }
            | Self::Stop { .. } => None,
        }
    }

    /// What is told beside the status.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Fail { error, .. } => Some(error.clone()),
            Self::Cancel { reason, .. } => Some(reason.clone()),
            Self::GoBack { why, .. } => Some(why.reason.clone()),
            _ => None,
        }
    }
}

impl Agent {
    /// The move that is due, from all that is known. None: wait for an event.
    pub(crate) fn decide(&self, now: Moment) -> Option<Move> {
        if let Some(carry) = &self.carry {
            return self.decide_carry(now, carry);
        }
        if let Some(due) = self.decide_revival(now) {
            return Some(due);
        }
        let Some(reload) = &self.reload else {
            return self.decide_idle(now);
        };
        if let Progress::HandingOver(moving) = &reload.progress {
            return self.decide_handing_over(now, moving);
        }
        if self.wanted.is_none() {
            return Some(reload.unwanted(self.unwanted));
        }
        match &reload.progress {
            Progress::Returning(back) if self.versions.is_ready(back.target) => Some(Move::Arrive),
            Progress::Returning(back) => (back.until <= now).then(|| Move::Fail {
                error: format!(
                    "version {} was not ready in time to go back to",
                    back.target
                ),
                kind: ErrorKind::RollbackFailed,
            }),
            _ => self
                .superseded(now, reload)
                .or_else(|| match &reload.progress {
                    Progress::Pending { pinned } => self.decide_pending(reload, pinned),
                    Progress::Preparing => self.decide_preparing(now, reload),
                    Progress::Starting { planned } => self.decide_starting(now, reload, planned),
                    Progress::Splitting(_) | Progress::Listening(_) => {
                        self.decide_on_trial(now, reload)
                    }
                    Progress::Baking => crate::bake::decide_baking(now, reload),
                    Progress::Unproven { until } => {
                        crate::bake::decide_unproven(now, reload, *until)
                    }
                    Progress::Settled(_) | Progress::Returning(_) | Progress::HandingOver(_) => {
                        None
                    }
                }),
        }
    }

    fn decide_idle(&self, now: Moment) -> Option<Move> {
        let Some(Wanted {
            content: wanted, ..
        }) = &self.wanted
        else {
            return self.leaving.map(|drain| Move::Stop { drain });
        };
        if let Some((target, choice)) = self.onward {
            return Some(self.way_back(target, crate::orders::by_operator(), choice));
        }
        if self.comes_up() || self.awaits_permanent(wanted) {
            return None;
        }
        let unsettled = self.serving.filter(|_| self.serving != self.permanent);
        if self.versions.is(self.permanent, wanted) {
            // After a start it may still be on its way up.
            let up = self
                .permanent
                .is_some_and(|number| self.versions.is_ready(number));
            return unsettled.filter(|_| up).map(|_| Move::Home);
        }
        // A version that serves without ever having been judged to its end: its successor came to nothing.
        let again = unsettled
            .filter(|number| self.versions.is(Some(*number), wanted) || self.is_blocked(now));
        match again {
            Some(number) => Some(Move::Begin {
                existing: Some(number),
            }),
            None => self
                .may_come_in(now)
                .then_some(Move::Begin { existing: None }),
        }
    }

    /// Whether what is wanted was quarantined or set aside.
    pub(crate) fn is_blocked(&self, now: Moment) -> bool {
        let wanted = self.wanted.as_ref().map(|wanted| wanted.content.identity);
        wanted.is_some_and(|identity| self.endings.blocking(now, &identity).is_some())
    }

    /// Whether the directory asks for something else than the reload brings.
    fn superseded(&self, now: Moment, reload: &Reload) -> Option<Move> {
        let wanted = &self.wanted.as_ref()?.content;
        if wanted.identity == reload.content.identity {
            return None;
        }
        if matches!(reload.progress, Progress::Unproven { .. }) {
            let reason = "a newer version comes in".to_owned();
            return self.may_come_in(now).then_some(Move::Disarm {
                evidence: None,
                reason,
            });
        }
        if self.versions.is(self.permanent, wanted) {
            let reason = "the content that was permanent is in the directory again".to_owned();
            return Some(match (&reload.progress, self.permanent) {
                // The state was refused: that is told, and not tried again and again.
                (Progress::Baking, Some(_)) if self.is_refused(&wanted.identity) => return None,
                (Progress::Baking, Some(target)) => {
                    let by = By::File;
                    self.way_back(target, Back { by, reason }, StateChoice::Carry)
                }
                _ => Move::Cancel {
                    why: Ended::FileBack,
                    reason,
                },
            });
        }
        let reason = "superseded by a newer version".to_owned();
        self.may_come_in(now).then_some(Move::Cancel {
            why: Ended::Superseded,
            reason,
        })
    }

    fn is_refused(&self, file: &Identity) -> bool {
        let refused = self.refused.as_ref();
        refused.is_some_and(|refused| refused.file.as_ref() == Some(file))
    }

    fn decide_pending(&self, reload: &Reload, pinned: &Asking) -> Option<Move> {
        let pinned = *pinned == Asking::Done || reload.pushed > Pushed::No;
        let ready = self.versions.is_ready(reload.number);
        let turn = ready || (reload.has_slot && self.has_room());
        (pinned && turn).then_some(Move::Prepare)
    }

    /// Whether one version more may live beside those that do.
    pub(crate) fn has_room(&self) -> bool {
        self.versions.live().count() < MAX_GENERATIONS
    }

    fn decide_preparing(&self, now: Moment, reload: &Reload) -> Option<Move> {
        if self.versions.is_ready(reload.number) {
            return Some(Move::Start);
        }
        let late = reload.deadline().is_some_and(|deadline| deadline <= now);
        // What is not ready cannot be promoted, whatever `on_inconclusive` says.
        let hold = reload.settings.reload.on_inconclusive == OnInconclusive::Hold;
        (late && !hold).then(|| no_progress(reload))
    }

    fn decide_starting(&self, now: Moment, reload: &Reload, planned: &Asking) -> Option<Move> {
        if let Some(error) = reload.hopeless() {
            return Some(Move::Fail {
                error,
                kind: ErrorKind::ValidationFailed,
            });
        }
        if reload.paused || reload.held.is_some() {
            return None;
        }
        let planned = *planned == Asking::Done || reload.pushed > Pushed::No;
        // One more check that goes on while the first traffic waits to be written does not take that back.
        let checked = !reload.checks.turn.is_asked() || self.due.is_some();
        let warm = reload.warm_at().is_some_and(|warm| warm <= now) && checked;
        if planned && warm {
            return Some(self.first_traffic(reload));
        }
        if reload.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        match reload.settings.reload.on_inconclusive {
            OnInconclusive::Abort => Some(no_progress(reload)),
            OnInconclusive::Hold => None,
            OnInconclusive::Promote if reload.checks.failures_in_a_row > 0 => {
                Some(no_progress(reload))
            }
            OnInconclusive::Promote => Some(self.first_traffic(reload)),
        }
    }
}

impl Reload {
    /// How it ends when nothing is wanted any more.
    fn unwanted(&self, why: &str) -> Move {
        let reason = why.to_owned();
        match self.progress {
            Progress::Returning(_) => Move::Fail {
                error: reason,
                kind: ErrorKind::RollbackFailed,
            },
            Progress::Unproven { .. } | Progress::Settled(_) => Move::Disarm {
                evidence: None,
                reason,
            },
            _ => Move::Cancel {
                why: Ended::Removed,
                reason,
            },
        }
    }
}

fn no_progress(reload: &Reload) -> Move {
    let waited = reload.settings.reload.deadline.as_secs();
    let reason = format!("it made no progress for {waited} s and was not ready for traffic");
    Move::Cancel {
        why: Ended::Deadline,
        reason,
    }
}

/// The longest that anything in a plan may take before the swap or while draining, as the contract says.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// The longest bake, and the longest that an old version stays compiled, as the contract says.
pub(crate) const LONGEST_WATCH: Duration = Duration::from_secs(24 * 60 * 60);
