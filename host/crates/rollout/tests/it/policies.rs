//! What policies can do and what they cannot, whatever they say.

use std::time::Duration;

use caxton_rollout::{
    Action, Blame, Event, Evidence, FaultKind, HotReloadStatus, OnInconclusive, OnUnproven, Order,
    Outcome, PolicyMode, Stage as Planned, Step, Strategy, Verdict,
};

use crate::scenarios::{kinds, last_status, number};
use crate::stage::{Stage, fault};

fn splitting() -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = [20, 40]
        .map(|split| Planned {
            at_least: Duration::from_secs(600),
            ..Planned::of(split)
        })
        .to_vec();
    stage.drop_file(2);
    stage
}

/// Takes one step of the strategy policy, and answers with the share after it.
fn step(stage: &mut Stage, step: Step) -> u8 {
    stage.answers.step = step;
    stage.pass(1);
    stage.view().split
}

/// Down and up until raises are refused.
fn swung() -> Stage {
    let mut stage = splitting();
    for _ in 0..2 {
        assert_eq!(step(&mut stage, Step::SetSplit(5)), 5);
        assert_eq!(step(&mut stage, Step::SetSplit(30)), 30);
    }
    assert_eq!(
        step(&mut stage, Step::SetSplit(5)),
        5,
        "less is always taken"
    );
    assert_eq!(step(&mut stage, Step::SetSplit(30)), 5);
    stage
}

#[test]
fn a_strategy_that_goes_back_and_forth_is_refused_from_the_third_turn_on() {
    let mut stage = swung();
    let clamp = "set-split 30 was refused: it goes back and forth between shares: the share stays low until an operator sets it, \
        promotes or resumes";
    assert_eq!(stage.decided().action, Action::Stay);
    assert_eq!(stage.decided().clamps, [clamp]);
    assert!(kinds(&stage).is_empty(), "one fault is none for a person");
    for forward in [Step::Advance, Step::Promote, Step::SetSplit(6)] {
        assert_eq!(step(&mut stage, forward), 5);
        assert_eq!(stage.view().serving, Some(number(1)));
    }
    assert_eq!(kinds(&stage), ["policy-faulty"]);
    assert_eq!(step(&mut stage, Step::SetSplit(3)), 3);
    assert!(kinds(&stage).is_empty());
}

#[test]
fn an_operator_lets_it_begin_anew() {
    for order in [
        Order::Resume,
        Order::SetSplit { percent: 50 },
        Order::Promote { now: false },
    ] {
        let mut stage = swung();
        stage.order(order).unwrap();
        match order {
            Order::Resume => {
                assert_eq!(step(&mut stage, Step::SetSplit(30)), 30);
                assert!(stage.order(order).is_err(), "there is nothing to resume");
            }
            Order::SetSplit { .. } => {
                assert_eq!(step(&mut stage, Step::SetSplit(60)), 50);
                stage.order(Order::Resume).unwrap();
                assert_eq!(step(&mut stage, Step::SetSplit(60)), 60);
            }
            _ => assert_eq!(stage.view().serving, Some(number(2))),
        }
    }
}

#[test]
fn one_way_up_is_no_turn_however_many_steps_it_has() {
    let mut stage = splitting();
    assert_eq!(step(&mut stage, Step::SetSplit(1)), 1);
    for percent in 2..60 {
        assert_eq!(step(&mut stage, Step::SetSplit(percent)), percent);
    }
    assert_eq!(step(&mut stage, Step::SetSplit(1)), 1);
    assert_eq!(step(&mut stage, Step::SetSplit(50)), 50);
}

#[test]
fn a_raise_by_the_next_stage_is_a_turn_like_any_other() {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = [20, 40]
        .map(|split| Planned {
            at_least: Duration::ZERO,
            ..Planned::of(split)
        })
        .to_vec();
    stage.drop_file(2);
    for _ in 0..2 {
        assert_eq!(step(&mut stage, Step::SetSplit(5)), 5);
        assert_eq!(step(&mut stage, Step::Advance), 20);
    }
    assert_eq!(step(&mut stage, Step::SetSplit(5)), 5);
    assert_eq!(step(&mut stage, Step::Advance), 5);
    assert!(stage.decided().clamps[0].contains("back and forth"));
}

