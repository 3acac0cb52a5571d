//! What the core did with a round of judging, in the words of the record: derived from the moves that it made, so that
//! what is told and what happens cannot differ.

use crate::agent::Agent;
use crate::handover::Then;
use crate::moves::Move;
use crate::reload::{By, Reload};
use crate::stages::count;
use crate::{Action, Blame, Evidence, HotReloadId, Judgement, Moment};

impl Agent {
    /// What a move does to the reload that goes on; none for moves that only follow from one that was told.
    pub(crate) fn deed(&self, due: &Move) -> Option<(HotReloadId, Action)> {
        let reload = self.reload.as_ref()?;
        let action = match due {
            Move::Stage(stage) => Action::Share {
                percent: reload.stages().get(*stage)?.split,
                stage: count(*stage),
            },
            Move::Share { percent, .. } => Action::Share {
                percent: *percent,
                stage: reload.stage_index(),
            },
            Move::HandOver(Then::Swap) | Move::Swap => Action::Promote,
            Move::Complete(evidence) => Action::Complete {
                evidence: *evidence,
            },
            Move::Disarm {
                evidence: Some(_), ..
            } => Action::Disarm,
            Move::Disarm { reason, .. }
            | Move::Cancel { reason, .. }
            | Move::Fail { error: reason, .. } => Action::End {
                reason: reason.clone(),
            },
            Move::GoBack { target, why } => Action::RollBack {
                to: *target,
                blame: match why.by {
                    By::Verdict(blame) => Some(blame),
                    By::Guard => Some(Blame::Unknown),
                    By::Operator | By::File | By::Unproven | By::CrashLoop => None,
                },
                guard: why.by == By::Guard,
            },
            _ => return None,
        };
        Some((reload.id, action))
    }
}

/// The furthest of several that were done at once; none where nothing was.
pub(crate) fn furthest<'a>(deeds: impl Iterator<Item = &'a Action>) -> Option<Action> {
    deeds.cloned().reduce(|before, next| match (before, next) {
        // A version that completes and is proven in the same breath was never without proof.
        (Action::Complete { .. }, Action::Disarm) => Action::Complete {
            evidence: Evidence::Sufficient,
        },
        (_, next) => next,
    })
}

/// Where more was done than the policies said, the setting that says so.
pub(crate) fn beyond_what_was_said(
    action: &Action,
    judgement: &Judgement,
    wished: bool,
) -> Option<String> {
    match (action, judgement) {
        (Action::Promote, _) if !wished => Some(
            "it made no progress until its deadline: on_inconclusive = \"promote\" gives it all traffic"
                .to_owned(),
        ),
        (
            Action::Complete {
                evidence: Evidence::Insufficient,
            },
            Judgement::Hold { policy, .. },
        ) => Some(format!(
            "{policy} says hold, and the bake is over for it: a version with all traffic that answered nothing, or was held for the \
             whole deadline, completes as unproven"
        )),
        _ => None,
    }
}

impl Reload {
    /// What it does where no move is made.
    pub(crate) fn stays(&self, now: Moment) -> Action {
        self.held_by(now)
            .map_or(Action::Stay, |(reason, _)| Action::Hold { reason })
    }
}
