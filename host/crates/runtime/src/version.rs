//! A version that is ready to be called, as the host holds it.

use crate::body::{AgentBody, RequestBody};
use crate::call::{CallError, CallInfo, Message};
use crate::counts::ArmCounts;
use crate::inspect::{Contract, Inspection};
use crate::instance::{HandleJob, HttpJob, Job, make_in, room};
use crate::serving::Serving;
use crate::spec::Limits;
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

    /// Answers an HTTP request with the head of the reply; the body streams behind it.
    ///
    /// The request needs a `Host` header or an absolute URI. Dropping the future or the body tells that the caller is gone;
    /// that counts against nobody.
    pub async fn http<B>(
        &self,
        request: http::Request<B>,
        info: CallInfo,
    ) -> Result<http::Response<AgentBody>, CallError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        if self.serving.inspection.contract != Contract::Http {
            return Err(CallError::WrongContract);
        }
        if let Err(error) = check(&request, self.limits()) {
            self.serving.shed(info);
            return Err(error);
        }
        let call = self.serving.admit(info)?;
        let limit = self.limits().request_body;
        let head_only = request.method() == http::Method::HEAD;
        let request = request.map(|body| RequestBody::boxed(body, limit, Arc::clone(&call)));
        let (reply, answer) = oneshot::channel();
        self.serving.dispatch(Job::Http(HttpJob {
            call,
            request,
            reply,
            head_only,
        }));
        answer.await.unwrap_or_else(|_| Err(instance_lost()))
    }

    /// Answers a message.
    pub async fn handle(&self, message: Message, info: CallInfo) -> Result<Message, CallError> {
        if self.serving.inspection.contract != Contract::Handler {
            return Err(CallError::WrongContract);
        }
        let limit = self.limits().request_body;
        if message.body.len() as u64 > limit {
            self.serving.shed(info);
            return Err(CallError::RequestTooLarge { limit });
        }
        let call = self.serving.admit(info)?;
        let (reply, answer) = oneshot::channel();
        self.serving.dispatch(Job::Handle(HandleJob {
            call,
            message,
            reply,
        }));
        answer.await.unwrap_or_else(|_| Err(instance_lost()))
    }

    /// Asks the agent whether it can work, in an instance of its own. Its time begins when there is room for the instance.
    pub async fn check_health(&self, timeout: Duration) -> HealthOutcome {
        let Some(health) = self
            .serving
            .slot
            .code()
            .and_then(|code| code.health.as_ref())
        else {
            return HealthOutcome::Absent;
        };
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
                Ok(Ok(())) => HealthOutcome::Passed,
                Ok(Err(mut reason)) => {
                    reason.truncate(reason.floor_char_boundary(MAX_REASON));
                    HealthOutcome::Failed(reason)
                }
                Err(error) => HealthOutcome::Failed(error.to_string()),
            }
        };
        tokio::time::timeout(timeout, check)
            .await
            .unwrap_or_else(|_| {
                HealthOutcome::Failed(format!(
                    "the health check did not end within {} ms",
                    timeout.as_millis()
                ))
            })
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

    /// Lets go of idle instances, now and after each call from here on. Calls are still answered.
    pub fn retire(&self) {
        self.serving.retire();
    }

    /// What happened since the last take. One caller at a time: two share the increases between them.
    pub fn take_window(&self) -> ArmCounts {
        let mut arm = self.serving.counts.take();
        arm.in_flight = self.serving.in_flight();
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
