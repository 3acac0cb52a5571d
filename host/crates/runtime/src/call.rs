//! One call: what it was asked with, how it may end, and the place where both sides meet to settle it.
//!
//! A call has two sides, the guest's run and the reply's body, which end in any order. It settles once: when both have ended
//! well, or when the first of them ends badly. Settling counts the call and gives back its place among the calls in flight.

use crate::counts::{Counts, Outcome};
use crate::serving::Serving;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::StatusCode;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What the gateway knows about a call besides its content.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallInfo {
    /// Hash of the affinity key, for counting distinct callers.
    pub affinity: Option<u64>,
    /// A probe of the host's own: it is in flight like any call and counts nowhere.
    pub probe: bool,
    /// A copy of a call that another version answers. It is in flight like any call and counts in columns of its own.
    pub mirrored: bool,
}

/// A request to a handler, or its reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Media type of the body.
    pub content_type: Option<String>,
    /// Uninterpreted.
    pub body: Bytes,
    /// Names in lower case, and values.
    pub metadata: Vec<(String, String)>,
}

/// A handler's own refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The caller's fault.
    #[error("{0}")]
    Invalid(String),
    /// Nobody's fault, not now.
    #[error("{0}")]
    Unavailable(String),
    /// The agent's fault.
    #[error("{0}")]
    Internal(String),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The handler said so.
    #[error("the agent refused: {0}")]
    Failure(Failure),
    /// The guest trapped.
    #[error("the agent trapped: {0}")]
    Trap(String),
    /// The guest trapped because its fuel was used up.
    #[error("the agent used up its fuel of {fuel} units")]
    OutOfFuel {
        /// The agent's `limits.fuel`.
        fuel: u64,
    },
    /// The head of the reply did not come in time.
    #[error("the agent did not answer within {} ms", .limit.as_millis())]
    Deadline {
        /// The agent's `request_timeout`.
        limit: Duration,
    },
    /// The guest returned without an answer, or with a WASI error instead of one.
    #[error("the agent returned without an answer: {0}")]
    NoAnswer(String),
    /// A reload ended it.
    #[error("the call was cancelled by a reload")]
    Cut,
    /// Shed: the agent has as many calls as it may, or the host as many instances as it holds.
    #[error("too many calls at once: {0}")]
    Busy(String),
    /// The version takes no calls: a reload is about to move its state. Nothing of the request was touched.
    #[error("the version takes no calls while its state is moved")]
    Closed,
    /// No instance could be made, or it could not be given the state that it needs.
    #[error("no instance could be made: {0}")]
    Instantiation(String),
    /// The request cannot be passed to a guest.
    #[error("the request is malformed: {0}")]
    BadRequest(String),
    /// The request's body is over the limit.
    #[error("the request's body is larger than {limit} bytes")]
    RequestTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// A handler's reply is over the limit.
    #[error("the agent's reply is larger than {limit} bytes")]
    ReplyTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// The guest waited for the request's body when the time was up.
    #[error("the request's body did not arrive in time")]
    CallerTooSlow,
    /// An HTTP call to a handler, or the reverse.
    #[error("the agent is not called this way")]
    WrongContract,
    /// Our own fault.
    #[error("the host failed: {0}")]
    Host(String),
}

impl CallError {
    /// What an HTTP caller sees.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Failure(Failure::Invalid(_)) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Failure(Failure::Unavailable(_)) | Self::Cut | Self::Busy(_) | Self::Closed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Failure(Failure::Internal(_))
            | Self::NoAnswer(_)
            | Self::ReplyTooLarge { .. }
            | Self::Instantiation(_)
            | Self::Host(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Trap(_) | Self::OutOfFuel { .. } => StatusCode::BAD_GATEWAY,
            Self::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CallerTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::WrongContract => StatusCode::NOT_FOUND,
        }
    }

    /// A stable word for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failure(Failure::Invalid(_)) => "invalid",
            Self::Failure(Failure::Unavailable(_)) => "unavailable",
            Self::Failure(Failure::Internal(_)) => "internal",
            Self::Trap(_) => "trap",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::Deadline { .. } => "deadline",
            Self::NoAnswer(_) => "no-answer",
            Self::Cut => "cut",
            Self::Busy(_) => "busy",
            Self::Closed => "closed",
            Self::Instantiation(_) => "instantiation",
            Self::BadRequest(_) => "bad-request",
            Self::RequestTooLarge { .. } => "request-too-large",
            Self::ReplyTooLarge { .. } => "reply-too-large",
            Self::CallerTooSlow => "caller-too-slow",
            Self::WrongContract => "wrong-contract",
            Self::Host(_) => "host",
        }
    }

    /// Whom it counts against.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Failure(Failure::Invalid(_)) => Outcome::Rejected,
            Self::Failure(Failure::Unavailable(_)) => Outcome::Unavailable,
            Self::Failure(Failure::Internal(_))
            | Self::NoAnswer(_)
            | Self::ReplyTooLarge { .. } => Outcome::Failed,
            Self::Trap(_) | Self::OutOfFuel { .. } => Outcome::Trapped,
            Self::Deadline { .. } => Outcome::TooLate,
            Self::Cut => Outcome::Cut,
            Self::Busy(_)
            | Self::Closed
            | Self::Instantiation(_)
            | Self::BadRequest(_)
            | Self::RequestTooLarge { .. }
            | Self::CallerTooSlow
            | Self::WrongContract
            | Self::Host(_) => Outcome::NotCounted,
        }
    }
}

