//! What follows for a version that has all traffic: it completes, goes back, or waits.

use crate::moves::Move;
use crate::reload::{Back, By, Pushed, Reload, Wish};
use crate::{Blame, Evidence, Judgement, Moment, OnUnproven};

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
    match (&round.judgement, unproven) {
        (Judgement::Proceed, _) => Some(Move::Complete(Evidence::Sufficient)),
        (Judgement::Undecided, OnUnproven::Keep) => Some(Move::Complete(Evidence::Insufficient)),
        (Judgement::Undecided, OnUnproven::Abort) => reload.stable.map(|target| {
            let reason = "not enough evidence at the end of the bake".to_owned();
            Move::GoBack {
                target,
                why: Back {
                    by: By::Unproven,
                    reason,
                },
            }
        }),
        _ => None,
    }
}

/// Whether the candidate fails every call while those who should judge it cannot.
fn guard_fires(reload: &Reload) -> bool {
    let manual = reload.judges.keys().any(|name| name == MANUAL);
    reload.is_judged() && !manual && reload.at_fault() && reload.streak.failed >= GUARD_CALLS
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
            by: By::Verdict(Blame::Unknown),
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
