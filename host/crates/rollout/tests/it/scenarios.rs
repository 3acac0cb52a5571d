//! What the core decides in the situations that people will meet, as tables.

use std::time::Duration;

use caxton_rollout::{
    AgentName, AgentState, Blame, Event, Evidence, FaultKind, HealthOutcome, HotReloadStatus,
    OnUnproven, Order, OrderError, PolicyMode, PolicyRef, StateChoice, Strategy, Verdict,
    VersionNumber,
};
use expect_test::{Expect, expect};

use crate::stage::{Stage, content, fault};

pub(crate) fn check(stage: &Stage, expected: Expect) {
    expected.assert_eq(&stage.table());
}

pub(crate) fn number(number: u64) -> VersionNumber {
    VersionNumber::new(number).unwrap()
}

pub(crate) fn kinds(stage: &Stage) -> Vec<&'static str> {
    stage
        .view()
        .attention
        .iter()
        .map(|attention| attention.kind)
        .collect()
}

/// How the newest reload ended.
pub(crate) fn last_status(stage: &Stage) -> HotReloadStatus {
    stage
        .world
        .fleet
        .history(&stage.agent)
        .unwrap()
        .first()
        .unwrap()
        .status
}

#[test]
fn a_first_deployment_is_permanent_once_healthy() {
    let mut stage = Stage::new();
    stage.has_health = true;
    stage.drop_file(1);
    assert_eq!(stage.view().serving, None);
    stage.pass(12);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 1
            0     prepare 1
            0     Pending -> Preparing
            0     Preparing -> Starting
            10    route to 1
            10    Starting -> InProgress
            10    result: Completed, none -> 1, evidence None, lost 0
            10    InProgress -> Completed
        "#]],
    );
}

#[test]
fn a_good_version_bakes_and_completes() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.pass(1_300);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Proceed
            300   result: Completed, 1 -> 2, evidence Sufficient, lost 0
            300   InProgress -> Completed
            1200  unload 1
        "#]],
    );
}

#[test]
fn a_bad_version_goes_back_and_stays_away() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.pass(3);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.pass(1);
    stage.drop_file(1);
    stage.drop_file(2);
    assert_eq!(kinds(&stage), ["quarantined"]);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(3)));
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Undecided
            4     evidence says Rollback(Candidate)
            4     InProgress -> RollingBack: evidence: so it looks
            4     route to 1
            4     drain 2
            4     quarantined: evidence: so it looks
            4     result: RolledBack, 2 -> 1, evidence None, lost 0
            4     RollingBack -> RolledBack
            4     diverged: the file is quarantined because evidence: so it looks
            4     unload 2
            4     forget the content 02
            4     diverged: the file is quarantined because evidence: so it looks
            4     an operator says retry
            4     a reload begins with 3
            4     ask for the policies
            4     prepare 3
            4     Pending -> Preparing
            4     Preparing -> Starting
            4     ask for the plan
            4     route to 3
            4     drain 1
            4     Starting -> InProgress
        "#]],
    );
}

#[test]
fn an_environment_at_fault_brings_the_version_back_three_times() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Environment));
    stage.drop_file(2);
    for wait in [1, 301, 601, 1_201, 100_000] {
        stage.sleep(wait);
        stage.pass(1);
    }
    let rolled_back = stage.world.seen[&HotReloadStatus::RolledBack];
    assert_eq!(rolled_back, 4, "once, and again after 5, 10 and 20 minutes");
    assert_eq!(kinds(&stage), ["diverged"]);
}

#[test]
fn a_version_that_is_not_well_never_gets_traffic() {
    let mut stage = Stage::serving();
    stage.has_health = true;
    stage.answers.health = HealthOutcome::Failed("503".to_owned());
    stage.drop_file(2);
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
            0     2 is not well: 503
            5     2 is not well: 503
            10    2 is not well: 503
            10    set aside: its health check failed 3 times in a row: 503; again in None s
            10    result: Failed, 1 -> 2, evidence None, lost 0
            10    Starting -> Failed: its health check failed 3 times in a row: 503
            10    diverged: the file is set aside because its health check failed 3 times in a row: 503
            10    unload 2
        "#]],
    );
}

