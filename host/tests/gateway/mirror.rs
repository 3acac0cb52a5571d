//! Copies of requests reach a version that listens, and change nothing for anybody else.

use std::sync::Arc;
use std::time::Duration;

use caxton::gateway::{COPIED_BODY, GatewaySettings};
use caxton::routes::{AgentRoute, Listener, MirrorCounts, MirrorRules, Serving};
use caxton_rollout::MirrorRequests;
use caxton_runtime::{Limits, Version};

use crate::raw::{End, Raw};
use crate::rig::{Rig, routed, served, tool, until, web, web_as};

/// A version that serves and one that listens.
struct Pair {
    rig: Rig,
    real: Arc<Version>,
    listener: Arc<Version>,
    counts: Arc<MirrorCounts>,
}

impl Pair {
    async fn start(
        name: &str,
        real: Arc<Version>,
        listener: Arc<Version>,
        requests: MirrorRequests,
    ) -> Self {
        let counts = Arc::new(MirrorCounts::default());
        let route = mirrored(name, &real, &listener, &counts, requests);
        Self {
            rig: Rig::start(GatewaySettings::default(), vec![route]).await,
            real,
            listener,
            counts,
        }
    }

    /// The agent `web`, and one that answers everything as if it were for this path.
    async fn web(path: &str) -> Self {
        let listener = web_as(path, 2, short()).await;
        let real = web(1, Limits::default()).await;
        Self::start("web", real, listener, MirrorRequests::Safe).await
    }

    /// Twice the agent `web`, and everything is copied.
    async fn same() -> Self {
        let real = web(1, Limits::default()).await;
        let listener = web(2, Limits::default()).await;
        Self::start("web", real, listener, MirrorRequests::All).await
    }

    /// Mismatches and skipped, once nothing of any copy is under way.
    async fn settled(&self) -> (u64, u64) {
        // Whoever makes, asks or compares holds the counts, as do this test and the table.
        until("nothing is under way", || {
            Arc::strong_count(&self.counts) == 2 && self.listener.in_flight() == 0
        })
        .await;
        self.counts.take()
    }

    /// How many copies the listener answered since the last time. None of them counts as a real request.
    fn answered(&self) -> u64 {
        assert_eq!(self.listener.take_window().requests, 0);
        self.listener.take_mirrored().requests
    }
}

fn mirrored(
    name: &str,
    real: &Arc<Version>,
    listener: &Arc<Version>,
    counts: &Arc<MirrorCounts>,
    requests: MirrorRequests,
) -> AgentRoute {
    listener.listen(true);
    let rules = MirrorRules {
        requests,
        ..MirrorRules::default()
    };
    let serving = Serving {
        listener: Some(Listener {
            served: served(listener),
            rules: Arc::new(rules),
            counts: Arc::clone(counts),
        }),
        ..Serving::all_to(served(real))
    };
    routed(name, serving)
}

