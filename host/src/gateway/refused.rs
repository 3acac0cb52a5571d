//! Answers that the host gives in an agent's place: each with a status, a code for programs, and a sentence for people
//! that says what to do.
//!
//! All but a handler's own failures carry `x-caxton-error: CODE`, which no agent can send. What went on inside an agent
//! (a trap's text, a host error) is for its owner's log and never told to callers.

use bytes::Bytes;
use caxton_runtime::{CallError, Failure};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::reached::Reached;
use super::reply::{ReplyBody, VERSION};
use super::settings::{RETRY_LATER, RETRY_SOON};
use crate::gate::{GateError, MAX_WAITING};

/// The header that tells the host's errors from an agent's.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-caxton-error");

/// Why a request is not answered by an agent.
#[derive(Debug)]
pub(crate) enum Refused {
    NoRoute,
    BadHost(&'static str),
    BadPath(&'static str),
    HeadTooLarge { limit: usize },
    NotImplemented(&'static str),
    Unavailable { why: String },
    HandlerWantsPost,
    HandlerHasNoPaths,
    BodyTooLarge { limit: u64 },
    BodyTooSlow,
    BodyBroken,
    BadReply(&'static str),
    Replaced,
    Gate(GateError),
    Call(CallError),
}

/// The body of an error.
#[derive(Serialize)]
struct Told<'a> {
    error: &'static str,
    agent: Option<&'a str>,
    message: &'a str,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::HandlerHasNoPaths => StatusCode::NOT_FOUND,
            Self::BadHost(_) | Self::BadPath(_) | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable { .. } | Self::Replaced | Self::Gate(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::HandlerWantsPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BadReply(_) => StatusCode::BAD_GATEWAY,
            Self::Call(error) => error.status(),
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoRoute => "no-route",
            Self::BadHost(_) => "bad-host",
            Self::BadPath(_) => "bad-path",
            Self::HeadTooLarge { .. } => "headers-too-large",
            Self::NotImplemented(_) => "not-implemented",
            Self::Unavailable { .. } => "agent-unavailable",
            Self::HandlerWantsPost => "method-not-allowed",
            Self::HandlerHasNoPaths => "no-such-path",
            Self::BodyTooLarge { limit } => CallError::RequestTooLarge { limit: *limit }.code(),
            Self::BodyTooSlow => CallError::CallerTooSlow.code(),
            Self::BodyBroken => "broken-body",
            Self::BadReply(_) => "bad-reply",
            Self::Replaced => CallError::Cut.code(),
            Self::Gate(GateError::Full) => "gate-full",
            Self::Gate(GateError::Timeout) => "gate-timeout",
            Self::Call(error) => error.code(),
        }
    }

    /// The sentence for people. `agent` is a name, or stands for one.
    fn message(&self, agent: &str) -> String {
        match self {
            Self::NoRoute => "No agent answers here. Agents are at /NAME/ and on the hosts and paths that they claim; \
                              `caxton ls` lists them."
                .to_owned(),
            Self::BadHost(why) => format!("The Host header cannot be used: {why}. Send one Host: NAME or NAME:PORT."),
            Self::BadPath(why) => format!("The path cannot be used: {why}. Send the path that is meant, resolved."),
            Self::HeadTooLarge { limit } => {
                format!("The request's line and headers are longer than {limit} bytes. Send fewer or shorter headers.")
            }
            Self::NotImplemented(what) => format!("The gateway does not do {what}. Use plain requests and replies."),
            Self::Unavailable { why } => {
                format!("Agent {agent} does not answer now: {why}. `caxton status {agent}` says more.")
            }
            Self::HandlerWantsPost => {
                format!("Agent {agent} takes messages: POST the message's body to it.")
            }
            Self::HandlerHasNoPaths => {
                format!("Agent {agent} takes messages and has no paths of its own: POST to it without anything after its route.")
            }
            Self::BodyTooLarge { limit } => too_large(agent, *limit),
            Self::BodyTooSlow => too_slow(),
            Self::BodyBroken => "The request's body ended early or is malformed. Send it again, whole.".to_owned(),
            Self::BadReply(why) => format!(
                "Agent {agent} gave a reply that cannot be sent: {why}. The host's log may say more."
            ),
            Self::Replaced => format!("Agent {agent} was replaced while the request was on its way. Send it again."),
            Self::Gate(GateError::Full) => format!(
                "Agent {agent} is being replaced, and {MAX_WAITING} requests wait for that already. Try again."
            ),
            Self::Gate(GateError::Timeout) => format!(
                "Agent {agent} is being replaced, and that takes longer than requests wait. Try again, or raise \
                 reload.gate_timeout in {agent}.toml."
            ),
            Self::Call(error) => call_message(error, agent),
        }
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable { .. } => Some(RETRY_LATER),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_SOON),
            _ => None,
        }
    }

