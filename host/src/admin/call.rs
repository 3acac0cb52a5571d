//! An operator's own call of a version on trial.
//!
//! `POST agents/NAME/call` hands its body on, with the method and the path that its headers `x-caxton-call-method` and
//! `x-caxton-call-path` name, and those headers that are sent as `x-caxton-to-agent-HEADER`. Nothing else of the request reaches
//! the agent, so that the token does not. The reply is the agent's, with `x-caxton-version`; where that header is missing the
//! host refused.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;

use super::Api;
use super::agents::find;
use super::error::ApiError;
use crate::gateway::by_hand;
use crate::published::AgentStatus;
use crate::routes::Served;

/// The method that the agent sees.
pub(crate) const METHOD: &str = "x-caxton-call-method";

/// The path, with its query.
pub(crate) const PATH: &str = "x-caxton-call-path";

/// What stands before the name of a header for the agent.
pub(crate) const TO_AGENT: &str = "x-caxton-to-agent-";

/// `POST /api/v1/agents/NAME/call`
pub(super) async fn call(
    State(api): State<Api>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let status = find(&api, &name)?;
    let served = candidate(&status)?;
    let host = HeaderValue::try_from(api.surface.gateway.to_string())
        .map_err(|_| ApiError::unprocessable("the gateway has no name"))?;
    let inner = inner(request, host)?;
    let reply = by_hand::call(&status.view.agent, served, inner).await;
    Ok(reply.map(Body::new))
}

/// The version on trial, where a call by hand does no harm.
fn candidate(status: &AgentStatus) -> Result<Served, ApiError> {
    let agent = &status.view.agent;
    let no = |error, message: String| Err(ApiError::new(StatusCode::CONFLICT, error, message));
    let Some(candidate) = &status.view.candidate else {
        let instead = match status.view.serving {
            Some(_) => {
                format!("`caxton call {agent}` without --candidate reaches the one that serves")
            }
            None => format!("and none that serves; `caxton status {agent}` says why"),
        };
        return no(
            "no-candidate",
            format!("agent {agent} has no version on trial: {instead}"),
        );
    };
    let number = candidate.number;
    let live = status
        .live
        .versions
        .iter()
        .find(|live| live.number == number);
    let Some((live, version)) = live.and_then(|live| Some((live, live.version.upgrade()?))) else {
        return no(
            "not-ready",
            format!(
                "version {number} of agent {agent} is not prepared yet: try again, `caxton status {agent}` says how far it is"
            ),
        );
    };
    let serves = status.view.serving == Some(number);
    if version.is_stateful() && !serves {
        return no(
            "keeps-state",
            format!(
                "version {number} of agent {agent} keeps state and does not serve yet: a call by hand would begin a state of its own, \
                 or change the copy that it is compared with; call it once it serves"
            ),
        );
    }
    if !live.isolated && !serves {
        return no(
            "not-isolated",
            format!(
                "agent {agent} has [limits] isolation = false, so that no two versions of it run at once: version {number} can be \
                 called once it serves"
            ),
        );
    }
    Ok(Served::new(number, version))
}

/// The request as the agent sees it.
fn inner(request: Request, host: HeaderValue) -> Result<Request, ApiError> {
    let (head, body) = request.into_parts();
    let text = |name: &str, default: &'static str| match head.headers.get(name) {
        None => Ok(default),
        Some(value) => value
            .to_str()
            .map_err(|_| ApiError::unprocessable(format!("the header {name} is not plain text"))),
    };
    let method: Method = text(METHOD, "POST")?
        .parse()
        .map_err(|_| ApiError::unprocessable(format!("the header {METHOD} is no method")))?;
    let path = text(PATH, "/")?;
    let uri: Uri = Some(path)
        .filter(|path| path.starts_with('/'))
        .and_then(|path| path.parse().ok())
        .ok_or_else(|| {
            ApiError::unprocessable(format!(
                "the header {PATH} is no path: it begins with a slash"
            ))
        })?;
    let mut inner = Request::new(body);
    *inner.method_mut() = method;
    *inner.uri_mut() = uri;
    *inner.headers_mut() = headers(&head.headers, host);
    Ok(inner)
}

fn headers(given: &HeaderMap, host: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, host);
    for (name, value) in given {
        let inner = name.as_str().strip_prefix(TO_AGENT);
        let Some(Ok(inner)) = inner.map(str::parse::<HeaderName>) else {
            continue;
        };
        if inner == HOST {
            headers.insert(inner, value.clone());
        // How long the body is, only the body itself says.
        } else if inner != CONTENT_LENGTH {
            headers.append(inner, value.clone());
        }
    }
    if let Some(length) = given.get(CONTENT_LENGTH).filter(|length| *length != "0") {
        headers.insert(CONTENT_LENGTH, length.clone());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_the_agent_reaches_it() {
        let mut given = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer the-token"),
            ("host", "127.0.0.1:8081"),
            ("cookie", "mine"),
            ("content-length", "5"),
            ("x-caxton-to-agent-authorization", "Basic own"),
            ("x-caxton-to-agent-x-one", "1"),
            ("x-caxton-to-agent-x-one", "2"),
            ("x-caxton-to-agent-content-length", "99"),
            ("x-caxton-to-agent-", "none"),
        ] {
            given.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let headers = headers(&given, HeaderValue::from_static("127.0.0.1:8080"));
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "authorization: Basic own",
                "content-length: 5",
                "host: 127.0.0.1:8080",
                "x-one: 1",
                "x-one: 2",
            ]
        );
    }
}
