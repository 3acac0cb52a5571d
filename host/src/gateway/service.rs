//! One request, from its head to the head of its reply.

use std::sync::Arc;
use std::time::Instant;

use caxton_runtime::{CallError, CallInfo, Contract, Version};
use http::header::UPGRADE;
use http::{HeaderMap, HeaderName, Method, Request, Response};
use hyper::body::{Body, Incoming};

use super::connection::Connection;
use super::refused::Refused;
use super::reply::ReplyBody;
use super::{forwarded, message, reply, target};
use crate::routes::{Found, Route, Target};

/// The header by which callers say what belongs together.
const KEY: HeaderName = HeaderName::from_static("x-caxton-key");

/// Answers the request: with what its agent says, or with why nobody does.
pub(crate) async fn answer(
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    connection.note(request.version());
    let line = AccessLine::begin(&request);
    let found = match find(connection, &request) {
        Ok(found) => found,
        Err(refused) => {
            let reply = refused.reply(None);
            line.end(None, &reply, Some(&refused));
            return reply;
        }
    };
    let mut route = Arc::clone(&found.route);
    match forward(connection, request, found, &mut route).await {
        Ok(reply) => {
            line.end(Some(&route), &reply, None);
            reply
        }
        Err(refused) => {
            let reply = refused.reply(Some(&route));
            line.end(Some(&route), &reply, Some(&refused));
            reply
        }
    }
}

fn find(connection: &Connection, request: &Request<Incoming>) -> Result<Found, Refused> {
    let limit = connection.shared.settings.head_bytes;
    if head_bytes(request) > limit {
        return Err(Refused::HeadTooLarge { limit });
    }
    let aim = target::aim(request)?;
    let wants = request.headers().get(UPGRADE);
    if wants.is_some_and(|wants| wants.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Err(Refused::NotImplemented("WebSocket"));
    }
    let table = connection.shared.routes.load();
    table.find(aim.host, aim.path).ok_or(Refused::NoRoute)
}

/// The length of the head as it came, give or take white space.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let target = request.uri().path_and_query();
    let line = target.map_or(0, |target| target.as_str().len());
    // Each header has a colon, a space and an end of line besides.
    let field =
        |(name, value): (&HeaderName, &http::HeaderValue)| name.as_str().len() + value.len() + 4;
    line + request.headers().iter().map(field).sum::<usize>()
}

fn serving(route: &Route) -> Result<&Arc<Version>, Refused> {
    match &route.target {
        Target::Serving { version, .. } => Ok(version),
        Target::Unavailable { why } => Err(Refused::Unavailable { why: why.clone() }),
    }
}

/// `answering` becomes the route that the request goes to in the end: who answers or fails is named by it.
async fn forward(
    connection: &Connection,
    mut request: Request<Incoming>,
    found: Found,
    answering: &mut Arc<Route>,
) -> Result<Response<ReplyBody>, Refused> {
    let Found {
        route,
        prefix,
        prefix_header,
    } = found;
    let version = serving(&route)?;
    target::enter(&mut request, prefix)?;
    let trust = connection.shared.settings.trust_forwarded;
    forwarded::tell(
        request.headers_mut(),
        &connection.caller,
        prefix_header,
        trust,
    );
    let info = CallInfo {
        affinity: affinity(request.headers()),
        ..CallInfo::default()
    };
    match version.inspection().contract {
        Contract::Http => {
            let admission = version.admit(info).map_err(Refused::Call)?;
            let answered = version.http(request, admission).await;
            let answered = answered.map_err(Refused::Call)?;
            reply::of_agent(answered, route.version_header.as_ref())
        }
        Contract::Handler => handle(connection, request, answering, version, info).await,
    }
}

/// Hands a handler agent its message, once it is whole.
async fn handle(
    connection: &Connection,
    request: Request<Incoming>,
    route: &mut Arc<Route>,
    version: &Version,
    info: CallInfo,
) -> Result<Response<ReplyBody>, Refused> {
    if request.uri().path() != "/" {
        return Err(Refused::HandlerHasNoPaths);
    }
    if request.method() != Method::POST {
        return Err(Refused::HandlerWantsPost);
    }
    let (head, body) = request.into_parts();
    let limits = version.limits();
    let limit = limits.request_body;
    if body.size_hint().lower() > limit {
        return Err(Refused::BodyTooLarge { limit });
    }
    let body = message::collect(body, limit, limits.idle_timeout).await?;
    let message = message::of_request(&head.headers, body);
    // While the body came in, another version may have taken over: the message goes to the one that serves now.
    let now = connection.shared.routes.load().agent(&route.name);
    *route = now.ok_or(Refused::Replaced)?;
    let version = serving(route)?;
    let admission = version.admit(info).map_err(Refused::Call)?;
    let answered = version.handle(message, admission).await;
    let answered = answered.map_err(|error| match error {
        CallError::WrongContract => Refused::Replaced,
        error => Refused::Call(error),
    })?;
    message::into_reply(answered, route)
}

/// What stands for a caller's key: 64 bits of FNV-1a, the same in every process and every version of the host.
fn affinity(headers: &HeaderMap) -> Option<u64> {
    let key = headers.get(KEY).filter(|key| !key.is_empty())?;
    let start = 0xcbf2_9ce4_8422_2325;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Some(key.as_bytes().iter().fold(start, step))
}

/// The line in the log that tells of a request. Nothing is kept for it unless it will be written.
struct AccessLine(Option<(Instant, Method, String)>);

impl AccessLine {
    fn begin(request: &Request<Incoming>) -> Self {
        Self(tracing::enabled!(tracing::Level::DEBUG).then(|| {
            let path = request.uri().path().to_owned();
            (Instant::now(), request.method().clone(), path)
        }))
    }

    fn end(
        self,
        route: Option<&Arc<Route>>,
        reply: &Response<ReplyBody>,
        refused: Option<&Refused>,
    ) {
        let Some((started, method, path)) = self.0 else {
            return;
        };
        let agent = route.map_or("-", |route| route.name.as_ref());
        let version = route.and_then(|route| route.version_header.as_ref());
        tracing::debug!(
            agent,
            version = version.and_then(|number| number.to_str().ok()),
            %method,
            path,
            status = reply.status().as_u16(),
            micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            refused = refused.map(tracing::field::debug),
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_has_one_number_for_ever() {
        let of = |key: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(KEY, HeaderValue::from_static(key));
            affinity(&headers)
        };
        // The published test vectors of FNV-1a.
        assert_eq!(of("a"), Some(0xaf63_dc4c_8601_ec8c));
        assert_eq!(of("foobar"), Some(0x8594_4171_f739_67e8));
        assert_eq!(of(""), None);
        assert_eq!(affinity(&HeaderMap::new()), None);
    }
}
