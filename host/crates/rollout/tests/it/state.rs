//! Agents that keep state: hand-overs before the swap, and ways back that carry it or return to what was.

use std::time::Duration;

use caxton_rollout::{
    Blame, ErrorKind, Event, HandOverError, HandOverStep, HotReloadResult, HotReloadStatus, Moment,
    Order, OrderError, Restored, StateChoice, StateFrom, Step, Strategy, Verdict,
};
use expect_test::expect;

use crate::scenarios::{check, kinds, last_status, number};
use crate::stage::Stage;

fn error(step: HandOverStep, message: &str) -> HandOverError {
    HandOverError {
        step,
        message: message.to_owned(),
        cut: 0,
    }
}

fn newest(stage: &Stage) -> HotReloadResult {
    let history = stage.world.fleet.history(&stage.agent).unwrap();
    history.first().unwrap().clone()
}

fn rollback(state: StateChoice) -> Order {
    Order::Rollback { to: None, state }
}

/// Version 2 has taken the state over, and bakes.
fn baking() -> Stage {
    let mut stage = Stage::keeping_state();
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(3);
    stage.world.decisions.clear();
    stage
}

#[test]
fn the_state_is_handed_over_before_the_swap() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.bake = Duration::from_secs(2);
    stage.drop_file(2);
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
        0     hand the state of 1 over to 2
        0     Starting -> InProgress
        0     2 has its state: Live
        0     route to 2
        1     evidence says Proceed
        2     result: Completed, 1 -> 2, evidence Sufficient, lost 0, state Live
        2     InProgress -> Completed
    "#]],
    );
}

#[test]
fn state_that_is_not_taken_fails_the_reload_and_the_old_version_serves_on() {
    for step in [HandOverStep::Drain, HandOverStep::Save, HandOverStep::Load] {
        for strategy in [Strategy::Graceful, Strategy::Immediate, Strategy::Parallel] {
            let mut stage = Stage::keeping_state();
            stage.settings.reload.strategy = strategy;
            stage.answers.hand_over = Some(error(step, "unknown format 2"));
            stage.drop_file(2);
            let result = newest(&stage);
            assert_eq!(
                (result.status, result.error_kind, result.state),
                (
                    HotReloadStatus::Failed,
                    Some(ErrorKind::StatePreservationFailed),
                    None
                )
            );
            assert!(result.error.unwrap().contains("unknown format 2"));
            assert_eq!(stage.view().serving, Some(number(1)));
            assert_eq!(stage.world.fleet.live(&stage.agent), [number(1)]);
            assert_eq!(kinds(&stage), ["diverged"]);
        }
    }
}

#[test]
fn an_answer_that_never_comes_is_waited_for_with_patience() {
    let mut stage = Stage::keeping_state();
    stage.answers.hands = false;
    stage.drop_file(2);
    stage.sleep(34);
    let reload = stage.view().reload.unwrap();
    assert_eq!(reload.status, HotReloadStatus::InProgress);
    assert!(reload.waits_for.unwrap().contains("state"));
    stage.sleep(2);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     hand the state of 1 over to 2
            0     Starting -> InProgress
            35    set aside: its state could not be handed over: no answer came in time; again in None s
            35    route to 1
            35    result: Failed, 1 -> 2, evidence None, lost 0
            35    InProgress -> Failed: its state could not be handed over: no answer came in time
            35    diverged: the file is set aside because its state could not be handed over: no answer came in time
            35    unload 2
        "#]],
    );
}