fn short() -> Limits {
    Limits {
        request_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn safe_requests_are_copied_and_counted_apart() {
    let pair = Pair::web("/").await;
    let mut raw = pair.rig.connect().await;
    for _ in 0..5 {
        let reply = raw.get("/web/").await;
        assert_eq!((reply.status, reply.text()), (200, "hello\n"));
        assert_eq!(reply.header("x-caxton-version"), Some("1"));
    }
    raw.send("HEAD /web/ HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!(raw.head_reply().await.status, 200);
    assert_eq!(raw.post("/web/echo", "word").await.text(), "word");
    assert_eq!(pair.settled().await, (0, 0));
    assert_eq!(pair.answered(), 6);
    assert_eq!(pair.real.take_window().requests, 7);
    assert_eq!(pair.real.take_mirrored().requests, 0);
}

#[tokio::test]
async fn a_copy_says_that_it_is_one_and_no_caller_can() {
    let pair = Pair::same().await;
    let mut raw = pair.rig.connect().await;
    raw.send("GET /web/headers HTTP/1.1\r\nhost: t\r\nX-Caxton-Mirrored: 1\r\n\r\n")
        .await;
    assert!(!raw.reply().await.text().contains("mirrored"));
    // The one difference between the two requests.
    assert_eq!(pair.settled().await, (1, 0));
    assert_eq!(raw.get("/web/status/204").await.status, 204);
    assert_eq!(pair.settled().await, (0, 0));
    assert_eq!(pair.answered(), 2);
}

#[tokio::test]
async fn the_real_answer_is_the_same_whatever_a_listener_does() {
    for (path, mismatches) in [
        ("/", 0),
        ("/status/500", 1),
        ("/count", 1),
        ("/trap", 1),
        ("/trap-mid-body", 1),
        ("/stall-mid-body", 1),
        ("/no-answer", 1),
        ("/loop", 1),
        ("/block", 1),
        ("/big?bytes=3000000", 1),
        ("/allocate", 1),
    ] {
        let pair = Pair::web(path).await;
        let mut raw = pair.rig.connect().await;
        let reply = raw.get("/web/").await;
        assert_eq!((reply.status, reply.text()), (200, "hello\n"), "{path}");
        assert_eq!(reply.header("x-caxton-version"), Some("1"));
        if path == "/stall-mid-body" {
            // It would take its idle timeout.
            until("it is asked", || pair.listener.in_flight() == 1).await;
            pair.listener.cut();
            assert_eq!(pair.settled().await, (0, 1), "cut, and so as not made");
        } else {
            assert_eq!(pair.settled().await, (mismatches, 0), "{path}");
        }
        drop(raw);
        pair.rig.shutdown.stop();
        pair.real.retire();
    }
}

#[tokio::test]
async fn two_that_fail_do_not_differ_and_half_an_answer_is_a_failure() {
    let pair = Pair::same().await;
    let mut raw = pair.rig.connect().await;
    assert_eq!(raw.get("/web/trap").await.status, 502);
    let half = raw.get("/web/trap-mid-body?after=50").await;
    assert_ne!(half.end, End::Whole);
    assert_eq!(pair.settled().await, (0, 0));
    let pair = Pair::web("/trap-mid-body").await;
    let mut raw = pair.rig.connect().await;
    assert_eq!(raw.get("/web/trap").await.status, 502);
    assert_eq!(pair.settled().await, (0, 0));
}

#[tokio::test]
async fn bodies_are_copied_up_to_a_mebibyte() {
    let pair = Pair::same().await;
    let mut raw = pair.rig.connect().await;
    for length in [1, 5_000, COPIED_BODY] {
        let body = "x".repeat(length);
        let reply = raw.post("/web/echo", &body).await;
        assert_eq!((reply.status, reply.text() == body), (200, true));
    }
    assert_eq!(pair.settled().await, (0, 0));
    assert_eq!(pair.answered(), 3);
    let long = "x".repeat(COPIED_BODY + 1);
    assert_eq!(raw.post("/web/echo", &long).await.body.len(), long.len());
    assert_eq!(pair.settled().await, (0, 1));
    assert_eq!(pair.answered(), 0);
}

async fn chunked(raw: &mut Raw, path: &str, pieces: usize) -> usize {
    let head = "HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
    raw.send(format!("POST {path} {head}")).await;
    let piece = "x".repeat(0x1_0000);
    for _ in 0..pieces {
        raw.send(format!("10000\r\n{piece}\r\n")).await;
    }
    raw.send("0\r\n\r\n").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.end), (200, End::Whole));
    reply.text().trim_end_matches(" bytes\n").parse().unwrap()
}

#[tokio::test]
async fn a_body_of_unknown_length_is_copied_while_it_fits() {
    let pair = Pair::same().await;
    let mut raw = pair.rig.connect().await;
    let fits = chunked(&mut raw, "/web/read-slow", 16).await;
    assert_eq!(fits, MIB);
    assert_eq!(pair.settled().await, (0, 0));
    assert_eq!(pair.answered(), 1);
    let over = chunked(&mut raw, "/web/read-slow", 17).await;
    assert_eq!(over, MIB + 0x1_0000);
    assert_eq!(pair.settled().await, (0, 1));
    assert_eq!(pair.answered(), 0);
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_copied() {
    let pair = Pair::same().await;
    let mut raw = pair.rig.connect().await;
    // The agent answers without it, and the caller never sends the rest.
    raw.send("POST /web/ HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf")
        .await;
    assert_eq!(raw.reply().await.text(), "hello\n");
    drop(raw);
    assert_eq!(pair.settled().await, (0, 1));
    assert_eq!(pair.answered(), 0);
}

#[tokio::test]
async fn a_full_listener_gets_no_more_copies() {
    let limits = Limits {
        concurrency: 1,
        ..Limits::default()
    };
    let listener = web_as("/block", 2, limits).await;
    let real = web(1, Limits::default()).await;
    let pair = Pair::start("web", real, listener, MirrorRequests::Safe).await;
    let mut raw = pair.rig.connect().await;
    for _ in 0..3 {
        assert_eq!(raw.get("/web/").await.text(), "hello\n");
    }
    assert_eq!(pair.listener.in_flight(), 1);
    assert_eq!(pair.counts.take(), (0, 2));
    pair.listener.cut();
    assert_eq!(pair.settled().await, (0, 1));
}

#[tokio::test]
async fn messages_are_copied_where_everything_is() {
    for (requests, copies) in [(MirrorRequests::Safe, 0), (MirrorRequests::All, 4)] {
        let real = tool(1, Limits::default()).await;
        let listener = tool(2, short()).await;
        let pair = Pair::start("tool", real, listener, requests).await;
        let mut raw = pair.rig.connect().await;
        // Comes back with its metadata, in which the copy is marked: what is the host's is not compared.
        assert_eq!(raw.post("/tool", "a,b").await.text(), "a,b");
        assert_eq!(raw.post("/tool", "invalid why").await.status, 400);
        assert_eq!(raw.post("/tool", "trap").await.status, 502);
        assert_eq!(raw.post("/tool", "sleep 0").await.text(), "slept");
        let long = format!("echo {}", "x".repeat(COPIED_BODY));
        assert_eq!(raw.post("/tool", &long).await.status, 200);
        let skipped = u64::from(copies > 0);
        assert_eq!(pair.settled().await, (0, skipped));
        assert_eq!(pair.answered(), copies);
    }
}

#[tokio::test]
async fn a_message_that_only_the_listener_fails_is_a_mismatch() {
    let real = tool(1, Limits::default()).await;
    let listener = tool(2, short()).await;
    let pair = Pair::start("tool", real, listener, MirrorRequests::All).await;
    let mut raw = pair.rig.connect().await;
    assert_eq!(raw.post("/tool", "sleep 600").await.text(), "slept");
    assert_eq!(pair.settled().await, (1, 0));
}

#[tokio::test]
async fn a_caller_that_goes_away_is_compared_with_nothing() {
    let pair = Pair::web("/").await;
    let mut raw = pair.rig.connect().await;
    raw.send("GET /web/stream?chunks=100000&gap=5 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 200);
    drop(raw);
    assert_eq!(pair.settled().await, (0, 0));
    assert_eq!(pair.answered(), 1);
}

#[tokio::test]
async fn copies_end_with_the_gateway() {
    let listener = web_as("/block", 2, Limits::default()).await;
    let real = web(1, Limits::default()).await;
    let pair = Pair::start("web", real, listener, MirrorRequests::Safe).await;
    let mut raw = pair.rig.connect().await;
    assert_eq!(raw.get("/web/").await.text(), "hello\n");
    assert_eq!(pair.listener.in_flight(), 1);
    drop(raw);
    pair.rig.shutdown.stop();
    pair.rig.ended().await;
    assert_eq!(Arc::strong_count(&pair.counts), 1);
    until("the copy has ended", || pair.listener.in_flight() == 0).await;
}
