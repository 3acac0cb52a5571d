//! One connection: hyper's HTTP/1.1 over a [`Socket`], until the caller, a limit or a shutdown ends it.
//!
//! HTTP/2 is not spoken. A proxy in front may speak it; what reaches agents is the same.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;

use super::Shared;
use super::forwarded::Caller;
use super::service;
use super::settings::{BUFFER_BYTES, GatewaySettings};
use super::shutdown::{Shutdown, Stage};
use super::socket::Socket;

/// What all requests of one connection share.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Caller,
    /// Set by a request whose reply ends with the connection (HTTP/1.0, no length): only a reset tells a broken one
    /// from a whole one.
    ends_by_close: Arc<AtomicBool>,
}

impl Connection {
    /// Notes what this request's version of HTTP means for the end of its reply.
    pub(crate) fn note(&self, version: Version) {
        if version == Version::HTTP_10 {
            self.ends_by_close.store(true, Ordering::Relaxed);
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, or by the caller, or with an error.
    Own,
    /// By a shutdown that waited no longer.
    Cut,
}

/// hyper's part of a gateway, made once.
pub(crate) fn protocol(settings: &GatewaySettings) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        // Up to twice the limit a head gets the gateway's own 431, which says what to do; beyond it hyper's bare one.
        .max_header_size(settings.head_bytes.saturating_mul(2))
        .max_buf_size(BUFFER_BYTES.max(settings.head_bytes.saturating_mul(2)));
    protocol
}

/// Serves the connection to its end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    protocol: http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: Shutdown,
) -> Ending {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a connection ended before its first request");
        return Ending::Own;
    }
    let ends_by_close = Arc::new(AtomicBool::new(false));
    let write_stall = shared.settings.write_stall;
    let socket = Socket::new(stream, write_stall, Arc::clone(&ends_by_close));
    let connection = Arc::new(Connection {
        shared,
        caller: Caller::new(peer.ip()),
        ends_by_close,
    });
    let answer = service_fn(move |request| {
        let connection = Arc::clone(&connection);
        async move { Ok::<_, Infallible>(service::answer(&connection, request).await) }
    });
    let mut http = pin!(protocol.serve_connection(socket, answer));
    let mut watch = shutdown.watch();
    let mut draining = false;
    let ended = poll_fn(|cx| match watch.poll(cx) {
        Stage::Cut => Poll::Ready(None),
        stage => {
            if stage == Stage::Draining && !draining {
                draining = true;
                http.as_mut().graceful_shutdown();
            }
            http.as_mut().poll(cx).map(Some)
        }
    });
    match ended.await {
        None => Ending::Cut,
        Some(Ok(())) => Ending::Own,
        Some(Err(error)) => {
            tracing::debug!(%peer, %error, "a connection broke off");
            Ending::Own
        }
    }
}
