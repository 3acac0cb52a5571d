//! One request, from its head to the head of its reply.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use caxton_runtime::{AgentBody, CallError, Contract, Version};
use http::header::UPGRADE;
use http::{HeaderName, Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tracing::Instrument;

use super::admission::{Admitted, admit, before_body};
use super::connection::Connection;
use super::mirror::{self, Copied, Teed, Witness};
use super::reached::Reached;
use super::refused::Refused;
use super::reply::ReplyBody;
use super::{forwarded, message, reply, target};
use crate::gate::Turn;
use crate::routes::Found;
use crate::telemetry::{Telemetry, spans};

/// Answers the request: with what its agent says, or with why nobody does.
pub(crate) async fn answer(
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let span = spans::of_request(&request);
    answer_inside(connection, request).instrument(span).await
}

async fn answer_inside(connection: &Connection, request: Request<Incoming>) -> Response<ReplyBody> {
    connection.note(request.version());
    let account = Account::open(&request);
    let telemetry = &connection.shared.telemetry;
    let found = match find(connection, &request) {
        Ok(found) => found,
        Err(refused) => {
            let reply = refused.reply(None);
            account.close(telemetry, None, &reply, Some(&refused));
            return reply;
        }
    };
    let mut reached = Reached::new(found.route.clone());
    match forward(connection, request, found, &mut reached).await {
        Ok(reply) => {
            account.close(telemetry, Some(&reached), &reply, None);
            reply
        }
        Err(refused) => {
            let reply = refused.reply(Some(&reached));
            account.close(telemetry, Some(&reached), &reply, Some(&refused));
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

async fn forward(
    connection: &Connection,
    mut request: Request<Incoming>,
    found: Found,
    reached: &mut Reached,
) -> Result<Response<ReplyBody>, Refused> {
    target::enter(&mut request, found.prefix)?;
    let trust = connection.shared.settings.trust_forwarded;
    forwarded::tell(
        request.headers_mut(),
        &connection.caller,
        found.prefix_header,
        trust,
    );
    spans::pass_on(request.headers_mut());
    reached.choose(request.headers())?;
    match reached.version()?.inspection().contract {
        contract
            if contract.is_http()
                && reached.version()?.is_single()
                && !request.body().is_end_stream() =>
        {
            before_body(&connection.shared.routes, reached, request.body()).await?;
            reached.choose(request.headers())?;
            let whole = take_whole(request, reached.version()?).await?;
            reached.look_anew(&connection.shared.routes.load())?;
            http(connection, whole, reached).await
        }
        Contract::HttpP3 | Contract::HttpP2 => http(connection, request, reached).await,
        Contract::Handler => handle(connection, request, reached).await,
    }
}

/// The request with all of its body. Where one instance takes all calls, who sends slowly would keep the others waiting, and
/// with its time cost the instance everything that it remembers.
pub(super) async fn take_whole<B>(
    request: Request<B>,
    version: &Version,
) -> Result<Request<Full<Bytes>>, Refused>
where
    B: Body<Data = Bytes> + Unpin,
{
    let limits = version.limits();
    let limit = limits.request_body;
    let (head, body) = request.into_parts();
    let body = message::collect(body, limit, limits.idle_timeout).await?;
    Ok(Request::from_parts(head, Full::new(body)))
}

/// Hands an HTTP agent the request, whose body streams behind it.
async fn http<B>(
    connection: &Connection,
    request: Request<B>,
    reached: &mut Reached,
) -> Result<Response<ReplyBody>, Refused>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let routes = &connection.shared.routes;
    let admitted = admit(routes, reached, request.headers()).await?;
    let mirrored = admitted.listener.as_ref().and_then(|listener| {
        mirror::begin(&connection.shared.copies, listener, &request, admitted.info)
    });
    let version = reached.version()?;
    let (answered, witness) = match mirrored {
        None => (call(version, admitted, request).await, None),
        Some((copy, witness)) if request.body().is_end_stream() => {
            copy.send(Copied::empty());
            (call(version, admitted, request).await, Some(witness))
        }
        Some((copy, witness)) => {
            let request = request.map(|body| Teed::new(body, copy));
            (call(version, admitted, request).await, Some(witness))
        }
    };
    match answered {
        Ok(answered) => reply::of_agent(answered, reached.version_header(), witness),
        Err(error) => Err(failed(error, witness)),
    }
}

async fn call<B>(
    version: &Version,
    admitted: Admitted,
    request: Request<B>,
) -> Result<Response<AgentBody>, CallError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let Admitted {
        admission, turn, ..
    } = admitted;
    in_turn(turn, version.http(request, admission)).await
}

/// Hands a handler agent its message, once it is whole.
async fn handle(
    connection: &Connection,
    request: Request<Incoming>,
    reached: &mut Reached,
) -> Result<Response<ReplyBody>, Refused> {
    is_message(&request)?;
    before_body(&connection.shared.routes, reached, request.body()).await?;
    reached.choose(request.headers())?;
    let (head, body) = request.into_parts();
    let limits = reached.version()?.limits();
    let limit = limits.request_body;
    let body = message::collect(body, limit, limits.idle_timeout).await?;
    let message = message::of_request(&head.headers, body);
    // While the body came in, another version may have taken over: the message goes to the one that serves now.
    let routes = &connection.shared.routes;
    reached.look_anew(&routes.load())?;
    let Admitted {
        info,
        admission,
        turn,
        listener,
    } = admit(routes, reached, &head.headers).await?;
    let witness = listener.and_then(|listener| {
        mirror::begin_message(&connection.shared.copies, &listener, &message, info)
    });
    let answered = in_turn(turn, reached.version()?.handle(message, admission)).await;
    match answered {
        Ok(answered) => {
            if let Some(witness) = witness {
                witness.replied(&answered);
            }
            message::into_reply(answered, reached.agent(), reached.version_header())
        }
        Err(error) => Err(failed(error, witness)),
    }
}

/// Whether a handler agent can be asked so.
pub(super) fn is_message<B>(request: &Request<B>) -> Result<(), Refused> {
    if request.uri().path() != "/" {
        return Err(Refused::HandlerHasNoPaths);
    }
    if request.method() != Method::POST {
        return Err(Refused::HandlerWantsPost);
    }
    Ok(())
}

/// Begins the call before it is the next one's turn: a call is in the version's line once it was polled.
async fn in_turn<C: Future>(turn: Option<Turn>, call: C) -> C::Output {
    let mut call = pin!(call);
    if turn.is_some() {
        let begun = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        drop(turn);
        if let Poll::Ready(answered) = begun {
            return answered;
        }
    }
    call.await
}

pub(super) fn failed(error: CallError, witness: Option<Witness>) -> Refused {
    if let Some(witness) = witness {
        witness.failed(&error);
    }
    match error {
        // The version that was looked up first was called in another way.
        CallError::WrongContract => Refused::Replaced,
        error => Refused::Call(error),
    }
}

/// What is told of a request once it is answered.
struct Account {
    begun: Instant,
    /// For the line in the log. Nothing is kept for it unless it will be written.
    line: Option<(Method, String)>,
}

impl Account {
    fn open(request: &Request<Incoming>) -> Self {
        let line = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| (request.method().clone(), request.uri().path().to_owned()));
        Self {
            begun: Instant::now(),
            line,
        }
    }

    fn close(
        self,
        telemetry: &Telemetry,
        reached: Option<&Reached>,
        reply: &Response<ReplyBody>,
        refused: Option<&Refused>,
    ) {
        let took = self.begun.elapsed();
        let (agent, status) = (reached.map(Reached::agent), reply.status());
        let version = reached.and_then(Reached::version_header);
        let version = version.and_then(|number| number.to_str().ok());
        telemetry.answered(agent, status, took);
        spans::answered(agent, version, status, refused.map(Refused::code));
        let Some((method, path)) = self.line else {
            return;
        };
        tracing::debug!(
            agent = agent.unwrap_or("-"),
            version,
            %method,
            path,
            status = status.as_u16(),
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            refused = refused.map(tracing::field::debug),
            "request"
        );
    }
}
