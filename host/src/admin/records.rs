//! Decision records, as the journal has them.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use caxton_rollout::{AgentName, HotReloadId, Moment};
use caxton_store::{Reader, RecordsOf};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::ApiError;
use super::stream::follower_permit;
use crate::records::{Readable, Selection};

/// Bytes that are read at once, as far as lines are as long as they are on the average.
const CHUNK: u64 = 64 * 1024;

/// Chunks that wait for a client that reads slowly.
const CHUNKS_WAITING: usize = 2;

/// Says that the newest decisions are not on the disk, and so not in the answer.
pub(crate) const INCOMPLETE: HeaderName = HeaderName::from_static("x-caxton-incomplete");

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ask {
    reload: Option<String>,
    agent: Option<String>,
    since: Option<u64>,
}

/// Answers `GET /api/v1/records`: JSON lines, those of the reload that began first before the others.
pub(super) async fn records(
    State(api): State<Api>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(ask) = ask.map_err(|error| ApiError::unprocessable(error.body_text()))?;
    let wanted = selection(ask)?;
    let permit = follower_permit(&api.followers)?;
    let records = api.surface.records.clone();
    let readable = records.written().await;
    if readable == Readable::Nothing {
        let message = "the records are not written now: the disk under the data directory does not answer; try again";
        return Err(not_written(message.to_owned()));
    }
    let asked = wanted.clone();
    let listed = tokio::task::spawn_blocking(move || records.list(&asked)).await;
    let listed = listed.unwrap_or_else(|gone| Err(gone.to_string()));
    let (reader, found) = listed.map_err(not_read)?;
    if found.is_empty() {
        is_known(&api, &wanted)?;
    }
    let (to, chunks) = mpsc::channel(CHUNKS_WAITING);
    // It ends when all is read, or with the first chunk that nobody takes any more.
    tokio::task::spawn_blocking(move || read(&reader, &found, &to));
    let reading = Reading {
        chunks,
        stop: api.stop.clone(),
        _permit: permit,
    };
    let body = Body::from_stream(futures::stream::unfold(reading, Reading::next));
    let head = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let mut response = (head, body).into_response();
    if readable == Readable::Earlier {
        let told = HeaderValue::from_static("the newest decisions are not written");
        response.headers_mut().insert(INCOMPLETE, told);
    }
    Ok(response)
}

fn not_written(message: String) -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "records-not-written",
        message,
    )
}

/// What the journal says when it cannot be read.
pub(super) fn not_read(problem: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "journal-not-read", problem)
}

fn selection(ask: Ask) -> Result<Selection, ApiError> {
    if ask.reload.is_some() && (ask.agent.is_some() || ask.since.is_some()) {
        return Err(ApiError::unprocessable(
            "`reload` names one reload: leave `agent` and `since` out, or leave `reload` out",
        ));
    }
    let reload = ask.reload.map(|text| {
        text.parse::<HotReloadId>().map_err(|_| {
            ApiError::unprocessable(format!(
                "`reload`: {text:?} is no reload's id, which looks like 9b2f0c1e-5a77-4f0e-8a39-6f3f4f1f2d10; \
                 `caxton history AGENT` lists them"
            ))
        })
    });
    let agent = ask.agent.map(|text| {
        text.parse::<AgentName>().map_err(|_| {
            ApiError::unprocessable(format!(
                "`agent`: no agent can have the name {text:?}: 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit"
            ))
        })
    });
    Ok(Selection {
        reload: reload.transpose()?,
        agent: agent.transpose()?,
        since: ask.since.map(Moment),
    })
}

/// Nothing is an answer for an agent that is there, and none for a reload.
fn is_known(api: &Api, wanted: &Selection) -> Result<(), ApiError> {
    if let Some(reload) = wanted.reload {
        let message = format!(
            "there are no records of a reload {reload}: it was never judged, or its records were removed for room; \
             `caxton history AGENT` lists an agent's reloads"
        );
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "reload-not-found",
            message,
        ));
    }
    match &wanted.agent {
        // Of one that is gone there may be records that are older than was asked for.
        Some(agent) if wanted.since.is_none() => {
            let published = api.surface.handle.published();
            let known = published.agents.contains_key(agent);
            known
                .then_some(())
                .ok_or_else(|| ApiError::no_such_agent(agent))
        }
        _ => Ok(()),
    }
}

type Chunk = io::Result<Bytes>;

struct Reading {
    chunks: mpsc::Receiver<Chunk>,
    stop: CancellationToken,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

impl Reading {
    async fn next(mut self) -> Option<(Chunk, Self)> {
        let chunk = tokio::select! {
            chunk = self.chunks.recv() => chunk,
            () = self.stop.cancelled() => return None,
        };
        Some((chunk?, self))
    }
}

/// Reads what was found, one reload after the other, as fast as it is taken.
fn read(reader: &Reader, found: &[RecordsOf], to: &mpsc::Sender<Chunk>) {
    for of in found {
        let mut sent = 0;
        while sent < of.lines {
            let most = at_once(of).min(of.lines.saturating_sub(sent));
            let chunk = match reader.lines(of.reload, sent, most) {
                // It was removed for room since it was found.
                Ok(lines) if lines.is_empty() && sent == 0 => break,
                Ok(lines) if lines.is_empty() => Err(io::Error::other(
                    "they were removed for room while they were read",
                )),
                Ok(lines) => {
                    sent = sent.saturating_add(lines.len() as u64);
                    Ok(text(lines))
                }
                Err(problem) => Err(io::Error::other(problem)),
            };
            let ends = chunk.is_err();
            if to.blocking_send(chunk).is_err() || ends {
                return;
            }
        }
    }
}

/// How many lines of it are read at once.
fn at_once(of: &RecordsOf) -> u64 {
    let lines = CHUNK.saturating_mul(of.lines);
    lines.checked_div(of.bytes).unwrap_or(1).clamp(1, 1_024)
}

fn text(lines: Vec<String>) -> Bytes {
    let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text.into()
}