#[test]
fn health_must_keep_passing_for_the_whole_warm_up() {
    let mut stage = Stage::serving();
    stage.has_health = true;
    stage.drop_file(2);
    stage.pass(4);
    stage.answers.health = HealthOutcome::Failed("503".to_owned());
    stage.pass(2);
    stage.answers.health = HealthOutcome::Passed;
    stage.pass(12);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.pass(4);
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn immediate_cuts_and_counts() {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::Immediate;
    stage.settings.reload.bake = Duration::from_secs(2);
    stage.answers.cut = 3;
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
            0     route to 2
            0     cut 1
            0     Starting -> InProgress
            0     3 calls were cut on 1
            1     evidence says Proceed
            2     result: Completed, 1 -> 2, evidence Sufficient, lost 3
            2     InProgress -> Completed
        "#]],
    );
}

#[test]
fn a_drain_that_does_not_end_is_cut_and_counted_after_the_end() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.answers.drains = false;
    stage.answers.cut = 2;
    stage.drop_file(2);
    stage.sleep(61);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            0     result: Completed, 1 -> 2, evidence Insufficient, lost 0
            0     InProgress -> Completed
            60    cut 1
            60    2 calls were cut on 1
            60    result: Completed, 1 -> 2, evidence Insufficient, lost 2
        "#]],
    );
}

#[test]
fn a_newer_file_takes_over_and_the_target_stays_the_permanent_version() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(5);
    stage.drop_file(3);
    stage.pass(2);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Unknown));
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
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Undecided
            5     result: Cancelled, 1 -> 2, evidence None, lost 0
            5     InProgress -> Cancelled: superseded by a newer version
            5     a reload begins with 3
            5     ask for the policies
            5     prepare 3
            5     Pending -> Preparing
            5     Preparing -> Starting
            5     ask for the plan
            5     route to 3
            5     drain 2
            5     Starting -> InProgress
            5     unload 2
            5     forget the content 02
            6     evidence says Undecided
            8     evidence says Rollback(Unknown)
            8     InProgress -> RollingBack: evidence: so it looks
            8     route to 1
            8     drain 3
            8     quarantined: evidence: so it looks
            8     result: RolledBack, 3 -> 1, evidence None, lost 0
            8     RollingBack -> RolledBack
            8     diverged: the file is quarantined because evidence: so it looks
            8     unload 3
        "#]],
    );
}

#[test]
fn a_successor_that_fails_leaves_the_baking_version_to_be_judged_anew() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(5);
    stage.answers.prepare = Err("it traps in its start");
    stage.drop_file(3);
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
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Undecided
            5     result: Cancelled, 1 -> 2, evidence None, lost 0
            5     InProgress -> Cancelled: superseded by a newer version
            5     a reload begins with 3
            5     ask for the policies
            5     prepare 3
            5     Pending -> Preparing
            5     set aside: it traps in its start; again in None s
            5     result: Failed, 1 -> 3, evidence None, lost 0
            5     Preparing -> Failed: it traps in its start
            5     a reload begins with 2
            5     ask for the policies
            5     diverged: the file is set aside because it traps in its start
            5     Pending -> Preparing
            5     Preparing -> Starting
            5     ask for the plan
            5     Starting -> InProgress
            6     evidence says Rollback(Candidate)
            6     InProgress -> RollingBack: evidence: so it looks
            6     route to 1
            6     drain 2
            6     quarantined: evidence: so it looks
            6     result: RolledBack, 2 -> 1, evidence None, lost 0
            6     RollingBack -> RolledBack
            6     unload 2
            6     forget the content 02
        "#]],
    );
}

#[test]
fn the_old_file_copied_over_is_a_rollback() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.pass(5);
    stage.drop_file(1);
    assert!(stage.view().quarantined.is_empty());
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Proceed
            5     InProgress -> RollingBack: the content that was permanent is in the directory again
            5     route to 1
            5     drain 2
            5     result: RolledBack, 2 -> 1, evidence None, lost 0
            5     RollingBack -> RolledBack
            5     unload 2
            5     forget the content 02
        "#]],
    );
}

#[test]
fn a_missing_policy_keeps_the_reload_pending() {
    let mut stage = Stage::serving();
    stage.answers.pin = Err(fault("mine", FaultKind::Missing));
    stage.drop_file(2);
    stage.sleep(20);
    assert_eq!(kinds(&stage), ["waiting-for-policy"]);
    assert_eq!(
        stage.view().reload.unwrap().status,
        HotReloadStatus::Pending
    );
    stage.answers.pin = Ok(());
    stage.sleep(5);
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn a_faulty_policy_holds_and_the_guard_goes_back() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.drop_file(2);
    stage.pass(400);
    assert_eq!(kinds(&stage), ["policy-faulty"]);
    assert_eq!(
        stage.view().reload.unwrap().status,
        HotReloadStatus::InProgress
    );
    stage.load = (4, 4);
    stage.pass(2);
    assert_eq!(
        stage.view().serving,
        Some(number(2)),
        "eight calls are too few"
    );
    stage.pass(1);
    assert_eq!(stage.view().serving, Some(number(1)));
    assert!(
        stage
            .view()
            .last_error
            .unwrap()
            .contains("the last 12 calls all failed")
    );
}