    /// Whether the agent said this itself.
    fn by_agent(&self) -> bool {
        matches!(self, Self::Call(CallError::Failure(_)))
    }

    /// The reply that says so, in the name of the agent that was reached, if one was.
    pub(crate) fn reply(&self, reached: Option<&Reached>) -> Response<ReplyBody> {
        let name = reached.map(Reached::agent);
        let told = Told {
            error: self.code(),
            agent: name,
            message: &self.message(name.unwrap_or("of this address")),
        };
        let body = serde_json::to_vec(&told).unwrap_or_default();
        let mut reply = Response::new(ReplyBody::whole(Bytes::from(body)));
        *reply.status_mut() = self.status();
        let headers = reply.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.by_agent() {
            headers.insert(ERROR, HeaderValue::from_static(self.code()));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::HandlerWantsPost) {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(version) = reached.and_then(Reached::version_header) {
            headers.insert(VERSION, version.clone());
        }
        reply
    }
}

fn call_message(error: &CallError, agent: &str) -> String {
    match error {
        CallError::Failure(
            Failure::Invalid(text) | Failure::Unavailable(text) | Failure::Internal(text),
        ) => text.clone(),
        CallError::Trap(_) => {
            format!("Agent {agent} trapped before it had answered. The host's log says where.")
        }
        CallError::OutOfFuel { fuel } => format!(
            "Agent {agent} used up its fuel of {fuel} units before it had answered. Raise limits.fuel in {agent}.toml if it needs \
             more."
        ),
        CallError::Deadline { .. } => format!(
            "Agent {agent} did not answer in its time. Raise limits.request_timeout in {agent}.toml if it needs more."
        ),
        CallError::NoAnswer(_) => {
            format!("Agent {agent} ended without an answer. The host's log may say why.")
        }
        CallError::Cut => {
            format!("Agent {agent} was replaced while it worked on this request. Send it again.")
        }
        CallError::Closed => {
            format!("Agent {agent} was replaced while the request was on its way. Send it again.")
        }
        CallError::Busy(_) => format!(
            "Agent {agent} has as many requests as it may have at once. Try again, or raise limits.concurrency."
        ),
        CallError::Instantiation(_) => {
            format!(
                "Agent {agent} could not be started for this request. The host's log may say why."
            )
        }
        CallError::BadRequest(why) => {
            format!("The request cannot be handed to agent {agent}: {why}.")
        }
        CallError::RequestTooLarge { limit } => too_large(agent, *limit),
        CallError::ReplyTooLarge { limit } => format!(
            "Agent {agent} gave a reply longer than its limit of {limit} bytes. Raise limits.reply_body in {agent}.toml."
        ),
        CallError::CallerTooSlow => too_slow(),
        CallError::WrongContract => format!("Agent {agent} cannot be called in this way."),
        CallError::Host(_) => {
            format!("The host could not carry the request to agent {agent}. Its log says why.")
        }
    }
}

fn too_large(agent: &str, limit: u64) -> String {
    format!(
        "The request's body is longer than the {limit} bytes that agent {agent} takes. Send less, or raise \
         limits.request_body in {agent}.toml."
    )
}

fn too_slow() -> String {
    "The request's body came too slowly. Send it again, faster.".to_owned()
}
