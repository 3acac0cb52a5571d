//! What follows for a version that has all traffic: it completes, goes back, or waits.

use std::time::Duration;

use crate::moves::Move;
use crate::reload::{Back, By, Pushed, Reload, Wish};
use crate::{Evidence, Judgement, Moment, OnUnproven};

/// The built-in guard goes back after so many calls that all failed.
const GUARD_CALLS: u64 = 10;

/// The name of the policy with which nothing but an operator goes back.
const MANUAL: &str = "manual";

pub(crate) fn decide_baking(now: Moment, reload: &Reload) -> Option<Move> {
    if !reload.is_judged() {
        return Some(Move::Complete(Evidence::None));
    }
    if guard_fires(reload) {
        return Some(go_back_by_guard(reload));
    }
    if reload.paused || reload.held.is_some() {
        return None;
    }
    if reload.pushed == Pushed::Through {
        return Some(Move::Complete(Evidence::Operator));
    }
    if reload.wish == Some(Wish::Promote) {
        return Some(Move::Complete(Evidence::Sufficient));
    }
    let over = reload.bake_end() <= now;
    if reload.enforcing().next().is_none() {
        return over.then_some(Move::Complete(Evidence::None));
    }
    let unproven = reload.settings.reload.on_unproven;
    // Without a bake nothing can come in before its end: the version is watched on.
    if reload.bake_end() == reload.since && unproven == OnUnproven::Keep {
        return Some(Move::Complete(Evidence::Insufficient));
    }
    let round = reload
        .round
        .as_ref()
        .filter(|round| round.at >= reload.bake_end())?;
    if round.strategy_faulty {
        return None;
    }
    match &round.judgement {
        Judgement::Proceed => Some(Move::Complete(Evidence::Sufficient)),
        Judgement::Undecided => lacks_evidence(reload),
        Judgement::Hold { .. } if round.at >= hold_end(reload) => lacks_evidence(reload),
        Judgement::Hold { .. } | Judgement::Fault { .. } | Judgement::Rollback { .. } => None,
    }
}

/// Until when a policy that says hold can prolong the bake.
///
/// A version that answered nothing since the reload began has nothing that could be held against it: its hold is a lack of
/// evidence in another word, and the bake ends when it ends. Otherwise something was seen that is not surely the candidate's (an
/// outage that hits both versions, say): the bake waits for that to pass, but no longer than a reload waits for progress at all.
fn hold_end(reload: &Reload) -> Moment {
    let deadline = reload.settings.reload.deadline;
    let waits = if reload.figures.has_requests() {
        deadline
    } else {
        Duration::ZERO
    };
    reload.bake_end().after(waits)
}

/// What was configured for a version that has all traffic and is not proven when its bake ends.
fn lacks_evidence(reload: &Reload) -> Option<Move> {
    match reload.settings.reload.on_unproven {
        OnUnproven::Keep => Some(Move::Complete(Evidence::Insufficient)),
        OnUnproven::Hold => None,
        OnUnproven::Abort => reload.stable.map(|target| {
            let reason = "not enough evidence at the end of the bake".to_owned();
            Move::GoBack {
                target,
                why: Back {
                    by: By::Unproven,
                    reason,
                },
            }
        }),
    }
}

/// Whether the candidate fails every call while those who should judge it cannot.
///
/// While they are being asked it waits for what they say: they may be well again, and its decision is told with their answers.
/// Where answers do not come at all, it does not wait for the second time.
fn guard_fires(reload: &Reload) -> bool {
    let manual = reload.enforcing().any(|(name, _)| name == MANUAL);
    let answers = reload.round.as_ref().is_none_or(|round| round.answered);
    let waits = reload.judging.is_some() && answers;
    let fails = reload.streak.failed >= GUARD_CALLS;
    reload.is_judged() && !manual && !waits && reload.at_fault() && fails
}

fn go_back_by_guard(reload: &Reload) -> Move {
    let failed = reload.streak.failed;
    let reason = format!(
        "built-in guard: the last {failed} calls all failed (limit {GUARD_CALLS}) while a policy was at fault"
    );
    let target = reload.stable.unwrap_or(reload.number);
    Move::GoBack {
        target,
        why: Back {
            by: By::Guard,
            reason,
        },
    }
}

pub(crate) fn decide_unproven(now: Moment, reload: &Reload, until: Moment) -> Option<Move> {
    if guard_fires(reload) {
        return Some(go_back_by_guard(reload));
    }
    let proven = reload
        .round
        .as_ref()
        .is_some_and(|round| round.judgement.fit());
    if proven {
        let reason = "enough evidence came in".to_owned();
        return Some(Move::Disarm {
            evidence: Some(Evidence::Sufficient),
            reason,
        });
    }
    let reason = "it was watched for as long as unproven versions are".to_owned();
    (until <= now).then_some(Move::Disarm {
        evidence: None,
        reason,
    })
}
