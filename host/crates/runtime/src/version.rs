//! A version that is ready to be called, as the host holds it.

use crate::admission::Admission;
use crate::body::{AgentBody, RequestBody};
use crate::call::{Call, CallError, CallInfo, Message};
use crate::compile::CodeSource;
use crate::counts::{ArmCounts, Counts};
use crate::inspect::Inspection;
use crate::instance::{HandleJob, HttpJob, Job};
use crate::restarts::CrashLoop;
use crate::serving::Serving;
use crate::spec::Limits;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http_body::Body;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;

mod health;
mod stateful;

/// Bytes that are kept of what a health check says: it is shown on a line, and kept in events and in the history.
const MAX_REASON: usize = 1 << 10;

/// A compiled version with its limits, counts and instances.
///
/// Dropping it retires it: calls in flight end as they would, idle instances go at once, and with the last of them the code.
pub struct Version {
    serving: Arc<Serving>,
    code_source: CodeSource,
    compile_time: Duration,
}

/// What a health check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthOutcome {
    /// The agent says that it can work.
    Passed,
    /// It says that it cannot, or it trapped, or it took too long.
    Failed(String),
    /// No instance could be had for the check: it did not take place, and says nothing about the version.
    Busy,
    /// The agent exports no check, and has no path for one.
    Absent,
}

impl HealthOutcome {
    /// What the agent said.
    pub(crate) fn of(answer: Result<(), String>) -> Self {
        match answer {
            Ok(()) => Self::Passed,
            Err(mut reason) => {
                reason.truncate(reason.floor_char_boundary(MAX_REASON));
                Self::Failed(reason)
            }
        }
    }

    pub(crate) fn late(timeout: Duration) -> Self {
        Self::Failed(format!(
            "the health check did not end within {} ms",
            timeout.as_millis()
        ))
    }
}

impl Version {
    pub(crate) fn new(
        serving: Arc<Serving>,
        code_source: CodeSource,
        compile_time: Duration,
    ) -> Self {
        Self {
            serving,
            code_source,
            compile_time,
        }
    }

    /// The agent's name.
    pub fn name(&self) -> &str {
        &self.serving.spec.name
    }

    /// The version's number.
    pub fn number(&self) -> u64 {
        self.serving.spec.number
    }

    /// What the component says about itself.
    pub fn inspection(&self) -> &Inspection {
        &self.serving.inspection
    }

    /// What its calls may use.
    pub fn limits(&self) -> &Limits {
        &self.serving.spec.limits
    }