#[test]
fn the_guard_leaves_a_version_that_answers_now_and_then() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.drop_file(2);
    for _ in 0..5 {
        stage.load = (9, 9);
        stage.pass(1);
        stage.load = (9, 8);
        stage.pass(1);
    }
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn the_guard_never_acts_beside_manual_or_without_rollback() {
    for manual in [true, false] {
        let mut stage = Stage::serving();
        let manual_policy = PolicyRef {
            name: "manual".to_owned(),
            mode: PolicyMode::Enforce,
            settings: "{}".to_owned(),
        };
        if manual {
            stage.settings.rollback.policies.push(manual_policy);
        } else {
            stage.settings.rollback.enabled = false;
        }
        stage.answers.verdict = Err(fault("any", FaultKind::Trap));
        stage.load = (50, 50);
        stage.drop_file(2);
        stage.pass(30);
        assert_eq!(stage.view().serving, Some(number(2)));
    }
}

#[test]
fn an_unproven_version_completes_and_is_watched_on() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(310);
    assert_eq!(
        (last_status(&stage), kinds(&stage)),
        (HotReloadStatus::Completed, vec!["unproven"])
    );
    stage.sleep(3_600);
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
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            1     evidence says Undecided
            300   result: Completed, 1 -> 2, evidence Insufficient, lost 0
            300   InProgress -> Completed
            3911  evidence says Rollback(Candidate)
            3911  Completed -> RollingBack: evidence: so it looks
            3911  route to 1
            3911  drain 2
            3911  quarantined: evidence: so it looks
            3911  result: RolledBack, 2 -> 1, evidence Insufficient, lost 0
            3911  RollingBack -> RolledBack
            3911  diverged: the file is quarantined because evidence: so it looks
            3911  unload 2
        "#]],
    );
}

#[test]
fn an_unproven_version_may_prove_itself_later() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(2);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.pass(1);
    let history = stage.world.fleet.history(&stage.agent).unwrap();
    assert_eq!(history[0].evidence, Evidence::Sufficient);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            0     result: Completed, 1 -> 2, evidence Insufficient, lost 0
            0     InProgress -> Completed
            1     evidence says Undecided
            3     evidence says Proceed
            3     2 is watched no more: enough evidence came in
            3     result: Completed, 1 -> 2, evidence Sufficient, lost 0
        "#]],
    );
}

#[test]
fn nobody_is_watched_for_longer_than_a_day() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.sleep(24 * 3_600);
    assert!(kinds(&stage).is_empty());
    assert_eq!(stage.world.fleet.live(&stage.agent), [number(2)]);
}

#[test]
fn without_evidence_the_end_of_the_bake_is_what_was_configured() {
    for (unproven, serving) in [(OnUnproven::Hold, 2), (OnUnproven::Abort, 1)] {
        let mut stage = Stage::serving();
        stage.settings.reload.on_unproven = unproven;
        stage.answers.verdict = Ok(Verdict::Undecided);
        stage.drop_file(2);
        stage.pass(320);
        assert_eq!(stage.view().serving, Some(number(serving)), "{unproven:?}");
        let kind = if serving == 2 { "held" } else { "diverged" };
        assert_eq!(kinds(&stage), [kind]);
    }
}

