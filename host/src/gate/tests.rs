//! The gate with many who wait.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures::poll;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use super::*;

/// Longer than any test here waits on a real clock.
const LONG: Duration = Duration::from_secs(60);
/// For waits that are to end.
const SHORT: Duration = Duration::from_millis(20);

fn closed() -> Arc<Gate> {
    let gate = Arc::new(Gate::new());
    gate.close();
    gate
}

/// Tasks that pass in the order of their numbers and note it, one queued after the other.
struct Callers {
    tasks: JoinSet<()>,
    passed: Arc<Mutex<Vec<usize>>>,
}

impl Callers {
    async fn queue(gate: &Arc<Gate>, count: usize) -> Self {
        let mut callers = Self {
            tasks: JoinSet::new(),
            passed: Arc::default(),
        };
        for number in 0..count {
            callers.add(gate, number);
            while gate.waiting() <= number {
                yield_now().await;
            }
        }
        callers
    }

    fn add(&mut self, gate: &Arc<Gate>, number: usize) {
        let (gate, passed) = (Arc::clone(gate), Arc::clone(&self.passed));
        self.tasks.spawn(async move {
            let turn = gate.pass(LONG).await.unwrap();
            // The others must not come in between, however long this takes.
            yield_now().await;
            passed.lock().unwrap().push(number);
            drop(turn);
        });
    }

    async fn all_passed(mut self) -> Vec<usize> {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut *self.passed.lock().unwrap())
    }
}

#[tokio::test]
async fn an_open_gate_lets_everybody_through_at_once() {
    let gate = Arc::new(Gate::new());
    let turns = [gate.pass(LONG).await, gate.pass(LONG).await];
    assert!(turns.iter().flatten().all(|turn| !turn.was_waited_for()));
    assert_eq!((gate.waiting(), gate.is_closed()), (0, false));
    assert_eq!(gate.take_longest_wait(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_wait_go_through_in_the_order_in_which_they_came() {
    let gate = closed();
    let callers = Callers::queue(&gate, 500).await;
    gate.open();
    assert_eq!(callers.all_passed().await, (0..500).collect::<Vec<_>>());
    assert!(!gate.pass(LONG).await.unwrap().was_waited_for());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_again_keeps_the_order() {
    let gate = closed();
    let callers = Callers::queue(&gate, 300).await;
    for _ in 0..200 {
        gate.open();
        yield_now().await;
        gate.close();
        yield_now().await;
    }
    gate.open();
    assert_eq!(callers.all_passed().await, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_comes_while_some_still_wait_does_not_overtake_them() {
    let gate = closed();
    let mut first = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut first).is_pending());
    let mut callers = Callers::queue(&gate, 0).await;
    callers.add(&gate, 0);
    while gate.waiting() < 2 {
        yield_now().await;
    }
    gate.open();
    let turn = first.await.unwrap();
    assert!(turn.was_waited_for());
    // The gate is open, and it is the first one's turn.
    callers.add(&gate, 1);
    while gate.waiting() < 2 {
        yield_now().await;
    }
    assert!(callers.passed.lock().unwrap().is_empty());
    drop(turn);
    assert_eq!(callers.all_passed().await, [0, 1]);
}

#[tokio::test]
async fn whoever_found_the_version_closed_waits_before_everybody_else() {
    let gate = closed();
    let mut first = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut first).is_pending());
    let mut second = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut second).is_pending());
    gate.open();
    let turn = first.await.unwrap();
    gate.close();
    let mut again = Box::pin(turn.again(LONG));
    assert!(poll!(&mut again).is_pending());
    assert!(poll!(&mut second).is_pending(), "it is closed");
    assert_eq!(gate.waiting(), 2);
    gate.open();
    assert!(poll!(&mut second).is_pending(), "it is not its turn");
    drop(again.await.unwrap());
    assert!(second.await.unwrap().was_waited_for());
}

#[tokio::test]
async fn a_gate_is_full_at_its_bound_and_who_leaves_makes_room() {
    let gate = Arc::new(Gate::bounded(2));
    gate.close();
    let mut first = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut first).is_pending());
    let mut second = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut second).is_pending());
    assert_eq!(gate.pass(LONG).await.unwrap_err(), GateError::Full);
    drop(first);
    assert_eq!(gate.waiting(), 1);
    let mut third = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut third).is_pending());
    gate.open();
    drop(second.await.unwrap());
    drop(third.await.unwrap());
    assert!(!gate.pass(LONG).await.unwrap().was_waited_for());
}

#[tokio::test]
async fn who_leaves_when_it_is_its_turn_hands_it_on() {
    let gate = closed();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut waiter = Box::pin(gate.pass(LONG));
        assert!(poll!(&mut waiter).is_pending());
        waiting.push(waiter);
    }
    let last = waiting.pop().unwrap();
    gate.open();
    // The first was called and never looked; the others leave out of the queue.
    drop(waiting);
    assert!(last.await.unwrap().was_waited_for());
    assert!(!gate.pass(LONG).await.unwrap().was_waited_for());
}

#[tokio::test]
async fn a_wait_ends_at_its_time_and_is_measured() {
    let gate = closed();
    let mut patient = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut patient).is_pending());
    let started = Instant::now();
    assert_eq!(gate.pass(SHORT).await.unwrap_err(), GateError::Timeout);
    let took = started.elapsed();
    assert!(took >= SHORT, "{took:?}");
    assert_eq!(gate.waiting(), 1);
    let longest = gate.take_longest_wait();
    assert!((SHORT..=took).contains(&longest), "{longest:?}");
    gate.open();
    drop(patient.await.unwrap());
    assert!(gate.take_longest_wait() > longest, "it waited longer");
    assert_eq!(gate.take_longest_wait(), Duration::ZERO);
}

#[tokio::test]
async fn a_turn_that_comes_when_the_time_is_up_is_not_lost() {
    let gate = closed();
    let mut hasty = Box::pin(gate.pass(SHORT));
    assert!(poll!(&mut hasty).is_pending());
    let mut patient = Box::pin(gate.pass(LONG));
    assert!(poll!(&mut patient).is_pending());
    tokio::time::sleep(2 * SHORT).await;
    gate.open();
    // Whether it goes through or not, the next one does.
    drop(hasty.await);
    drop(patient.await.unwrap());
    assert_eq!(gate.waiting(), 0);
}
