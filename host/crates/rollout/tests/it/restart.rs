//! The host is killed and started again: what is remembered holds, and nothing skips ahead.

use std::time::Duration;

use caxton_rollout::{
    AgentState, Blame, Event, Evidence, FleetSettings, HotReloadStatus, Identity, Moment, Order,
    OrderError, Stage as Planned, StateChoice, Step, Strategy, Verdict,
};
use caxton_sim::Simulation;
use expect_test::expect;
use proptest::prelude::*;

use crate::scenarios::{check, kinds, last_status, number};
use crate::stage::{Stage, content};

fn rollback(to: Option<u64>) -> Order {
    Order::Rollback {
        to: to.map(number),
        state: StateChoice::Carry,
    }
}

fn splitting(component: u8) -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.answers.step = Step::Advance;
    stage.drop_file(component);
    stage
}

#[test]
fn the_permanent_version_serves_before_the_directory_was_looked_at() {
    let mut stage = Stage::serving();
    stage.world.restart().unwrap();
    assert_eq!(stage.view().state, AgentState::Starting);
    stage.answer_all();
    check(
        &stage,
        expect![[r#"
            0     restored: 1
            0     prepare 1
            0     route to 1
        "#]],
    );
    stage.world.decisions.clear();
    stage.drop_file(1);
    check(&stage, expect![""]);
}

#[test]
fn an_interrupted_reload_begins_again_from_its_first_stage() {
    let mut stage = splitting(2);
    stage.pass(40);
    assert_eq!(stage.view().split, 60);
    stage.world.decisions.clear();
    stage.restart();
    stage.drop_file(2);
    check(
        &stage,
        expect![[r#"
            40    result: Cancelled, 1 -> 2, evidence None, lost 0
            40    InProgress -> Cancelled: the host ended while it went on; it begins again when its file is still there
            40    restored: 1; 2 was Cancelled
            40    prepare 1
            40    route to 1
            40    a reload begins with 2
            40    2 begins again
            40    ask for the policies
            40    prepare 2
            40    Pending -> Preparing
            40    Preparing -> Starting
            40    ask for the plan
            40    route to 1, 10 % to 2
            40    Starting -> InProgress
        "#]],
    );
    let history = stage.world.fleet.history(&stage.agent).unwrap();
    let (old, new) = (history[0].id, stage.view().reload.unwrap().id);
    assert_ne!(old, new);
    assert!(
        stage
            .world
            .log
            .contains(&format!("continues: Some(HotReloadId({old}))"))
    );
}

#[test]
fn one_that_was_interrupted_twice_keeps_its_number_and_its_policies() {
    let mut stage = splitting(2);
    stage.restart();
    let first = stage.world.fleet.history(&stage.agent).unwrap()[0].id;
    stage.restart();
    stage.restart();
    stage.drop_file(2);
    assert_eq!(stage.view().candidate.unwrap().number, number(2));
    assert!(
        stage
            .world
            .log
            .contains(&format!("continues: Some(HotReloadId({first}))"))
    );
    // Before it has its policies it holds on to those of the first.
    let mut stage = splitting(2);
    stage.restart();
    let first = stage.world.fleet.history(&stage.agent).unwrap()[0].id;
    stage.answers.pin = Err(crate::stage::fault(
        "standard",
        caxton_rollout::FaultKind::Missing,
    ));
    let (agent, settings) = (stage.agent.clone(), stage.settings.clone());
    let content = content(2, false);
    let settings = std::sync::Arc::new(settings);
    stage
        .world
        .tell(Event::Wanted {
            agent,
            content,
            settings,
        })
        .unwrap();
    stage.world.open.clear();
    stage.restart();
    stage.answers.pin = Ok(());
    stage.world.log.clear();
    stage.drop_file(2);
    assert!(
        stage
            .world
            .log
            .contains(&format!("continues: Some(HotReloadId({first}))"))
    );
}

#[test]
fn another_file_takes_the_next_number_and_lets_go_of_the_old_policies() {
    let mut stage = splitting(2);
    stage.restart();
    stage.drop_file(3);
    assert_eq!(stage.view().candidate.unwrap().number, number(3));
    assert!(stage.world.log.contains("Unpin"));
    assert!(!stage.table().contains("begins again\n"));
}

#[test]
fn a_quarantine_holds_over_restarts() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.drop_file(2);
    stage.pass(1);
    assert_eq!(kinds(&stage), ["quarantined"]);
    stage.answers.verdict = Ok(Verdict::Proceed);
    for _ in 0..3 {
        stage.restart();
        assert_eq!(stage.view().serving, Some(number(1)));
        stage.drop_file(2);
        stage.drop_file(1);
        stage.drop_file(2);
        assert_eq!(kinds(&stage), ["quarantined"]);
        assert_eq!(stage.view().serving, Some(number(1)));
    }
    stage.remove();
    stage.restart();
    stage.drop_file(2);
    assert_eq!(
        stage.view().serving,
        None,
        "not even removed and made again"
    );
    stage.drop_file(3);
    assert_eq!(stage.view().serving, Some(number(3)));
}

#[test]
fn what_was_on_its_way_back_is_back() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.pass(301);
    stage.sleep(1_000);
    stage.answers.prepare = Ok(());
    let agent = stage.agent.clone();
    stage.world.order(&agent, rollback(None)).unwrap().unwrap();
    let reload = stage.view().reload.unwrap();
    assert_eq!(reload.status, HotReloadStatus::RollingBack);
    stage.restart();
    let view = stage.view();
    assert_eq!(
        (view.serving, view.permanent),
        (Some(number(1)), Some(number(1)))
    );
    let result = stage.world.fleet.history(&stage.agent).unwrap().remove(0);
    assert_eq!(
        (result.id, result.status, result.from, result.to),
        (
            reload.id,
            HotReloadStatus::RolledBack,
            Some(number(2)),
            Some(number(1))
        )
    );
    assert_eq!(result.error_kind, None, "an operator wanted it");
    stage.drop_file(2);
    assert_eq!(kinds(&stage), ["quarantined"]);
}

#[test]
fn an_order_that_waits_for_state_is_carried_out_by_the_start() {
    for (order, status) in [
        (
            Order::Abort {
                state: StateChoice::Carry,
            },
            HotReloadStatus::Cancelled,
        ),
        (rollback(None), HotReloadStatus::RolledBack),
    ] {
        let mut stage = Stage::keeping_state();
        stage.drop_file(2);
        stage.pass(1);
        assert_eq!(stage.view().serving, Some(number(2)));
        stage.answers.hands = false;
        stage.order(order).unwrap();
        stage.restart();
        assert_eq!(last_status(&stage), status);
        assert_eq!(stage.view().serving, Some(number(1)));
        stage.drop_file(2);
        assert_eq!(stage.view().serving, Some(number(1)), "{order}");
        assert!(stage.view().diverged.is_some());
    }
    let mut stage = Stage::keeping_state();
    stage.drop_file(2);
    stage.pass(301);
    stage.answers.hands = false;
    stage.order(rollback(None)).unwrap();
    stage.restart();
    assert_eq!(
        stage.view().permanent,
        Some(number(1)),
        "after completion, too"
    );
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
}

#[test]
fn an_unproven_version_is_watched_no_more() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.drop_file(2);
    assert_eq!(kinds(&stage), ["unproven"]);
    stage.world.decisions.clear();
    stage.restart();
    stage.drop_file(2);
    check(
        &stage,
        expect![[r#"
            0     2 is watched no more: the host ended while it was watched
            0     restored: 2; 2 was Completed
            0     prepare 2
            0     route to 2
        "#]],
    );
    let result = stage.world.fleet.history(&stage.agent).unwrap().remove(0);
    assert_eq!(result.evidence, Evidence::Insufficient);
}

#[test]
fn any_kept_version_can_be_gone_to_after_a_restart() {
    let mut stage = Stage::serving();
    for component in 2..=5 {
        stage.drop_file(component);
        stage.pass(301);
    }
    let identity = |stage: &Stage| {
        let stable = stage.view().stable.unwrap();
        Identity {
            component: stable.digest,
            config: stable.config_digest,
        }
    };
    let kept =
        |stage: &Stage| -> Vec<u64> { stage.view().kept.iter().map(|v| v.number.get()).collect() };
    stage.restart();
    assert_eq!(kept(&stage), [4, 3, 2]);
    for (to, then) in [(2, vec![4, 3]), (4, vec![3])] {
        stage.order(rollback(Some(to))).unwrap();
        assert_eq!(stage.view().serving, Some(number(to)));
        assert_eq!(identity(&stage), content(to as u8, false).identity);
        assert_eq!(kept(&stage), then);
        stage.restart();
        assert_eq!(stage.view().serving, Some(number(to)));
    }
    stage.order(rollback(None)).unwrap();
    assert_eq!(stage.view().serving, Some(number(3)));
    let refused = stage.order(rollback(Some(5)));
    assert!(matches!(refused, Err(OrderError::VersionNotFound { .. })));
    stage.drop_file(9);
    assert_eq!(stage.view().serving, Some(number(6)), "numbers go on");
}

#[test]
fn a_removed_agent_is_remembered_and_does_not_serve() {
    let mut stage = Stage::serving();
    stage.remove();
    stage.restart();
    assert_eq!(stage.view().state, AgentState::Stopped);
    assert_eq!(stage.view().serving, None);
    stage.drop_file(2);
    assert_eq!(stage.view().serving, Some(number(2)));
    assert_eq!(stage.world.fleet.history(&stage.agent).unwrap().len(), 2);
}

#[test]
fn an_agent_that_is_turned_off_stays_so_over_a_restart_with_what_is_known_of_it() {
    let mut stage = Stage::serving();
    stage.disable();
    stage.restart();
    assert_eq!(stage.view().state, AgentState::Stopped);
    stage.disable();
    stage.sleep(2 * 3_600);
    assert_eq!(stage.world.fleet.live(&stage.agent), []);
    assert_eq!(stage.view().kept.len(), 1);
    stage.drop_file(1);
    assert_eq!(stage.view().serving, Some(number(2)));
    // One that was turned off while nobody looked.
    stage.restart();
    stage.disable();
    assert_eq!(stage.view().state, AgentState::Stopped);
    assert_eq!(stage.view().serving, None);
}

#[test]
fn a_file_that_went_while_nobody_looked_stops_its_agent() {
    let mut stage = splitting(2);
    stage.restart();
    stage.remove();
    assert_eq!(stage.view().state, AgentState::Stopped);
    stage.sleep(2 * 3_600);
    assert_eq!(stage.world.fleet.live(&stage.agent), []);
    // A first deployment of which nothing is left either.
    let mut stage = Stage::new();
    stage.answers.prepare = Err("it does not come up");
    stage.drop_file(1);
    stage.restart();
    stage.remove();
    stage.sleep(2 * 3_600);
    assert!(stage.world.books[&stage.agent].contents.is_empty());
}

#[test]
fn a_first_deployment_begins_again_as_one() {
    let mut stage = Stage::new();
    stage.has_health = true;
    stage.drop_file(1);
    stage.pass(3);
    stage.restart();
    assert_eq!(stage.view().serving, None);
    stage.drop_file(1);
    stage.pass(12);
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn a_permanent_version_that_does_not_come_up_is_tried_again() {
    let mut stage = Stage::serving();
    stage.answers.prepare = Err("the disk is damaged");
    stage.restart();
    assert_eq!(stage.view().state, AgentState::Failed);
    assert_eq!(kinds(&stage), ["permanent-not-up"]);
    let text = "the permanent version 1 cannot be brought up: the disk is damaged";
    assert_eq!(stage.view().attention[0].text, text);
    assert_eq!(stage.view().last_error.as_deref(), Some(text));
    stage.world.decisions.clear();
    stage.sleep(200);
    check(
        &stage,
        expect![[r#"
            15    prepare 1
            45    prepare 1
            105   prepare 1
        "#]],
    );
    stage.answers.prepare = Ok(());
    stage.drop_file(1);
    assert_eq!(
        stage.view().serving,
        Some(number(1)),
        "its file tries at once"
    );
    assert_eq!(kinds(&stage), Vec::<&str>::new());
}

#[test]
fn an_operator_may_try_it_at_once() {
    let mut stage = Stage::serving();
    stage.answers.prepare = Err("the disk is damaged");
    stage.restart();
    stage.answers.prepare = Ok(());
    stage.order(Order::Retry).unwrap();
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn where_it_does_not_come_up_another_file_comes_in() {
    for strategy in [
        Strategy::Graceful,
        Strategy::Parallel,
        Strategy::TrafficSplitting,
    ] {
        let mut stage = Stage::serving();
        stage.settings.reload.strategy = strategy;
        stage.answers.prepare = Err("the disk is damaged");
        stage.restart();
        stage.answers.prepare = Ok(());
        stage.drop_file(2);
        let view = stage.view();
        assert_eq!(
            (view.serving, view.permanent),
            (Some(number(2)), Some(number(1)))
        );
        stage.pass(301);
        assert_eq!(stage.view().permanent, Some(number(2)));
        assert_eq!(kinds(&stage), Vec::<&str>::new());
    }
}

#[test]
fn a_lost_answer_does_not_keep_it_down() {
    let mut stage = Stage::serving();
    stage.world.restart().unwrap();
    stage.world.open.clear();
    stage.sleep(599);
    assert_eq!(stage.view().serving, None);
    stage.sleep(1 + 15);
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn an_operator_may_go_elsewhere_while_it_comes_up() {
    let mut stage = Stage::serving();
    stage.drop_file(2);
    stage.pass(301);
    stage.world.restart().unwrap();
    let agent = stage.agent.clone();
    stage
        .world
        .order(&agent, rollback(Some(1)))
        .unwrap()
        .unwrap();
    stage.answer_all();
    let view = stage.view();
    assert_eq!(
        (view.serving, view.permanent),
        (Some(number(1)), Some(number(1)))
    );
}

#[test]
fn a_set_aside_comes_back_when_it_was_to() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Environment));
    stage.drop_file(2);
    stage.pass(1);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.sleep(200);
    stage.restart();
    stage.drop_file(2);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.sleep(99);
    assert_eq!(stage.view().serving, Some(number(1)));
    stage.sleep(2);
    assert_eq!(stage.view().serving, Some(number(3)));
}

/// What is remembered lies in the future then: no wait becomes longer than it was.
#[test]
fn a_clock_that_was_set_back_makes_no_wait_longer() {
    let mut stage = Stage::serving();
    stage.settings.rollback.breaker.count = 1;
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Environment));
    stage.drop_file(2);
    stage.pass(1);
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.settings.rollback.breaker.count = 0;
    stage.world.now = Moment(5_000);
    stage.restart();
    stage.drop_file(2);
    let again = stage.view().quarantined[0].again_at.unwrap();
    assert_eq!(again, Moment(5_000 + 300_000));
    stage.sleep(301);
    assert_eq!(stage.view().serving, Some(number(3)));
    let memory = stage.world.fleet.memory(&stage.agent).unwrap();
    assert!(memory.rollbacks.iter().all(|at| *at <= stage.world.now));
    stage.remove();
    stage.world.now = Moment(1_000);
    stage.restart();
    stage.sleep(2 * 3_600);
    assert!(stage.view().kept.is_empty());
}

/// What is remembered of agents at some moment of a long life.
fn any_memories(seed: u64, reloads: u64) -> (Moment, Vec<caxton_rollout::Remembered>) {
    let mut simulation = Simulation::new(seed);
    simulation.run_only(reloads).unwrap();
    (simulation.world.now, simulation.world.journal.remembered())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Only what a start is meant to change changes: nothing serves yet, and what went on has ended.
    #[test]
    fn what_is_restored_is_what_was_remembered(seed in any::<u64>(), reloads in 1_u64..80) {
        let (now, remembered) = any_memories(seed, reloads);
        let settings = FleetSettings { max_reloads: 2, seed };
        let (fleet, commands) = caxton_rollout::Fleet::restore(settings, now, remembered.clone());
        let (again, same) = caxton_rollout::Fleet::restore(settings, now, remembered.clone());
        prop_assert_eq!(commands, same);
        for one in remembered {
            let (before, name) = (one.memory.clone(), one.memory.agent.clone());
            let after = fleet.memory(&name).unwrap();
            prop_assert_eq!(Some(after.clone()), again.memory(&name));
            prop_assert_eq!((after.serving, after.reload.as_ref()), (None, None));
            let mut expected = before.clone();
            expected.serving = None;
            expected.reload = None;
            // One that served without being permanent, and without a reload, is not gone on with.
            expected.versions.retain(|version| {
                let number = version.number;
                before.serving != Some(number)
                    || before.permanent == Some(number)
                    || before.kept.contains(&number)
            });
            expected.wanted = expected.permanent.and_then(|permanent| {
                before.wanted?;
                let known = expected.versions.iter().find(|v| v.number == permanent)?;
                Some(known.content.identity)
            });
            let long_gone = before.removed_at.is_some_and(|at| at.after(Duration::from_secs(3_600)) <= now);
            if long_gone {
                prop_assert!(after.kept.is_empty());
                continue;
            }
            match &before.reload {
                Some(reload) => {
                    prop_assert_eq!(after.history[0].result.id, reload.id);
                    prop_assert_eq!(after.next, before.next);
                    let rest = |memory: &caxton_rollout::Memory| -> Vec<_> {
                        let others = memory.history.iter().map(|past| past.result.clone());
                        others.filter(|result| result.id != reload.id).take(48).collect()
                    };
                    prop_assert_eq!(rest(&after), rest(&before));
                }
                None => prop_assert_eq!(after, expected),
            }
        }
    }
}
