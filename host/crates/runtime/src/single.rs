//! The one instance of a version that has only one, and the line in front of it.
//!
//! One task owns the instance for as long as the version lives. The line is the task's and not the instance's: an instance that
//! ends between two calls takes none of them along. Calls come in order of arrival; what the host asks (a health check, a save, a
//! load) goes before the next call, and never into the middle of one.
//!
//! The task does not keep the version alive: with the last call and the last holder the line closes, and the task ends.

use crate::call::{Call, CallError};
use crate::counts::Outcome;
use crate::instance::{After, Instance, Job, make, supervise_unless_settled};
use crate::logs::LogStream;
use crate::serving::Serving;
use crate::spec::StateSpec;
use crate::state::{Snapshot, StateBook, StateError};
use crate::version::HealthOutcome;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How the rest of a version reaches its one instance.
pub(crate) struct Single {
    /// Unbounded by itself: who stands here has a place among the calls in flight until it leaves the line, and those are bounded.
    calls: mpsc::UnboundedSender<Job>,
    /// Unbounded by itself: the host asks for a few things, each with a time limit, and those that nobody waits for are skipped.
    asks: mpsc::UnboundedSender<Ask>,
    pub(crate) book: StateBook,
    /// The instance lives and nothing has entered it since the last save.
    as_saved: AtomicBool,
}

/// What the host wants between two calls.
enum Ask {
    /// Look whether the instance may stay.
    Look,
    /// Who asks learns that there is a gap, and then what the check found.
    Health {
        timeout: Duration,
        gap: oneshot::Sender<oneshot::Receiver<HealthOutcome>>,
    },
    Save {
        limit: Duration,
        deadline: Instant,
        answer: oneshot::Sender<Result<Snapshot, StateError>>,
    },
    Load {
        snapshot: Option<Snapshot>,
        limit: Duration,
        deadline: Instant,
        answer: oneshot::Sender<Result<(), StateError>>,
    },
}

/// The other end of both lines, until the task that reads them has begun.
pub(crate) struct Line {
    calls: mpsc::UnboundedReceiver<Job>,
    asks: mpsc::UnboundedReceiver<Ask>,
}

impl Single {
    pub(crate) fn new() -> (Self, Line) {
        let (calls, calls_line) = mpsc::unbounded_channel();
        let (asks, asks_line) = mpsc::unbounded_channel();
        let single = Self {
            calls,
            asks,
            book: StateBook::default(),
            as_saved: AtomicBool::new(false),
        };
        let line = Line {
            calls: calls_line,
            asks: asks_line,
        };
        (single, line)
    }

    /// Puts a call at the end of the line.
    pub(crate) fn enqueue(&self, job: Job) {
        if let Err(mpsc::error::SendError(job)) = self.calls.send(job) {
            job.refuse(lost());
        }
    }

    /// Asks the task to look whether its instance may stay.
    pub(crate) fn look_again(&self) {
        // A task that is gone has no instance.
        let _ = self.asks.send(Ask::Look);
    }

    pub(crate) fn is_as_saved(&self) -> bool {
        self.as_saved.load(SeqCst)
    }

    /// A check between two calls. Busy when no call ended within the timeout.
    pub(crate) async fn check_health(&self, timeout: Duration) -> HealthOutcome {
        let (gap, found) = oneshot::channel();
        let _ = self.asks.send(Ask::Health { timeout, gap });
        match tokio::time::timeout(timeout, found).await {
            Ok(Ok(outcome)) => outcome.await.unwrap_or(HealthOutcome::Busy),
            _ => HealthOutcome::Busy,
        }
    }