#[test]
fn immediate_cuts_what_does_not_end_and_says_what_the_state_is() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.strategy = Strategy::Immediate;
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.answers.cut = 1;
    stage.drop_file(2);
    stage.pass(2);
    let result = newest(&stage);
    assert_eq!(
        (result.state.unwrap().state_from, result.lost_requests),
        (Some(StateFrom::Checkpoint), 1)
    );
    check(
        &stage,
        expect![[r#"
        0     a reload begins with 2
        0     ask for the policies
        0     prepare 2
        0     Pending -> Preparing
        0     Preparing -> Starting
        0     ask for the plan
        0     hand the state of 1 over to 2, cutting
        0     Starting -> InProgress
        0     1 calls were cut on 1
        0     2 has its state: Checkpoint
        0     route to 2
        1     evidence says Proceed
        1     result: Completed, 1 -> 2, evidence Sufficient, lost 1, state Checkpoint
        1     InProgress -> Completed
    "#]],
    );
}

/// The instance that was cut is gone: what the old version comes back with is its checkpoint, and nobody may call that live.
#[test]
fn a_way_back_to_a_version_that_was_cut_says_checkpoint() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.strategy = Strategy::Immediate;
    stage.answers.cut = 1;
    stage.drop_file(2);
    stage.pass(3);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    let state = newest(&stage).state.unwrap();
    assert_eq!(
        (state.restored_from, state.calls_since, state.seconds_since),
        (Some(Restored::Checkpoint), Some(40), Some(4))
    );
    // What is counted only now belongs to it as well.
    let (agent, end) = (stage.agent.clone(), stage.world.now);
    let start = Moment(end.0 - 1_000);
    let versions = vec![crate::stage::measure(number(2), 3, 0)];
    stage.tell(Event::Measured {
        agent,
        start,
        end,
        versions,
    });
    assert_eq!(newest(&stage).state.unwrap().calls_since, Some(43));
}

