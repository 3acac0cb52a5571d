//! What gives a version more than it has is written before it is done; what is safe is done at once.

use std::time::Duration;

use caxton_rollout::{
    Action, Blame, HotReloadStatus, Order, Stage as Planned, StateChoice, Step, Strategy, Verdict,
};
use caxton_sim::Asks;

use crate::scenarios::{kinds, last_status, number};
use crate::stage::Stage;

const ABORT: Order = Order::Abort {
    state: StateChoice::Carry,
};

/// Version 1 serves, version 2 comes in, and the journal answers nobody.
fn coming(strategy: Strategy) -> Stage {
    let mut stage = Stage::serving();
    stage.settings.reload.strategy = strategy;
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.settings.reload.deadline = Duration::from_secs(40);
    stage.journal_answers(None);
    stage.drop_file(2);
    stage
}

fn waits(stage: &Stage) -> usize {
    let writes = |question: &&caxton_sim::Question| question.asks == Asks::Write;
    stage.world.open.iter().filter(writes).count()
}

/// The one question to the journal is answered, and everything that follows.
fn write(stage: &mut Stage) {
    let question = stage.world.open.iter().find(|q| q.asks == Asks::Write);
    let ticket = question.unwrap().ticket;
    let question = stage.world.take(ticket).unwrap();
    stage.world.write(&question, Ok(())).unwrap();
    stage.answer_all();
}

fn traffic(stage: &Stage) -> (u64, Option<u8>, Option<u64>) {
    let books = stage.world.books.get(&stage.agent).unwrap();
    let traffic = books.traffic.unwrap();
    (
        traffic.serving.get(),
        traffic.split.map(|split| split.percent),
        traffic.listener.map(|listener| listener.get()),
    )
}

#[test]
fn the_first_traffic_waits_whatever_the_strategy() {
    for (strategy, then) in [
        (Strategy::Graceful, (2, None, None)),
        (Strategy::Immediate, (2, None, None)),
        (Strategy::Parallel, (1, None, Some(2))),
        (Strategy::TrafficSplitting, (1, Some(10), None)),
    ] {
        let mut stage = coming(strategy);
        assert_eq!(traffic(&stage), (1, None, None), "{strategy:?}");
        assert_eq!(
            stage.view().reload.unwrap().status,
            HotReloadStatus::Starting
        );
        assert_eq!(waits(&stage), 1);
        write(&mut stage);
        assert_eq!(traffic(&stage), then, "{strategy:?}");
    }
}

#[test]
fn a_first_deployment_waits_once_for_all_of_it() {
    let mut stage = Stage::new();
    stage.journal_answers(None);
    stage.drop_file(1);
    let view = stage.view();
    assert_eq!((view.serving, view.permanent), (None, None));
    write(&mut stage);
    let view = stage.view();
    assert_eq!(
        (view.serving, view.permanent),
        (Some(number(1)), Some(number(1)))
    );
    assert_eq!(waits(&stage), 0);
    assert_eq!(
        stage.world.journal.disk[&stage.agent].permanent,
        Some(number(1))
    );
}

#[test]
fn a_larger_share_and_the_end_of_the_bake_wait() {
    let mut stage = coming(Strategy::TrafficSplitting);
    write(&mut stage);
    stage.order(Order::SetSplit { percent: 40 }).unwrap();
    assert_eq!(traffic(&stage), (1, Some(10), None));
    write(&mut stage);
    assert_eq!(traffic(&stage), (1, Some(40), None));
    stage.order(Order::SetSplit { percent: 7 }).unwrap();
    assert_eq!(traffic(&stage), (1, Some(7), None), "less never waits");
    stage.order(Order::Promote { now: false }).unwrap();
    assert_eq!(traffic(&stage), (1, Some(7), None));
    write(&mut stage);
    assert_eq!(traffic(&stage), (2, None, None));
    stage.order(Order::Promote { now: true }).unwrap();
    assert_eq!(stage.view().permanent, Some(number(1)));
    write(&mut stage);
    assert_eq!(stage.view().permanent, Some(number(2)));
}