    pub(crate) async fn save(
        &self,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Snapshot, StateError> {
        let (answer, saved) = oneshot::channel();
        let _ = self.asks.send(Ask::Save {
            limit,
            deadline,
            answer,
        });
        saved.await.unwrap_or_else(|_| Err(lost().into()))
    }

    pub(crate) async fn load(
        &self,
        snapshot: Option<Snapshot>,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), StateError> {
        let (answer, loaded) = oneshot::channel();
        let _ = self.asks.send(Ask::Load {
            snapshot,
            limit,
            deadline,
            answer,
        });
        loaded.await.unwrap_or_else(|_| Err(lost().into()))
    }
}

fn lost() -> CallError {
    CallError::Host("the task that owns the version's instance ended".into())
}

/// What is next.
enum Next {
    Ask(Ask),
    Call(Job),
    Checkpoint,
}

impl Line {
    /// Begins the task.
    pub(crate) fn start(self, serving: &Arc<Serving>) {
        tokio::spawn(live(self, Arc::downgrade(serving), serving.spec.state));
    }

    async fn next(&mut self, checkpoint: Option<Instant>) -> Option<Next> {
        if checkpoint.is_some_and(|due| due <= Instant::now()) && self.asks.is_empty() {
            // Before the next call, or a busy agent would never have one taken.
            return Some(Next::Checkpoint);
        }
        let due = async {
            match checkpoint {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ask = self.asks.recv() => ask.map(Next::Ask),
            () = due => Some(Next::Checkpoint),
            job = self.calls.recv() => job.map(Next::Call),
        }
    }
}

async fn live(mut line: Line, serving: Weak<Serving>, state: Option<StateSpec>) {
    let mut keeper = Keeper {
        instance: None,
        state,
        answered: 0,
        kept: Instant::now(),
        told: false,
    };
    while let Some(next) = line.next(keeper.checkpoint_due()).await {
        let Some(serving) = serving.upgrade() else {
            return;
        };
        let Some(single) = &serving.single else {
            return;
        };
        let step = async {
            match next {
                Next::Ask(ask) => keeper.asked(&serving, single, ask).await,
                Next::Call(job) => keeper.call(&serving, single, job).await,
                Next::Checkpoint => keeper.checkpoint(&serving, single).await,
            }
        };
        // Our own fault costs the instance, and not the version.
        if AssertUnwindSafe(step).catch_unwind().await.is_err() {
            keeper.end(single, "the host panicked".into());
        }
        if line.calls.is_empty() && serving.is_retired() {
            keeper.instance = None;
            single.as_saved.store(false, SeqCst);
        }
    }
}

/// Owns the instance.
struct Keeper {
    instance: Option<Instance>,
    state: Option<StateSpec>,
    /// Calls that the instance answered and that no snapshot knows of.
    answered: u64,
    /// When the state was last kept or loaded, or a try to keep it failed.
    kept: Instant,
    /// That the state is too large, or refused, has been told.
    told: bool,
}

impl Keeper {
    /// When the next checkpoint is due: only after calls, and only where there is something to save from.
    fn checkpoint_due(&self) -> Option<Instant> {
        let every = self.state?.checkpoint?;
        (self.instance.is_some() && self.answered > 0).then(|| self.kept + every)
    }

    async fn call(&mut self, serving: &Arc<Serving>, single: &Single, job: Job) {
        let call = Arc::clone(job.call());
        // Before its turn: a caller whose time is up meanwhile is shed, and the guest has all of its time.
        if self.instance.is_none() {
            until_replaced(serving, &call).await;
        }
        if job.is_abandoned() {
            return call.settle(Outcome::NotCounted);
        }
        if serving.is_cut(call.cut_round) {
            return job.refuse(CallError::Cut);
        }
        if !call.take_turn() {
            return call.settle(Outcome::NotCounted);
        }
        self.look(serving, single).await;
        if let Err(error) = self.ready_for(serving, single, &call).await {
            return job.refuse(error);
        }
        let Some(instance) = &mut self.instance else {
            return job.refuse(lost());
        };
        single.as_saved.store(false, SeqCst);
        let mirrored = call.is_copy();
        let after = instance.work(serving, job, false).await;
        supervise_unless_settled(serving, call);
        match after {
            // What copies leave behind nobody misses.
            After::Usable => self.answered += u64::from(!mirrored),
            After::Spent => {
                self.answered += u64::from(!mirrored);
                // It is sound, and only holds too much of its calls: what it knows goes on in the next.
                self.checkpoint(serving, single).await;
                self.end(
                    single,
                    "the agent kept what belongs to a call, and its instance went with it".into(),
                );
            }
            After::Trapped(reason) => {
                serving.supervision.trapped(&reason);
                self.end(single, CallError::Trap(reason).to_string());
            }
            After::Ended(reason) => self.end(single, reason),
        }
    }

