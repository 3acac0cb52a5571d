//! Policies: which there are, and their components.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use caxton_rollout::Digest;

use super::Api;
use super::error::ApiError;
use crate::config::unhex;
use crate::policies::PolicyView;

/// `GET /api/v1/policies`
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<PolicyView>> {
    Json(api.surface.policies.list())
}

/// `GET /api/v1/policies/DIGEST`
pub(super) async fn component(
    State(api): State<Api>,
    Path(digest): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let not_found =
        |message: String| ApiError::new(StatusCode::NOT_FOUND, "policy-not-found", message);
    let hex = digest.strip_prefix("sha256:").unwrap_or(&digest);
    let found = unhex(hex).map(Digest::new).ok_or_else(|| {
        let message = "a policy's component is asked for by its digest, 64 hexadecimal digits, as /api/v1/policies shows it";
        not_found(message.to_owned())
    })?;
    let bytes = api.surface.policies.bytes(found).await.ok_or_else(|| {
        not_found(format!(
            "no policy here has the digest {found}, and no reload held one that is still kept"
        ))
    })?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes))
}
