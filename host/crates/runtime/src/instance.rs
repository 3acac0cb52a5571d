//! The task that owns one store: it makes the instance, takes one job after the other, and alone drops the store.
//!
//! Deadline and cut are watched outside the store's own event loop, which a guest that computes or waits in the host would
//! keep from turning. Whatever ends a run in the middle ends the instance: it is never entered again.

use crate::bindings::{handler, health, types};
use crate::body::AgentBody;
use crate::call::{Call, CallError, Failure, Message};
use crate::compile::EntryIndices;
use crate::counts::Outcome;
use crate::engine::Runtime;
use crate::run::{run_http, supervise};
use crate::serving::Serving;
use crate::store::AgentStore;
use crate::turn::Turn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Proxy;

/// How long a call waits for room among all instances of the host before it is shed.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// How long a reused instance waits for its next call before it gives its memory back.
const IDLE_INSTANCE: Duration = Duration::from_secs(60);

/// What an instance is asked to do.
pub(crate) enum Job {
    Http(HttpJob),
    Handle(HandleJob),
}

pub(crate) struct HttpJob {
    pub(crate) call: Arc<Call>,
    pub(crate) request: http::Request<WasiBody>,
    pub(crate) reply: oneshot::Sender<Result<http::Response<AgentBody>, CallError>>,
    /// A request whose reply carries no body on the wire.
    pub(crate) head_only: bool,
}

pub(crate) struct HandleJob {
    pub(crate) call: Arc<Call>,
    pub(crate) message: Message,
    pub(crate) reply: oneshot::Sender<Result<Message, CallError>>,
}

impl Job {
    pub(crate) fn call(&self) -> &Arc<Call> {
        match self {
            Self::Http(job) => &job.call,
            Self::Handle(job) => &job.call,
        }
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Http(job) => job.reply.is_closed(),
            Self::Handle(job) => job.reply.is_closed(),
        }
    }

    pub(crate) fn refuse(self, error: CallError) {
        self.call().settle(error.outcome());
        // The caller may be gone.
        match self {
            Self::Http(job) => drop(job.reply.send(Err(error))),
            Self::Handle(job) => drop(job.reply.send(Err(error))),
        }
    }
}

pub(crate) enum Entry {
    Http(Proxy),
    Handler(handler::Guest),
}

/// What a call left of its instance.
pub(crate) enum After {
    /// It may be entered again.
    Usable,
    /// It is sound, and holds things of its call that must not outlast it.
    Spent,
    /// It trapped: it must never be entered again.
    Trapped(String),
    /// It must never be entered again for another reason.
    Ended(String),
}

/// A store with its instance. Its place among all instances is given back after the store is gone.
pub(crate) struct Instance {
    pub(crate) store: Store<AgentStore>,
    pub(crate) entry: Entry,
    pub(crate) exports: wasmtime::component::Instance,
    pub(crate) turn: Arc<Turn>,
    /// Whether it was made for a version that only listens.
    pub(crate) listening: bool,
    _room: OwnedSemaphorePermit,
}

/// Makes an instance, and runs the guest's start code. Dropping the future drops all of it.
pub(crate) async fn make(serving: &Arc<Serving>) -> Result<Instance, CallError> {
    let room = room(serving).await?;
    make_in(serving, room).await
}

/// The same in a place that was taken before.
pub(crate) async fn make_in(
    serving: &Arc<Serving>,
    room: OwnedSemaphorePermit,
) -> Result<Instance, CallError> {
    let code = serving
        .slot
        .code()
        .ok_or_else(|| CallError::Host("the version has no code".into()))?;
    let turn = Turn::new(&serving.runtime.computing);
    let listening = serving.is_listening();
    let engine = code.pre.engine();
    let mut store = AgentStore::create(engine, serving, listening, Arc::clone(&turn))?;
    let made = match turn.during(code.pre.instantiate_async(&mut store)).await {
        Ok(exports) => match &code.entry {
            EntryIndices::HttpP3(indices) => indices
                .load(&mut store, &exports)
                .map(|service| (exports, Entry::Http(Proxy::P3(service)))),
            EntryIndices::HttpP2(indices) => indices
                .load(&mut store, &exports)
                .map(|proxy| (exports, Entry::Http(Proxy::P2(proxy)))),
            EntryIndices::Handler(indices) => indices
                .load(&mut store, &exports)
                .map(|guest| (exports, Entry::Handler(guest))),
        },
        Err(error) => Err(error),
    };
    match made {
        Ok((exports, entry)) => Ok(Instance {
            store,
            entry,
            exports,
            turn,
            listening,
            _room: room,
        }),
        Err(error) => Err(not_made(&error, store.data())),
    }
}

/// A place among all instances of the host.
pub(crate) async fn room(serving: &Serving) -> Result<OwnedSemaphorePermit, CallError> {
    let instances = &serving.runtime.instances;
    if let Ok(permit) = Arc::clone(instances).try_acquire_owned() {
        return Ok(permit);
    }
    let _waiting = Waiting::begin(&serving.runtime.waiting);
    serving.runtime.make_room.notify_one();
    match tokio::time::timeout(ROOM_WAIT, Arc::clone(instances).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(CallError::Busy(
            "the host holds as many instances as it may".into(),
        )),
    }
}

