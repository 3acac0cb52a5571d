//! What happened, as server-sent events or as JSON lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::ApiError;
use crate::events::{Event, EventLog};

/// Readers that follow at once: each holds a connection for as long as it likes.
pub(super) const MAX_FOLLOWERS: usize = 32;

/// Something is sent this often, so that a connection whose other end is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ask {
    since: Option<u64>,
    follow: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The kind as `event`, the sequence number as `id`, so that browsers reconnect without a gap.
    ServerSent,
    Lines,
}

/// Answers `GET /api/v1/events`.
pub(super) async fn events(
    State(api): State<Api>,
    ask: Result<Query<Ask>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(ask) = ask.map_err(|error| ApiError::unprocessable(error.body_text()))?;
    let format = Format::wanted(&headers);
    let follow = ask.follow.unwrap_or(format == Format::ServerSent);
    // A browser that reconnects repeats the address it first asked, so what it saw last counts for more.
    let since = last_event_id(&headers)?.or(ask.since).unwrap_or(0);
    let body = if follow {
        let follower = api.surface.events.follow(since);
        let texts = stream::unfold(follower, move |mut follower| async move {
            Some((format.write(&follower.next().await), follower))
        });
        following(&api, format, texts.boxed())?
    } else {
        Body::from_stream(stream::iter(remembered(&api.surface.events, since, format)))
    };
    Ok(format.reply(body))
}

/// A body of `texts` as they come, for as long as the reader and the host are there.
///
/// # Errors
/// Too many follow already.
pub(super) fn following(
    api: &Api,
    format: Format,
    texts: BoxStream<'static, String>,
) -> Result<Body, ApiError> {
    let reading = Reading {
        texts,
        format,
        stop: api.stop.clone(),
        _permit: follower_permit(&api.followers)?,
    };
    Ok(Body::from_stream(stream::unfold(reading, Reading::next)))
}

struct Reading {
    texts: BoxStream<'static, String>,
    format: Format,
    stop: CancellationToken,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

type Chunk = Result<Bytes, Infallible>;

impl Reading {
    async fn next(mut self) -> Option<(Chunk, Self)> {
        let text = tokio::select! {
            text = self.texts.next() => text?,
            () = tokio::time::sleep(KEEP_ALIVE) => String::new(),
            () = self.stop.cancelled() => return None,
        };
        // Nothing that this reader wants is still something to send: it may be gone, and that shows in no other way.
        let text = match text.is_empty() {
            true => self.format.nothing().to_owned(),
            false => text,
        };
        Some((Ok(text.into()), self))
    }
}

/// Everything that is remembered after `since`, and then the end.
fn remembered(
    log: &EventLog,
    since: u64,
    format: Format,
) -> impl Iterator<Item = Chunk> + Send + 'static {
    let mut batches = Vec::new();
    let mut position = since;
    // What happens while it is read is for the next reader, or else a busy host would never let this one end.
    let newest = log.last_seq();
    loop {
        let events = log.since(position);
        let Some(last) = events.last() else { break };
        position = last.seq;
        batches.push(events);
        if position >= newest {
            break;
        }
    }
    batches
        .into_iter()
        .map(move |events| Ok(format.write(&events).into()))
}

impl Format {
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        if accepts_server_sent(headers) {
            Self::ServerSent
        } else {
            Self::Lines
        }
    }

    pub(super) fn reply(self, body: Body) -> Response {
        let kind = match self {
            Self::ServerSent => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        };
        let head = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (head, body).into_response()
    }

    fn write(self, events: &[Arc<Event>]) -> String {
        events.iter().map(|event| self.write_one(event)).collect()
    }

    fn write_one(self, event: &Event) -> String {
        self.write_json(event.seq, &event.kind, &event.line())
    }

    pub(super) fn write_json(self, seq: u64, kind: &str, json: &str) -> String {
        match self {
            Self::Lines => format!("{json}\n"),
            // JSON has no line breaks of its own, so one `data` line holds it.
            Self::ServerSent => format!("id: {seq}\nevent: {kind}\ndata: {json}\n\n"),
        }
    }

    /// What a reader ignores.
    fn nothing(self) -> &'static str {
        match self {
            Self::Lines => "\n",
            Self::ServerSent => ":\n\n",
        }
    }
}

fn accepts_server_sent(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok())
        .flat_map(|accept| accept.split(','))
        .any(|kind| {
            kind.split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "text/event-stream")
        })
}

pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = id.to_str().ok().and_then(|id| id.trim().parse().ok());
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(ApiError::unprocessable(
            "the header last-event-id must be the id of an event: a number",
        )),
    }
}

pub(super) fn follower_permit(
    followers: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(followers).try_acquire_owned().map_err(|_| {
        let message =
            format!("{MAX_FOLLOWERS} readers follow already: end one, or read with follow=false");
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-followers",
            message,
        )
    })
}
