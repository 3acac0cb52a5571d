//! Answers from chance: good ones mostly, and every kind of bad one.

use std::time::Duration;

use caxton_rollout::{
    Arm, Blame, Explanation, Fault, FaultKind, HandOverError, HandOverStep, HandedOver, Mirrored,
    Plan, RollbackAnswer, Stage, StateFrom, StateSource, Step, Strategy, StrategyAnswer, Verdict,
};

use crate::rng::Rng;

/// How a hand-over ended.
pub(crate) fn handed_over(
    rng: &mut Rng,
    source: StateSource,
    bad: bool,
) -> Result<HandedOver, HandOverError> {
    let cuts = matches!(source, StateSource::Live { cut: true, .. }) && rng.percent(40);
    let cut = if cuts { 1 + rng.below(3) } else { 0 };
    if bad {
        let steps = [HandOverStep::Drain, HandOverStep::Save, HandOverStep::Load];
        return Err(HandOverError {
            step: rng.pick(&steps, HandOverStep::Load),
            message: "it does not work".to_owned(),
            cut,
        });
    }
    let state_from = match source {
        StateSource::Live { .. } if cut > 0 && rng.percent(50) => StateFrom::None,
        StateSource::Live { .. } if cut > 0 => StateFrom::Checkpoint,
        StateSource::Live { .. } => StateFrom::Live,
        StateSource::Snapshot => StateFrom::Snapshot,
        StateSource::Fresh => StateFrom::None,
    };
    Ok(HandedOver { state_from, cut })
}

/// What a listener made of its copies.
pub(crate) fn heard(rng: &mut Rng) -> Mirrored {
    let requests = rng.below(30);
    let arm = Arm {
        requests,
        failures: rng.below(requests / 4 + 1),
        ..Arm::default()
    };
    Mirrored {
        arm,
        mismatches: rng.below(requests / 4 + 1),
        skipped: rng.below(3),
    }
}

pub(crate) fn fault(policy: &str, kind: FaultKind) -> Fault {
    Fault {
        policy: policy.to_owned(),
        kind,
        message: "it did not work".to_owned(),
    }
}

/// A few rising shares.
pub(crate) fn stages(rng: &mut Rng) -> Vec<Stage> {
    let mut split = 0;
    let mut stages = Vec::new();
    for _ in 0..1 + rng.below(4) {
        split += 1 + rng.below(24) as u8;
        stages.push(Stage {
            split,
            at_least: Duration::from_secs(rng.pick(&[0, 5, 30], 1)),
            at_least_requests: rng.pick(&[0, 10, 100], 0),
            needs_operator: rng.percent(15),
        });
    }
    stages
}

/// Plans that are legal and rare, and some that are not.
pub(crate) fn strange(rng: &mut Rng, plan: Plan) -> Plan {
    match rng.below(20) {
        0 => Plan {
            strategy: Strategy::TrafficSplitting,
            ..plan
        },
        2 => Plan {
            strategy: Strategy::TrafficSplitting,
            stages: [20, 20].map(Stage::of).to_vec(),
            ..plan
        },
        3 => Plan {
            strategy: Strategy::Parallel,
            ..plan
        },
        1 => Plan {
            bake: Duration::from_secs(1 << 40),
            drain: Duration::from_secs(1 << 40),
            ..plan
        },
        _ => plan,
    }
}

pub(crate) fn verdict(rng: &mut Rng, policy: &str) -> Result<RollbackAnswer, Fault> {
    let verdict = match rng.below(100) {
        0..70 => Verdict::Proceed,
        70..85 => Verdict::Undecided,
        85..90 => Verdict::Hold,
        90..91 => Verdict::Rollback(Blame::Environment),
        91..92 => Verdict::Rollback(Blame::Unknown),
        92..94 => Verdict::Rollback(Blame::Candidate),
        _ => return Err(fault(policy, FaultKind::OutOfFuel)),
    };
    Ok(RollbackAnswer {
        verdict,
        why: Explanation::default(),
        state: vec![1],
    })
}

pub(crate) fn step(rng: &mut Rng) -> Result<StrategyAnswer, Fault> {
    let step = match rng.below(100) {
        0..40 => Step::Wait,
        40..85 => Step::Advance,
        85..92 => Step::Promote,
        92..95 => Step::SetSplit(rng.below(110) as u8),
        95 => Step::Hold("look at this".to_owned()),
        _ => return Err(fault("standard", FaultKind::Trap)),
    };
    Ok(StrategyAnswer {
        step,
        why: Explanation::default(),
        next_check: None,
        state: Vec::new(),
    })
}
