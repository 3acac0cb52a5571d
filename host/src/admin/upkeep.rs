//! Upkeep of what the host keeps, while it serves: collecting what is beyond the limits, a backup, and what operators did.
//!
//! Collecting and backing up take as long as the disk does, which may be longer than an answer may. What has not ended after
//! [`Waits::patience`] is answered with 202 and a body that stays open: line ends, so that a connection whose other end is gone is
//! noticed, and last the JSON that would have been the answer, `{error, message}` where it failed. What began goes on to its
//! end, whether somebody waits for it or not; a second one is refused meanwhile.

use std::convert::Infallible;
use std::future::Future;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use caxton_rollout::{AgentName, Moment};
use caxton_store::{BackedUp, Collected, Journal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Api;
use super::agents::{agent_name, read_body, unread};
use super::error::ApiError;
use super::records::not_read;
use crate::folders::Granted;

/// How long an answer to what takes long is waited for.
#[derive(Debug, Clone, Copy)]
struct Waits {
    /// Well within the time in which an answer must have begun.
    patience: Duration,
    /// Between two line ends.
    keep_alive: Duration,
}

const WAITS: Waits = Waits {
    patience: Duration::from_secs(15),
    keep_alive: Duration::from_secs(5),
};

/// Acts that are told: what a person reads.
const ACTS_MAX: u64 = 1_000;

/// What upkeep works on.
#[derive(Debug, Clone)]
pub struct Upkeep {
    journal: Journal,
    /// Folders that no backup is written into: what is watched, and what is the host's own.
    closed: Arc<[Closed]>,
    /// Nor into these: a backup holds what was granted, and an agent would show it to whoever calls.
    granted: Granted,
    /// One at a time: two would only hold each other up.
    turn: Arc<Semaphore>,
}

#[derive(Debug)]
struct Closed {
    what: &'static str,
    folder: PathBuf,
}

impl Upkeep {
    /// Upkeep of this journal; no backup goes into these folders, which are named for messages.
    #[must_use]
    pub(crate) fn new(
        journal: Journal,
        closed: &[(&'static str, PathBuf)],
        granted: Granted,
    ) -> Self {
        let closed = closed.iter().map(|(what, folder)| Closed {
            what,
            folder: folder.clone(),
        });
        Self {
            journal,
            closed: closed.collect(),
            granted,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Where a backup may be written: the path with every link in its folder followed.
    fn place(&self, path: &Path) -> Result<PathBuf, ApiError> {
        let shown = path.display();
        let refuse = |why: String| Err(ApiError::unprocessable(format!("`path`: {shown} {why}")));
        if !path.is_absolute() {
            return refuse("is not absolute, and the host does not know where you are".to_owned());
        }
        let (Some(Component::Normal(name)), Some(folder)) =
            (path.components().next_back(), path.parent())
        else {
            return refuse("names no file".to_owned());
        };
        let folder = match folder.canonicalize() {
            Ok(folder) if folder.is_dir() => folder,
            Ok(_) => return refuse(format!("has no folder: {} is a file", folder.display())),
            Err(problem) => {
                return refuse(format!(
                    "has no folder that the host can use: {}: {problem}; make it with: mkdir -p {}",
                    folder.display(),
                    folder.display()
                ));
            }
        };
        for closed in &*self.closed {
            let inside = closed.folder.canonicalize();
            if inside.is_ok_and(|inside| folder.starts_with(inside)) {
                return refuse(format!(
                    "lies inside the {} {}; name a file elsewhere",
                    closed.what,
                    closed.folder.display()
                ));
            }
        }
        if self.granted.holds(&folder) {
            return refuse(
                "lies in a directory that an agent was granted, and a backup holds secrets; name a file elsewhere".to_owned(),
            );
        }
        let place = folder.join(name);
        if place.symlink_metadata().is_ok() {
            let message = format!(
                "{shown} is there already, and nothing is written over it: name another file, or remove it"
            );
            return Err(ApiError::new(StatusCode::CONFLICT, "file-exists", message));
        }
        Ok(place)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NoBody {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupBody {
    path: Option<PathBuf>,
}

/// What a collection removed.
#[derive(Debug, Serialize)]
struct CollectedView {
    files: u64,
    bytes: u64,
    records: u64,
    events: u64,
}

/// What a backup holds.
#[derive(Debug, Serialize)]
struct BackupView {
    path: PathBuf,
    bytes: u64,
    files: u64,
    /// Files that could not be read: one sentence each.
    missing: Vec<String>,
}

/// `POST /api/v1/gc`
pub(super) async fn collect(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    read_body::<NoBody>(&body.map_err(|rejection| unread(&rejection))?)?;
    let upkeep = &api.surface.upkeep;
    let journal = upkeep.journal.clone();
    let job = upkeep.begin(async move {
        let Collected {
            files,
            bytes,
            records,
            events,
        } = journal.collect().await.map_err(failed)?;
        Ok(CollectedView {
            files,
            bytes,
            records,
            events,
        })
    })?;
    Ok(answer(job, WAITS).await)
}

/// `POST /api/v1/backup`
pub(super) async fn back_up(
    State(api): State<Api>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let BackupBody { path } = read_body(&body.map_err(|rejection| unread(&rejection))?)?;
    let path = path.ok_or_else(|| {
        ApiError::unprocessable("the body: `path` says where the backup goes, and is missing")
    })?;
    let upkeep = api.surface.upkeep.clone();
    let looking = upkeep.clone();
    let place = tokio::task::spawn_blocking(move || looking.place(&path)).await;
    let place = place.unwrap_or_else(|gone| Err(failed(gone.to_string())))?;
    let journal = upkeep.journal.clone();
    let job = upkeep.begin(async move {
        let BackedUp {
            path,
            bytes,
            files,
            missing,
        } = journal.backup(place).await.map_err(failed)?;
        Ok(BackupView {
            path,
            bytes,
            files,
            missing,
        })
    })?;
    Ok(answer(job, WAITS).await)
}

fn failed(problem: String) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "upkeep-failed", problem)
}

/// How it ended, as JSON.
type Ended = Result<Value, ApiError>;

impl Upkeep {
    /// Begins something, unless something else goes on.
    fn begin<T: Serialize>(
        &self,
        job: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<JoinHandle<Ended>, ApiError> {
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| {
            let message = "a collection or a backup goes on already; try again when it has ended";
            ApiError::new(StatusCode::CONFLICT, "upkeep-in-progress", message)
        })?;
        Ok(tokio::spawn(async move {
            let ended = job.await;
            drop(turn);
            // Plain values only, so writing them cannot fail.
            ended.map(|ended| serde_json::to_value(ended).unwrap_or_default())
        }))
    }
}

/// See the module's documentation.
async fn answer(mut job: JoinHandle<Ended>, waits: Waits) -> Response {
    match tokio::time::timeout(waits.patience, &mut job).await {
        Ok(ended) => match flat(ended) {
            Ok(value) => Json(value).into_response(),
            Err(error) => error.into_response(),
        },
        Err(_) => {
            let going = Going {
                job,
                keep_alive: waits.keep_alive,
            };
            let body = Body::from_stream(futures::stream::unfold(Some(going), Going::next));
            let kind = HeaderValue::from_static("application/json");
            (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, kind)], body).into_response()
        }
    }
}

fn flat(ended: Result<Ended, tokio::task::JoinError>) -> Ended {
    ended.unwrap_or_else(|gone| Err(failed(gone.to_string())))
}

/// Something whose answer has begun before it ended.
struct Going {
    job: JoinHandle<Ended>,
    keep_alive: Duration,
}

type Chunk = Result<Bytes, Infallible>;

impl Going {
    /// A line end while it goes on, then how it ended, then nothing.
    async fn next(going: Option<Self>) -> Option<(Chunk, Option<Self>)> {
        let mut going = going?;
        let Ok(ended) = tokio::time::timeout(going.keep_alive, &mut going.job).await else {
            return Some((Ok(Bytes::from_static(b"\n")), Some(going)));
        };
        let told = match flat(ended) {
            Ok(value) => value,
            Err(error) => serde_json::to_value(error).unwrap_or_default(),
        };
        Some((Ok(format!("{told}\n").into()), None))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ask {
    agent: Option<String>,
}

/// One order of an operator.
#[derive(Debug, Serialize)]
pub(super) struct ActView {
    at: Moment,
    agent: AgentName,
    order: String,
    /// Why it was not taken; none where it was.
    refused: Option<String>,
}

/// `GET /api/v1/acts`
pub(super) async fn acts(
    State(api): State<Api>,
    ask: Result<Query<Ask>, QueryRejection>,
) -> Result<Json<Vec<ActView>>, ApiError> {
    let Query(ask) = ask.map_err(|error| ApiError::unprocessable(error.body_text()))?;
    let agent = ask.agent.as_deref().map(agent_name).transpose()?;
    let records = api.surface.records.clone();
    // What was ordered before this was asked is in the answer, unless the disk does not take it now.
    records.written().await;
    let read = tokio::task::spawn_blocking(move || records.acts(agent.as_ref(), ACTS_MAX)).await;
    let acts = read.unwrap_or_else(|gone| Err(gone.to_string()));
    let view = |act: caxton_store::Act| ActView {
        at: act.at,
        agent: act.agent,
        order: act.order,
        refused: act.refused,
    };
    Ok(Json(
        acts.map_err(not_read)?.into_iter().map(view).collect(),
    ))
}

#[cfg(test)]
#[path = "upkeep_tests.rs"]
mod tests;
