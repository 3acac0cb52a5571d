//! Bodies in both directions, and how a connection tells whether an answer is whole.

use std::time::Duration;

use caxton_runtime::Limits;

use crate::raw::End;
use crate::rig::{Rig, until};

#[tokio::test]
async fn a_connection_carries_many_requests_also_before_their_replies() {
    let (rig, _version, mut raw) = Rig::web(Limits::default()).await;
    for _ in 0..3 {
        assert_eq!(raw.get("/web/").await.text(), "hello\n");
    }
    raw.send(
        "GET /web/status/201 HTTP/1.1\r\nhost: t\r\n\r\n\
         POST /web/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\n\r\nbody\
         GET /nobody HTTP/1.1\r\nhost: t\r\n\r\n\
         GET /web/status/203 HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(raw.reply().await.status, 201);
    assert_eq!(raw.reply().await.text(), "body");
    assert_eq!(raw.reply().await.status, 404);
    assert_eq!(raw.reply().await.status, 203);
    assert_eq!(raw.closed().await, (Vec::new(), End::Short));
    rig.shutdown.stop();
    assert_eq!(rig.ended().await.connections, 1);
}

#[tokio::test]
async fn chunks_come_back_while_more_are_being_sent() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("POST /web/echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.send("5\r\nfirst\r\n").await;
    let head = raw.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(raw.chunk().await, Ok(Some(b"first".to_vec())));
    for _ in 0..3 {
        raw.send("4\r\nnext\r\n").await;
        assert_eq!(raw.chunk().await, Ok(Some(b"next".to_vec())));
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.chunk().await, Ok(None));
    assert_eq!(raw.get("/web/").await.status, 200);
}

#[tokio::test]
async fn a_large_reply_arrives_byte_for_byte() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    let reply = raw.get("/web/big?bytes=3000001").await;
    assert_eq!((reply.end, reply.body.len()), (End::Whole, 3_000_001));
}

/// Limits that both of these break in the middle of their bodies: by their size, and by their silence.
const BREAKING: [&str; 2] = [
    "/web/stream?chunks=100&gap=20&size=1000",
    "/web/stall-mid-body",
];

fn narrow() -> Limits {
    Limits {
        reply_body: 5000,
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn an_answer_that_breaks_in_the_middle_never_looks_whole() {
    for path in BREAKING {
        let (_rig, version, mut raw) = Rig::web(narrow()).await;
        let reply = raw.get(path).await;
        assert_eq!((reply.status, reply.end), (200, End::Short), "{path}");
        assert!(!reply.body.is_empty(), "{path}: what was said arrives");
        until("the call is settled", || version.in_flight() == 0).await;
        assert_eq!(version.take_window().failures, 1, "{path}");
    }
}

#[tokio::test]
async fn where_only_the_close_would_tell_the_end_a_broken_answer_is_reset() {
    for path in BREAKING {
        let (_rig, _version, mut raw) = Rig::web(narrow()).await;
        raw.send(format!("GET {path} HTTP/1.0\r\nhost: t\r\n\r\n"))
            .await;
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.end), (200, End::Reset), "{path}");
    }
}

#[tokio::test]
async fn a_guest_that_dies_behind_its_head_is_told_as_far_as_it_still_can_be() {
    for path in ["/web/trap-mid-body", "/web/drop-body"] {
        let (_rig, version, mut raw) = Rig::web(Limits::default()).await;
        let reply = raw.get(path).await;
        // It depends on whether the guest waited for anything in between.
        match reply.status {
            200 => assert_eq!(reply.end, End::Short, "{path}"),
            status => assert_eq!(status, 502, "{path}"),
        }
        until("the call is settled", || version.in_flight() == 0).await;
        assert_eq!(version.take_window().failures, 1, "{path}");
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_breaks_the_connection_off() {
    let (_rig, version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("GET /web/stall-mid-body HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 200);
    assert_eq!(raw.chunk().await, Ok(Some(b"first\n".to_vec())));
    assert_eq!(version.cut(), 1);
    assert_eq!(raw.chunk().await, Err(End::Short));
}

#[tokio::test]
async fn an_old_client_gets_its_answer_until_the_close() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("GET /web/stream?chunks=3&size=5 HTTP/1.0\r\nhost: t\r\n\r\n")
        .await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.status, reply.end, reply.body.len()),
        (200, End::Whole, 15)
    );
}

#[tokio::test]
async fn head_gets_no_body_and_the_connection_goes_on() {
    let (_rig, version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("HEAD /web/ HTTP/1.1\r\nhost: t\r\n\r\n").await;
    let reply = raw.head_reply().await;
    assert_eq!(
        (reply.status, reply.header("x-caxton-version")),
        (200, Some("1"))
    );
    raw.send("HEAD /nobody HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!(raw.head_reply().await.status, 404);
    assert_eq!(raw.get("/web/").await.text(), "hello\n");
    until("every call is settled", || version.in_flight() == 0).await;
    let counts = version.take_window();
    assert_eq!((counts.requests, counts.failures), (2, 0));
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_agent_reads_it() {
    let limits = Limits {
        request_body: 10,
        ..Limits::default()
    };
    let (_rig, _version, mut raw) = Rig::web(limits).await;
    raw.send(
        // Reads before it answers: nobody asks for the body of a request whose reply is on its way.
        "POST /web/read-slow HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    )
    .await;
    assert_eq!(raw.head().await.status, 100);
    raw.send("body").await;
    assert_eq!(raw.reply().await.text(), "4 bytes\n");
    raw.send(
        "POST /web/echo HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n",
    )
    .await;
    assert_eq!(raw.reply().await.status, 413);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_its_call_with_it() {
    let (_rig, version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("GET /web/block HTTP/1.1\r\nhost: t\r\n\r\n").await;
    until("the call is in flight", || version.in_flight() == 1).await;
    drop(raw);
    until("the call has ended", || version.in_flight() == 0).await;
    let counts = version.take_window();
    assert_eq!(
        (counts.requests, counts.failures, counts.not_counted),
        (0, 0, 1)
    );
}