#[test]
fn a_hold_freezes_shows_its_text_and_lifts_by_itself() {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = vec![Planned::of(20)];
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage.pass(1);
    stage.answers.verdict = Ok(Verdict::Hold);
    stage.pass(100);
    let view = stage.view();
    assert_eq!((view.split, view.attention.len()), (20, 1));
    let held = &view.attention[0];
    assert_eq!(
        (held.kind, held.text.as_str()),
        ("held", "evidence: so it looks")
    );
    let since = held.since;
    stage.pass(100);
    assert_eq!(
        stage.view().attention[0].since,
        since,
        "it is the same hold"
    );
    stage.answers.verdict = Ok(Verdict::Proceed);
    stage.pass(1);
    assert!(kinds(&stage).is_empty());
    assert_eq!(stage.view().serving, Some(number(2)));
}

#[test]
fn a_hold_prolongs_a_bake_until_it_lifts() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Ok(Verdict::Hold);
    stage.drop_file(2);
    stage.pass(310);
    assert_eq!(kinds(&stage), ["held"]);
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.pass(1);
    assert_eq!(last_status(&stage), HotReloadStatus::Completed);
}

#[test]
fn a_hold_prolongs_a_bake_no_longer_than_a_reload_waits_for_progress() {
    for (unproven, serving, kind) in [
        (OnUnproven::Keep, 2, "unproven"),
        (OnUnproven::Hold, 2, "held"),
        (OnUnproven::Abort, 1, "diverged"),
    ] {
        let mut stage = Stage::serving();
        stage.settings.reload.deadline = Duration::from_secs(100);
        stage.settings.reload.on_unproven = unproven;
        stage.answers.verdict = Ok(Verdict::Hold);
        stage.drop_file(2);
        stage.pass(399);
        assert_eq!(kinds(&stage), ["held"]);
        stage.pass(2);
        assert_eq!(
            (kinds(&stage), stage.view().serving),
            (vec![kind], Some(number(serving)))
        );
    }
}

/// What was not asked has nothing that could be held against it.
#[test]
fn a_hold_without_any_request_does_not_prolong_a_bake() {
    let mut stage = Stage::serving();
    stage.load = (0, 0);
    stage.answers.verdict = Ok(Verdict::Hold);
    stage.drop_file(2);
    stage.pass(301);
    assert_eq!(
        (last_status(&stage), kinds(&stage)),
        (HotReloadStatus::Completed, vec!["unproven"])
    );
    let evidence = Evidence::Insufficient;
    assert_eq!(
        stage.world.fleet.history(&stage.agent).unwrap()[0].evidence,
        evidence
    );
}

#[test]
fn what_monitors_changes_nothing_whatever_it_does() {
    let run = |monitored: Option<Result<Verdict, caxton_rollout::Fault>>| {
        let mut stage = Stage::serving();
        stage.settings.reload.strategy = Strategy::TrafficSplitting;
        stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
        stage.settings.reload.bake = Duration::from_secs(20);
        stage.answers.step = Step::Advance;
        if let Some(said) = monitored {
            stage.also("watching", PolicyMode::Monitor);
            stage.answers.monitored = said;
        }
        stage.drop_file(2);
        stage.pass(90);
        let told = |(_, what): &&(_, String)| !what.contains("watching");
        let table: Vec<_> = stage.world.decisions.iter().filter(told).cloned().collect();
        (table, stage.decided(), stage.view().serving)
    };
    let without = run(None);
    for said in [
        Ok(Verdict::Rollback(Blame::Candidate)),
        Ok(Verdict::Hold),
        Ok(Verdict::Undecided),
        Err(fault("watching", FaultKind::Trap)),
        Err(fault("watching", FaultKind::Nonsense)),
    ] {
        assert_eq!(run(Some(said)), without);
    }
}

/// Slower than a tick, slower than anybody waits for, and then well again.
#[test]
fn a_slow_monitor_is_asked_one_thing_at_a_time_and_heard_however_late() {
    let mut stage = Stage::serving();
    stage.also("watching", PolicyMode::Monitor);
    stage.answers.monitored = Ok(Verdict::Hold);
    stage.drop_file(2);
    stage.answers.monitors = false;
    stage.pass(30);
    assert_eq!(stage.monitors.len(), 1, "and asked nothing more meanwhile");
    let says = "watching says Hold";
    let times = |stage: &Stage, text: &str| {
        let told = stage.world.decisions.iter();
        told.filter(|(_, what)| what.contains(text)).count()
    };
    assert_eq!(times(&stage, says), 0);
    let late = stage.monitors.remove(0);
    stage.tell(late);
    assert_eq!(times(&stage, says), 1, "{}", stage.table());
    stage.pass(62);
    assert_eq!(stage.monitors.len(), 2, "the first of them was given up");
    assert_eq!(times(&stage, "it was asked and did not answer"), 1);
    let lost = stage.monitors.remove(0);
    stage.tell(lost);
    assert_eq!(times(&stage, says), 1, "nobody waits for it any more");
}