/// Why a reply's body broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The guest trapped in the middle.
    #[error("the agent trapped in the middle of its reply: {0}")]
    Trap(String),
    /// A reload ended the call.
    #[error("the reply was cut by a reload")]
    Cut,
    /// No chunk for longer than the idle timeout.
    #[error("the agent fell silent in the middle of its reply")]
    AgentIdle,
    /// Chunks waited for the caller for longer than the idle timeout.
    #[error("the caller took nothing for too long")]
    CallerIdle,
    /// The guest left the body open, dropped it, or its length is not what its head said.
    #[error("the agent did not finish its reply")]
    Unfinished,
    /// Over the agent's limit.
    #[error("the agent's reply is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
}

const GUEST_ENDED: u8 = 1;
const BODY_ENDED: u8 = 2;
const SETTLED: u8 = 4;
/// The body ended before the guest did, and the call is among those whose reply is whole.
const REPLY_WHOLE: u8 = 8;

/// What both sides of a call share.
pub(crate) struct Call {
    serving: Arc<Serving>,
    info: CallInfo,
    pub(crate) started: Instant,
    /// When its turn came, where calls wait in line for one instance; none: it gave up before. One of the two, and once.
    turn: OnceLock<Option<Instant>>,
    pub(crate) cut_round: u64,
    sides: AtomicU8,
    outcome: AtomicU8,
    /// Microseconds to the head, plus one; zero before it.
    head_after: AtomicU64,
    broken: OnceLock<BodyError>,
    pub(crate) body_waker: AtomicWaker,
    /// Tells the task that supervises the call to look again.
    pub(crate) changed: Notify,
    /// Milliseconds since the start of the last progress of the body, shifted by one; the low bit: the caller waits.
    progress: AtomicU64,
    pub(crate) request: RequestFlow,
}

/// How the request's body flows from the caller.
#[derive(Default)]
pub(crate) struct RequestFlow {
    /// The guest asked for more and the caller has not sent it yet.
    pub(crate) waits_for_caller: AtomicBool,
    pub(crate) too_large: AtomicBool,
    /// Nobody holds the body any more: neither the guest nor what is between it and the caller.
    pub(crate) let_go: AtomicBool,
    /// The caller's connection failed in the middle.
    pub(crate) broke: AtomicBool,
}

impl Call {
    /// Whether it is a copy of another call, and must change nothing outside.
    pub(crate) fn is_copy(&self) -> bool {
        self.info.mirrored
    }

    /// The columns that it counts in, if any.
    pub(crate) fn counts(&self) -> Option<&Counts> {
        self.serving.counts_of(self.info)
    }

    pub(crate) fn new(serving: Arc<Serving>, info: CallInfo, cut_round: u64) -> Arc<Self> {
        Arc::new(Self {
            serving,
            info,
            started: Instant::now(),
            turn: OnceLock::new(),
            cut_round,
            sides: AtomicU8::new(0),
            outcome: AtomicU8::new(Outcome::Answered.to_u8()),
            head_after: AtomicU64::new(0),
            broken: OnceLock::new(),
            body_waker: AtomicWaker::new(),
            changed: Notify::new(),
            progress: AtomicU64::new(0),
            request: RequestFlow::default(),
        })
    }

