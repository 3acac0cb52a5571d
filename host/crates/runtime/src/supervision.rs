//! What keeps the instances of a version that traps from being made again and again: see [`crate::restarts`].
//!
//! Who needs an instance waits until one may be made, or until another one is free, and never longer than a call may take. The
//! request path reads one number; only a trap takes a lock, and the control path takes none.

use crate::call::CallError;
use crate::instance::Job;
use crate::restarts::{CrashLoop, Restarts};
use crate::serving::Serving;
use crossbeam_queue::ArrayQueue;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The traps of one version, and who waits for an instance because of them.
pub(crate) struct Supervision {
    begun: Instant,
    restarts: Mutex<Restarts>,
    /// Microseconds from the beginning to the moment from which on an instance may be made.
    ready_at: AtomicU64,
    /// The newest one that nobody took.
    crash_loop: ArrayQueue<CrashLoop>,
    waiting: AtomicUsize,
    /// An instance is idle, and somebody waits.
    idle: Notify,
}

impl Supervision {
    pub(crate) fn new() -> Self {
        // Two versions, and two hosts, are not late by the same time.
        let seed = RandomState::new().hash_one(0);
        Self {
            begun: Instant::now(),
            restarts: Mutex::new(Restarts::new(seed)),
            ready_at: AtomicU64::new(0),
            crash_loop: ArrayQueue::new(1),
            waiting: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// An instance that takes several calls trapped.
    pub(crate) fn trapped(&self, reason: &str) {
        let now = self.begun.elapsed();
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = restarts.trapped(now, reason) {
            self.crash_loop.force_push(told);
        }
        let ready_at = u64::try_from(restarts.ready_at().as_micros()).unwrap_or(u64::MAX);
        self.ready_at.store(ready_at, SeqCst);
    }

    pub(crate) fn take_crash_loop(&self) -> Option<CrashLoop> {
        self.crash_loop.pop()
    }

    /// When an instance may be made, where that is not now.
    pub(crate) fn ready_at(&self) -> Option<Instant> {
        let ready_at = self.begun + Duration::from_micros(self.ready_at.load(SeqCst));
        (ready_at > Instant::now()).then_some(ready_at)
    }

    /// Why a call found no instance in its time, where that is the reason.
    pub(crate) fn why(&self) -> Option<String> {
        let wait = self.ready_at()?.saturating_duration_since(Instant::now());
        Some(format!(
            "the agent keeps trapping, and its next instance is made in {} ms",
            wait.as_millis()
        ))
    }

    /// Tells those who wait that an instance is idle.
    pub(crate) fn offered(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.idle.notify_one();
        }
    }
}

impl Serving {
    /// Waits until an instance may be made for the job. None: another instance took it, or it was refused.
    pub(crate) async fn until_replaced(&self, mut job: Job) -> Option<Job> {
        if self.reuse() == 1 || self.supervision.ready_at().is_none() {
            return Some(job);
        }
        let call = Arc::clone(job.call());
        let patience = call.started + self.spec.limits.request_timeout;
        let _waiting = Waiting::begin(&self.supervision.waiting);
        while let Some(ready_at) = self.supervision.ready_at() {
            // Whoever waits counts itself before it looks: an instance that is offered after the look tells.
            let mut idle = pin!(self.supervision.idle.notified());
            idle.as_mut().enable();
            job = self.hand_to_idle(job)?;
            tokio::select! {
                biased;
                () = self.cut_after(call.cut_round) => {
                    job.refuse(CallError::Cut);
                    return None;
                }
                () = sleep_until(ready_at) => {}
                () = sleep_until(patience.into()) => {
                    let why = self.supervision.why().unwrap_or_default();
                    job.refuse(CallError::Busy(why));
                    return None;
                }
                () = idle => {}
            }
        }
        // The guest's time begins now: what it lost by waiting is not the call's.
        call.take_turn();
        Some(job)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