#[test]
fn a_wish_does_not_outlive_a_fault_of_the_strategy_or_a_round_without_answers() {
    for silent in [false, true] {
        let mut stage = Stage::serving();
        stage.answers.step = Step::Promote;
        stage.drop_file(2);
        stage.order(Order::Pause).unwrap();
        stage.pass(1);
        assert!(stage.decided().clamps[0].contains("paused the reload"));
        if silent {
            for _ in 0..62 {
                stage.ask(1);
            }
        } else {
            stage.answers.lost_step = Some(fault("standard", FaultKind::Trap));
            stage.pass(1);
        }
        stage.world.open.clear();
        let agent = stage.agent.clone();
        assert_eq!(stage.world.order(&agent, Order::Resume), Ok(Ok(())));
        let reload = stage.view().reload.unwrap();
        assert_eq!(
            reload.status,
            HotReloadStatus::InProgress,
            "silent: {silent}"
        );
    }
}

#[test]
fn what_was_said_of_a_share_proves_nothing_of_all_traffic_however_late_it_comes() {
    let mut stage = splitting();
    stage.settings.reload.bake = Duration::ZERO;
    stage.drop_file(3);
    stage.answers.step = Step::Wait;
    stage.ask(1);
    let agent = stage.agent.clone();
    let promote = Order::Promote { now: false };
    assert_eq!(stage.world.order(&agent, promote), Ok(Ok(())));
    stage.answer_all();
    assert_eq!(stage.view().serving, Some(number(3)));
    assert_eq!(kinds(&stage), ["unproven"], "{}", stage.table());
    stage.pass(1);
    assert!(kinds(&stage).is_empty(), "now it was seen with all traffic");
}

#[test]
fn only_the_pins_that_were_asked_for_last_are_waited_for() {
    let mut stage = Stage::serving();
    let (agent, settings) = (stage.agent.clone(), stage.settings.clone());
    let wanted = |component| Event::Wanted {
        agent: agent.clone(),
        content: crate::stage::content(component, false),
        settings: std::sync::Arc::new(settings.clone()),
    };
    stage.world.tell(wanted(2)).unwrap();
    let first = stage.world.open[0].ticket;
    let waits = |stage: &Stage, ticket| stage.world.fleet.awaits_pins(&agent, ticket);
    assert!(waits(&stage, first));
    // Nobody answers, and it is asked again.
    stage.world.now = stage.world.now.after(Duration::from_secs(61));
    stage.world.tell(Event::Time).unwrap();
    let second = stage.world.open.last().unwrap().ticket;
    assert!(first != second && !waits(&stage, first) && waits(&stage, second));
    stage.answer_all();
    assert!(!waits(&stage, second), "it has its answer");
}

/// A policy that cannot make up its mind leaves room in the event stream for others.
#[test]
fn changes_of_mind_are_told_less_often_after_the_first() {
    for faulty in [false, true] {
        let mut stage = Stage::serving();
        stage.settings.reload.bake = Duration::from_secs(24 * 3_600);
        stage.drop_file(2);
        for second in 0..1_200 {
            stage.answers.verdict = match (second % 2 == 0, faulty) {
                (true, _) => Ok(Verdict::Undecided),
                (false, true) => Err(fault("evidence", FaultKind::Trap)),
                (false, false) => Ok(Verdict::Proceed),
            };
            stage.pass(1);
        }
        let news = |(_, what): &&(_, String)| what.contains("evidence");
        let told = stage.world.decisions.iter().filter(news).count();
        assert_eq!(told, 20 + 1_200 / 60, "faulty: {faulty}");
        stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
        stage.pass(1);
        assert!(stage.table().contains("evidence says Rollback(Candidate)"));
    }
}

