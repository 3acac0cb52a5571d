//! One HTTP call in one store: the guest's run, and everything that may end it.
//!
//! The head is handed on when the guest waits for something or returns, whichever comes first. A guest that answers in one go
//! has ended by then, and whether its answer is whole is known before the caller sees any of it.

use crate::body::{AgentBody, taken_at_once};
use crate::call::{BodyError, Call, CallError};
use crate::counts::Outcome;
use crate::drive::drive;
use crate::instance::{After, HttpJob, explain, trapped};
use crate::serving::Serving;
use crate::store::{AgentStore, Leftovers, MAX_KEPT};
use crate::turn::Turn;
use futures::FutureExt;
use futures::channel::oneshot as head_channel;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, StreamBody};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};
use wasmtime::Store;
use wasmtime_wasi_http::handler::{Proxy, Response};

/// Why a guest's run is over.
enum End {
    /// It ended by itself: well, or with a trap outside, or with an error of the host's inside.
    Ran(wasmtime::Result<wasmtime::Result<()>>),
    /// It must not go on.
    Stopped(Stop),
}

#[derive(Clone, Copy)]
enum Stop {
    Cut,
    Deadline,
    AgentIdle,
    CallerIdle,
    CallerTooSlow,
    CallerGone,
    /// The reply is complete, and the guest works on for too long.
    Lingers,
    /// The body's side has ended the call.
    Settled,
}

impl Stop {
    /// What became of the instance, in the words of who looks for its state.
    fn reason(self) -> &'static str {
        match self {
            Self::Cut => "a call was cut by a reload",
            Self::Deadline => "a call did not answer in time",
            Self::AgentIdle => "the agent fell silent in the middle of a reply",
            Self::CallerIdle => "a caller took nothing for too long",
            Self::CallerTooSlow => "a request's body did not arrive in time",
            Self::CallerGone => "the caller went away",
            Self::Lingers => "the agent worked on for too long after its reply",
            Self::Settled => "a reply broke off",
        }
    }
}

/// What is still to be told to the caller.
struct Waiting {
    call: Arc<Call>,
    reply: Option<oneshot::Sender<Result<http::Response<AgentBody>, CallError>>>,
    reply_limit: u64,
    head_only: bool,
    fresh: bool,
}

/// Runs the guest on one request.
pub(crate) async fn run_http(
    store: &mut Store<AgentStore>,
    turn: &Turn,
    proxy: &Proxy,
    serving: &Arc<Serving>,
    job: HttpJob,
    fresh: bool,
) -> After {
    let call = Arc::clone(&job.call);
    let mut waiting = Waiting {
        call: job.call,
        reply: Some(job.reply),
        reply_limit: serving.spec.limits.reply_body,
        head_only: job.head_only,
        fresh,
    };
    let _unless_ended = BreakOff(&call);
    let (head_sender, mut head) = head_channel::channel();
    let end = {
        let request = job.request;
        let run = store
            .run_concurrent(async |accessor| drive(accessor, proxy, request, head_sender).await);
        watch(
            pin!(turn.during(run)),
            turn,
            &mut head,
            &mut waiting,
            serving,
        )
        .await
    };
    match end {
        End::Ran(Ok(Ok(()))) => {
            let left = left_by(store, proxy, &call);
            match head.try_recv() {
                _ if waiting.reply.is_none() => call.guest_ended(),
                Ok(Some(answer)) => match whole_or_none(answer, left.open_body) {
                    Some(answer) => {
                        call.guest_ended();
                        waiting.answer(answer);
                    }
                    None => waiting.refuse(CallError::NoAnswer(
                        "it ended with its reply's body open".into(),
                    )),
                },
                _ => waiting.refuse(CallError::NoAnswer("it never set a response".into())),
            }
            if left.of_the_call {
                After::Spent
            } else {
                After::Usable
            }
        }
        End::Ran(Ok(Err(error))) => {
            let error = CallError::Host(format!("{error:#}"));
            let reason = error.to_string();
            waiting.fail(error, BodyError::Unfinished);
            After::Ended(reason)
        }
        End::Ran(Err(trap)) => {
            let message = explain(&trap, store.data());
            let error = trapped(&trap, message.clone(), store.data());
            waiting.fail(error, BodyError::Trap(message.clone()));
            After::Trapped(message)
        }
        End::Stopped(stop) => {
            waiting.stop(stop, serving);
            After::Ended(stop.reason().into())
        }
    }
}

