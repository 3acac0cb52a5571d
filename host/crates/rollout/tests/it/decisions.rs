//! What is told of each round of judging: what was proposed, what was done, and a sentence for every difference.

use std::time::Duration;

use caxton_rollout::{
    Action, Blame, Evidence, FaultKind, Judgement, OnInconclusive, OnUnproven, Order,
    Stage as Planned, StateChoice, Step, Strategy, Verdict,
};

use crate::scenarios::number;
use crate::stage::{Stage, fault};

fn stage_of(split: u8, seconds: u64, requests: u64, needs_operator: bool) -> Planned {
    Planned {
        split,
        at_least: Duration::from_secs(seconds),
        at_least_requests: requests,
        needs_operator,
    }
}

fn splitting(stages: Vec<Planned>) -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = stages;
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage
}

/// The action and the clamps of the last round.
fn last(stage: &Stage) -> (Action, Vec<String>) {
    let decided = stage.decided();
    (decided.action, decided.clamps)
}

fn stays(clamp: &str) -> (Action, Vec<String>) {
    (Action::Stay, vec![clamp.to_owned()])
}

fn share(percent: u8, stage: u32) -> (Action, Vec<String>) {
    (Action::Share { percent, stage }, Vec::new())
}

#[test]
fn a_share_rises_when_the_stage_has_lasted() {
    let mut stage = splitting(vec![stage_of(10, 3, 0, false), stage_of(50, 0, 12, false)]);
    stage.pass(1);
    assert_eq!(stage.decided().judgement, Judgement::Proceed);
    assert_eq!(stage.decided().step, Some(Step::Advance));
    assert_eq!(
        last(&stage),
        stays("advance was not taken yet: 2000 ms are left of the 3000 ms that it lasts at least")
    );
    stage.pass(2);
    assert_eq!(last(&stage), share(50, 1));
    stage.pass(1);
    assert_eq!(
        last(&stage),
        stays("advance was not taken yet: 5 of at least 12 requests are answered")
    );
    stage.pass(2);
    assert_eq!(last(&stage), (Action::Promote, Vec::new()));
}

#[test]
fn a_stage_waits_for_an_operator() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, true)]);
    stage.pass(1);
    let waits = "was not taken yet: an operator has to let this stage go on";
    assert_eq!(last(&stage), stays(&format!("advance {waits}")));
    stage.answers.step = Step::Promote;
    stage.pass(1);
    assert_eq!(last(&stage), stays(&format!("promote {waits}")));
    stage.answers.step = Step::SetSplit(40);
    stage.pass(1);
    let set = "set-split 40 was not taken: an operator has to let this stage go on";
    assert_eq!(last(&stage), stays(set));
    stage.order(Order::Pause).unwrap();
    stage.answers.step = Step::Advance;
    stage.pass(1);
    let paused = "advance was not taken yet: an operator paused the reload";
    assert_eq!(last(&stage), stays(paused));
}

#[test]
fn an_operators_share_stands_against_less_and_more() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, false)]);
    stage.order(Order::SetSplit { percent: 30 }).unwrap();
    for (step, said) in [
        (Step::SetSplit(5), "set-split 5 was not taken"),
        (Step::SetSplit(50), "set-split 50 was not taken"),
        (Step::Advance, "advance was not taken yet"),
        (Step::Promote, "promote was not taken yet"),
    ] {
        stage.answers.step = step;
        stage.pass(1);
        let why =
            "an operator set the share to 30 per cent, where it stays until they let it go on";
        assert_eq!(last(&stage), stays(&format!("{said}: {why}")));
    }
}

#[test]
fn without_evidence_nothing_is_taken_that_goes_forward() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, false)]);
    stage.answers.verdict = Ok(Verdict::Undecided);
    for (step, clamp) in [
        (
            Step::Advance,
            "advance was not taken: not every policy that enforces said proceed",
        ),
        (
            Step::Promote,
            "promote was refused: it promotes without enough evidence",
        ),
        (
            Step::SetSplit(11),
            "set-split 11 was refused: it raises the share without enough evidence",
        ),
        (
            Step::SetSplit(200),
            "set-split 200 was refused: a share is below 100 per cent: promote is the way to all traffic",
        ),
    ] {
        stage.answers.step = step.clone();
        stage.pass(1);
        assert_eq!(last(&stage), stays(clamp));
        assert_eq!(stage.decided().step, Some(step), "nonsense is kept, too");
        assert_eq!(stage.view().split, 10);
    }
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.answers.step = Step::Advance;
    stage.pass(1);
    let faulty = "advance was not taken: evidence gave no usable answer";
    assert_eq!(last(&stage), stays(faulty));
    stage.answers.step = Step::SetSplit(4);
    stage.pass(1);
    assert_eq!(last(&stage), share(4, 0), "less is taken even then");
}

#[test]
fn there_is_no_share_to_set_in_a_bake_or_beside_a_listener() {
    for strategy in [Strategy::Graceful, Strategy::Parallel] {
        let mut stage = Stage::serving();
        stage.settings.reload.strategy = strategy;
        stage.answers.step = Step::SetSplit(5);
        stage.drop_file(2);
        stage.pass(1);
        let refused = "set-split 5 was refused: there is no share to set";
        assert_eq!(last(&stage), stays(refused));
    }
}

