//! HTTP for callers: takes a request to its agent and brings back the reply.
//!
//! Data flow: a [`Socket`](socket) under hyper's HTTP/1.1 → [`target`] checks host and path → the routing table says
//! which agent → [`forwarded`] says who called → [`admission`] gets a place at one of the agent's versions, or waits for
//! it → the runtime → [`reply`], or [`refused`] when the host answers itself. Handler agents get their request as a
//! [`message`]; a version that listens gets a copy ([`mirror`]).
//!
//! It deliberately does not retry, cache, compress, follow upgrades or speak HTTP/2 and TLS: a proxy in front does that.
//! A request that hyper cannot read at all (malformed, a head beyond twice the limit, more than 100 headers, a target
//! beyond 64 KiB) gets hyper's own 400, 431 or 414, without a body.
//!
//! What must hold:
//! - no lock that the controller can hold while it works is taken for a request: the table is loaded, read and let go,
//!   and the lock of a [`Gate`](crate::gate::Gate) is held by either side for a push or a pop;
//! - a status code is a promise until the head is sent; after that, an answer that is not whole ends in a broken
//!   connection;
//! - a caller that goes away takes its call with it: nothing of a request lives in a task of its own, but its copy.

mod admission;
pub(crate) mod by_hand;
mod connection;
mod forwarded;
mod message;
mod mirror;
mod reached;
mod refused;
mod reply;
mod service;
mod settings;
mod shutdown;
pub(crate) mod socket;
mod target;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::connection::Ending;
use self::settings::ACCEPT_PAUSE;
pub use self::settings::{
    BODY_TIME, BUFFER_BYTES, COPIED_BODY, DRAIN_TIMEOUT, GATE_PAUSE, GatewaySettings, HEAD_BYTES,
    HEAD_TIMEOUT, LINGER, MAX_CONNECTIONS, RETRY_LATER, RETRY_SOON, WRITE_STALL,
};
pub use self::shutdown::Shutdown;
use self::shutdown::Stage;
use crate::routes::RoutingTable;
use crate::telemetry::Telemetry;

/// What all connections share.
struct Shared {
    routes: Arc<ArcSwap<RoutingTable>>,
    settings: GatewaySettings,
    copies: mirror::Tasks,
    telemetry: Telemetry,
}

/// What a gateway did, told when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections that were accepted.
    pub connections: u64,
    /// Of these, the ones that a shutdown cut because they had not ended in time.
    pub cut: u64,
}

impl Served {
    fn count(&mut self, ended: Result<Ending, JoinError>) {
        match ended {
            Ok(Ending::Own) => {}
            Ok(Ending::Cut) => self.cut += 1,
            Err(error) => tracing::error!(%error, "a connection's task ended abnormally"),
        }
    }
}

/// Accepts connections and answers their requests by the table that `routes` holds at the moment, until `shutdown`.
///
/// After [`Shutdown::stop`] the listener is closed, idle connections are closed, and requests that run are waited for
/// up to `drain_timeout`; after that, or after [`Shutdown::force`], they are cut. When this returns, every connection and
/// every copy has ended.
pub async fn serve(
    listener: TcpListener,
    routes: Arc<ArcSwap<RoutingTable>>,
    settings: GatewaySettings,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> Served {
    let drain_timeout = settings.drain_timeout;
    let protocol = connection::protocol(&settings);
    let slots = Arc::new(Semaphore::new(settings.max_connections));
    let copies = mirror::Tasks::default();
    let shared = Arc::new(Shared {
        routes,
        settings,
        copies: copies.clone(),
        telemetry,
    });
    let mut tasks = JoinSet::new();
    let mut served = Served::default();

    loop {
        tokio::select! {
            accepted = accept(&listener, &slots, &shutdown) => {
                let Some((stream, peer, slot)) = accepted else {
                    break;
                };
                served.connections += 1;
                let serving = connection::serve(Arc::clone(&shared), protocol.clone(), stream, peer, shutdown.clone());
                tasks.spawn(async move {
                    let _slot = slot;
                    serving.await
                });
            }
            Some(ended) = tasks.join_next() => served.count(ended),
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = tasks.join_next().await {
            served.count(ended);
        }
    };
    if timeout(drain_timeout, all_ended).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "requests outlast the drain timeout: cut"
        );
        shutdown.force();
        while let Some(ended) = tasks.join_next().await {
            served.count(ended);
        }
    }
    copies.end().await;
    served
}

type Accepted = (
    TcpStream,
    std::net::SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
);

/// The next connection, when there is room for it; `None` when no more are wanted.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<Accepted> {
    let next = async {
        // The semaphore is never closed; if it were, no room would be left for good.
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, slot)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.reached(Stage::Draining) => None,
        next = next => next,
    }
}
