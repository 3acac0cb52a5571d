//! Every sequence of a few events, over an alphabet that covers what can happen. The world checks after each step.

use std::time::Duration;

use caxton_rollout::{
    Blame, FaultKind, Order, Stage as Planned, StateChoice, Step, Strategy, Verdict,
};

use crate::stage::{Stage, fault};

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Letter {
    Drop(u8),
    Remove,
    /// The oldest open question is answered well, or badly.
    Answer(bool),
    /// The newest one is lost.
    Lose,
    Seconds(u64),
    Order(Order),
    /// The host is killed and started.
    Kill,
}

const ALPHABET: [Letter; 12] = [
    Letter::Drop(1),
    Letter::Drop(2),
    Letter::Drop(3),
    Letter::Remove,
    Letter::Answer(true),
    Letter::Answer(false),
    Letter::Lose,
    Letter::Seconds(7),
    Letter::Order(Order::Rollback {
        to: None,
        state: StateChoice::Carry,
    }),
    Letter::Order(Order::Abort {
        state: StateChoice::Carry,
    }),
    Letter::Order(Order::Promote { now: true }),
    Letter::Order(Order::Retry),
];

/// With a journal that takes its time, and a host that is killed.
const KILLED: [Letter; 10] = [
    Letter::Drop(1),
    Letter::Drop(2),
    Letter::Drop(3),
    Letter::Remove,
    Letter::Answer(true),
    Letter::Answer(false),
    Letter::Lose,
    Letter::Seconds(7),
    Letter::Order(Order::Rollback {
        to: None,
        state: StateChoice::Carry,
    }),
    Letter::Kill,
];

/// For what comes between the first traffic and all of it.
const ON_TRIAL: [Letter; 12] = [
    Letter::Drop(1),
    Letter::Drop(3),
    Letter::Remove,
    Letter::Answer(true),
    Letter::Answer(false),
    Letter::Lose,
    Letter::Seconds(7),
    Letter::Order(Order::Rollback {
        to: None,
        state: StateChoice::Carry,
    }),
    Letter::Order(Order::Abort {
        state: StateChoice::Snapshot,
    }),
    Letter::Order(Order::Promote { now: false }),
    Letter::Order(Order::Resume),
    Letter::Order(Order::SetSplit { percent: 50 }),
];

fn play(stage: &mut Stage, letter: Letter) {
    let agent = stage.agent.clone();
    match letter {
        Letter::Drop(component) => {
            let settings = std::sync::Arc::new(stage.settings.clone());
            let content = caxton_rollout::Content {
                stateful: stage.stateful,
                ..crate::stage::content(component, component == 2)
            };
            stage
                .world
                .tell(caxton_rollout::Event::Wanted {
                    agent,
                    content,
                    settings,
                })
                .unwrap();
        }
        Letter::Remove => stage
            .world
            .tell(caxton_rollout::Event::Removed { agent })
            .unwrap(),
        Letter::Answer(well) => {
            let Some(ticket) = stage.world.open.first().map(|question| question.ticket) else {
                return;
            };
            let question = stage.world.take(ticket).unwrap();
            let mut answering = stage.clone();
            if !well {
                answering.answers.pin = Err(fault("standard", FaultKind::Missing));
                answering.answers.prepare = Err("it does not come up");
                answering.answers.health = caxton_rollout::HealthOutcome::Failed("ill".to_owned());
                answering.answers.verdict = Ok(Verdict::Rollback(Blame::Candidate));
                answering.answers.hand_over = Some(caxton_rollout::HandOverError {
                    step: caxton_rollout::HandOverStep::Load,
                    message: "it does not know the format".to_owned(),
                    cut: 0,
                });
            }
            if question.asks == caxton_sim::Asks::Write {
                let result = if well {
                    Ok(())
                } else {
                    Err("the disk is full".to_owned())
                };
                return stage.world.write(&question, result).unwrap();
            }
            let event = answering.answer(question);
            stage.world.tell(event).unwrap();
        }
        Letter::Lose => {
            stage.world.open.pop();
        }
        Letter::Seconds(seconds) => {
            let end = stage.world.now.after(Duration::from_secs(seconds));
            while let Some(due) = stage.world.fleet.next_wakeup().filter(|due| *due <= end) {
                stage.world.now = due;
                stage.world.tell(caxton_rollout::Event::Time).unwrap();
            }
            stage.world.now = end;
            let start = caxton_rollout::Moment(end.0 - 1_000);
            let measured = caxton_rollout::Event::Measured {
                agent,
                start,
                end,
                versions: Vec::new(),
            };
            stage.world.tell(measured).unwrap();
        }
        Letter::Kill => stage.world.restart().unwrap(),
        Letter::Order(order) => {
            let _refused = stage.world.order(&agent, order).unwrap();
        }
    }
}