    /// Makes an instance, with the state that it must have, if there is none.
    async fn ready_for(
        &mut self,
        serving: &Arc<Serving>,
        single: &Single,
        call: &Call,
    ) -> Result<(), CallError> {
        if self.instance.is_some() {
            return Ok(());
        }
        let limit = serving.spec.limits.request_timeout;
        let deadline = call.deadline();
        let made = tokio::select! {
            biased;
            made = revive(serving, single, deadline.into(), limit) => made,
            () = serving.cut_after(call.cut_round) => Err(CallError::Cut),
            () = tokio::time::sleep_until(deadline.into()) => Err(CallError::Deadline { limit }),
        };
        self.begin(made?);
        Ok(())
    }

    async fn asked(&mut self, serving: &Arc<Serving>, single: &Single, ask: Ask) {
        // Whoever asked may be gone: what was done for it stands.
        match ask {
            Ask::Look => self.look(serving, single).await,
            Ask::Health { timeout, gap } => {
                // A saved instance is not touched, nor is one that is about to be.
                if serving.is_closed() {
                    return;
                }
                let (answer, outcome) = oneshot::channel();
                if gap.send(outcome).is_ok() {
                    let _ = answer.send(self.check(serving, single, timeout).await);
                }
            }
            Ask::Save {
                limit,
                deadline,
                answer,
            } => {
                let saved = self.save(serving, single, deadline, limit).await;
                if let Ok(snapshot) = &saved {
                    single.book.set_saved(snapshot.clone());
                    single.as_saved.store(true, SeqCst);
                }
                let _ = answer.send(saved);
            }
            Ask::Load {
                snapshot,
                limit,
                deadline,
                answer,
            } => {
                let loaded = made_with(serving, snapshot.as_ref(), deadline, limit).await;
                let _ = answer.send(loaded.map(|instance| {
                    self.begin(instance);
                    single.as_saved.store(false, SeqCst);
                    single.book.set_checkpoint(snapshot);
                }));
            }
        }
    }

    /// Lets go of an instance that may reach what it must not, with its state kept if that can be.
    async fn look(&mut self, serving: &Arc<Serving>, single: &Single) {
        let stale = |instance: &Instance| instance.listening != serving.is_listening();
        if self.instance.as_ref().is_some_and(stale) {
            self.checkpoint(serving, single).await;
            self.end(
                single,
                "its grants changed, and its instance with them".into(),
            );
        }
    }

    async fn check(
        &mut self,
        serving: &Arc<Serving>,
        single: &Single,
        timeout: Duration,
    ) -> HealthOutcome {
        let Some(health) = serving.slot.code().and_then(|code| code.health.as_ref()) else {
            return HealthOutcome::Absent;
        };
        self.look(serving, single).await;
        let deadline = Instant::now() + timeout;
        let late = || HealthOutcome::late(timeout);
        if self.instance.is_none() {
            if serving.supervision.ready_at().is_some() {
                return HealthOutcome::Busy;
            }
            match tokio::time::timeout_at(deadline, revive(serving, single, deadline, timeout))
                .await
            {
                Err(_) => return late(),
                Ok(Err(CallError::Busy(_))) => return HealthOutcome::Busy,
                Ok(Err(error)) => return HealthOutcome::Failed(error.to_string()),
                Ok(Ok(instance)) => self.begin(instance),
            }
        }
        let Some(instance) = &mut self.instance else {
            return HealthOutcome::Busy;
        };
        single.as_saved.store(false, SeqCst);
        match tokio::time::timeout_at(deadline, instance.check(health)).await {
            Err(_) => {
                self.end(single, "a health check did not end in time".into());
                late()
            }
            Ok(Err(error)) => {
                if let CallError::Trap(reason) = &error {
                    serving.supervision.trapped(reason);
                }
                self.end(single, format!("in a health check {error}"));
                HealthOutcome::Failed(error.to_string())
            }
            Ok(Ok(answer)) => HealthOutcome::of(answer),
        }
    }

