//! Traffic-splitting: shares that rise in stages, that an operator sets, and that go back.

use std::time::Duration;

use caxton_rollout::{
    Blame, ErrorKind, Event, FaultKind, HotReloadStatus, OnInconclusive, Order, OrderError,
    Stage as Planned, StateChoice, Step, Strategy, Verdict,
};
use expect_test::expect;

use crate::scenarios::{check, kinds, last_status, number};
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
    stage.settings.reload.bake = Duration::from_secs(5);
    stage.answers.step = Step::Advance;
    stage
}

/// The share that is meant now.
fn share(stage: &Stage) -> u8 {
    stage.view().split
}

#[test]
fn shares_rise_when_time_and_requests_are_reached() {
    let mut stage = splitting(vec![stage_of(10, 3, 0, false), stage_of(50, 0, 12, false)]);
    stage.drop_file(2);
    stage.pass(2);
    let view = stage.view();
    let reload = view.reload.unwrap();
    assert_eq!(
        (reload.stage, reload.stages, reload.status, view.split),
        (0, 2, HotReloadStatus::InProgress, 10)
    );
    assert_eq!(view.split_actual, Some(10.0));
    assert_eq!(
        (reload.at_least_ms, reload.requests),
        (Some(3_000), Some(2))
    );
    stage.pass(20);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 1, 10 % to 2
            0     Starting -> InProgress
            1     evidence says Proceed
            3     route to 1, 50 % to 2
            6     route to 2
            6     drain 1
            7     fault 1: policy standard: there are no stages in a bake
            10    fault 4: policy standard: there are no stages in a bake
        "#]],
    );
}

#[test]
fn nothing_but_fit_raises_a_share() {
    for verdict in [
        Ok(Verdict::Undecided),
        Ok(Verdict::Hold),
        Err(fault("evidence", FaultKind::Trap)),
    ] {
        let mut stage = splitting(vec![stage_of(10, 1, 0, false)]);
        stage.answers.verdict = verdict;
        stage.drop_file(2);
        for step in [Step::Advance, Step::Promote, Step::SetSplit(60)] {
            stage.answers.step = step;
            stage.pass(5);
            assert_eq!((share(&stage), stage.view().serving), (10, Some(number(1))));
        }
    }
}

#[test]
fn a_verdict_takes_the_share_back_at_once() {
    let mut stage = splitting(vec![stage_of(10, 60, 0, false)]);
    stage.drop_file(2);
    stage.pass(2);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    let history = stage.world.fleet.history(&stage.agent).unwrap();
    assert_eq!(history[0].error_kind, Some(ErrorKind::AutomaticRollback));
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 1, 10 % to 2
            0     Starting -> InProgress
            1     evidence says Proceed
            3     evidence says Rollback(Candidate)
            3     InProgress -> RollingBack: evidence: so it looks
            3     route to 1
            3     drain 2
            3     quarantined: evidence: so it looks
            3     result: RolledBack, 2 -> 1, evidence None, lost 0
            3     RollingBack -> RolledBack
            3     diverged: the file is quarantined because evidence: so it looks
            3     unload 2
        "#]],
    );
}

#[test]
fn a_stage_that_needs_an_operator_waits_for_one_as_long_as_it_takes() {
    let mut stage = splitting(vec![stage_of(10, 2, 0, true), stage_of(50, 600, 0, false)]);
    stage.drop_file(2);
    stage.pass(1);
    assert!(kinds(&stage).is_empty(), "two seconds are not over");
    stage.pass(2);
    assert_eq!(kinds(&stage), ["needs-operator"]);
    assert_eq!(stage.view().attention[0].command, "caxton resume hello");
    stage.answers.step = Step::Promote;
    stage.pass(2);
    stage.answers.step = Step::SetSplit(40);
    stage.pass(2);
    assert_eq!(share(&stage), 10, "a policy is no operator");
    stage.answers.step = Step::Advance;
    stage.pass(4 * 3_600);
    assert_eq!(share(&stage), 10, "the deadline stands still");
    stage.order(Order::Resume).unwrap();
    assert_eq!(share(&stage), 50);
}

#[test]
fn a_pause_keeps_the_share_and_judging_goes_on() {
    let mut stage = splitting(vec![stage_of(10, 2, 0, false), stage_of(50, 0, 0, false)]);
    stage.drop_file(2);
    stage.order(Order::Pause).unwrap();
    stage.pass(4 * 3_600);
    assert_eq!((share(&stage), kinds(&stage)), (10, vec!["paused"]));
    stage.order(Order::Resume).unwrap();
    assert_eq!(share(&stage), 50);
    stage.order(Order::Pause).unwrap();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
}