/// What the guest's call left behind.
fn left_by(store: &mut Store<AgentStore>, proxy: &Proxy, call: &Call) -> Leftovers {
    let mut left = store.data_mut().abort_open_bodies();
    if matches!(proxy, Proxy::P3(_)) {
        // Its streams are wasmtime's, where one cannot be told from another; that of the request has the caller's connection.
        let many = store
            .concurrent_resource_table()
            .is_some_and(|table| table.iter_mut().count() > MAX_KEPT);
        left.of_the_call |= many || !call.request.let_go.load(Relaxed);
    }
    left
}

/// The answer of a guest that ended before its head was sent. Its body lies there as far as it was written: one that was left
/// open need not be begun.
fn whole_or_none(
    answer: wasmtime::Result<Response>,
    open_body: bool,
) -> Option<wasmtime::Result<Response>> {
    let Ok(response) = answer else {
        return Some(answer);
    };
    if !open_body {
        return Some(Ok(response));
    }
    let (head, mut body) = response.into_parts();
    let mut frames = Vec::new();
    loop {
        match unconstrained(body.frame()).now_or_never() {
            Some(Some(Ok(frame))) => frames.push(Ok(frame)),
            Some(None) => break,
            Some(Some(Err(_))) | None => return None,
        }
    }
    let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
    Some(Ok(Response::from_parts(head, body)))
}

/// The length that a reply declares. More than one, or one that is no number, cannot be sent.
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, CallError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    let number = length.to_str().ok().and_then(|text| text.parse().ok());
    match (number, lengths.next()) {
        (Some(number), None) => Ok(Some(number)),
        _ => Err(CallError::NoAnswer(
            "its Content-Length is not one number".into(),
        )),
    }
}

/// Polls the run, hands on the head, and looks out for everything that ends the run before its time.
async fn watch<R>(
    mut run: std::pin::Pin<&mut R>,
    turn: &Turn,
    head: &mut head_channel::Receiver<wasmtime::Result<Response>>,
    waiting: &mut Waiting,
    serving: &Serving,
) -> End
where
    R: Future<Output = wasmtime::Result<wasmtime::Result<()>>>,
{
    let call = Arc::clone(&waiting.call);
    let limits = &serving.spec.limits;
    let mut timer = pin!(sleep_until(call.deadline().into()));
    let mut cut = pin!(serving.cut_after(call.cut_round));
    let mut head_may_come = true;
    loop {
        let before_head = waiting.reply.is_some();
        tokio::select! {
            biased;
            ran = &mut run => return End::Ran(ran),
            answer = &mut *head, if before_head && head_may_come => match answer {
                Ok(answer) => {
                    waiting.answer(answer);
                    timer.as_mut().reset(Instant::now() + limits.idle_timeout);
                }
                // The run itself says why.
                Err(_canceled) => head_may_come = false,
            },
            () = &mut cut => return End::Stopped(Stop::Cut),
            () = call.changed.notified() => {
                if call.broken().is_some() {
                    return End::Stopped(Stop::Settled);
                }
            }
            () = closed(&mut waiting.reply), if before_head && waiting.fresh => {
                return End::Stopped(Stop::CallerGone);
            }
            () = &mut timer => {
                if before_head {
                    return End::Stopped(too_late(&call, turn));
                }
                match stalled(&call, turn, limits.idle_timeout) {
                    Ok(again) => timer.as_mut().reset(again),
                    Err(stop) => return End::Stopped(stop),
                }
            }
        }
    }
}

async fn closed<T>(reply: &mut Option<oneshot::Sender<T>>) {
    match reply {
        Some(reply) => reply.closed().await,
        None => std::future::pending().await,
    }
}

/// Whether the guest waits for the request's body. One that asked for it and computes meanwhile has nobody to blame.
fn waits_for_caller(call: &Call, turn: &Turn) -> bool {
    call.request.waits_for_caller.load(Relaxed) && !turn.computes()
}

fn too_late(call: &Call, turn: &Turn) -> Stop {
    if waits_for_caller(call, turn) {
        Stop::CallerTooSlow
    } else {
        Stop::Deadline
    }
}

/// When to look again, or who has been idle for too long.
fn stalled(call: &Call, turn: &Turn, idle_timeout: std::time::Duration) -> Result<Instant, Stop> {
    let (idle, caller_waits) = call.stalled();
    if let Some(left) = idle_timeout
        .checked_sub(idle)
        .filter(|left| !left.is_zero())
    {
        return Ok(Instant::now() + left);
    }
    Err(if call.has_body_ended() {
        Stop::Lingers
    } else if caller_waits && !waits_for_caller(call, turn) {
        Stop::AgentIdle
    } else {
        Stop::CallerIdle
    })
}

