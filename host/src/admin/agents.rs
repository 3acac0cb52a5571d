//! Agents: what they are doing, how their reloads ended, and orders.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use caxton_rollout::{AgentName, HotReloadResult, Order, StateChoice, VersionNumber};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Api;
use super::error::ApiError;
use super::guard::MAX_BODY;
use crate::published::AgentStatus;

/// `GET /api/v1/agents`
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<Arc<AgentStatus>>> {
    Json(
        api.surface
            .handle
            .published()
            .agents
            .values()
            .cloned()
            .collect(),
    )
}

/// `GET /api/v1/agents/NAME`
pub(super) async fn status(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Arc<AgentStatus>>, ApiError> {
    find(&api, &name).map(Json)
}

/// `GET /api/v1/agents/NAME/history`
pub(super) async fn history(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Arc<[HotReloadResult]>>, ApiError> {
    find(&api, &name).map(|agent| Json(Arc::clone(&agent.history)))
}

/// An order that was taken, which is not yet one that has its effect.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    agent: AgentName,
    order: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RollbackBody {
    to: Option<u64>,
    state: StateChoice,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AbortBody {
    state: StateChoice,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SplitBody {
    percent: Option<u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PromoteBody {
    now: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NoBody {}

/// `POST /api/v1/agents/NAME/ORDER`
pub(super) async fn order(
    State(api): State<Api>,
    Path((name, order)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Taken>, ApiError> {
    let body = body.map_err(|rejection| unread(&rejection))?;
    let order = read_order(&order, &body)?;
    let agent = agent_name(&name)?;
    api.surface.handle.order(agent.clone(), order).await?;
    Ok(Json(Taken {
        agent,
        order: order.to_string(),
    }))
}

fn read_order(order: &str, body: &[u8]) -> Result<Order, ApiError> {
    let without = |order: Order| read_body::<NoBody>(body).map(|_| order);
    match order {
        "pause" => without(Order::Pause),
        "resume" => without(Order::Resume),
        "abort" => read_body(body).map(|AbortBody { state }| Order::Abort { state }),
        "retry" => without(Order::Retry),
        "promote" => read_body(body).map(|PromoteBody { now }| Order::Promote { now }),
        "rollback" => {
            let RollbackBody { to, state } = read_body(body)?;
            let to = to.map(version_number).transpose()?;
            Ok(Order::Rollback { to, state })
        }
        "set-split" => {
            let SplitBody { percent } = read_body(body)?;
            let share = percent.filter(|percent| (1..=99).contains(percent));
            let percent = share.ok_or_else(|| {
                ApiError::unprocessable(
                    "the body: `percent` goes from 1 to 99; `promote` gives a version all traffic, and `abort` none",
                )
            })?;
            Ok(Order::SetSplit { percent })
        }
        _ => Err(ApiError::not_found()),
    }
}

/// No body is the empty object: most orders have nothing to say beyond their name.
pub(super) fn read_body<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::unprocessable(format!("the body: {error}")))
}

fn version_number(number: u64) -> Result<VersionNumber, ApiError> {
    VersionNumber::new(number).ok_or_else(|| {
        ApiError::unprocessable("the body: `to` is 0, and versions are numbered from 1")
    })
}

pub(super) fn unread(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is longer than {MAX_BODY} bytes");
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message);
    }
    ApiError::new(StatusCode::BAD_REQUEST, "unreadable", rejection.body_text())
}

pub(super) fn agent_name(name: &str) -> Result<AgentName, ApiError> {
    name.parse().map_err(|_| {
        let message = "no agent can have that name: 1 to 64 of a-z, 0-9, - and _, the first a letter or a digit";
        ApiError::new(StatusCode::NOT_FOUND, "agent-not-found", message)
    })
}

pub(super) fn find(api: &Api, name: &str) -> Result<Arc<AgentStatus>, ApiError> {
    let name = agent_name(name)?;
    let published = api.surface.handle.published();
    published
        .agents
        .get(&name)
        .cloned()
        .ok_or_else(|| ApiError::no_such_agent_of(&name, published.agents.keys()))
}