/// All continuations of so many letters; answers how many sequences that were.
fn explore(stage: &Stage, length: usize) -> u64 {
    explore_with(&ALPHABET, stage, length)
}

fn explore_with(alphabet: &[Letter], stage: &Stage, length: usize) -> u64 {
    if length == 0 {
        return 1;
    }
    let mut sequences = 0;
    for letter in alphabet.iter().copied() {
        let mut next = stage.clone();
        play(&mut next, letter);
        sequences += explore_with(alphabet, &next, length - 1);
    }
    sequences
}

fn quiet(mut stage: Stage) -> Stage {
    stage.settings.reload.drain_timeout = Duration::from_secs(5);
    stage.settings.reload.bake = Duration::from_secs(10);
    stage.settings.reload.warm_up = Some(Duration::ZERO);
    stage.world.quiet = true;
    stage
}

#[test]
fn from_nothing() {
    assert_eq!(explore(&quiet(Stage::new()), 4), 12_u64.pow(4));
}

#[test]
fn from_a_version_that_serves() {
    assert_eq!(explore(&quiet(Stage::serving()), 4), 12_u64.pow(4));
}

#[test]
fn from_a_version_that_bakes() {
    let mut stage = quiet(Stage::serving());
    stage.answers.drains = false;
    stage.drop_file(2);
    assert_eq!(explore(&stage, 4), 12_u64.pow(4));
}

#[test]
fn from_an_unproven_version_and_its_successor() {
    let mut stage = quiet(Stage::serving());
    stage.settings.reload.bake = Duration::ZERO;
    stage.drop_file(2);
    stage.drop_file(3);
    assert_eq!(explore(&stage, 4), 12_u64.pow(4));
}

fn on_trial(mut stage: Stage, strategy: Strategy) -> Stage {
    stage.settings.reload.strategy = strategy;
    stage.settings.reload.deadline = Duration::from_secs(20);
    stage.settings.reload.mirror.at_least = Duration::ZERO;
    stage.settings.reload.mirror.at_least_requests = 0;
    stage.answers.step = Step::Advance;
    stage
}

#[test]
fn from_a_share() {
    let mut stage = on_trial(quiet(Stage::serving()), Strategy::TrafficSplitting);
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.answers.drains = false;
    stage.drop_file(2);
    assert_eq!(explore_with(&ON_TRIAL, &stage, 4), 12_u64.pow(4));
}

#[test]
fn from_a_listener_with_a_copy_of_the_state() {
    let mut stage = on_trial(quiet(Stage::keeping_state()), Strategy::Parallel);
    stage.drop_file(2);
    assert_eq!(explore_with(&ON_TRIAL, &stage, 4), 12_u64.pow(4));
}

#[test]
fn from_state_on_its_way() {
    let mut stage = on_trial(quiet(Stage::keeping_state()), Strategy::Graceful);
    stage.answers.hands = false;
    stage.drop_file(2);
    assert_eq!(explore_with(&ON_TRIAL, &stage, 4), 12_u64.pow(4));
}

#[test]
fn from_a_bake_with_state() {
    let mut stage = quiet(Stage::keeping_state());
    stage.drop_file(2);
    assert_eq!(explore_with(&ON_TRIAL, &stage, 4), 12_u64.pow(4));
}

fn killed(mut stage: Stage, file: u8, length: usize) {
    stage.world.writes_at_once = false;
    stage.drop_file(file);
    let expected = (KILLED.len() as u64).pow(length as u32);
    assert_eq!(explore_with(&KILLED, &stage, length), expected);
}

#[test]
fn from_a_start_with_a_version_that_waits_to_be_written() {
    killed(quiet(Stage::serving()), 2, 4);
}

#[test]
fn from_a_start_with_a_first_deployment_that_waits_to_be_written() {
    killed(quiet(Stage::new()), 1, 4);
}

#[test]
fn from_a_start_with_state_that_waits_to_move() {
    let mut stage = on_trial(quiet(Stage::keeping_state()), Strategy::Graceful);
    stage.answers.hands = false;
    killed(stage, 2, 4);
}

#[test]
fn from_a_start_with_a_share() {
    let mut stage = on_trial(quiet(Stage::serving()), Strategy::TrafficSplitting);
    stage.settings.reload.stages = vec![Planned::of(10), Planned::of(60)];
    stage.drop_file(2);
    killed(stage, 2, 4);
}