impl Waiting {
    /// Hands the guest's answer on.
    fn answer(&mut self, answer: wasmtime::Result<Response>) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        if self.call.request.too_large.load(Relaxed) {
            let limit = self.call.serving().spec.limits.request_body;
            self.reply = Some(reply);
            return self.refuse(CallError::RequestTooLarge { limit });
        }
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                self.reply = Some(reply);
                return self.refuse(CallError::NoAnswer(format!("{error:#}")));
            }
        };
        let (head, body) = response.into_parts();
        let length = match declared_length(&head.headers) {
            Ok(length) => length,
            Err(error) => {
                self.reply = Some(reply);
                return self.refuse(error);
            }
        };
        self.call.head(Outcome::of_status(head.status));
        let bodiless = self.head_only || matches!(head.status.as_u16(), 100..=199 | 204 | 304);
        let expected = length.filter(|_| !bodiless);
        let body = if self.call.serving().single.is_some() {
            taken_at_once(body, Arc::clone(&self.call), self.reply_limit)
        } else {
            body
        };
        let body = AgentBody::new(
            body,
            Arc::clone(&self.call),
            expected,
            self.reply_limit,
            !self.fresh,
        );
        let body = if bodiless { body.discard() } else { body };
        // When the caller is gone the body comes back and is dropped, which settles the call.
        drop(reply.send(Ok(http::Response::from_parts(head, body))));
    }

    /// Ends the call before its head.
    fn refuse(&mut self, error: CallError) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let request = &self.call.request;
        let error = if request.too_large.load(Relaxed) {
            let limit = self.call.serving().spec.limits.request_body;
            CallError::RequestTooLarge { limit }
        } else {
            error
        };
        let outcome = if reply.is_closed() && error.outcome() != Outcome::Cut {
            Outcome::NotCounted
        } else {
            error.outcome()
        };
        // There is no body to break, and the run's guard must find the call ended.
        self.call.fail(outcome, BodyError::Unfinished);
        drop(reply.send(Err(error)));
    }

    /// Ends the call badly, whether its head was sent or not.
    fn fail(&mut self, before_head: CallError, after_head: BodyError) {
        if self.reply.is_some() {
            self.refuse(before_head);
        } else {
            let outcome = match &after_head {
                BodyError::Trap(_) => Outcome::Trapped,
                BodyError::Cut => Outcome::Cut,
                BodyError::AgentIdle => Outcome::TooLate,
                BodyError::CallerIdle => Outcome::NotCounted,
                BodyError::Unfinished | BodyError::TooLarge { .. } => Outcome::Failed,
            };
            self.call.fail(outcome, after_head);
        }
    }

    fn stop(&mut self, stop: Stop, serving: &Serving) {
        let limit = serving.spec.limits.request_timeout;
        match stop {
            // The caller has everything.
            Stop::Cut if self.call.has_body_ended() => self.call.guest_ended(),
            Stop::Cut => self.fail(CallError::Cut, BodyError::Cut),
            Stop::Deadline => self.fail(CallError::Deadline { limit }, BodyError::AgentIdle),
            Stop::AgentIdle => self.fail(CallError::Deadline { limit }, BodyError::AgentIdle),
            Stop::CallerIdle | Stop::CallerTooSlow => {
                self.fail(CallError::CallerTooSlow, BodyError::CallerIdle);
            }
            Stop::CallerGone => self.call.fail(Outcome::NotCounted, BodyError::CallerIdle),
            Stop::Lingers => self.call.guest_ended(),
            Stop::Settled => {}
        }
    }
}

/// Makes sure that no body ends cleanly because its store went away with a task that was dropped or panicked.
struct BreakOff<'a>(&'a Call);

impl Drop for BreakOff<'_> {
    fn drop(&mut self) {
        if !self.0.has_guest_ended() && self.0.broken().is_none() {
            self.0.fail(Outcome::NotCounted, BodyError::Cut);
        }
    }
}

/// Stays with a call whose guest has ended until its caller has taken all of the reply, is idle for too long, or is cut off.
pub(crate) async fn supervise(serving: &Serving, call: &Call) {
    while !call.is_settled() {
        let (idle, _) = call.stalled();
        let left = serving.spec.limits.idle_timeout.saturating_sub(idle);
        if left.is_zero() {
            return call.fail(Outcome::NotCounted, BodyError::CallerIdle);
        }
        tokio::select! {
            () = call.changed.notified() => {}
            () = serving.cut_after(call.cut_round) => call.fail(Outcome::Cut, BodyError::Cut),
            () = tokio::time::sleep(left) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_reply_declares_one_length_or_none() {
        let length = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            declared_length(&headers)
        };
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&["12"]), Ok(Some(12)));
        for wrong in [&["12", "13"][..], &["12", "12"], &["x"], &["-1"], &[""]] {
            assert!(
                matches!(length(wrong), Err(CallError::NoAnswer(_))),
                "{wrong:?}"
            );
        }
    }
}