#[test]
fn of_two_orders_that_wait_the_later_one_stands() {
    let mut stage = coming(Strategy::TrafficSplitting);
    write(&mut stage);
    stage.order(Order::SetSplit { percent: 40 }).unwrap();
    let first = stage.world.open.clone();
    stage.order(Order::SetSplit { percent: 60 }).unwrap();
    let early = first.iter().find(|q| q.asks == Asks::Write).unwrap();
    let early = stage.world.take(early.ticket).unwrap();
    stage.world.write(&early, Ok(())).unwrap();
    assert_eq!(traffic(&stage), (1, Some(10), None));
    write(&mut stage);
    assert_eq!(traffic(&stage), (1, Some(60), None));
    stage.order(Order::Promote { now: false }).unwrap();
    stage.order(Order::SetSplit { percent: 70 }).unwrap();
    stage.answers.written = Some(Ok(()));
    stage.answer_all();
    assert_eq!(traffic(&stage), (1, Some(70), None));
}

#[test]
fn a_journal_that_cannot_be_written_stops_what_widens_and_nothing_else() {
    let mut stage = coming(Strategy::TrafficSplitting);
    write(&mut stage);
    stage.journal_answers(Some(Err("no space left on device")));
    stage.answers.step = Step::Advance;
    stage.pass(120);
    assert_eq!(traffic(&stage), (1, Some(10), None));
    assert_eq!(kinds(&stage), ["not-recorded"]);
    let attention = stage.view().attention.remove(0);
    assert!(attention.text.contains("no space left on device"));
    assert_eq!(attention.command, "caxton status hello");
    let told = stage.table();
    assert_eq!(told.matches("not recorded").count(), 1, "{told}");
    assert_eq!(
        stage.view().reload.unwrap().status,
        HotReloadStatus::InProgress,
        "the deadline of 40 s stood still"
    );
    stage.answers.written = Some(Ok(()));
    stage.pass(5);
    assert_eq!(traffic(&stage), (1, Some(60), None));
    assert_eq!(kinds(&stage), Vec::<&str>::new());
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut stage = coming(Strategy::Graceful);
    stage.world.open.clear();
    stage.sleep(59);
    assert_eq!((waits(&stage), traffic(&stage)), (0, (1, None, None)));
    stage.sleep(1);
    assert_eq!(waits(&stage), 1);
    write(&mut stage);
    assert_eq!(traffic(&stage), (2, None, None));
}

/// What waited is dropped by what is safe, and a late answer to it changes nothing.
#[test]
fn what_is_safe_never_waits() {
    let demands: [fn(&mut Stage); 4] = [
        |stage| stage.order(ABORT).unwrap(),
        |stage| {
            stage.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
            stage.pass(1);
        },
        Stage::remove,
        |stage| stage.drop_file(1),
    ];
    for demand in demands {
        let mut stage = coming(Strategy::TrafficSplitting);
        write(&mut stage);
        stage.answers.step = Step::Advance;
        stage.pass(31);
        let late = stage.world.open.iter().find(|q| q.asks == Asks::Write);
        let late = late.unwrap().clone();
        demand(&mut stage);
        let books = &stage.world.books[&stage.agent];
        assert!(books.traffic.is_none_or(|to| to.split.is_none()));
        assert!(stage.view().reload.is_none());
        assert_eq!(waits(&stage), 1, "only what was dropped is still open");
        stage.world.take(late.ticket).unwrap();
        stage.world.write(&late, Ok(())).unwrap();
        let books = &stage.world.books[&stage.agent];
        assert!(books.traffic.is_none_or(|to| to.split.is_none()));
    }
}

#[test]
fn a_verdict_takes_all_traffic_away_at_once() {
    let mut stage = coming(Strategy::Graceful);
    write(&mut stage);
    stage.answers.verdict = Ok(Verdict::Rollback(Blame::Unknown));
    stage.pass(1);
    assert_eq!(traffic(&stage), (1, None, None));
    assert_eq!(last_status(&stage), HotReloadStatus::RolledBack);
    assert_eq!(waits(&stage), 0);
}

