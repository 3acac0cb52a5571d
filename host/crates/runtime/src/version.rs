//! A version that is ready to be called, as the host holds it.

use crate::admission::Admission;
use crate::body::{AgentBody, RequestBody};
use crate::call::{Call, CallError, CallInfo, Message};
use crate::counts::ArmCounts;
use crate::inspect::{Contract, Inspection};
use crate::instance::{HandleJob, HttpJob, Job, make_in, room};
use crate::serving::Serving;
use crate::single::Single;
use crate::spec::Limits;
use crate::state::{Snapshot, StateError, StateLoss};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http_body::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes that are kept of what a health check says: it is shown on a line, and kept in events and in the history.
const MAX_REASON: usize = 1 << 10;

/// A compiled version with its limits, counts and instances.
///
/// Dropping it retires it: calls in flight end as they would, idle instances go at once, and with the last of them the code.
pub struct Version {
    serving: Arc<Serving>,
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
    /// The agent exports no check.
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
    pub(crate) fn new(serving: Arc<Serving>, compile_time: Duration) -> Self {
        Self {
            serving,
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

    /// How long compiling took; zero when the code was there already.
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
        if self.serving.inspection.contract != Contract::Http {
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
        if self.serving.inspection.contract != Contract::Handler {
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
                    let busy = format!("the call had no turn within {waited} ms");
                    return Err(CallError::Busy(busy));
                }
            }
        }
        answer.await.unwrap_or_else(|_| Err(instance_lost()))
    }

    /// Asks the agent whether it can work.
    ///
    /// In an instance of its own, and its time begins when there is room for that; where a version has a single instance, in that
    /// one, between two calls. A check that found no gap within its time is [`HealthOutcome::Busy`], as is any while the version
    /// is closed: an instance that was saved is not touched.
    pub async fn check_health(&self, timeout: Duration) -> HealthOutcome {
        let Some(health) = self
            .serving
            .slot
            .code()
            .and_then(|code| code.health.as_ref())
        else {
            return HealthOutcome::Absent;
        };
        if let Some(single) = &self.serving.single {
            return single.check_health(timeout).await;
        }
        let Ok(room) = room(&self.serving).await else {
            return HealthOutcome::Busy;
        };
        let check = async {
            let mut instance = match make_in(&self.serving, room).await {
                Ok(instance) => instance,
                Err(CallError::Busy(_)) => return HealthOutcome::Busy,
                Err(error) => return HealthOutcome::Failed(error.to_string()),
            };
            match instance.check(health).await {
                Ok(answer) => HealthOutcome::of(answer),
                Err(error) => HealthOutcome::Failed(error.to_string()),
            }
        };
        tokio::time::timeout(timeout, check)
            .await
            .unwrap_or_else(|_| HealthOutcome::late(timeout))
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

    /// Whether its state is kept: it has one instance, which [`Version::save`] and [`Version::load`] move.
    pub fn is_stateful(&self) -> bool {
        self.serving.spec.state.is_some()
    }

    /// From here on no call is admitted. Calls that have their place run on: [`Version::drained`] waits for them.
    pub fn close(&self) {
        self.serving.close();
    }

    /// Calls are admitted again, and find the instance as it was.
    pub fn open(&self) {
        self.serving.open();
    }

    /// Saves the state of a version that is closed, once nothing is in flight; that and the saving must fit into `timeout`.
    ///
    /// The snapshot is kept: see [`Version::saved`]. The instance stays as it was and goes on if the version is opened again, also
    /// when the agent refused. An instance whose save trapped or ran out of time is gone, and the next begins with the last
    /// checkpoint: in the middle of a save it can be neither entered nor left.
    pub async fn save(&self, timeout: Duration) -> Result<Snapshot, StateError> {
        let single = self.stateful()?;
        if !self.serving.is_closed() {
            return Err(StateError::Open);
        }
        let deadline = tokio::time::Instant::now() + timeout;
        tokio::time::timeout_at(deadline, self.serving.drained())
            .await
            .map_err(|_| StateError::InFlight { limit: timeout })?;
        single.save(deadline, timeout).await
    }

    /// Makes a new instance with this state, or with none, and lets it take the place of the present one. When it does not
    /// work, within `timeout`, the present one stays.
    pub async fn load(
        &self,
        snapshot: Option<&Snapshot>,
        timeout: Duration,
    ) -> Result<(), StateError> {
        let single = self.stateful()?;
        let deadline = tokio::time::Instant::now() + timeout;
        single.load(snapshot.cloned(), deadline, timeout).await
    }

    /// What the next instance would begin with: the state as it was last kept between two calls or at a save, until then what
    /// was loaded. None: it would begin empty.
    pub fn checkpoint(&self) -> Option<Snapshot> {
        self.stateful().ok()?.book.checkpoint()
    }

    /// What the last [`Version::save`] took.
    pub fn saved(&self) -> Option<Snapshot> {
        self.stateful().ok()?.book.saved()
    }

    /// Whether its instance lives and nothing has entered it since the last [`Version::save`].
    pub fn is_as_saved(&self) -> bool {
        self.stateful().is_ok_and(Single::is_as_saved)
    }

    /// Answered calls that went with their instances since the last take.
    pub fn take_losses(&self) -> Vec<StateLoss> {
        self.stateful()
            .map(|single| single.book.take_losses())
            .unwrap_or_default()
    }

    fn stateful(&self) -> Result<&Single, StateError> {
        match &self.serving.single {
            Some(single) if self.is_stateful() => Ok(single),
            _ => Err(StateError::Stateless),
        }
    }

    /// While on, no instance that a call enters has a writable directory or outbound HTTP: the version hears copies of other
    /// calls, and must not do what they do a second time. Changing it drops idle instances; state is kept over that.
    pub fn listen(&self, on: bool) {
        self.serving.listen(on);
    }

    /// What copies came to since the last take, and what its instances reported while it listened. One caller at a time.
    pub fn take_mirrored(&self) -> ArmCounts {
        let mut arm = self.serving.mirrored.take();
        arm.in_flight = self.serving.mirrored_in_flight();
        arm.memory_limit = self.serving.spec.limits.memory;
        arm
    }

    /// What happened since the last take, copies aside. One caller at a time: two share the increases between them.
    pub fn take_window(&self) -> ArmCounts {
        let mut arm = self.serving.counts.take();
        let mirrored = self.serving.mirrored_in_flight();
        arm.in_flight = self.serving.in_flight().saturating_sub(mirrored);
        arm.memory_limit = self.serving.spec.limits.memory;
        arm
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
