//! The gate of an agent that keeps state: where requests wait, in order, while the state moves to another version.
//!
//! The gate knows no version and no table. Whoever passes it looks its route up anew, and whether that version takes the
//! request is decided there (`Version::admit`): a request that was on its way when the gate closed finds the version
//! closed and comes here. So the control path closes the gate first and the version then, and opens in the reverse
//! order: the version that is to serve, the table that names it, the gate.
//!
//! Those who wait go through one after the other: the next one gets its [`Turn`] when the one before has been admitted,
//! or has given up. Who comes while some still wait joins the end of the queue, also when the gate is open already. So
//! requests reach the version in the order in which they came.
//!
//! What must hold: while nobody waits at an open gate, passing it is one atomic load. The lock is held for a push, a pop
//! or a flag, by either side, and never while anything is waited for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// Requests that may wait at one gate. Each holds a connection, of which there are some thousand in all; more than this
/// many do not get their turn within the time that callers wait.
pub const MAX_WAITING: usize = 1_000;

/// How long a request waits unless the agent's configuration says otherwise.
pub const GATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GateError {
    /// As many wait as may.
    #[error("{MAX_WAITING} requests wait already")]
    Full,
    /// Its turn did not come in time.
    #[error("its turn did not come in time")]
    Timeout,
}

/// Lets requests through, or has them wait.
#[derive(Debug)]
pub struct Gate {
    /// The gate is open, nobody waits, and nobody's turn it is: whoever comes goes through.
    clear: AtomicBool,
    queue: Mutex<Queue>,
    /// In microseconds.
    longest: AtomicU64,
    bound: usize,
}

#[derive(Debug, Default)]
struct Queue {
    closed: bool,
    /// It is somebody's turn.
    taken: bool,
    waiting: VecDeque<Waiting>,
    /// What the next one who waits is told apart by.
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    call: oneshot::Sender<Turn>,
}

impl Gate {
    /// An open gate at which [`MAX_WAITING`] may wait.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(MAX_WAITING)
    }

    fn bounded(bound: usize) -> Self {
        Self {
            clear: AtomicBool::new(true),
            queue: Mutex::default(),
            longest: AtomicU64::new(0),
            bound,
        }
    }

    /// From here on nobody goes through but the one whose turn it is. Those who wait keep their places.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.note(&queue);
    }

    /// Lets those who wait through, in order.
    pub fn open(self: &Arc<Self>) {
        self.lock().closed = false;
        self.call_next(false);
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The longest that a request waited since the last take, whether it got through or not.
    pub fn take_longest_wait(&self) -> Duration {
        Duration::from_micros(self.longest.swap(0, Ordering::Relaxed))
    }

    /// Goes through: at once where nobody waits at an open gate, otherwise when all who came before did.
    ///
    /// The turn is kept until the request was admitted, or will not be; until then nobody else goes through.
    pub async fn pass(self: &Arc<Self>, timeout: Duration) -> Result<Turn, GateError> {
        if self.clear.load(Ordering::SeqCst) {
            return Ok(Turn(None));
        }
        let waiter = {
            let mut queue = self.lock();
            if !queue.closed && !queue.taken && queue.waiting.is_empty() {
                return Ok(Turn(None));
            }
            if queue.waiting.len() >= self.bound {
                return Err(GateError::Full);
            }
            self.join(&mut queue, VecDeque::push_back)
        };
        waiter.wait(timeout).await
    }

    /// Takes a place in the queue, at the end that `push` says.
    fn join(
        self: &Arc<Self>,
        queue: &mut Queue,
        push: fn(&mut VecDeque<Waiting>, Waiting),
    ) -> Waiter {
        let (call, called) = oneshot::channel();
        let number = queue.next;
        queue.next += 1;
        push(&mut queue.waiting, Waiting { number, call });
        self.note(queue);
        Waiter {
            gate: Arc::clone(self),
            number: Some(number),
            called,
        }
    }

    /// Makes it the next one's turn, if the gate is open and nobody's turn it is. `ended`: the turn before is over.
    fn call_next(self: &Arc<Self>, ended: bool) {
        let mut ended = ended;
        loop {
            let next = {
                let mut queue = self.lock();
                queue.taken &= !ended;
                let free = !queue.closed && !queue.taken;
                let next = free.then(|| queue.waiting.pop_front()).flatten();
                queue.taken |= next.is_some();
                self.note(&queue);
                next
            };
            let Some(next) = next else {
                return;
            };
            let Err(unheard) = next.call.send(Turn(Some(Arc::clone(self)))) else {
                return;
            };
            // It has just left. The turn is not ended by being dropped: that would be this function again.
            unheard.forget();
            ended = true;
        }
    }

    fn leave(&self, number: u64) {
        let mut queue = self.lock();
        if let Some(at) = queue.waiting.iter().position(|it| it.number == number) {
            queue.waiting.remove(at);
        }
        self.note(&queue);
    }

    fn note(&self, queue: &Queue) {
        let clear = !queue.closed && !queue.taken && queue.waiting.is_empty();
        self.clear.store(clear, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic is done under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Somebody who waits. Dropped, it leaves the queue.
struct Waiter {
    gate: Arc<Gate>,
    /// `None` once it waits no more.
    number: Option<u64>,
    // Dropped after `drop` has run: a turn that came at the last moment is handed on by being dropped with it.
    called: oneshot::Receiver<Turn>,
}

impl Waiter {
    async fn wait(mut self, limit: Duration) -> Result<Turn, GateError> {
        let since = Instant::now();
        let called = timeout(limit, &mut self.called).await;
        let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.gate.longest.fetch_max(waited, Ordering::Relaxed);
        match called {
            Ok(Ok(turn)) => {
                self.number = None;
                Ok(turn)
            }
            // A call that is dropped unsent does not happen: the queue is the one place that it is taken from.
            Ok(Err(_)) | Err(_) => Err(GateError::Timeout),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.gate.leave(number);
        }
    }
}

/// Somebody's turn to go through. Dropped, it is the next one's. It is nobody's where nobody had to wait.
#[derive(Debug)]
#[must_use]
pub struct Turn(Option<Arc<Gate>>);

impl Turn {
    /// Whether the holder had to wait for it, so that others wait for the holder now.
    #[must_use]
    pub fn was_waited_for(&self) -> bool {
        self.0.is_some()
    }

    /// Waits again, before everybody else: the version that the holder found was closed, too.
    pub async fn again(mut self, timeout: Duration) -> Result<Self, GateError> {
        let Some(gate) = self.0.take() else {
            return Ok(self);
        };
        let waiter = gate.join(&mut gate.lock(), VecDeque::push_front);
        gate.call_next(true);
        waiter.wait(timeout).await
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.call_next(true);
        }
    }
}

#[cfg(test)]
mod tests;