/// Counts itself among those that wait for a place.
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

fn not_made(error: &wasmtime::Error, data: &AgentStore) -> CallError {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return CallError::Busy("the pool of instances is full".into());
    }
    let message = explain(error, data);
    // Whatever was raised while the guest ran carries the guest's stack: an exit, a full table of resources. The rest is between
    // the component and the host.
    let guest_ran = error.downcast_ref::<Trap>().is_some()
        || error.downcast_ref::<I32Exit>().is_some()
        || error.downcast_ref::<WasmBacktrace>().is_some();
    if guest_ran {
        CallError::Trap(message)
    } else {
        CallError::Instantiation(message)
    }
}

/// The cause of a trap in a line, with what explains it.
pub(crate) fn explain(error: &wasmtime::Error, data: &AgentStore) -> String {
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            let fuel = data.fuel.unwrap_or_default();
            format!("it used up its fuel of {fuel} units")
        }
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    if data.limiter.refused() {
        format!("{cause} (after it was refused memory beyond its limit)")
    } else {
        cause
    }
}

/// What the caller of a guest that trapped is told; `reason` explains it.
pub(crate) fn trapped(error: &wasmtime::Error, reason: String, data: &AgentStore) -> CallError {
    match (error.downcast_ref::<Trap>(), data.fuel) {
        (Some(Trap::OutOfFuel), Some(fuel)) => CallError::OutOfFuel { fuel },
        _ => CallError::Trap(reason),
    }
}

impl Instance {
    /// The last call's tick has long passed: this one's time begins now, and its fuel is whole.
    pub(crate) fn enter(&mut self) {
        self.store.set_epoch_deadline(1);
        if let Some(fuel) = self.store.data().fuel {
            // Refused by an engine that does not meter, where there would be no store with a limit.
            let _ = self.store.set_fuel(fuel);
        }
        self.turn.begin();
        self.store.data_mut().begin();
    }

    /// Fuel that was used since the instance was last entered, where it is metered.
    fn used_fuel(&self) -> Option<u64> {
        let fuel = self.store.data().fuel?;
        Some(fuel.saturating_sub(self.store.get_fuel().ok()?))
    }

    /// Calls the export `health`.
    pub(crate) async fn check(
        &mut self,
        indices: &health::GuestIndices,
    ) -> Result<Result<(), String>, CallError> {
        self.enter();
        let answer = match indices.load(&mut self.store, &self.exports) {
            Ok(guest) => self.turn.during(guest.call_check(&mut self.store)).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| CallError::Trap(explain(&error, self.store.data())))
    }

    /// Answers one call. `fresh`: the instance is there for this call only, and goes with its caller.
    pub(crate) async fn work(&mut self, serving: &Arc<Serving>, job: Job, fresh: bool) -> After {
        // A copy that was on its way when its version began to serve: here it would do for a second time what is done already.
        if job.call().is_copy() && !self.listening {
            job.refuse(CallError::Closed);
            return After::Usable;
        }
        self.enter();
        let call = Arc::clone(job.call());
        let after = match (job, &self.entry) {
            (Job::Http(job), Entry::Http(proxy)) => {
                run_http(&mut self.store, &self.turn, proxy, serving, job, fresh).await
            }
            (Job::Handle(job), Entry::Handler(guest)) => {
                run_handle(&mut self.store, &self.turn, guest, serving, job, fresh).await
            }
            (job, _) => {
                job.refuse(CallError::WrongContract);
                After::Usable
            }
        };
        let granted = self.store.data().limiter.granted();
        let counts = serving.counts_while(self.listening);
        counts.memory.call_ended(granted);
        if let (Some(counts), Some(used)) = (call.counts(), self.used_fuel()) {
            counts.fuel.fetch_add(used, Relaxed);
        }
        after
    }
}

/// The life of one instance: its first job, and as many more as it is good for.
pub(crate) async fn serve(serving: Arc<Serving>, first: Job) {
    let Some((mut instance, mut job)) = make_for(&serving, first).await else {
        return;
    };
    let reuse = serving.reuse();
    let mut left = reuse;
    loop {
        left -= 1;
        let call = Arc::clone(job.call());
        let after = instance.work(&serving, job, reuse == 1).await;
        let kept = matches!(after, After::Usable);
        if let After::Trapped(reason) = &after
            && reuse > 1
        {
            serving.supervision.trapped(reason);
        }
        let wanted = serving.runtime.waiting.load(SeqCst) > 0;
        if !kept || left == 0 || wanted || serving.is_retired() {
            drop(instance);
            supervise(&serving, &call).await;
            return;
        }
        supervise_unless_settled(&serving, call);
        let (mailbox, jobs) = oneshot::channel();
        if !serving.offer(mailbox) {
            return;
        }
        match next(&serving, jobs).await {
            Some(next) => job = next,
            None => return,
        }
        // What it may reach was decided when it was made.
        if instance.listening != serving.is_listening() {
            drop(instance);
            match make_for(&serving, job).await {
                Some((made, same)) => (instance, job, left) = (made, same, reuse),
                None => return,
            }
        }
    }
}

