//! Decision records, as they stand on the disk.

use std::collections::VecDeque;
use std::io;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use caxton_rollout::{AgentName, HotReloadId, Moment};
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Take};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::ApiError;
use super::stream::follower_permit;
use crate::records::{Selection, Stored};

/// Bytes that are sent at once; a line that is longer is sent whole.
const CHUNK: usize = 64 * 1024;

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
    if !records.is_written().await {
        let message = "the records are not written now: the disk under the data directory does not answer; try again";
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "records-not-written",
            message,
        ));
    }
    let asked = wanted.clone();
    let stored = tokio::task::spawn_blocking(move || records.list(&asked)).await;
    let stored = stored.unwrap_or_default();
    if stored.is_empty() {
        is_known(&api, &wanted)?;
    }
    let reading = Reading {
        files: stored.into(),
        open: None,
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
    Ok((head, body).into_response())
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

struct Reading {
    files: VecDeque<Stored>,
    open: Option<Take<BufReader<File>>>,
    stop: CancellationToken,
    /// Given back when the connection ends.
    _permit: OwnedSemaphorePermit,
}

type Chunk = io::Result<Bytes>;

impl Reading {
    async fn next(mut self) -> Option<(Chunk, Self)> {
        let stop = self.stop.clone();
        let chunk = tokio::select! {
            chunk = self.chunk() => chunk,
            () = stop.cancelled() => return None,
        };
        Some((chunk?, self))
    }

    /// Some whole lines; none after the last.
    async fn chunk(&mut self) -> Option<Chunk> {
        loop {
            if let Some(file) = &mut self.open {
                match lines(file).await {
                    Ok(lines) if lines.is_empty() => self.open = None,
                    Ok(lines) => return Some(Ok(lines.into())),
                    Err(problem) => return Some(Err(problem)),
                }
            }
            let Stored { path, bytes, .. } = self.files.pop_front()?;
            match File::open(&path).await {
                // What comes while it is read is for the next reader.
                Ok(file) => self.open = Some(BufReader::with_capacity(CHUNK, file).take(bytes)),
                // Removed for room since it was found.
                Err(problem) if problem.kind() == io::ErrorKind::NotFound => {}
                Err(problem) => return Some(Err(problem)),
            }
        }
    }
}

/// As many whole lines as come together; what a killed host left of a line is none.
async fn lines(file: &mut Take<BufReader<File>>) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    while lines.len() < CHUNK {
        let before = lines.len();
        file.read_until(b'\n', &mut lines).await?;
        if lines.last() != Some(&b'\n') {
            lines.truncate(before);
            break;
        }
        if lines.len() == before {
            break;
        }
    }
    Ok(lines)
}