    /// SHA-256 of the component's bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.serving.digest
    }

    /// Where its code came from when it was prepared.
    #[must_use]
    pub fn code_source(&self) -> CodeSource {
        self.code_source
    }

    /// How long compiling took; zero when the code was there already, in memory or on disk.
    pub fn compile_time(&self) -> Duration {
        self.compile_time
    }

    /// Takes a place among the calls in flight, for one call of [`Version::http`] or [`Version::handle`].
    ///
    /// [`CallError::Closed`] while the version is closed, [`CallError::Busy`] when all places are taken.
    pub fn admit(&self, info: CallInfo) -> Result<Admission, CallError> {
        self.serving.admit(info)
    }

    /// Whether one instance takes all calls, one after the other.
    pub fn is_single(&self) -> bool {
        self.serving.single.is_some()
    }

    /// Answers an HTTP request with the head of the reply; the body streams behind it.
    ///
    /// The request needs a `Host` header or an absolute URI. Dropping the future or the body tells that the caller is gone;
    /// that counts against nobody.
    pub async fn http<B>(
        &self,
        request: http::Request<B>,
        admission: Admission,
    ) -> Result<http::Response<AgentBody>, CallError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        if !self.serving.inspection.contract.is_http() {
            return Err(CallError::WrongContract);
        }
        if let Err(error) = check(&request, self.limits()) {
            admission.shed();
            return Err(error);
        }
        let call = admission.begin(&self.serving)?;
        let limit = self.limits().request_body;
        let head_only = request.method() == http::Method::HEAD;
        let request = request.map(|body| RequestBody::boxed(body, limit, Arc::clone(&call)));
        let (reply, answer) = oneshot::channel();
        self.serving.dispatch(Job::Http(HttpJob {
            call: Arc::clone(&call),
            request,
            reply,
            head_only,
        }));
        self.answer_to(&call, answer).await
    }

    /// Answers a message.
    pub async fn handle(
        &self,
        message: Message,
        admission: Admission,
    ) -> Result<Message, CallError> {
        if self.serving.inspection.contract.is_http() {
            return Err(CallError::WrongContract);
        }
        let limit = self.limits().request_body;
        if message.body.len() as u64 > limit {
            admission.shed();
            return Err(CallError::RequestTooLarge { limit });
        }
        let call = admission.begin(&self.serving)?;
        let (reply, answer) = oneshot::channel();
        self.serving.dispatch(Job::Handle(HandleJob {
            call: Arc::clone(&call),
            message,
            reply,
        }));
        self.answer_to(&call, answer).await
    }

    /// Waits for the answer, and where there is a line not for ever for its turn. A call that gives up keeps its place among the
    /// calls in flight until the line comes to it, which bounds the line.
    async fn answer_to<T>(
        &self,
        call: &Call,
        mut answer: oneshot::Receiver<Result<T, CallError>>,
    ) -> Result<T, CallError> {
        if self.serving.single.is_some() {
            let limit = self.limits().request_timeout;
            match tokio::time::timeout(limit, &mut answer).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(instance_lost())),
                Err(_) if !call.give_up_turn() => {}
                Err(_) => {
                    let waited = limit.as_millis();
                    let line = || format!("the call had no turn within {waited} ms");
                    let why = self.serving.supervision.why();
                    return Err(CallError::Busy(why.unwrap_or_else(line)));
                }
            }
        }
        answer.await.unwrap_or_else(|_| Err(instance_lost()))
    }

    /// Calls that are not settled: up to the end of the reply's body and of the guest's run.
    pub fn in_flight(&self) -> u32 {
        self.serving.in_flight()
    }

    /// Resolves when nothing is in flight.
    pub async fn drained(&self) {
        self.serving.drained().await;
    }

    /// Ends every call that is in flight: where no head was sent the caller gets [`CallError::Cut`], otherwise the body breaks
    /// off. Returns how many callers lose by it: those whose reply is not whole. Later calls run as before.
    pub fn cut(&self) -> u64 {
        self.serving.cut()
    }

    /// How many callers have lost their reply by a cut since the version began. What [`Self::cut`] answers is what runs at that
    /// moment, and some of that may still be answered; this is exact once the version is drained.
    pub fn calls_cut(&self) -> u64 {
        self.serving.calls_cut()
    }

    /// Lets go of idle instances, now and after each call from here on. Calls are still answered.
    pub fn retire(&self) {
        self.serving.retire();
    }

    /// That its instances trap again and again, once for each five traps within a minute. Deadlines are no traps, and an instance
    /// that is there for one call only is not replaced.
    #[must_use]
    pub fn take_crash_loop(&self) -> Option<CrashLoop> {
        self.serving.supervision.take_crash_loop()
    }

    /// While on, no instance that a call enters has a writable directory or outbound HTTP: the version hears copies of other
    /// calls, and must not do what they do a second time. Changing it drops idle instances; state is kept over that.
    pub fn listen(&self, on: bool) {
        self.serving.listen(on);
    }

    /// What copies came to since the last take, and what its instances reported while it listened. One caller at a time.
    pub fn take_mirrored(&self) -> ArmCounts {
        let mut arm = self.take(&self.serving.mirrored);
        arm.in_flight = self.serving.mirrored_in_flight();
        arm
    }

    /// What happened since the last take, copies aside. One caller at a time: two share the increases between them.
    pub fn take_window(&self) -> ArmCounts {
        let mut arm = self.take(&self.serving.counts);
        let mirrored = self.serving.mirrored_in_flight();
        arm.in_flight = self.serving.in_flight().saturating_sub(mirrored);
        arm
    }

    fn take(&self, counts: &Counts) -> ArmCounts {
        let limits = self.limits();
        ArmCounts {
            memory_limit: limits.memory,
            fuel: limits.fuel.map(|_| counts.fuel.swap(0, Relaxed)),
            ..counts.take()
        }
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        self.serving.retire();
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version")
            .field("name", &self.name())
            .field("number", &self.number())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

fn instance_lost() -> CallError {
    CallError::Host("the instance's task ended before it answered".into())
}

/// What can be refused before an instance sees it.
fn check<B>(request: &http::Request<B>, limits: &Limits) -> Result<(), CallError> {
    let bad = |message: &str| Err(CallError::BadRequest(message.into()));
    if request.uri().authority().is_none() {
        let Some(host) = request.headers().get(HOST) else {
            return bad("it has no Host header");
        };
        if host
            .to_str()
            .ok()
            .and_then(|host| host.parse::<http::uri::Authority>().ok())
            .is_none()
        {
            return bad("its Host header is no host name");
        }
    }
    let limit = limits.request_body;
    match request.headers().get(CONTENT_LENGTH) {
        None => Ok(()),
        Some(length) => match length.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(length) if length <= limit => Ok(()),
            Some(_) => Err(CallError::RequestTooLarge { limit }),
            None::<u64> => bad("its Content-Length is no number"),
        },
    }
}
