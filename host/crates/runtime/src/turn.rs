//! Turns for guests that compute for long, so that those that do not keep getting theirs.
//!
//! A guest gives way at every tick. That alone does not help a server whose workers are all busy with loops: sockets and timers
//! are looked at between two polls, each of which lasts a tick. So a guest that goes on past its first tick computes only while
//! it holds one of a few permits, fewer than there are workers, and it gives the permit back whenever it stops running.
//!
//! Time that passes while a guest waits in the host ticks too, at the first check after it. Each turn that ends without a tick
//! takes one back, so that a guest which mostly waits never queues, and one that mostly computes does, whatever it does between.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

/// Ticks that are remembered: so many turns without one make up for the longest computation.
const MAX_TICKS: u8 = 4;

/// The place of one store in the queue for computing. All of it is written inside polls of the store's task.
pub(crate) struct Turn {
    gate: Arc<Semaphore>,
    // Taken and given back inside one poll: never waited for.
    held: Mutex<Option<OwnedSemaphorePermit>>,
    ticks: AtomicU8,
    /// There was a tick in the poll that runs.
    ticked: AtomicBool,
    queues: AtomicBool,
    computes: AtomicBool,
}

impl Turn {
    pub(crate) fn new(gate: &Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::clone(gate),
            held: Mutex::default(),
            ticks: AtomicU8::new(0),
            ticked: AtomicBool::new(false),
            queues: AtomicBool::new(false),
            computes: AtomicBool::new(false),
        })
    }

    /// A new call has not computed for long yet.
    pub(crate) fn begin(&self) {
        self.ticks.store(0, Relaxed);
        self.computes.store(false, Relaxed);
    }

    /// Whether the guest was in the middle of a computation when it last stopped running.
    pub(crate) fn computes(&self) -> bool {
        self.computes.load(Relaxed)
    }

    /// What to do at a tick: give way, and come back with a permit unless this is the first tick.
    pub(crate) fn at_tick(self: &Arc<Self>) -> UpdateDeadline {
        UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(self).give_way()))
    }

    async fn give_way(self: Arc<Self>) {
        self.ticked.store(true, Relaxed);
        let before = self.ticks.load(Relaxed);
        self.ticks
            .store(before.saturating_add(1).min(MAX_TICKS), Relaxed);
        tokio::task::yield_now().await;
        if before == 0 {
            return;
        }
        self.queues.store(true, Relaxed);
        if let Ok(permit) = Arc::clone(&self.gate).acquire_owned().await {
            self.hold(Some(permit));
        }
        self.queues.store(false, Relaxed);
    }

    /// Runs a guest and gives its permit back whenever it stops running, even if only to wait.
    pub(crate) async fn during<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        std::future::poll_fn(|cx| {
            let poll = guest.as_mut().poll(cx);
            self.hold(None);
            self.stopped();
            poll
        })
        .await
    }

    fn stopped(&self) {
        let computes = self.ticked.swap(false, Relaxed) || self.queues.load(Relaxed);
        self.computes.store(computes, Relaxed);
        if !computes {
            let ticks = self.ticks.load(Relaxed);
            self.ticks.store(ticks.saturating_sub(1), Relaxed);
        }
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};

    /// A guest as its turn sees it: it ticks so often, then it waits in the host for ever.
    async fn ticks_and_waits(turn: &Arc<Turn>, ticks: u32) {
        for _ in 0..ticks {
            Arc::clone(turn).give_way().await;
        }
        std::future::pending().await
    }

    fn poll(guest: std::pin::Pin<&mut impl Future<Output = ()>>) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(guest.poll(&mut cx).is_pending());
    }

    #[test]
    fn a_guest_that_waits_in_between_never_queues() {
        let turn = Turn::new(&Arc::new(Semaphore::new(0)));
        for _ in 0..10 {
            let mut guest = pin!(turn.during(ticks_and_waits(&turn, 1)));
            poll(guest.as_mut());
            assert!(turn.computes());
            poll(guest.as_mut());
            assert!(!turn.computes() && !turn.queues.load(Relaxed));
        }
    }

    #[test]
    fn a_guest_that_computes_queues_even_if_it_waits_in_between() {
        let gate = Arc::new(Semaphore::new(1));
        let turn = Turn::new(&gate);
        for _ in 0..3 {
            let mut guest = pin!(turn.during(ticks_and_waits(&turn, 3)));
            for _ in 0..4 {
                poll(guest.as_mut());
            }
            assert_eq!(gate.available_permits(), 1, "given back with the turn");
        }
        let _taken = gate.try_acquire().unwrap();
        let mut guest = pin!(turn.during(ticks_and_waits(&turn, 1)));
        for _ in 0..5 {
            poll(guest.as_mut());
            assert!(turn.computes(), "it stands in the queue");
        }
    }
}
