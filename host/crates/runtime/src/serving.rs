//! What the calls and instances of one version share: counts, places, idle instances, and the two ways to end it all.
//!
//! The request path adds to atomics, pops from a lock-free queue, and waits on wakers; it never waits for the control path.

use crate::admission::Admission;
use crate::call::{CallError, CallInfo};
use crate::compile::{Digest, Slot};
use crate::counts::{Counts, Outcome};
use crate::engine::Runtime;
use crate::inspect::Inspection;
use crate::instance::{Job, serve};
use crate::logs::LogSource;
use crate::refusals::Refusals;
use crate::single::Single;
use crate::spec::{AgentSpec, Instances};
use crate::supervision::Supervision;
use crossbeam_queue::ArrayQueue;
use futures::FutureExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use tokio::sync::{Notify, oneshot};

/// Where an idle instance waits for its next job.
pub(crate) type Mailbox = oneshot::Sender<Job>;

pub(crate) struct Serving {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) spec: AgentSpec,
    pub(crate) inspection: Inspection,
    pub(crate) digest: Digest,
    pub(crate) counts: Counts,
    /// What the copies of other versions' calls came to.
    pub(crate) mirrored: Counts,
    pub(crate) log: Arc<LogSource>,
    /// What its guests were refused.
    pub(crate) refusals: Arc<Refusals>,
    /// When instances that trap are replaced.
    pub(crate) supervision: Supervision,
    /// The one instance, where there is only one.
    pub(crate) single: Option<Single>,
    /// No call gets a place.
    closed: AtomicBool,
    /// Instances get nothing that reaches beyond them.
    listening: AtomicBool,
    in_flight: AtomicU32,
    /// Of those in flight, copies.
    mirrored_in_flight: AtomicU32,
    /// Of those in flight, calls whose reply is whole while their guest works on.
    lingering: AtomicU32,
    drained: Notify,
    cut_round: AtomicU64,
    /// Callers that lost their reply by a cut, all told.
    calls_cut: AtomicU64,
    cut: Notify,
    retired: AtomicBool,
    idle: ArrayQueue<Mailbox>,
}