    pub(crate) fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// Its turn has come, and the guest's time begins; false where it gave up before.
    pub(crate) fn take_turn(&self) -> bool {
        self.turn.set(Some(Instant::now())).is_ok()
    }

    /// It waits no more; false where its turn has come: then it is being done, and its answer must be waited for.
    pub(crate) fn give_up_turn(&self) -> bool {
        self.turn.set(None).is_ok()
    }

    /// When the head of the reply must be there.
    pub(crate) fn deadline(&self) -> Instant {
        let began = self.turn.get().copied().flatten();
        began.unwrap_or(self.started) + self.serving.spec.limits.request_timeout
    }

    /// Its caller has gone: whatever the guest still does counts nowhere.
    pub(crate) fn forgo(&self) {
        self.outcome.store(Outcome::NotCounted.to_u8(), Relaxed);
    }

    /// The head is on its way; the latency of an HTTP call ends here.
    pub(crate) fn head(&self, outcome: Outcome) {
        self.outcome.store(outcome.to_u8(), Relaxed);
        self.head_after.store(self.elapsed_us() + 1, Relaxed);
        self.progressed(false);
    }

    /// The guest's run ended well.
    pub(crate) fn guest_ended(&self) {
        self.side_ended(GUEST_ENDED);
    }

    /// The body was delivered whole.
    pub(crate) fn body_ended(&self) {
        self.side_ended(BODY_ENDED);
    }

    pub(crate) fn has_guest_ended(&self) -> bool {
        self.sides.load(Acquire) & GUEST_ENDED != 0
    }

    pub(crate) fn has_body_ended(&self) -> bool {
        self.sides.load(Acquire) & BODY_ENDED != 0
    }

    fn side_ended(&self, side: u8) {
        const BOTH: u8 = GUEST_ENDED | BODY_ENDED;
        if (self.sides.fetch_or(side, AcqRel) | side) & BOTH == BOTH {
            self.settle(Outcome::from_u8(self.outcome.load(Relaxed)));
        } else if side == BODY_ENDED {
            self.serving.reply_is_whole();
            if self.sides.fetch_or(REPLY_WHOLE, AcqRel) & SETTLED != 0 {
                self.serving.lingerer_left();
            }
            self.changed.notify_one();
        }
    }

    /// The call ends badly: its body, if it still flows, ends with this error.
    pub(crate) fn fail(&self, outcome: Outcome, error: BodyError) {
        // The first reason stands.
        let _ = self.broken.set(error);
        self.settle(outcome);
        self.body_waker.wake();
    }

    pub(crate) fn broken(&self) -> Option<&BodyError> {
        self.broken.get()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.sides.load(Acquire) & SETTLED != 0
    }

    /// Counts the call and gives back its place, the first time it is called.
    pub(crate) fn settle(&self, outcome: Outcome) {
        let before = self.sides.fetch_or(SETTLED, AcqRel);
        if before & SETTLED != 0 {
            return;
        }
        if before & REPLY_WHOLE != 0 {
            self.serving.lingerer_left();
        }
        // Whatever a guest makes of half a request says nothing about the version.
        let half = self.request.broke.load(Relaxed) || self.request.too_large.load(Relaxed);
        let outcome = if half && outcome != Outcome::Cut {
            Outcome::NotCounted
        } else {
            outcome
        };
        if let Some(counts) = self.counts() {
            let latency = match self.head_after.load(Relaxed) {
                0 => self.elapsed_us(),
                after => after - 1,
            };
            counts.record(outcome, latency, self.info.affinity);
        }
        if outcome == Outcome::Cut && !self.info.probe && !self.info.mirrored {
            self.serving.was_cut();
        }
        self.serving.leave(self.info);
        self.changed.notify_one();
    }

    /// Notes that the body moved on; `caller_waits` when the caller has taken everything there was.
    pub(crate) fn progressed(&self, caller_waits: bool) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX >> 1);
        self.progress
            .store(millis << 1 | u64::from(caller_waits), Release);
    }

    /// For how long the body has not moved, and whether the caller waits for it.
    pub(crate) fn stalled(&self) -> (Duration, bool) {
        let progress = self.progress.load(Acquire);
        let since = Duration::from_millis(progress >> 1);
        (
            self.started.elapsed().saturating_sub(since),
            progress & 1 == 1,
        )
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Every path settles; should one panic, the place among the calls in flight must not be lost.
        self.settle(Outcome::NotCounted);
    }
}
