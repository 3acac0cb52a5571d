//! The demo's clients: they call without a pause, each over one connection that it keeps, and count for themselves.
//!
//! A client never sends a request twice, because one that was lost must not look answered. That is why it holds its
//! connection itself: an ordinary HTTP client quietly repeats requests whose connection broke.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Enough that some call is always in flight when versions change.
pub(super) const CLIENTS: usize = 8;

/// Between an answer and the next request: calm on a small machine, and several hundred requests a second.
const PAUSE: Duration = Duration::from_millis(5);

/// An answer that takes longer is lost; the agent takes 20 ms at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// The versions that the demo deploys.
const VERSIONS: usize = 3;

/// What all clients counted together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    answered: [AtomicU64; VERSIONS],
    failed: [AtomicU64; VERSIONS],
    lost: AtomicU64,
    connections: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) sent: u64,
    /// Complete answers, by version.
    pub(super) answered: [u64; VERSIONS],
    /// Those of them that the version itself made an error.
    pub(super) failed: [u64; VERSIONS],
    /// Requests without an answer of the agent.
    pub(super) lost: u64,
    pub(super) connections: u64,
}

impl Counted {
    pub(super) fn all_answered(&self) -> u64 {
        self.answered.iter().sum()
    }
}

/// Clients that call until they are stopped.
#[derive(Debug)]
pub(super) struct Clients {
    counts: Arc<Counts>,
    stop: CancellationToken,
    calling: JoinSet<()>,
}

impl Clients {
    pub(super) fn start(gateway: SocketAddr, agent: &str) -> Self {
        let counts = Arc::new(Counts::default());
        let stop = CancellationToken::new();
        let mut calling = JoinSet::new();
        for _ in 0..CLIENTS {
            calling.spawn(call(
                gateway,
                format!("/{agent}/"),
                Arc::clone(&counts),
                stop.clone(),
            ));
        }
        Self {
            counts,
            stop,
            calling,
        }
    }

    pub(super) fn so_far(&self) -> Counted {
        self.counts.read()
    }

    /// Lets every client finish the call that it is in.
    pub(super) async fn stop(mut self) -> Counted {
        self.stop.cancel();
        while self.calling.join_next().await.is_some() {}
        self.counts.read()
    }
}

impl Counts {
    fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            sent: read(&self.sent),
            answered: self.answered.each_ref().map(read),
            failed: self.failed.each_ref().map(read),
            lost: read(&self.lost),
            connections: read(&self.connections),
        }
    }

    fn count(&self, answer: Option<Answer>) {
        // Each counter stands for itself: nothing is concluded from two of them before the clients have stopped.
        let add = |counter: Option<&AtomicU64>| {
            counter.map(|counter| counter.fetch_add(1, Ordering::Relaxed))
        };
        let Some(Answer {
            version: Some(version),
            status,
        }) = answer
        else {
            add(Some(&self.lost));
            return;
        };
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                add(Some(&self.lost));
            }
            status => {
                add(self.answered.get(version));
                if status.is_server_error() {
                    add(self.failed.get(version));
                }
            }
        }
    }
}

struct Answer {
    /// From 0, as the counters are.
    version: Option<usize>,
    status: StatusCode,
}

async fn call(gateway: SocketAddr, path: String, counts: Arc<Counts>, stop: CancellationToken) {
    let mut connection = None;
    while !stop.is_cancelled() {
        if connection.is_none() {
            connection = connect(gateway).await;
            counts.connections.fetch_add(1, Ordering::Relaxed);
        }
        counts.sent.fetch_add(1, Ordering::Relaxed);
        let answer = match &mut connection {
            Some(sender) => tokio::time::timeout(PATIENCE, exchange(sender, gateway, &path))
                .await
                .ok()
                .flatten(),
            None => None,
        };
        // After a broken answer the connection is of no use, and one that the host closes is replaced.
        let usable = answer.is_some()
            && connection
                .as_ref()
                .is_some_and(|sender| !sender.is_closed());
        if !usable {
            connection = None;
        }
        counts.count(answer);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(gateway: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(gateway).await.ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the sender, which the client holds.
    tokio::spawn(connection);
    Some(sender)
}

/// One request and its whole answer; none when any part of it is missing.
async fn exchange(
    sender: &mut SendRequest<Empty<Bytes>>,
    gateway: SocketAddr,
    path: &str,
) -> Option<Answer> {
    sender.ready().await.ok()?;
    let request = Request::get(path)
        .header(header::HOST, gateway.to_string())
        .body(Empty::new())
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let version = response
        .headers()
        .get("x-caxton-version")
        .and_then(|version| version.to_str().ok()?.parse().ok());
    response.into_body().collect().await.ok()?;
    let version = version.and_then(|number: usize| number.checked_sub(1));
    Some(Answer { version, status })
}