impl Serving {
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        slot: Arc<Slot>,
        spec: AgentSpec,
        inspection: Inspection,
        digest: Digest,
    ) -> Arc<Self> {
        let log = LogSource::new(&runtime.logs, &spec.name, spec.number);
        let idle = ArrayQueue::new(spec.limits.concurrency.max(1) as usize);
        let instances =
            Instances::in_effect(spec.instances, inspection.contract, spec.state.is_some());
        let single = (instances == Instances::Single).then(Single::new);
        let (single, line) = single.unzip();
        let serving = Arc::new(Self {
            runtime,
            slot,
            spec,
            inspection,
            digest,
            counts: Counts::default(),
            mirrored: Counts::default(),
            refusals: Refusals::new(Arc::clone(&log)),
            log,
            supervision: Supervision::new(),
            single,
            closed: AtomicBool::new(false),
            listening: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            mirrored_in_flight: AtomicU32::new(0),
            lingering: AtomicU32::new(0),
            drained: Notify::new(),
            cut_round: AtomicU64::new(0),
            calls_cut: AtomicU64::new(0),
            cut: Notify::new(),
            retired: AtomicBool::new(false),
            idle,
        });
        if let Some(line) = line {
            line.start(&serving);
        }
        serving
    }

    /// How many calls one instance answers.
    pub(crate) fn reuse(&self) -> u32 {
        match Instances::in_effect(self.spec.instances, self.inspection.contract, false) {
            Instances::Reused { reuse } => reuse.max(1),
            Instances::Single => u32::MAX,
            Instances::Fresh => 1,
        }
    }

    /// Takes a place among the calls in flight, or sheds the call.
    pub(crate) fn admit(self: &Arc<Self>, info: CallInfo) -> Result<Admission, CallError> {
        let limit = self.spec.limits.concurrency;
        let before = self.in_flight.fetch_add(1, SeqCst);
        if info.mirrored {
            self.mirrored_in_flight.fetch_add(1, SeqCst);
        }
        let admission = Admission::new(Arc::clone(self), info, self.cut_round.load(Acquire));
        // Only now: see `admission`.
        if self.is_closed() {
            return Err(CallError::Closed);
        }
        // A copy that comes late must not do for good what was done once already.
        if info.mirrored && !self.is_listening() {
            return Err(CallError::Closed);
        }
        if before >= limit {
            admission.shed();
            return Err(CallError::Busy(format!(
                "{limit} calls of {} version {} are in flight",
                self.spec.name, self.spec.number
            )));
        }
        Ok(admission)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    /// The columns that a call counts in, if any.
    pub(crate) fn counts_of(&self, info: CallInfo) -> Option<&Counts> {
        if info.probe {
            None
        } else if info.mirrored {
            Some(&self.mirrored)
        } else {
            Some(&self.counts)
        }
    }

    /// Where an instance reports what is no single call's: its memory, and what the agent tells of itself.
    pub(crate) fn counts_while(&self, listening: bool) -> &Counts {
        if listening {
            &self.mirrored
        } else {
            &self.counts
        }
    }

    /// Counts a call that never got a place.
    pub(crate) fn shed(&self, info: CallInfo) {
        if let Some(counts) = self.counts_of(info) {
            counts.record(Outcome::NotCounted, 0, None);
        }
    }

    pub(crate) fn leave(&self, info: CallInfo) {
        if info.mirrored {
            self.mirrored_in_flight.fetch_sub(1, SeqCst);
        }
        if self.in_flight.fetch_sub(1, SeqCst) == 1 {
            self.drained.notify_waiters();
        }
    }

    /// Of those in flight, copies.
    pub(crate) fn mirrored_in_flight(&self) -> u32 {
        self.mirrored_in_flight.load(SeqCst)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            if self.in_flight() == 0 {
                return;
            }
            drained.await;
        }
    }

    pub(crate) fn reply_is_whole(&self) {
        self.lingering.fetch_add(1, SeqCst);
    }

    pub(crate) fn lingerer_left(&self) {
        self.lingering.fetch_sub(1, SeqCst);
    }

    /// Ends every call that is running now; later ones run. Returns how many callers lose by it.
    pub(crate) fn cut(&self) -> u64 {
        // A call that comes in between is counted and runs on, rather than ended and not counted.
        self.cut_round.fetch_add(1, SeqCst);
        let lingering = self.lingering.load(SeqCst);
        let running = self.in_flight().saturating_sub(lingering);
        self.cut.notify_waiters();
        u64::from(running)
    }

    /// Whether a call that was admitted in this round has been cut.
    pub(crate) fn is_cut(&self, round: u64) -> bool {
        self.cut_round.load(Acquire) != round
    }

    /// A caller has lost its reply by a cut.
    pub(crate) fn was_cut(&self) {
        self.calls_cut.fetch_add(1, SeqCst);
    }

    pub(crate) fn calls_cut(&self) -> u64 {
        self.calls_cut.load(SeqCst)
    }

    /// Resolves when a call that was admitted in this round is cut.
    pub(crate) async fn cut_after(&self, round: u64) {
        loop {
            // `Notified` counts notifications from here on, so none is lost between the look and the wait.
            let cut = self.cut.notified();
            if self.is_cut(round) {
                return;
            }
            cut.await;
        }
    }

    /// Hands a job to an idle instance, or makes one for it.
    ///
    /// A new instance runs on the caller's own task until it first waits: most calls have their answer by then, and no other
    /// thread was woken for them. What is left of its life becomes a task of its own, which no caller that goes away can drop.
    pub(crate) fn dispatch(self: &Arc<Self>, job: Job) {
        if let Some(single) = &self.single {
            return single.enqueue(job);
        }
        let Some(job) = self.hand_to_idle(job) else {
            return;
        };
        let mut life = Box::pin(serve(Arc::clone(self), job));
        if life.as_mut().now_or_never().is_none() {
            tokio::spawn(life);
        }
    }

    /// Hands a job to an instance that is idle; the job comes back where there is none.
    pub(crate) fn hand_to_idle(&self, mut job: Job) -> Option<Job> {
        while let Some(mailbox) = self.idle.pop() {
            job = mailbox.send(job).err()?;
        }
        Some(job)
    }

    /// Offers an instance for its next job. False: nobody will come any more.
    pub(crate) fn offer(&self, mailbox: Mailbox) -> bool {
        if self.idle.push(mailbox).is_err() {
            return false;
        }
        self.supervision.offered();
        if self.retired.load(SeqCst) {
            self.drop_idle();
        }
        true
    }

    /// Forgets mailboxes whose instance is gone.
    pub(crate) fn forget_closed(&self) {
        for _ in 0..self.idle.len() {
            match self.idle.pop() {
                Some(mailbox) if !mailbox.is_closed() => {
                    // A full queue means that another instance took the place: this one ends.
                    let _ = self.idle.push(mailbox);
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, SeqCst);
        self.drop_idle();
    }

    /// From here on no call enters an instance that was made otherwise.
    pub(crate) fn listen(&self, on: bool) {
        if self.listening.swap(on, SeqCst) != on {
            self.drop_idle();
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(SeqCst)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(SeqCst)
    }

    fn drop_idle(&self) {
        if let Some(single) = &self.single {
            single.look_again();
        }
        while self.idle.pop().is_some() {}
    }
}