/// Sees to it that a call whose guest has ended does not wait for its caller for ever.
pub(crate) fn supervise_unless_settled(serving: &Arc<Serving>, call: Arc<Call>) {
    if !call.is_settled() {
        let serving = Arc::clone(serving);
        tokio::spawn(async move { supervise(&serving, &call).await });
    }
}

async fn make_for(serving: &Arc<Serving>, job: Job) -> Option<(Instance, Job)> {
    let job = serving.until_replaced(job).await?;
    let call = Arc::clone(job.call());
    let limit = serving.spec.limits.request_timeout;
    let made = tokio::select! {
        biased;
        made = make(serving) => made,
        () = serving.cut_after(call.cut_round) => Err(CallError::Cut),
        () = tokio::time::sleep_until(call.deadline().into()) => Err(CallError::Deadline { limit }),
    };
    match made {
        Ok(instance) => Some((instance, job)),
        Err(error) => {
            if let CallError::Trap(reason) = &error
                && serving.reuse() > 1
            {
                serving.supervision.trapped(reason);
            }
            job.refuse(error);
            None
        }
    }
}

/// Waits for the next job, unless nobody has one for too long or the room is needed elsewhere.
async fn next(serving: &Serving, mut jobs: oneshot::Receiver<Job>) -> Option<Job> {
    tokio::select! {
        biased;
        job = &mut jobs => return job.ok(),
        () = room_is_wanted(&serving.runtime) => {}
        () = tokio::time::sleep(IDLE_INSTANCE) => {}
    }
    jobs.close();
    let late = jobs.try_recv().ok();
    if late.is_none() {
        serving.forget_closed();
    }
    late
}

/// Resolves when a call waits for an instance's place.
async fn room_is_wanted(runtime: &Runtime) {
    loop {
        let mut wanted = pin!(runtime.make_room.notified());
        // Whoever waits counts itself before it notifies: from here on one of the two is seen. A notification may also be left
        // from a call that has its place by now.
        wanted.as_mut().enable();
        if runtime.waiting.load(SeqCst) > 0 {
            return;
        }
        wanted.await;
    }
}

/// One call of `caxton:agent/handler`.
async fn run_handle(
    store: &mut Store<AgentStore>,
    turn: &Turn,
    guest: &handler::Guest,
    serving: &Arc<Serving>,
    job: HandleJob,
    fresh: bool,
) -> After {
    let HandleJob {
        call,
        message,
        mut reply,
    } = job;
    let limit = serving.spec.limits.request_timeout;
    let message = types::Message {
        content_type: message.content_type,
        body: message.body.into(),
        metadata: message.metadata,
    };
    let ran = {
        let mut run = pin!(turn.during(guest.call_handle(&mut *store, &message)));
        tokio::select! {
            biased;
            answer = &mut run => Ok(answer),
            () = serving.cut_after(call.cut_round) => Err(CallError::Cut),
            () = tokio::time::sleep_until(call.deadline().into()) => Err(CallError::Deadline { limit }),
            () = reply.closed(), if fresh => {
                call.settle(Outcome::NotCounted);
                return After::Ended("the caller went away".into());
            }
        }
    };
    let (answer, after) = match ran {
        Ok(Ok(answer)) => (answered(serving, answer), After::Usable),
        Ok(Err(trap)) => {
            let reason = explain(&trap, store.data());
            let error = trapped(&trap, reason.clone(), store.data());
            (Err(error), After::Trapped(reason))
        }
        Err(error) => {
            let reason = error.to_string();
            (Err(error), After::Ended(reason))
        }
    };
    let outcome = match &answer {
        _ if reply.is_closed() => Outcome::NotCounted,
        Ok(_) => Outcome::Answered,
        Err(error) => error.outcome(),
    };
    call.settle(outcome);
    drop(reply.send(answer));
    after
}

fn answered(
    serving: &Serving,
    answer: Result<types::Message, types::Failure>,
) -> Result<Message, CallError> {
    let limit = serving.spec.limits.reply_body;
    match answer {
        Ok(message) if message.body.len() as u64 > limit => Err(CallError::ReplyTooLarge { limit }),
        Ok(message) => Ok(Message {
            content_type: message.content_type,
            body: message.body.into(),
            metadata: message.metadata,
        }),
        Err(failure) => {
            // The text becomes the reply's body.
            let capped = |mut text: String| {
                let most = usize::try_from(limit).unwrap_or(usize::MAX);
                text.truncate(text.floor_char_boundary(most));
                text
            };
            Err(CallError::Failure(match failure {
                types::Failure::Invalid(text) => Failure::Invalid(capped(text)),
                types::Failure::Unavailable(text) => Failure::Unavailable(capped(text)),
                types::Failure::Internal(text) => Failure::Internal(capped(text)),
            }))
        }
    }
}
