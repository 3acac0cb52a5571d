//! Connections to the admin surface: how many, how slow, and how they end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gateway::socket::Socket;

/// Connections at once: every follower has one, and as many again are for everything else.
const MAX_CONNECTIONS: usize = 2 * super::stream::MAX_FOLLOWERS;

/// For the head of a request, and for a connection that is kept open between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a reader may take no byte of what is being sent; then its connection makes room.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;

/// For a request and the head of its reply: an order waits for the controller, and no longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What is still being answered at a stop has this long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// After a failure to accept, which is mostly a lack of file descriptors that a moment may mend.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What callers may cost, whoever they are: these hold before any token is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) head_timeout: Duration,
    pub(super) write_stall: Duration,
    /// From a request's head to its reply's head, the request's body included.
    pub(super) request_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            head_timeout: HEAD_TIMEOUT,
            write_stall: WRITE_STALL,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Serves until `stop`, and then until what is open is answered or the time is over.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed, so there is always a permit in the end.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, accept(&listener).await)
        };
        let (slot, stream) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        // Ended ones are taken out here, so that the set holds no more than the slots.
        while connections.try_join_next().is_some() {}
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                Socket::new(stream, bounds.write_stall, Arc::new(AtomicBool::new(false))),
                TowerToHyperService::new(router.clone()),
            );
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection broke off");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("admin connections were still open and are cut");
    }
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "the admin surface cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