    async fn save(
        &mut self,
        serving: &Arc<Serving>,
        single: &Single,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Snapshot, StateError> {
        if deadline <= Instant::now() {
            return Err(StateError::Deadline { limit });
        }
        if self.instance.is_none() {
            let revived = revive(serving, single, deadline, limit);
            let made = tokio::time::timeout_at(deadline, revived).await;
            self.begin(made.map_err(|_| StateError::Deadline { limit })??);
        }
        let Some(instance) = &mut self.instance else {
            return Err(lost().into());
        };
        let saved = instance.save(serving, deadline, limit).await;
        self.kept = Instant::now();
        match &saved {
            Ok(_) => {
                self.answered = 0;
                self.told = false;
            }
            Err(error) if error.leaves_instance() => {}
            Err(error) => {
                if let StateError::Trap(reason) = error {
                    serving.supervision.trapped(reason);
                }
                self.end(single, format!("while it saved, {error}"));
            }
        }
        saved
    }

    /// Keeps the state for the instance after this one. What goes wrong is told in the agent's log, and the one before stays.
    async fn checkpoint(&mut self, serving: &Arc<Serving>, single: &Single) {
        if self.state.is_none() || self.answered == 0 || self.instance.is_none() {
            return;
        }
        let limit = serving.spec.limits.request_timeout;
        match self
            .save(serving, single, Instant::now() + limit, limit)
            .await
        {
            Ok(snapshot) => single.book.set_checkpoint(Some(snapshot)),
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    serving.log.line(
                        LogStream::Stderr,
                        format!("caxton: no checkpoint of the state was taken, the last one stays: {error}"),
                    );
                }
            }
        }
    }

    fn begin(&mut self, instance: Instance) {
        self.instance = Some(instance);
        self.answered = 0;
        self.kept = Instant::now();
    }

    /// The instance is gone, and with it what no snapshot has.
    fn end(&mut self, single: &Single, reason: String) {
        self.instance = None;
        single.as_saved.store(false, SeqCst);
        let answered = std::mem::take(&mut self.answered);
        if self.state.is_some() {
            single.book.lose(answered, reason);
        }
    }
}

/// Waits until an instance may be made in place of one that trapped, unless the call is cut meanwhile.
async fn until_replaced(serving: &Serving, call: &Call) {
    if let Some(ready_at) = serving.supervision.ready_at() {
        tokio::select! {
            () = tokio::time::sleep_until(ready_at) => {}
            () = serving.cut_after(call.cut_round) => {}
        }
    }
}

/// An instance that goes on from the last checkpoint. Where there is one, it never begins empty.
async fn revive(
    serving: &Arc<Serving>,
    single: &Single,
    deadline: Instant,
    limit: Duration,
) -> Result<Instance, CallError> {
    let trapped = |reason: &str| serving.supervision.trapped(reason);
    let made = make(serving).await;
    let mut instance = made.inspect_err(|error| {
        if let CallError::Trap(reason) = error {
            trapped(reason);
        }
    })?;
    if let Some(snapshot) = single.book.checkpoint() {
        let loaded = instance.load(serving, &snapshot, deadline, limit).await;
        loaded.map_err(|error| {
            if let StateError::Trap(reason) = &error {
                trapped(reason);
            }
            CallError::Instantiation(format!("its last state could not be loaded: {error}"))
        })?;
    }
    Ok(instance)
}

/// A new instance with this state.
async fn made_with(
    serving: &Arc<Serving>,
    snapshot: Option<&Snapshot>,
    deadline: Instant,
    limit: Duration,
) -> Result<Instance, StateError> {
    let late = |_| StateError::Deadline { limit };
    let made = tokio::time::timeout_at(deadline, make(serving)).await;
    let mut instance = made.map_err(late)??;
    if let Some(snapshot) = snapshot {
        instance.load(serving, snapshot, deadline, limit).await?;
    }
    Ok(instance)
}