#[test]
fn an_automatic_rollback_returns_to_the_instance_as_it_was() {
    let mut stage = baking();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(2);
    let state = newest(&stage).state.unwrap();
    assert_eq!(
        (state.restored_from, state.calls_since, state.seconds_since),
        (Some(Restored::Live), Some(40), Some(4)),
        "four seconds with ten calls each, all of which the old version does not know of"
    );
    check(
        &stage,
        expect![[r#"
            4     evidence says Rollback(Candidate)
            4     InProgress -> RollingBack: evidence: so it looks
            4     route to 1
            4     drain 2
            4     quarantined: evidence: so it looks
            4     result: RolledBack, 2 -> 1, evidence None, lost 0, state Live, 40 calls ago, 4 s ago
            4     RollingBack -> RolledBack
            4     diverged: the file is quarantined because evidence: so it looks
            4     unload 2
        "#]],
    );
}

#[test]
fn an_operators_rollback_carries_the_state() {
    let mut stage = baking();
    stage.order(rollback(StateChoice::Carry)).unwrap();
    check(
        &stage,
        expect![[r#"
            3     an operator says rollback
            3     hand the state of 2 over to 1
            3     1 has its state: Live
            3     InProgress -> RollingBack: an operator rolled it back
            3     route to 1
            3     drain 2
            3     quarantined: an operator rolled it back
            3     result: RolledBack, 2 -> 1, evidence None, lost 0, state Carried
            3     RollingBack -> RolledBack
            3     diverged: the file is quarantined because an operator rolled it back
            3     unload 2
        "#]],
    );
}

#[test]
fn an_abort_during_the_bake_carries_the_state() {
    let mut stage = baking();
    let state = StateChoice::Carry;
    stage.order(Order::Abort { state }).unwrap();
    check(
        &stage,
        expect![[r#"
            3     an operator says abort
            3     hand the state of 2 over to 1
            3     1 has its state: Live
            3     set aside: an operator aborted it; again in None s
            3     route to 1
            3     drain 2
            3     result: Cancelled, 1 -> 2, evidence None, lost 0, state Carried
            3     InProgress -> Cancelled: an operator aborted it
            3     diverged: the file is set aside because an operator aborted it
            3     unload 2
        "#]],
    );
}

#[test]
fn where_the_target_refuses_nothing_changes_and_a_way_out_is_offered() {
    let mut stage = baking();
    stage.answers.hand_over = Some(error(HandOverStep::Load, "unknown format 2"));
    stage.order(rollback(StateChoice::Carry)).unwrap();
    let view = stage.view();
    assert_eq!((view.serving, view.split), (Some(number(2)), 100));
    assert_eq!(view.reload.unwrap().status, HotReloadStatus::InProgress);
    assert_eq!(kinds(&stage), ["order-failed"]);
    assert_eq!(
        view.attention[0].command,
        "caxton rollback hello --state snapshot"
    );
    stage.answers.hand_over = None;
    stage.order(rollback(StateChoice::Snapshot)).unwrap();
    assert!(!kinds(&stage).contains(&"order-failed"));
    check(
        &stage,
        expect![[r#"
            3     an operator says rollback
            3     hand the state of 2 over to 1
            3     route to 2
            3     rollback to version 1 did not happen, and nothing has changed: unknown format 2; `--state snapshot` goes back with what it saved 3 s ago, and `--state fresh` with nothing
            3     an operator says rollback --state snapshot
            3     give 1 what it saved last
            3     1 has its state: Snapshot
            3     InProgress -> RollingBack: an operator rolled it back
            3     route to 1
            3     drain 2
            3     quarantined: an operator rolled it back
            3     result: RolledBack, 2 -> 1, evidence None, lost 0, state Snapshot, 30 calls ago, 3 s ago
            3     RollingBack -> RolledBack
            3     diverged: the file is quarantined because an operator rolled it back
            3     unload 2
        "#]],
    );
}

#[test]
fn an_operator_may_begin_anew() {
    let mut stage = baking();
    stage.order(rollback(StateChoice::Fresh)).unwrap();
    let state = newest(&stage).state.unwrap();
    assert_eq!(state.restored_from, Some(Restored::None));
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn a_rollback_after_completion_first_brings_the_target_up() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(3);
    stage.sleep(2_000);
    assert_eq!(stage.world.fleet.live(&stage.agent), [number(2)]);
    stage.world.decisions.clear();
    stage.answers.prepare = Err("the disk is gone");
    stage.order(rollback(StateChoice::Carry)).unwrap();
    assert_eq!(kinds(&stage), ["order-failed"]);
    stage.answers.prepare = Ok(());
    stage.order(rollback(StateChoice::Carry)).unwrap();
    check(
        &stage,
        expect![[r#"
            2003  an operator says rollback
            2003  prepare 1
            2003  rollback to version 1 did not happen, and nothing has changed: the disk is gone; `--state snapshot` goes back with what it saved 2003 s ago, and `--state fresh` with nothing
            2003  an operator says rollback
            2003  prepare 1
            2003  hand the state of 2 over to 1
            2003  1 has its state: Live
            2003  Completed -> RollingBack: an operator rolled it back
            2003  route to 1
            2003  drain 2
            2003  quarantined: an operator rolled it back
            2003  result: RolledBack, 2 -> 1, evidence Sufficient, lost 0, state Carried
            2003  RollingBack -> RolledBack
            2003  diverged: the file is quarantined because an operator rolled it back
            2003  unload 2
        "#]],
    );
}

#[test]
fn a_rollback_beyond_the_permanent_version_carries_twice() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(3);
    stage.settings.reload.bake = Duration::from_secs(300);
    stage.drop_file(3);
    stage.world.decisions.clear();
    stage
        .order(Order::Rollback {
            to: Some(number(1)),
            state: StateChoice::Carry,
        })
        .unwrap();
    assert_eq!(stage.view().permanent, Some(number(1)));
    check(
        &stage,
        expect![[r#"
            3     an operator says rollback --to 1
            3     hand the state of 3 over to 2
            3     2 has its state: Live
            3     InProgress -> RollingBack: an operator rolled it back
            3     route to 2
            3     drain 3
            3     quarantined: an operator rolled it back
            3     result: RolledBack, 3 -> 2, evidence None, lost 0, state Carried
            3     RollingBack -> RolledBack
            3     hand the state of 2 over to 1
            3     diverged: the file is quarantined because an operator rolled it back
            3     unload 3
            3     1 has its state: Live
            3     Completed -> RollingBack: an operator rolled it back
            3     route to 1
            3     drain 2
            3     quarantined: an operator rolled it back
            3     result: RolledBack, 2 -> 1, evidence Sufficient, lost 0, state Carried
            3     RollingBack -> RolledBack
            3     unload 2
            3     forget the content 02
        "#]],
    );
}

#[test]
fn an_old_file_copied_back_carries_and_is_not_tried_again_and_again() {
    let mut stage = baking();
    stage.answers.hand_over = Some(error(HandOverStep::Load, "unknown format 2"));
    stage.drop_file(1);
    stage.pass(600);
    assert_eq!(kinds(&stage), ["order-failed", "held"]);
    assert_eq!(stage.view().serving, Some(number(2)));
    stage.answers.hand_over = None;
    stage.order(Order::Resume).unwrap();
    check(
        &stage,
        expect![[r#"
            3     hand the state of 2 over to 1
            3     route to 2
            3     rollback to version 1 did not happen, and nothing has changed: unknown format 2; `--state snapshot` goes back with what it saved 3 s ago, and `--state fresh` with nothing
            603   an operator says resume
            603   hand the state of 2 over to 1
            603   1 has its state: Live
            603   InProgress -> RollingBack: the content that was permanent is in the directory again
            603   route to 1
            603   drain 2
            603   result: RolledBack, 2 -> 1, evidence None, lost 0, state Carried
            603   RollingBack -> RolledBack
            603   unload 2
            603   forget the content 02
        "#]],
    );
}

#[test]
fn nothing_else_is_taken_while_state_is_carried_back() {
    let mut stage = baking();
    stage.answers.hands = false;
    stage.order(rollback(StateChoice::Carry)).unwrap();
    let state = StateChoice::Carry;
    for order in [
        Order::Pause,
        Order::Resume,
        Order::Promote { now: true },
        Order::Abort { state },
        rollback(StateChoice::Fresh),
        Order::Retry,
        Order::SetSplit { percent: 5 },
    ] {
        let conflict = stage.order(order);
        assert!(
            matches!(conflict, Err(OrderError::AlreadyInProgress { .. })),
            "{conflict:?}"
        );
    }
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(20);
    assert_eq!(stage.view().serving, Some(number(2)));
    stage.answers.hands = true;
    stage.pass(1);
    assert_eq!(stage.view().serving, Some(number(1)));
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
}

#[test]
fn an_abort_while_state_is_handed_over_takes_effect_with_the_answer() {
    let mut stage = Stage::keeping_state();
    stage.answers.hands = false;
    stage.drop_file(2);
    let state = StateChoice::Carry;
    stage.order(Order::Abort { state }).unwrap();
    assert!(matches!(
        stage.order(Order::Abort { state }),
        Err(OrderError::AlreadyInProgress { .. })
    ));
    stage.pass(3);
    stage.answers.hands = true;
    stage.pass(1);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     hand the state of 1 over to 2
            0     Starting -> InProgress
            0     an operator says abort
            4     2 has its state: Live
            4     set aside: an operator aborted it; again in None s
            4     route to 1
            4     result: Cancelled, 1 -> 2, evidence None, lost 0
            4     InProgress -> Cancelled: an operator aborted it
            4     diverged: the file is set aside because an operator aborted it
            4     unload 2
        "#]],
    );
}

#[test]
fn a_file_that_goes_while_state_is_handed_over_stops_the_agent_with_the_answer() {
    let mut stage = Stage::keeping_state();
    stage.answers.hands = false;
    stage.drop_file(2);
    stage.remove();
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.answers.hands = true;
    stage.pass(1);
    assert_eq!(stage.view().serving, None);
    check(
        &stage,
        expect![[r#"
        0     a reload begins with 2
        0     ask for the policies
        0     prepare 2
        0     Pending -> Preparing
        0     Preparing -> Starting
        0     ask for the plan
        0     hand the state of 1 over to 2
        0     Starting -> InProgress
        1     2 has its state: Live
        1     result: Cancelled, 1 -> 2, evidence None, lost 0
        1     InProgress -> Cancelled: the file was removed
        1     route to none
        1     drain 1
        1     stopped
        1     unload 2
        1     forget the content 02
        1     unload 1
    "#]],
    );
}

#[test]
fn a_newer_file_waits_for_the_hand_over_and_takes_the_state_on() {
    let mut stage = Stage::keeping_state();
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.answers.hands = false;
    stage.drop_file(2);
    stage.drop_file(3);
    assert_eq!(stage.view().candidate.unwrap().number, number(2));
    stage.answers.hands = true;
    stage.pass(3);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     hand the state of 1 over to 2
            0     Starting -> InProgress
            1     2 has its state: Live
            1     route to 2
            1     result: Cancelled, 1 -> 2, evidence None, lost 0, state Live
            1     InProgress -> Cancelled: superseded by a newer version
            1     a reload begins with 3
            1     ask for the policies
            1     prepare 3
            1     Pending -> Preparing
            1     Preparing -> Starting
            1     ask for the plan
            1     hand the state of 2 over to 3
            1     Starting -> InProgress
            1     3 has its state: Live
            1     route to 3
            1     unload 2
            1     forget the content 02
            2     evidence says Undecided
            4     evidence says Rollback(Candidate)
            4     InProgress -> RollingBack: evidence: so it looks
            4     route to 1
            4     drain 3
            4     quarantined: evidence: so it looks
            4     result: RolledBack, 3 -> 1, evidence None, lost 0, state Live, 30 calls ago, 3 s ago
            4     RollingBack -> RolledBack
            4     diverged: the file is quarantined because evidence: so it looks
            4     unload 3
        "#]],
    );
}

#[test]
fn a_listener_hears_with_a_copy_and_serves_with_the_state() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.strategy = Strategy::Parallel;
    stage.settings.reload.mirror.at_least = Duration::from_secs(2);
    stage.settings.reload.mirror.at_least_requests = 5;
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage.pass(2);
    check(
        &stage,
        expect![[r#"
        0     a reload begins with 2
        0     ask for the policies
        0     prepare 2
        0     Pending -> Preparing
        0     Preparing -> Starting
        0     ask for the plan
        0     hand the state of 1 over to 2
        0     Starting -> InProgress
        0     2 has its state: Live
        0     route to 1, copies to 2
        1     evidence says Proceed
        2     hand the state of 1 over to 2
        2     2 has its state: Live
        2     route to 2
    "#]],
    );
}

#[test]
fn state_is_not_split() {
    let mut stage = Stage::keeping_state();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.drop_file(2);
    let result = newest(&stage);
    assert_eq!(result.error_kind, Some(ErrorKind::TrafficSplittingFailed));
    let error = result.error.unwrap();
    assert!(
        error.contains("graceful") && error.contains("parallel"),
        "{error}"
    );
}

#[test]
fn without_preserve_state_the_agent_is_like_any_other() {
    let mut stage = Stage::new();
    stage.stateful = true;
    stage.settings.reload.preserve_state = false;
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.drop_file(1);
    stage.drop_file(2);
    assert_eq!(stage.view().split, 5);
}

#[test]
fn a_version_that_no_reload_is_about_gives_its_state_back() {
    let mut stage = baking();
    stage.settings.rollback.enabled = true;
    stage.has_health = true;
    stage.drop_file(3);
    stage.drop_file(1);
    check(
        &stage,
        expect![[r#"
        3     result: Cancelled, 1 -> 2, evidence None, lost 0, state Live
        3     InProgress -> Cancelled: superseded by a newer version
        3     a reload begins with 3
        3     ask for the policies
        3     prepare 3
        3     Pending -> Preparing
        3     Preparing -> Starting
        3     ask for the plan
        3     result: Cancelled, 1 -> 3, evidence None, lost 0
        3     Starting -> Cancelled: the content that was permanent is in the directory again
        3     hand the state of 2 over to 1
        3     unload 3
        3     forget the content 03
        3     1 has its state: Live
        3     route to 1
        3     drain 2
        3     unload 2
        3     forget the content 02
    "#]],
    );
}

#[test]
fn calls_that_are_counted_after_the_way_back_are_told_later() {
    let mut stage = baking();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    let (agent, end) = (stage.agent.clone(), stage.world.now);
    let start = Moment(end.0 - 1_000);
    let late = crate::stage::measure(number(2), 3, 0);
    stage.tell(Event::Measured {
        agent,
        start,
        end,
        versions: vec![late],
    });
    assert_eq!(newest(&stage).state.unwrap().calls_since, Some(43));
}