#[test]
fn manual_that_only_monitors_does_not_disarm_the_guard() {
    let mut stage = Stage::serving();
    stage.also("manual", PolicyMode::Monitor);
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.load = (50, 50);
    stage.drop_file(2);
    stage.pass(1);
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn the_gravest_of_several_counts_in_any_order() {
    for (one, other) in [("a", "z"), ("z", "a")] {
        let mut stage = Stage::serving();
        stage.settings.rollback.policies.clear();
        stage.also(one, PolicyMode::Enforce);
        stage.also(other, PolicyMode::Enforce);
        stage.answers.step = Step::Promote;
        stage.drop_file(2);
        stage.answers.others.insert("a", Ok(Verdict::Undecided));
        stage.pass(1);
        assert_eq!(stage.decided().action, Action::Stay);
        stage.answers.others.insert("z", Ok(Verdict::Hold));
        stage.pass(1);
        assert!(matches!(stage.decided().action, Action::Hold { .. }));
        stage
            .answers
            .others
            .insert("a", Err(fault("a", FaultKind::Trap)));
        stage.pass(1);
        assert!(matches!(stage.decided().action, Action::Hold { .. }));
        let blame = Blame::Environment;
        stage
            .answers
            .others
            .insert("z", Ok(Verdict::Rollback(blame)));
        stage.pass(1);
        assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
    }
}

#[test]
fn a_faulty_policy_freezes_in_every_phase() {
    for strategy in [
        Strategy::Graceful,
        Strategy::Immediate,
        Strategy::Parallel,
        Strategy::TrafficSplitting,
    ] {
        for rollback in [true, false] {
            let mut stage = Stage::serving();
            stage.settings.reload.strategy = strategy;
            stage.settings.reload.deadline = Duration::from_secs(60);
            stage.settings.reload.on_inconclusive = OnInconclusive::Promote;
            if rollback {
                stage.answers.verdict = Err(fault("evidence", FaultKind::OutOfFuel));
            } else {
                stage.answers.lost_step = Some(fault("standard", FaultKind::OutOfFuel));
            }
            stage.drop_file(2);
            let serving = stage.view().serving;
            stage.pass(2_000);
            let view = stage.view();
            assert_eq!(
                (view.serving, kinds(&stage)),
                (serving, vec!["policy-faulty"])
            );
            let reload = view.reload.unwrap();
            assert_eq!(reload.status, HotReloadStatus::InProgress, "{strategy:?}");
        }
    }
}

/// While they are asked, policies may be well again and say it better.
#[test]
fn the_guard_waits_for_the_answer_and_not_for_ever() {
    let mut stage = Stage::serving();
    stage.answers.verdict = Err(fault("evidence", FaultKind::Trap));
    stage.drop_file(2);
    stage.pass(1);
    let measured = |stage: &mut Stage| {
        let (agent, start) = (stage.agent.clone(), stage.world.now);
        stage.world.now = start.after(Duration::from_secs(1));
        let end = stage.world.now;
        let versions = vec![crate::stage::measure(number(2), 20, 20)];
        let event = Event::Measured {
            agent,
            start,
            end,
            versions,
        };
        stage.world.tell(event).unwrap();
    };
    measured(&mut stage);
    assert_eq!(stage.view().serving, Some(number(2)));
    let mut well = stage.clone();
    well.answers.verdict = Ok(Verdict::Undecided);
    well.answer_all();
    assert_eq!(well.view().serving, Some(number(2)));
    // Nobody answers any more.
    for _ in 0..61 {
        measured(&mut stage);
    }
    assert_eq!(stage.view().serving, Some(number(1)));
}

#[test]
fn a_rollback_is_demanded_of_nobody_who_has_nowhere_to_go() {
    let mut stage = Stage::new();
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
    stage.load = (10, 10);
    stage.drop_file(1);
    stage.pass(30);
    assert_eq!(stage.view().serving, Some(number(1)));
    assert_eq!(last_status(&stage), HotReloadStatus::Completed);
    assert!(
        stage.world.decided.is_none(),
        "a first version is not judged"
    );
}

#[test]
fn the_history_that_policies_see_has_earlier_reloads_only() {
    let mut stage = Stage::serving();
    stage.settings.reload.bake = Duration::ZERO;
    stage.answers.verdict = Ok(Verdict::Undecided);
    stage.drop_file(2);
    stage.pass(1);
    assert_eq!(kinds(&stage), ["unproven"]);
    let context = stage.world.context.clone().unwrap();
    assert_eq!(context.history.len(), 1);
    assert_eq!(context.history[0].version.number, number(1));
    assert_eq!(context.history[0].outcome, Outcome::Completed);
    assert_eq!(context.stable.unwrap().number, number(1));
}
