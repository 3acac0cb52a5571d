//! Which rounds say nothing that does not stand in the file already: see [`super`] for the rule.

use caxton_rollout::{Action, Decided, RollbackAnswer, StrategyAnswer, Window};

use super::{Answered, Called, Standing, Tick};

/// Nothing has ended in it: no request, no copy, no health check.
pub(super) fn is_quiet(window: &Window) -> bool {
    let arms = [&window.stable, &window.candidate, &window.mirrored];
    arms.into_iter().flatten().all(|arm| {
        arm.requests == 0 && arm.not_counted == 0 && arm.health_total == 0 && arm.custom.is_empty()
    })
}

/// What a policy says, apart from what it notes for itself: a policy that notes how far it has read notes something new in
/// every round, and says nothing new with it.
pub(super) trait Says {
    /// Whether both say the same.
    fn says_as(&self, other: &Self) -> bool;
}

impl Says for RollbackAnswer {
    fn says_as(&self, other: &Self) -> bool {
        let Self {
            verdict,
            why,
            state: _,
        } = self;
        (verdict, why) == (&other.verdict, &other.why)
    }
}

impl Says for StrategyAnswer {
    fn says_as(&self, other: &Self) -> bool {
        let Self {
            step,
            why,
            next_check,
            state: _,
        } = self;
        (step, why, next_check) == (&other.step, &other.why, &other.next_check)
    }
}

/// Whether a round says what an earlier one said, and nothing came of it.
pub(super) fn repeats(tick: &Tick, last: &Tick) -> bool {
    let stays = |decided: &Decided| matches!(decided.action, Action::Stay | Action::Hold { .. });
    let stands = |standing: &Standing| Standing {
        deadline_ms: None,
        stage_elapsed_ms: 0,
        elapsed_ms: 0,
        ..*standing
    };
    let same_strategy = match (&tick.strategy, &last.strategy) {
        (Some(now), Some(then)) => repeats_call(now, then),
        (None, None) => true,
        _ => false,
    };
    tick.decided.as_ref().is_some_and(stays)
        && tick.decided == last.decided
        && stands(&tick.standing) == stands(&last.standing)
        && tick.fit == last.fit
        && same_strategy
        && all_repeat(&tick.rollback, &last.rollback)
}

pub(super) fn all_repeat<T: Says>(now: &[Called<T>], then: &[Called<T>]) -> bool {
    now.len() == then.len()
        && now
            .iter()
            .zip(then)
            .all(|(now, then)| repeats_call(now, then))
}

/// Whatever was handed over and left as state: the next call that is written says what it was given.
fn repeats_call<T: Says>(now: &Called<T>, then: &Called<T>) -> bool {
    let same_answer = match (&now.answer, &then.answer) {
        (Answered::Ok(now), Answered::Ok(then)) => now.says_as(then),
        (Answered::Fault(now), Answered::Fault(then)) => now == then,
        _ => false,
    };
    same_answer
        && now.policy == then.policy
        && now.digest == then.digest
        && now.log == then.log
        && now.notes == then.notes
}