#[test]
fn an_operators_share_stays_until_told_otherwise() {
    let mut stage = splitting(vec![stage_of(10, 2, 0, false), stage_of(50, 0, 0, false)]);
    let nothing = stage.order(Order::SetSplit { percent: 30 });
    assert!(matches!(nothing, Err(OrderError::NothingToDo { .. })));
    stage.drop_file(2);
    for percent in [0, 100, 101] {
        let refused = stage.order(Order::SetSplit { percent });
        assert!(matches!(refused, Err(OrderError::NothingToDo { .. })));
    }
    stage.order(Order::SetSplit { percent: 30 }).unwrap();
    for step in [Step::Advance, Step::Promote, Step::SetSplit(5)] {
        stage.answers.step = step;
        stage.pass(2 * 3_600);
        assert_eq!((share(&stage), kinds(&stage)), (30, vec!["needs-operator"]));
    }
    stage.answers.step = Step::Advance;
    stage.order(Order::Resume).unwrap();
    stage.pass(1);
    assert_eq!(share(&stage), 50, "the next stage above it");
}

#[test]
fn a_policy_sets_less_always_and_more_only_with_evidence() {
    let mut stage = splitting(vec![stage_of(20, 600, 0, false)]);
    stage.answers.step = Step::Wait;
    stage.drop_file(2);
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.answers.step = Step::SetSplit(5);
    stage.pass(1);
    assert_eq!(share(&stage), 5);
    stage.answers.step = Step::SetSplit(0);
    stage.pass(1);
    assert_eq!(share(&stage), 0);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.answers.step = Step::SetSplit(40);
    stage.pass(1);
    assert_eq!(share(&stage), 40);
    stage.answers.step = Step::SetSplit(100);
    stage.pass(5);
    assert_eq!((share(&stage), kinds(&stage)), (40, vec!["policy-faulty"]));
    check(
        &stage,
        expect![[r#"
        0     a reload begins with 2
        0     ask for the policies
        0     prepare 2
        0     Pending -> Preparing
        0     Preparing -> Starting
        0     ask for the plan
        0     route to 1, 20 % to 2
        0     Starting -> InProgress
        1     evidence says Undecided
        1     route to 1, 5 % to 2
        2     route to 1
        2     drain 2
        3     evidence says Proceed
        3     route to 1, 40 % to 2
        4     fault 1: policy standard: a share is below 100 per cent: promote is the way to all traffic
        7     fault 4: policy standard: a share is below 100 per cent: promote is the way to all traffic
    "#]],
    );
}

#[test]
fn no_stage_is_left_without_evidence() {
    for (inconclusive, serving, kind) in [
        (OnInconclusive::Abort, 1, "diverged"),
        (OnInconclusive::Hold, 1, "held"),
        (OnInconclusive::Promote, 2, "unproven"),
    ] {
        let mut stage = splitting(vec![stage_of(10, 1, 0, false)]);
        stage.settings.reload.deadline = Duration::from_secs(60);
        stage.settings.reload.on_inconclusive = inconclusive;
        stage.answers.verdict = Ok(Verdict::Undecided);
        stage.answers.step = Step::Wait;
        stage.drop_file(2);
        stage.pass(59);
        assert_eq!(share(&stage), 10);
        stage.pass(10);
        assert_eq!(
            stage.view().serving,
            Some(number(serving)),
            "{inconclusive:?}"
        );
        assert_eq!(kinds(&stage), [kind]);
    }
}

#[test]
fn a_faulty_policy_freezes_the_share_and_the_deadline() {
    let mut stage = splitting(vec![stage_of(10, 1, 0, false)]);
    stage.settings.reload.on_inconclusive = OnInconclusive::Promote;
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.drop_file(2);
    stage.pass(3 * 3_600);
    assert_eq!((share(&stage), kinds(&stage)), (10, vec!["policy-faulty"]));
}

#[test]
fn without_progress_the_share_is_the_configured_one() {
    let mut stage = splitting(Vec::new());
    stage.settings.reload.progressive = false;
    stage.settings.reload.split = 35;
    stage.answers.step = Step::Hold("it stays at its share".to_owned());
    stage.drop_file(2);
    stage.pass(4 * 3_600);
    assert_eq!((share(&stage), kinds(&stage)), (35, vec!["held"]));
    stage.order(Order::Promote { now: false }).unwrap();
    assert_eq!(stage.view().serving, Some(number(2)));
    stage.answers.step = Step::Wait;
    stage.pass(6);
    assert_eq!(last_status(&stage), HotReloadStatus::Completed);
}

/// The strategy policy that is embedded wants to go on whenever the version is fit.
#[test]
fn a_share_that_does_not_progress_is_held_whatever_the_policy_wants() {
    let mut stage = splitting(Vec::new());
    stage.settings.reload.progressive = false;
    stage.settings.reload.split = 35;
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage.pass(4 * 3_600);
    assert_eq!((share(&stage), kinds(&stage)), (35, vec!["needs-operator"]));
    stage.order(Order::Resume).unwrap();
    stage.pass(2);
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn orders_while_traffic_is_split() {
    let begin = || {
        let mut stage = splitting(vec![stage_of(10, 60, 0, false)]);
        stage.drop_file(2);
        stage
    };
    let state = StateChoice::Carry;
    let ends = [
        (Order::Promote { now: true }, HotReloadStatus::Completed, 2),
        (Order::Abort { state }, HotReloadStatus::Cancelled, 1),
        (
            Order::Rollback { to: None, state },
            HotReloadStatus::Cancelled,
            1,
        ),
    ];
    for (order, status, serving) in ends {
        let mut stage = begin();
        stage.order(order).unwrap();
        assert_eq!(
            (last_status(&stage), stage.view().serving),
            (status, Some(number(serving)))
        );
    }
    let conflict = begin().order(Order::Retry);
    assert!(matches!(
        conflict,
        Err(OrderError::AlreadyInProgress { .. })
    ));
}

#[test]
fn a_newer_file_takes_the_share_back() {
    let mut stage = splitting(vec![stage_of(10, 60, 0, false)]);
    stage.drop_file(2);
    stage.pass(1);
    stage.drop_file(3);
    check(
        &stage,
        expect![[r#"
        0     a reload begins with 2
        0     ask for the policies
        0     prepare 2
        0     Pending -> Preparing
        0     Preparing -> Starting
        0     ask for the plan
        0     route to 1, 10 % to 2
        0     Starting -> InProgress
        1     evidence says Proceed
        1     route to 1
        1     drain 2
        1     result: Cancelled, 1 -> 2, evidence None, lost 0
        1     InProgress -> Cancelled: superseded by a newer version
        1     a reload begins with 3
        1     ask for the policies
        1     unload 2
        1     forget the content 02
        1     prepare 3
        1     Pending -> Preparing
        1     Preparing -> Starting
        1     ask for the plan
        1     route to 1, 10 % to 3
        1     Starting -> InProgress
    "#]],
    );
    stage.remove();
    assert_eq!(stage.view().serving, None);
}

#[test]
fn impossible_plans_are_refused_with_what_to_do() {
    let mut stage = splitting(vec![stage_of(10, 60, 0, false)]);
    stage.settings.rollback.enabled = false;
    stage.drop_file(2);
    let history = stage.world.fleet.history(&stage.agent).unwrap();
    assert_eq!(history[0].error_kind, Some(ErrorKind::ValidationFailed));
    for stages in [vec![10, 10], vec![0], vec![100], (1..=33).collect()] {
        let mut stage = splitting(
            stages
                .into_iter()
                .map(|split| stage_of(split, 1, 0, false))
                .collect(),
        );
        stage.drop_file(2);
        assert_eq!(kinds(&stage), ["waiting-for-policy"]);
        assert_eq!(stage.view().serving, Some(number(1)));
    }
}

#[test]
fn a_step_that_was_meant_for_a_stage_does_not_end_the_bake() {
    let mut stage = splitting(vec![stage_of(10, 60, 0, false)]);
    stage.settings.reload.bake = Duration::from_secs(300);
    stage.answers.step = Step::Promote;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    let (agent, now) = (stage.agent.clone(), stage.world.now);
    let measured = Event::Measured {
        agent: agent.clone(),
        start: now,
        end: now.after(Duration::from_secs(1)),
        versions: Vec::new(),
    };
    stage.world.now = now.after(Duration::from_secs(1));
    stage.world.tell(measured).unwrap();
    let promote = Order::Promote { now: false };
    assert_eq!(stage.world.order(&agent, promote), Ok(Ok(())));
    stage.answers.verdict = Ok(Verdict::Proceed);
    // The policies answer only now what they were asked when there was a stage.
    stage.answer_all();
    assert_eq!(
        stage.view().reload.unwrap().status,
        HotReloadStatus::InProgress
    );
    stage.pass(1);
    assert_eq!(last_status(&stage), HotReloadStatus::Completed);
}
