//! Turns for guests that compute for long, so that those that do not keep getting theirs.
//!
//! A guest gives way at every tick. That alone does not help a server whose workers are all busy with loops: sockets and timers
//! are looked at between two polls, each of which lasts a tick. So from its second tick on a guest computes only while it
//! holds one of a few permits, fewer than there are workers, and it gives the permit back whenever it stops running.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::UpdateDeadline;

/// The place of one store in the queue for computing.
pub(crate) struct Turn {
    gate: Arc<Semaphore>,
    // Taken and given back inside one poll of the store's task: never waited for.
    held: Mutex<Option<OwnedSemaphorePermit>>,
    computes_long: AtomicBool,
}

impl Turn {
    pub(crate) fn new(gate: &Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::clone(gate),
            held: Mutex::default(),
            computes_long: AtomicBool::new(false),
        })
    }

    /// A new call has not computed for long yet.
    pub(crate) fn begin(&self) {
        self.computes_long.store(false, Relaxed);
    }

    /// What to do at a tick: give way, and come back with a permit unless this is the first tick.
    pub(crate) fn at_tick(self: &Arc<Self>) -> UpdateDeadline {
        let turn = Arc::clone(self);
        UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                tokio::task::yield_now().await;
                if !turn.computes_long.swap(true, Relaxed) {
                    return;
                }
                if let Ok(permit) = Arc::clone(&turn.gate).acquire_owned().await {
                    turn.hold(Some(permit));
                }
            }),
        )
    }

    /// Runs a guest and gives its permit back whenever it stops running, even if only to wait.
    pub(crate) async fn during<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        std::future::poll_fn(|cx| {
            let poll = guest.as_mut().poll(cx);
            self.hold(None);
            poll
        })
        .await
    }

    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}