#[test]
fn a_rollback_after_completion_reaches_a_version_that_was_unloaded() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(3);
    stage.drop_file(3);
    stage.pass(3);
    stage.sleep(2_000);
    assert_eq!(stage.world.fleet.live(&stage.agent), [number(3)]);
    stage.world.decisions.clear();
    let unknown = stage.order(Order::Rollback {
        to: Some(number(9)),
        state: StateChoice::Carry,
    });
    assert!(
        matches!(unknown, Err(OrderError::VersionNotFound { .. })),
        "{unknown:?}"
    );
    stage
        .order(Order::Rollback {
            to: Some(number(1)),
            state: StateChoice::Carry,
        })
        .unwrap();
    check(
        &stage,
        expect![[r#"
            2006  an operator says rollback --to 1
            2006  prepare 1
            2006  Completed -> RollingBack: an operator rolled it back
            2006  route to 1
            2006  drain 3
            2006  quarantined: an operator rolled it back
            2006  result: RolledBack, 3 -> 1, evidence Sufficient, lost 0
            2006  RollingBack -> RolledBack
            2006  diverged: the file is quarantined because an operator rolled it back
            2006  unload 3
        "#]],
    );
    assert_eq!(
        stage.view().diverged.as_deref(),
        Some("the file is quarantined because an operator rolled it back")
    );
    let nothing = stage.order(Order::Rollback {
        to: None,
        state: StateChoice::Carry,
    });
    assert!(
        matches!(nothing, Err(OrderError::NothingToDo { .. })),
        "2 came after 1: {nothing:?}"
    );
}

#[test]
fn nobody_goes_back_to_the_content_that_is_taken_back() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(2);
    stage.drop_file(1);
    let to_the_same = Order::Rollback {
        to: Some(number(1)),
        state: StateChoice::Carry,
    };
    let refused = stage.order(to_the_same).unwrap_err().to_string();
    assert_eq!(
        refused,
        "agent hello: `rollback --to 1` was not taken, and nothing has changed: that version has the content which would be taken \
         back: `promote` keeps it"
    );
    assert_eq!(stage.view().serving, Some(number(3)));
}

#[test]
fn a_rollback_that_cannot_be_prepared_leaves_the_present_version() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::from_secs(1);
    stage.drop_file(2);
    stage.pass(2);
    stage.sleep(2_000);
    stage.answers.prepare = Err("the disk is gone");
    stage
        .order(Order::Rollback {
            to: None,
            state: StateChoice::Carry,
        })
        .unwrap();
    assert_eq!(
        (last_status(&stage), stage.view().serving),
        (HotReloadStatus::Failed, Some(number(2)))
    );
    stage.answers.prepare = Ok(());
    stage
        .order(Order::Rollback {
            to: None,
            state: StateChoice::Carry,
        })
        .unwrap();
    assert_eq!(
        (last_status(&stage), stage.view().serving),
        (HotReloadStatus::RolledBack, Some(number(1)))
    );
}

#[test]
fn a_pause_stops_the_swap_and_nothing_else() {
    let mut stage = Stage::serving();
    stage.has_health = true;
    stage.drop_file(2);
    stage.order(Order::Pause).unwrap();
    stage.sleep(2 * 3_600);
    assert_eq!(stage.view().serving, Some(number(1)));
    assert_eq!(kinds(&stage), ["paused"]);
    assert!(stage.order(Order::Pause).is_err());
    stage.order(Order::Resume).unwrap();
    assert_eq!(stage.view().serving, Some(number(2)));
    let conflict = stage.order(Order::Retry);
    assert!(
        matches!(conflict, Err(OrderError::AlreadyInProgress { .. })),
        "{conflict:?}"
    );
    stage.order(Order::Promote { now: true }).unwrap();
    assert_eq!(last_status(&stage), HotReloadStatus::Completed);
}

#[test]
fn an_abort_takes_traffic_back() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage
        .order(Order::Abort {
            state: StateChoice::Carry,
        })
        .unwrap();
    assert_eq!(
        (last_status(&stage), stage.view().serving),
        (HotReloadStatus::Cancelled, Some(number(1)))
    );
    assert_eq!(kinds(&stage), ["diverged"]);
}

#[test]
fn a_version_that_makes_no_progress_is_put_aside_without_blame() {
    let mut stage = Stage::serving();
    stage.settings.reload.deadline = Duration::from_secs(30);
    stage.has_health = true;
    stage.answers.health = HealthOutcome::Busy;
    stage.drop_file(2);
    stage.sleep(29);
    assert_eq!(
        stage.view().reload.unwrap().status,
        HotReloadStatus::Starting
    );
    stage.sleep(2);
    assert_eq!(last_status(&stage), HotReloadStatus::Cancelled);
    assert!(stage.view().quarantined[0].again_at.is_some());
}

#[test]
fn a_removed_file_stops_the_agent_and_leaves_nothing() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.remove();
    stage.sleep(3_601);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            0     result: Cancelled, 1 -> 2, evidence None, lost 0
            0     InProgress -> Cancelled: the file was removed
            0     route to none
            0     drain 2
            0     stopped
            0     unload 1
            0     unload 2
            0     forget the content 02
            3600  forget the content 01
        "#]],
    );
}

