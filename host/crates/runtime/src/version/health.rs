//! Asking a version whether it can work.

use super::{HealthOutcome, Version, instance_lost};
use crate::body::{AgentBody, RequestBody};
use crate::call::{CallError, CallInfo};
use crate::instance::{HttpJob, Job, make_in, room};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Empty};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Version {
    /// Asks the agent whether it can work: by its export, or where it has none by its path.
    ///
    /// In an instance of its own, and its time begins when there is room for that; where a version has a single instance, in that
    /// one, between two calls. A check that found no gap within its time is [`HealthOutcome::Busy`], as is any while the version
    /// is closed: an instance that was saved is not touched. A path is asked for as any caller does it, and counts nowhere.
    pub async fn check_health(&self, timeout: Duration) -> HealthOutcome {
        let Some(health) = self
            .serving
            .slot
            .code()
            .and_then(|code| code.health.as_ref())
        else {
            return match &self.serving.spec.health_path {
                Some(path) if self.serving.inspection.contract.is_http() => {
                    self.get_health(path, timeout).await
                }
                _ => HealthOutcome::Absent,
            };
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

    /// A GET of `path`, as any caller's. One that found no gap in the line of a single instance was not late: that was busy.
    async fn get_health(&self, path: &PathAndQuery, timeout: Duration) -> HealthOutcome {
        let probe = CallInfo {
            probe: true,
            ..CallInfo::default()
        };
        let admitted = self.admit(probe);
        let call = match admitted.and_then(|admission| admission.begin(&self.serving)) {
            Ok(call) => call,
            Err(error) => return without_answer(path, &error),
        };
        let mut request = http::Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.clone().into();
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(HOST, host);
        let limit = self.limits().request_body;
        let (reply, answer) = oneshot::channel();
        self.serving.dispatch(Job::Http(HttpJob {
            call: Arc::clone(&call),
            request: request.map(|body| RequestBody::boxed(body, limit, Arc::clone(&call))),
            reply,
            head_only: false,
        }));
        let answer = async { answer.await.unwrap_or_else(|_| Err(instance_lost())) };
        let found = async { of_answer(path, answer.await).await };
        match tokio::time::timeout(timeout, found).await {
            Ok(outcome) => outcome,
            Err(_) if self.is_single() && call.give_up_turn() => HealthOutcome::Busy,
            Err(_) => HealthOutcome::late(timeout),
        }
    }
}

/// An answer is one when its body is.
async fn of_answer(
    path: &PathAndQuery,
    answer: Result<http::Response<AgentBody>, CallError>,
) -> HealthOutcome {
    let (head, mut body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => return without_answer(path, &error),
    };
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return failed(path, &format!(": {error}"));
        }
    }
    if head.status.is_success() {
        HealthOutcome::Passed
    } else {
        failed(path, &format!(" answered {}", head.status))
    }
}

fn without_answer(path: &PathAndQuery, error: &CallError) -> HealthOutcome {
    match error {
        CallError::Busy(_) | CallError::Closed | CallError::Cut => HealthOutcome::Busy,
        error => failed(path, &format!(": {error}")),
    }
}

fn failed(path: &PathAndQuery, why: &str) -> HealthOutcome {
    HealthOutcome::of(Err(format!("GET {path}{why}")))
}