#[test]
fn a_decision_names_what_waits_once() {
    let mut stage = coming(Strategy::TrafficSplitting);
    write(&mut stage);
    stage.answers.step = Step::Advance;
    stage.pass(30);
    let decided = stage.decided();
    let share = Action::Share {
        percent: 60,
        stage: 1,
    };
    assert_eq!((decided.action, decided.clamps), (share, vec![]));
    stage.pass(1);
    let decided = stage.decided();
    assert_eq!(decided.action, Action::Stay);
    assert_eq!(
        decided.clamps,
        ["it is decided already, and waits until that is recorded"]
    );
    write(&mut stage);
    assert_eq!(traffic(&stage), (1, Some(60), None));
}

/// Requests wait at the gate by then: what follows the hand-over was written before it.
#[test]
fn what_follows_a_hand_over_was_written_before_it() {
    let mut stage = Stage::keeping_state();
    stage.journal_answers(None);
    stage.drop_file(2);
    assert!(!stage.table().contains("hand the state"));
    write(&mut stage);
    assert!(stage.table().contains("hand the state of 1 over to 2"));
    assert_eq!(traffic(&stage), (2, None, None));
    assert_eq!(waits(&stage), 0);
}

#[test]
fn pausing_drops_what_waits_and_resuming_asks_again() {
    let mut stage = coming(Strategy::Graceful);
    stage.order(Order::Pause).unwrap();
    let late = stage.world.open.clone();
    let late = late.iter().find(|q| q.asks == Asks::Write).unwrap();
    stage.world.take(late.ticket).unwrap();
    stage.world.write(late, Ok(())).unwrap();
    assert_eq!(traffic(&stage), (1, None, None));
    assert_eq!(waits(&stage), 0);
    stage.order(Order::Resume).unwrap();
    write(&mut stage);
    assert_eq!(traffic(&stage), (2, None, None));
}

#[test]
fn ticks_write_nothing() {
    let mut stage = Stage::serving();
    stage.world.journal.keeps_all = true;
    stage.pass(100);
    assert_eq!(stage.world.journal.all.len(), 0);
    stage.drop_file(2);
    stage.pass(1);
    let written = stage.world.journal.all.len();
    stage.pass(200);
    assert_eq!(stage.world.journal.all.len(), written, "in a bake, too");
}

#[test]
fn what_a_version_used_is_remembered_once_it_is_permanent_no_more() {
    let mut stage = Stage::serving();
    stage.load = (10, 1);
    stage.pass(50);
    stage.drop_file(2);
    stage.pass(301);
    let memory = stage.world.fleet.memory(&stage.agent).unwrap();
    let usage = |number: u64| {
        let version = memory.versions.iter().find(|v| v.number.get() == number);
        version.unwrap().usage
    };
    let first = usage(1).unwrap();
    assert_eq!((first.requests, first.failures), (500, 50));
    assert_eq!(usage(2), None);
}

#[test]
fn every_status_is_written() {
    let mut stage = Stage::serving();
    stage.has_health = true;
    stage.world.journal.keeps_all = true;
    stage.settings.reload.strategy = Strategy::TrafficSplitting;
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.answers.step = Step::Advance;
    stage.drop_file(2);
    stage.pass(80);
    // There are no stages in a bake.
    stage.answers.step = Step::Wait;
    stage.pass(320);
    let mut seen: Vec<_> = stage
        .world
        .journal
        .all
        .iter()
        .map(|memory| {
            let reload = memory.reload.as_ref();
            reload.map(|reload| (reload.status, reload.stage, reload.split))
        })
        .collect();
    seen.dedup();
    use HotReloadStatus::{InProgress, Pending, Preparing, Starting};
    let at = |status, stage, split| Some((status, stage, split));
    assert_eq!(
        seen,
        [
            at(Pending, None, 0),
            at(Preparing, None, 0),
            at(Starting, None, 0),
            at(InProgress, Some(0), 10),
            at(InProgress, Some(1), 60),
            at(InProgress, None, 100),
            None,
        ]
    );
}