#[test]
fn a_hold_is_told_with_its_text() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, false)]);
    stage.answers.verdict = Ok(Verdict::Hold);
    stage.pass(1);
    let reason = "evidence: so it looks".to_owned();
    assert_eq!(stage.decided().step, None, "nobody asked for one");
    assert_eq!(last(&stage), (Action::Hold { reason }, Vec::new()));
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.answers.step = Step::Hold("look at the logs".to_owned());
    stage.pass(1);
    let reason = "look at the logs".to_owned();
    assert_eq!(last(&stage).0, Action::Hold { reason });
    stage.answers.step = Step::Advance;
    stage.pass(1);
    let clamp = "advance was not taken yet: it is held until an operator acts: look at the logs";
    assert_eq!(last(&stage).1, [clamp]);
}

#[test]
fn ends_of_a_bake() {
    for (verdict, unproven, action) in [
        (
            Verdict::Proceed,
            OnUnproven::Keep,
            Action::Complete {
                evidence: Evidence::Sufficient,
            },
        ),
        (
            Verdict::Undecided,
            OnUnproven::Keep,
            Action::Complete {
                evidence: Evidence::Insufficient,
            },
        ),
        (
            Verdict::Undecided,
            OnUnproven::Abort,
            Action::RollBack {
                to: number(1),
                blame: None,
                guard: false,
            },
        ),
        (
            Verdict::Rollback(Blame::Environment),
            OnUnproven::Keep,
            Action::RollBack {
                to: number(1),
                blame: Some(Blame::Environment),
                guard: false,
            },
        ),
    ] {
        let mut stage = Stage::serving();
        stage.settings.reload.bake = Duration::from_secs(1);
        stage.settings.reload.on_unproven = unproven;
        stage.answers.verdict = Ok(verdict);
        stage.drop_file(2);
        stage.pass(1);
        assert_eq!(last(&stage), (action, Vec::new()));
    }
}

#[test]
fn the_strategy_may_end_a_bake_as_proven() {
    let mut stage = Stage::serving();
    stage.answers.step = Step::Promote;
    stage.drop_file(2);
    stage.pass(1);
    let evidence = Evidence::Sufficient;
    assert_eq!(last(&stage), (Action::Complete { evidence }, Vec::new()));
}

#[test]
fn what_proves_itself_later_is_told_as_that() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(1);
    assert_eq!(last(&stage), (Action::Stay, Vec::new()));
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.pass(1);
    assert_eq!(last(&stage), (Action::Disarm, Vec::new()));
}

#[test]
fn the_guards_way_back_is_told_as_its_own() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.load = (10, 10);
    stage.drop_file(2);
    stage.pass(1);
    let back = Action::RollBack {
        to: number(1),
        blame: Some(Blame::Unknown),
        guard: true,
    };
    assert_eq!(last(&stage), (back, Vec::new()));
    let policy = "evidence".to_owned();
    assert_eq!(stage.decided().judgement, Judgement::Fault { policy });
}

/// The answer comes at the very moment of the deadline, so that both are one step.
#[test]
fn the_deadline_promotes_where_that_is_configured_and_says_so() {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.deadline = Duration::from_secs(10);
    stage.settings.reload.on_inconclusive = OnInconclusive::Promote;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage.ask(9);
    stage.world.now = stage.world.now.after(Duration::from_secs(1));
    stage.answer_all();
    assert_eq!(stage.view().serving, Some(number(2)));
    let clamps = [
        "advance was not taken: not every policy that enforces said proceed",
        "it made no progress until its deadline: on_inconclusive = \"promote\" gives it all traffic",
    ];
    assert_eq!(
        last(&stage),
        (Action::Promote, clamps.map(str::to_owned).to_vec())
    );
}

#[test]
fn the_deadline_ends_it_otherwise() {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::Parallel;
    stage.settings.reload.deadline = Duration::from_secs(10);
    stage.answers.verdict = Ok(Verdict::Hold);
    stage.drop_file(2);
    stage.ask(9);
    stage.world.now = stage.world.now.after(Duration::from_secs(1));
    stage.answer_all();
    let reason =
        "it made no progress for 10 s while it heard copies: there was not enough evidence for it";
    let reason = reason.to_owned();
    assert_eq!(last(&stage), (Action::End { reason }, Vec::new()));
}

#[test]
fn an_answer_that_comes_after_the_end_is_no_decision() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, false)]);
    stage.ask(1);
    let abort = Order::Abort {
        state: StateChoice::Carry,
    };
    let agent = stage.agent.clone();
    assert_eq!(stage.world.order(&agent, abort), Ok(Ok(())));
    stage.answer_all();
    assert!(stage.world.decided.is_none());
}

#[test]
fn answers_for_a_place_that_it_has_moved_on_from_are_left_aside() {
    let mut stage = splitting(vec![stage_of(10, 0, 0, false), stage_of(50, 60, 0, false)]);
    stage.ask(1);
    let agent = stage.agent.clone();
    let set = Order::SetSplit { percent: 20 };
    assert_eq!(stage.world.order(&agent, set), Ok(Ok(())));
    stage.answer_all();
    let clamp = "advance was not taken: the reload has moved on since the policy was asked";
    assert_eq!(last(&stage), stays(clamp));
}
