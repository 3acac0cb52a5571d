//! The agents' side of the runtime with real guests. All tests share one runtime, so that each guest compiles once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod bodies;
mod compiled;
mod fuel;
mod grants;
mod handler;
mod health;
mod hostile;
mod inspecting;
mod isolation;
mod lifecycle;
mod p3;
mod single;
mod state;
mod supervision;
mod web;

use bytes::Bytes;
use caxton_runtime::{
    AgentBody, AgentSpec, ArmCounts, BodyError, CallError, CallInfo, LogLine, LogSink, Message,
    Runtime, RuntimeOptions, Version,
};
use http_body_util::{BodyExt, Empty};
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// No fact takes longer than this to become true, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The runtime of all tests that need none of their own.
pub(crate) fn runtime() -> &'static Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeOptions::default()).unwrap())
}

/// A version of `guest` with the settings that `set` changes. Its code stays for the tests after this one.
pub(crate) async fn version(guest: &[u8], set: impl FnOnce(&mut AgentSpec)) -> Arc<Version> {
    static KEPT: OnceLock<Mutex<Vec<Arc<Version>>>> = OnceLock::new();
    let mut spec = AgentSpec::new("tested", 7);
    spec.limits.request_timeout = PATIENCE;
    spec.limits.idle_timeout = PATIENCE;
    set(&mut spec);
    let version = runtime().prepare(guest.into(), spec).await.unwrap();
    let kept = runtime()
        .prepare(guest.into(), AgentSpec::new("kept", 1))
        .await
        .unwrap();
    let all = KEPT.get_or_init(Default::default);
    let mut all = all.lock().unwrap();
    if all.iter().all(|other| other.digest() != kept.digest()) {
        all.push(kept);
    }
    version
}

/// Every line that guests of a runtime printed.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<LogLine>>);

impl LogSink for Kept {
    fn line(&self, line: LogLine) {
        self.0.lock().unwrap().push(line);
    }
}

impl Kept {
    /// All lines, once there is one that holds `last`.
    pub(crate) async fn until(&self, last: &str) -> Vec<LogLine> {
        soon(async {
            loop {
                let lines = self.0.lock().unwrap().clone();
                if lines.iter().any(|line| line.text.contains(last)) {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// Fails the test when `fact` takes too long.
pub(crate) async fn soon<T>(fact: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, fact)
        .await
        .expect("it takes too long")
}

pub(crate) fn request(path: &str) -> http::Request<Empty<Bytes>> {
    http::Request::get(path)
        .header("host", "agent.localhost")
        .body(Empty::new())
        .unwrap()
}

/// Admits a request and answers it.
pub(crate) async fn http<B>(
    version: &Version,
    request: http::Request<B>,
    info: CallInfo,
) -> Result<http::Response<AgentBody>, CallError>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    version.http(request, version.admit(info)?).await
}

/// Admits a message and answers it.
pub(crate) async fn handle(
    version: &Version,
    message: Message,
    info: CallInfo,
) -> Result<Message, CallError> {
    version.handle(message, version.admit(info)?).await
}

pub(crate) async fn get(
    version: &Version,
    path: &str,
) -> Result<http::Response<AgentBody>, CallError> {
    soon(http(version, request(path), CallInfo::default())).await
}

/// The whole body, or how it broke off.
pub(crate) async fn text(reply: http::Response<AgentBody>) -> Result<String, BodyError> {
    let bytes = soon(reply.into_body().collect()).await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Head and body of an answer that must be whole.
pub(crate) async fn answer(version: &Version, path: &str) -> (u16, String) {
    let reply = get(version, path).await.unwrap();
    (reply.status().as_u16(), text(reply).await.unwrap())
}

/// What was counted once nothing is in flight.
pub(crate) async fn counted(version: &Version) -> ArmCounts {
    soon(version.drained()).await;
    version.take_window()
}