#[test]
fn an_agent_that_is_turned_off_stops_in_order_and_is_remembered_until_its_file_is_gone() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.disable();
    stage.sleep(48 * 3_600);
    check(
        &stage,
        expect![[r#"
            0     a reload begins with 2
            0     ask for the policies
            0     prepare 2
            0     Pending -> Preparing
            0     Preparing -> Starting
            0     ask for the plan
            0     route to 2
            0     drain 1
            0     Starting -> InProgress
            0     result: Cancelled, 1 -> 2, evidence None, lost 0
            0     InProgress -> Cancelled: its configuration says `enabled = false`
            0     route to none
            0     drain 2
            0     stopped
            0     unload 1
            0     unload 2
            0     forget the content 02
        "#]],
    );
    assert_eq!(stage.view().state, AgentState::Stopped);
    assert_eq!(stage.view().kept.len(), 1);
    let refused = stage.order(Order::Retry).unwrap_err().to_string();
    assert!(refused.contains("`enabled = false`"), "{refused}");
    stage.drop_file(1);
    assert_eq!(stage.view().serving, Some(number(3)));
    stage.disable();
    stage.remove();
    stage.sleep(3_601);
    assert_eq!(stage.view().kept, [], "now it is gone like any other");
}

#[test]
fn an_agent_that_was_never_on_is_known_all_the_same() {
    let mut stage = Stage::new();
    stage.disable();
    assert_eq!(stage.view().state, AgentState::Stopped);
    assert_eq!(stage.world.fleet.live(&stage.agent), []);
    stage.drop_file(1);
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn first_deployments_go_first_where_slots_are_short() {
    let mut stage = Stage::serving();
    stage.world = caxton_sim::World::new(1, 1);
    stage.drop_file(1);
    let wanted = |name: &str, component| Event::Wanted {
        agent: AgentName::try_new(name).unwrap(),
        content: content(component, false),
        settings: std::sync::Arc::default(),
    };
    // Nobody answers from here on: the first reload keeps the only slot.
    for (name, component) in [("busy", 1), ("hello", 2), ("new", 1)] {
        stage.world.tell(wanted(name, component)).unwrap();
    }
    let pin = stage
        .world
        .open
        .iter()
        .find(|q| q.agent.as_ref() == "hello")
        .unwrap()
        .ticket;
    let pin = stage.world.take(pin).unwrap();
    let event = stage.answer(pin);
    stage.world.tell(event).unwrap();
    assert_eq!(kinds(&stage), ["waiting-for-slot"]);
    stage.world.decisions.clear();
    stage.answer_all();
    let order: Vec<&String> = stage.world.decisions.iter().map(|(_, what)| what).collect();
    let prepared: Vec<_> = order
        .iter()
        .filter(|what| what.starts_with("prepare"))
        .collect();
    assert_eq!(
        prepared,
        [&"prepare 1", &"prepare 2"],
        "the new agent, then hello's second version"
    );
}

/// A person who works on an agent drops the same bytes again: each time they are tried anew.
#[test]
fn without_quarantine_what_failed_or_was_taken_back_comes_in_again_when_it_is_dropped_again() {
    for quarantine in [true, false] {
        let mut stage = Stage::new();
        stage.settings.rollback.quarantine = quarantine;
        stage.settings.rollback.enabled = false;
        stage.drop_file(1);
        stage.answers.prepare = Err("it traps in its start");
        stage.drop_file(2);
        assert_eq!(last_status(&stage), HotReloadStatus::Failed);
        assert_eq!(kinds(&stage), ["diverged"]);
        stage.answers.prepare = Ok(());
        stage.drop_file(2);
        let is_in = stage.view().serving > Some(number(1));
        assert_eq!(is_in, !quarantine, "after it failed");
        if quarantine {
            continue;
        }
        assert!(kinds(&stage).is_empty());
        // An operator goes back; the file that is still there stays out until it is dropped again.
        let (to, state) = (None, StateChoice::Carry);
        stage.order(Order::Rollback { to, state }).unwrap();
        stage.pass(2);
        assert_eq!(stage.view().serving, Some(number(1)));
        assert_eq!(kinds(&stage), ["quarantined"]);
        stage.drop_file(2);
        assert!(stage.view().serving > Some(number(1)));
        assert!(stage.view().quarantined.is_empty());
    }
}
