//! A request that an operator sends to one version, whatever share it has: handed over like a caller's, and counted nowhere.
//!
//! Nobody comes here from the gateway's own listener: only the admin surface does, whose callers carry its token.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use caxton_rollout::AgentName;
use caxton_runtime::{CallInfo, Contract};
use http::{HeaderValue, Request, Response};
use http_body::Body;

use super::forwarded::{self, Caller};
use super::reached::Reached;
use super::refused::Refused;
use super::reply::{self, ReplyBody};
use super::service::{failed, is_message, take_whole};
use super::{message, target};
use crate::routes::{Route, Served, Serving, Target};

/// In flight like any call, and counted in no window that a policy sees.
const BY_HAND: CallInfo = CallInfo {
    affinity: None,
    probe: true,
    mirrored: false,
};

/// Answers with what that version says, or with why it does not: in the words of the gateway.
///
/// The request's path is the agent's own. What the agent is told of its caller is what it is told of any, with this machine as
/// where they are.
pub(crate) async fn call<B>(
    agent: &AgentName,
    served: Served,
    mut request: Request<B>,
) -> Response<ReplyBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let mut reached = Reached::new(Arc::new(Route {
        name: agent.clone(),
        target: Target::Serving(Serving::all_to(served)),
    }));
    let here = Caller::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let prefix = HeaderValue::try_from(format!("/{agent}")).ok();
    forwarded::tell(request.headers_mut(), &here, prefix, false);
    match answer(request, &mut reached).await {
        Ok(reply) => reply,
        Err(refused) => refused.reply(Some(&reached)),
    }
}

async fn answer<B>(
    request: Request<B>,
    reached: &mut Reached,
) -> Result<Response<ReplyBody>, Refused>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    target::aim(&request)?;
    reached.choose(request.headers())?;
    let version = reached.version()?;
    match version.inspection().contract {
        Contract::HttpP3 | Contract::HttpP2
            if version.is_single() && !request.body().is_end_stream() =>
        {
            let whole = take_whole(request, version).await?;
            http(whole, reached).await
        }
        Contract::HttpP3 | Contract::HttpP2 => http(request, reached).await,
        Contract::Handler => handle(request, reached).await,
    }
}

async fn http<B>(request: Request<B>, reached: &Reached) -> Result<Response<ReplyBody>, Refused>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let version = reached.version()?;
    let admission = version.admit(BY_HAND).map_err(Refused::Call)?;
    let answered = version.http(request, admission).await;
    let answered = answered.map_err(|error| failed(error, None))?;
    reply::of_agent(answered, reached.version_header(), None)
}

async fn handle<B>(request: Request<B>, reached: &Reached) -> Result<Response<ReplyBody>, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    is_message(&request)?;
    let version = reached.version()?;
    let limits = version.limits();
    let (head, body) = request.into_parts();
    let body = message::collect(body, limits.request_body, limits.idle_timeout).await?;
    let message = message::of_request(&head.headers, body);
    let admission = version.admit(BY_HAND).map_err(Refused::Call)?;
    let answered = version.handle(message, admission).await;
    let answered = answered.map_err(|error| failed(error, None))?;
    message::into_reply(answered, reached.agent(), reached.version_header())
}
