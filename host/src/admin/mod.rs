//! The admin surface: JSON over HTTP under `/api/v1`, for the command line and for tools.
//!
//! | | |
//! |---|---|
//! | `GET agents` | every agent |
//! | `GET agents/NAME` | one agent |
//! | `GET agents/NAME/history` | how its reloads ended, newest first |
//! | `GET agents/NAME/logs` | what its instances printed: server-sent events, or JSON lines; `?since=SEQ`, `?from=MS`, `?version=N`, `?lines=N`, `?follow=true` or `false` |
//! | `POST agents/NAME/call` | an operator's own request to the version on trial: see [`call`] |
//! | `POST agents/NAME/ORDER` | `rollback {to?}`, `promote {now?}`, `pause`, `resume`, `abort`, `retry` |
//! | `GET policies` | every policy: those in the binary and those in the policies directory |
//! | `GET policies/DIGEST` | the component of one |
//! | `GET events` | what happened: server-sent events, or JSON lines; `?since=SEQ`, `?follow=true` or `false` |
//! | `GET records` | decision records, as JSON lines; `?reload=ID`, or `?agent=NAME` and `?since=MS`; everything without |
//! | `GET acts` | what operators ordered, newest first, and why what was not taken was not; `?agent=NAME` |
//! | `POST gc` | removes what is beyond the limits and what nothing names |
//! | `POST backup` | `{path}`: everything that a start needs, as one new file |
//! | `GET host` | the host itself |
//!
//! It decides nothing: it shows what the controller published and passes orders on. It runs beside the gateway on a
//! listener of its own. The only answer of an agent that passes through it is the one to an operator's own call.
//!
//! What must hold: every request carries the token and names this host; a page of another site can use it in no way;
//! bodies, times, connections and followers are bounded; no answer depends on the controller having time.

mod agents;
mod announcement;
pub(crate) mod call;
mod error;
mod guard;
mod logs;
mod policies;
mod records;
mod serve;
mod stream;
mod token;
mod upkeep;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use caxton_rollout::{Attention, Moment};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::events::EventLog;
use crate::handle::ControllerHandle;
use crate::logs::AgentLogs;
use crate::policies::Policies;
use crate::records::RecordsReader;
use crate::telemetry::Telemetry;
pub use announcement::{Announcement, AnnouncementError, FILE_NAME, announce, withdraw};
use error::ApiError;
use guard::Guard;
pub(crate) use records::INCOMPLETE;
pub use token::Token;
pub use upkeep::Upkeep;

/// What the surface shows and passes orders to.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The way to the controller.
    pub handle: ControllerHandle,
    /// What happened.
    pub events: Arc<EventLog>,
    /// What agents printed.
    pub logs: Arc<AgentLogs>,
    /// What was decided, and why.
    pub records: RecordsReader,
    /// What the host keeps.
    pub upkeep: Upkeep,
    /// Which policies there are.
    pub policies: Arc<Policies>,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// When the host was started.
    pub started: Moment,
    /// What a request must carry.
    pub token: Token,
    /// What is counted.
    pub telemetry: Telemetry,
}

/// A token for one life of a host.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn new_token() -> io::Result<Token> {
    Token::generate().map_err(|problem| io::Error::other(problem.to_string()))
}

/// Serves on `listener` until `stop`; then takes no more connections, ends the followers, and waits a few seconds for
/// the rest.
pub async fn serve(listener: TcpListener, surface: Admin, stop: CancellationToken) {
    serve_within(listener, surface, serve::Bounds::default(), stop).await;
}

async fn serve_within(
    listener: TcpListener,
    surface: Admin,
    bounds: serve::Bounds,
    stop: CancellationToken,
) {
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(error) => {
            tracing::error!(%error, "the admin surface has no address and is not there");
            return;
        }
    };
    if let Some(warning) = exposed(address) {
        tracing::warn!("{warning}");
    }
    let guard = Arc::new(Guard {
        token: surface.token.clone(),
        listening: address,
        timeout: bounds.request_timeout,
    });
    let api = Api {
        surface: Arc::new(surface),
        address,
        followers: Arc::new(Semaphore::new(stream::MAX_FOLLOWERS)),
        stop: stop.clone(),
    };
    serve::serve(listener, router(api, guard), bounds, stop).await;
}

/// What to know where the surface listens beyond this machine.
fn exposed(address: SocketAddr) -> Option<String> {
    (!address.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "the admin surface listens on {address}, beyond this machine, and speaks plain HTTP: whoever sees its traffic has the \
             token, and with it every agent; let it listen on 127.0.0.1 and put a proxy with TLS, or an SSH tunnel, in front"
        )
    })
}

/// What every handler may use.
#[derive(Debug, Clone)]
struct Api {
    surface: Arc<Admin>,
    address: SocketAddr,
    followers: Arc<Semaphore>,
    stop: CancellationToken,
}

fn router(api: Api, guard: Arc<Guard>) -> Router {
    let v1 = Router::new()
        .route("/host", get(host))
        .route("/events", get(stream::events))
        .route("/records", get(records::records))
        .route("/acts", get(upkeep::acts))
        .route("/gc", post(upkeep::collect))
        .route("/backup", post(upkeep::back_up))
        .route("/policies", get(policies::list))
        .route("/policies/{digest}", get(policies::component))
        .route("/agents", get(agents::list))
        .route("/agents/{name}", get(agents::status))
        .route(
            "/agents/{name}/history",
            get(agents::history).post(no_such_method),
        )
        .route("/agents/{name}/logs", get(logs::logs).post(no_such_method))
        .route("/agents/{name}/{order}", post(agents::order))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&guard),
            guard::in_time,
        ))
        // As long as the agent's own limits let it be.
        .route("/agents/{name}/call", post(call::call));
    Router::new()
        .nest("/api/v1", v1)
        .route("/metrics", get(metrics))
        .fallback(async || ApiError::not_found())
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(guard::MAX_BODY))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(api)
}

async fn no_such_method() -> ApiError {
    ApiError::method_not_allowed()
}

#[derive(Debug, Serialize)]
struct HostView {
    version: &'static str,
    pid: u32,
    started_at: Moment,
    gateway: SocketAddr,
    admin: SocketAddr,
    /// The newest event's number.
    last_event: u64,
    /// What waits for a person and belongs to no agent.
    attention: Vec<Attention>,
}

/// `GET /api/v1/host`
async fn host(State(api): State<Api>) -> Json<HostView> {
    Json(HostView {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started_at: api.surface.started,
        gateway: api.surface.gateway,
        admin: api.address,
        last_event: api.surface.events.last_seq(),
        attention: api.surface.handle.published().attention.clone(),
    })
}

/// `GET /metrics`
async fn metrics(State(api): State<Api>) -> Result<impl IntoResponse, ApiError> {
    let text = api.surface.telemetry.text().map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics",
            format!("the metrics cannot be written out: {error}"),
        )
    })?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}

#[cfg(test)]
mod tests;
