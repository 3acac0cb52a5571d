//! Parallel: the candidate hears copies, is judged by its answers to them, and then takes over as with graceful.

use std::time::Duration;

use caxton_rollout::{
    Blame, HotReloadStatus, OnInconclusive, Order, StateChoice, Step, Strategy, Verdict,
};
use expect_test::expect;

use crate::scenarios::{check, kinds, last_status, number};
use crate::stage::Stage;

fn parallel() -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::Parallel;
    stage.settings.reload.mirror.at_least = Duration::from_secs(4);
    stage.settings.reload.mirror.at_least_requests = 60;
    stage.settings.reload.bake = Duration::from_secs(3);
    stage.answers.step = Step::Promote;
    stage
}

#[test]
fn a_listener_is_swapped_in_once_it_has_heard_enough() {
    let mut stage = parallel();
    stage.drop_file(2);
    stage.pass(5);
    let view = stage.view();
    assert_eq!((view.serving, view.split), (Some(number(1)), 0));
    assert_eq!(view.split_actual, None, "copies are no traffic");
    let last = stage.world.windows.last().unwrap();
    assert_eq!(last.candidate.as_ref().map(|arm| arm.requests), Some(0));
    assert_eq!(last.mirrored.as_ref().map(|arm| arm.requests), Some(10));
    assert_eq!((last.mirrored_mismatches, last.warm_up), (1, false));
    stage.pass(1);
    stage.answers.step = Step::Wait;
    stage.pass(3);
    assert_eq!(stage.world.windows.last().unwrap().mirrored, None);
    stage.pass(3);

    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 1, copies to 2
            0     Starting -> InProgress
            1     evidence says Proceed
            6     route to 2
            6     drain 1
            9     result: Completed, 1 -> 2, evidence Sufficient, lost 0
            9     InProgress -> Completed
        "#]],
    );
}

#[test]
fn a_listener_that_is_judged_badly_never_gets_traffic() {
    let mut stage = parallel();
    stage.drop_file(2);
    stage.pass(2);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    assert_eq!(kinds(&stage), ["quarantined"]);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 1, copies to 2
            0     Starting -> InProgress
            1     evidence says Proceed
            3     evidence says Rollback(Candidate)
            3     InProgress -> RollingBack: evidence: so it looks
            3     route to 1
            3     quarantined: evidence: so it looks
            3     result: RolledBack, 2 -> 1, evidence None, lost 0
            3     RollingBack -> RolledBack
            3     diverged: the file is quarantined because evidence: so it looks
            3     unload 2
        "#]],
    );
}

#[test]
fn no_listener_is_swapped_in_without_evidence() {
    for (inconclusive, serving) in [
        (OnInconclusive::Abort, 1),
        (OnInconclusive::Hold, 1),
        (OnInconclusive::Promote, 2),
    ] {
        let mut stage = parallel();
        stage.settings.reload.deadline = Duration::from_secs(60);
        stage.settings.reload.on_inconclusive = inconclusive;
        stage.answers.verdict = Ok(Verdict::Undecided);
        stage.answers.step = Step::Wait;
        stage.drop_file(2);
        stage.pass(59);
        assert_eq!(stage.view().serving, Some(number(1)));
        stage.pass(2);
        assert_eq!(
            stage.view().serving,
            Some(number(serving)),
            "{inconclusive:?}"
        );
    }
}

#[test]
fn orders_while_it_listens() {
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
        let mut stage = parallel();
        stage.drop_file(2);
        stage.order(Order::Pause).unwrap();
        stage.pass(2 * 3_600);
        assert_eq!(stage.view().serving, Some(number(1)));
        assert!(stage.order(Order::SetSplit { percent: 5 }).is_err());
        stage.order(order).unwrap();
        assert_eq!(
            (last_status(&stage), stage.view().serving),
            (status, Some(number(serving)))
        );
    }
}
