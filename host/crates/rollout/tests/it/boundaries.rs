//! Every sync boundary: a life is written down, the host is killed before and after each of its writes, and goes on from there.
//! The world checks its laws all the way; here stands what must be there at the end.

use std::time::Duration;

use caxton_rollout::{
    Blame, HotReloadStatus, Order, Stage as Planned, StateChoice, Step, Strategy, Verdict,
};

use crate::scenarios::number;
use crate::stage::Stage;

/// Version 1 has just come in, everything that follows is kept.
fn written(strategy: Strategy, stateful: bool) -> Stage {
    let mut stage = Stage::new();
    stage.world.journal.keeps_all = true;
    stage.stateful = stateful;
    stage.settings.reload.strategy = strategy;
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.settings.reload.mirror.at_least = Duration::from_secs(3);
    stage.drop_file(1);
    stage
}

/// Kills the host at each boundary and lets it live on, with this file in the directory; answers with how many there were.
fn killed_everywhere(stage: &Stage, file: u8, check: impl Fn(&Stage, usize)) -> usize {
    let writes = stage.world.journal.all.len();
    for boundary in 0..=writes {
        let mut next = stage.clone();
        next.world.quiet = true;
        next.world.journal.rewind(boundary);
        let disk = next.world.journal.disk.get(&next.agent).cloned();
        next.restart();
        let permanent = disk.as_ref().and_then(|memory| memory.permanent);
        let back = disk
            .as_ref()
            .and_then(|memory| memory.reload.as_ref()?.returning.clone());
        let serves = back.map(|back| back.target).or(permanent);
        let serving = next
            .world
            .fleet
            .view(&next.agent)
            .and_then(|view| view.serving);
        assert_eq!(serving, serves, "after {boundary} writes");
        next.drop_file(file);
        live(&mut next, 1_500);
        check(&next, boundary);
    }
    writes
}

/// Lets seconds pass; the strategy policy goes on while there are stages, and waits while there are none.
fn live(stage: &mut Stage, seconds: u64) {
    for _ in 0..seconds {
        let view = stage.view();
        let comes = view.candidate.map(|candidate| candidate.number);
        let bakes = view.serving.is_some() && view.serving == comes;
        stage.answers.step = if bakes { Step::Wait } else { Step::Advance };
        stage.pass(1);
    }
}

fn content_of(stage: &Stage) -> u8 {
    stage.view().stable.unwrap().digest.bytes()[0]
}

#[test]
fn a_good_version_becomes_permanent_whenever_the_host_is_killed() {
    for (strategy, stateful) in [
        (Strategy::Graceful, false),
        (Strategy::Immediate, false),
        (Strategy::Parallel, false),
        (Strategy::TrafficSplitting, false),
        (Strategy::Graceful, true),
        (Strategy::Immediate, true),
        (Strategy::Parallel, true),
    ] {
        let mut stage = written(strategy, stateful);
        stage.pass(1);
        stage.drop_file(2);
        live(&mut stage, 600);
        assert_eq!(stage.view().permanent, Some(number(2)));
        let writes = killed_everywhere(&stage, 2, |next, boundary| {
            assert_eq!(content_of(next), 2, "{strategy:?} after {boundary} writes");
            assert!(next.view().reload.is_none());
        });
        assert!(writes >= 8, "{strategy:?}: {writes}");
    }
}

/// Once it is written that it goes back, it never answers again.
#[test]
fn a_bad_version_stays_out_once_that_is_written() {
    for strategy in [
        Strategy::Graceful,
        Strategy::Parallel,
        Strategy::TrafficSplitting,
    ] {
        let mut stage = written(strategy, false);
        stage.drop_file(2);
        stage.pass(2);
        let good = stage.world.journal.all.len();
        stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
        stage.pass(1);
        assert_eq!(stage.view().serving, Some(number(1)));
        stage.answers.verdict = Ok(Verdict::Proceed);
        killed_everywhere(&stage, 2, |next, boundary| {
            let out = content_of(next) == 1 && next.view().quarantined.iter().any(|q| q.blamed);
            assert_eq!(out, boundary > good, "{strategy:?} after {boundary} writes");
        });
    }
}

#[test]
fn an_operators_way_back_and_what_follows_it() {
    let mut stage = written(Strategy::Graceful, false);
    for component in [2, 3] {
        stage.drop_file(component);
        live(&mut stage, 400);
    }
    stage.sleep(1_000);
    let to = |number: u64| Order::Rollback {
        to: Some(crate::scenarios::number(number)),
        state: StateChoice::Carry,
    };
    stage.order(to(1)).unwrap();
    stage.order(to(2)).unwrap();
    let last = stage.world.journal.all.len();
    killed_everywhere(&stage, 3, |next, boundary| {
        let history = next.world.fleet.history(&next.agent).unwrap();
        let back = history
            .iter()
            .any(|result| result.status == HotReloadStatus::RolledBack);
        let expected = if back { 1..=2 } else { 3..=3 };
        assert!(
            expected.contains(&content_of(next)),
            "after {boundary} of {last} writes"
        );
    });
}
