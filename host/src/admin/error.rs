//! How the admin surface says no: a status code and `{error, message}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use caxton_rollout::{AgentName, HotReloadId, OrderError};
use serde::Serialize;

use crate::handle::NotOrdered;

/// A refusal. `error` is a word for machines and stays as it is; `message` is for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    error: &'static str,
    message: String,
    /// The reload that an order conflicts with.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<HotReloadId>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            error,
            message: message.into(),
            reload: None,
        }
    }

    pub(super) fn unauthorized() -> Self {
        let message = "this needs the header `authorization: Bearer TOKEN`; the token stands in admin.json in the \
                       host's data directory";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn no_such_agent(agent: &AgentName) -> Self {
        NotOrdered::Refused(OrderError::AgentNotFound {
            agent: agent.clone(),
        })
        .into()
    }

    /// The same, with the agent whose name is most like it, if any is.
    pub(super) fn no_such_agent_of<'a>(
        agent: &AgentName,
        known: impl IntoIterator<Item = &'a AgentName>,
    ) -> Self {
        let mut error = Self::no_such_agent(agent);
        let known = known.into_iter().map(AsRef::as_ref);
        if let Some(near) = caxton_runtime::nearest(agent.as_ref(), known) {
            error.message.push_str(&format!("; did you mean {near}?"));
        }
        error
    }

    pub(super) fn not_found() -> Self {
        let message = "nothing is here: the surface begins at /api/v1/host and /api/v1/agents";
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "this address does not take that method: GET reads, POST gives orders";
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            message,
        )
    }

    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", message)
    }
}

impl From<NotOrdered> for ApiError {
    fn from(refused: NotOrdered) -> Self {
        let (status, error, reload) = match &refused {
            NotOrdered::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", None),
            NotOrdered::Refused(order) => match order {
                OrderError::AgentNotFound { .. } => {
                    (StatusCode::NOT_FOUND, "agent-not-found", None)
                }
                OrderError::VersionNotFound { .. } => {
                    (StatusCode::NOT_FOUND, "version-not-found", None)
                }
                OrderError::AlreadyInProgress { reload, .. } => {
                    (StatusCode::CONFLICT, "already-in-progress", Some(*reload))
                }
                OrderError::NothingToDo { .. } => (StatusCode::CONFLICT, "nothing-to-do", None),
            },
        };
        Self {
            status,
            error,
            message: refused.to_string(),
            reload,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
