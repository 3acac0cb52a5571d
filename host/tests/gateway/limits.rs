//! What one caller may cost: head, body, time, connections.

use std::time::Duration;

use caxton::gateway::GatewaySettings;
use caxton_runtime::Limits;

use crate::raw::{End, Raw};
use crate::rig::{Rig, route, tool, until, web};

fn settings(change: impl FnOnce(&mut GatewaySettings)) -> GatewaySettings {
    let mut settings = GatewaySettings::default();
    change(&mut settings);
    settings
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (rig, _version, mut raw) = Rig::web(Limits::default()).await;
    let head = |bytes: usize| {
        format!(
            "GET /web/ HTTP/1.1\r\nhost: t\r\nx-long: {}\r\n\r\n",
            "a".repeat(bytes)
        )
    };
    raw.send(head(31 << 10)).await;
    assert_eq!(raw.reply().await.status, 200);
    raw.send(head(33 << 10)).await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.status, reply.header("x-caxton-error")),
        (431, Some("headers-too-large"))
    );
    // What is larger by far is not even read.
    let mut raw = rig.connect().await;
    raw.send_if_wanted(head(300 << 10)).await;
    assert_eq!(raw.reply().await.status, 431);
    let mut raw = rig.connect().await;
    let many: String = (0..101)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    raw.send(format!("GET /web/ HTTP/1.1\r\nhost: t\r\n{many}\r\n"))
        .await;
    assert_eq!(raw.reply().await.status, 431);
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_connection_closed() {
    let (rig, _version, _raw) = Rig::web(Limits::default()).await;
    for bytes in [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /web/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST /web/echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let mut raw = rig.connect().await;
        raw.send(bytes).await;
        let (reply, _end) = raw.closed().await;
        assert!(
            reply.starts_with(b"HTTP/1.1 400 "),
            "{bytes:?}: {}",
            String::from_utf8_lossy(&reply)
        );
    }
}

#[tokio::test]
async fn a_body_over_the_agents_limit_is_refused_and_the_refusal_arrives() {
    let limits = Limits {
        request_body: 100_000,
        ..Limits::default()
    };
    let web = web(1, limits.clone()).await;
    let tool = tool(1, limits).await;
    let agents = vec![route("web", &web), route("tool", &tool)];
    let rig = Rig::start(GatewaySettings::default(), agents).await;
    let body = "x".repeat(8_000_000);
    for path in ["/web/echo", "/tool"] {
        // The reply comes while the caller still sends: it must not be lost over that.
        let mut raw = rig.connect().await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 8000000\r\n\r\n");
        raw.send(head).await;
        raw.send_if_wanted(&body).await;
        let reply = raw.reply().await;
        assert_eq!(
            (reply.status, reply.header("x-caxton-error")),
            (413, Some("request-too-large")),
            "{path}"
        );
    }
    // Without a length, what comes is counted.
    let mut raw = rig.connect().await;
    raw.send("POST /tool HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    raw.send_if_wanted(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
        .await;
    assert_eq!(raw.reply().await.status, 413);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let version = web(1, Limits::default()).await;
    let settings = settings(|settings| settings.head_timeout = Duration::from_millis(300));
    let rig = Rig::start(settings, vec![route("web", &version)]).await;
    let mut slow = rig.connect().await;
    slow.send("GET /web/ HTTP/1.1\r\nhost: t\r\nx-slow: ").await;
    let mut silent = rig.connect().await;
    let mut idle = rig.connect().await;
    assert_eq!(idle.get("/web/").await.status, 200);
    for raw in [&mut slow, &mut silent, &mut idle] {
        let (bytes, _end) = raw.closed().await;
        assert_eq!(bytes, b"");
    }
    // A request that takes longer than a head may is not touched by it.
    let mut raw = rig.connect().await;
    assert_eq!(raw.get("/web/sleep?ms=900").await.text(), "slept\n");
}

#[tokio::test]
async fn a_handlers_body_that_stops_coming_is_given_up() {
    let limits = Limits {
        idle_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let version = tool(1, limits).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("tool", &version)]).await;
    let mut raw = rig.connect().await;
    raw.send("POST /tool HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\necho")
        .await;
    let reply = raw.reply().await;
    assert_eq!(
        (reply.status, reply.header("x-caxton-error")),
        (408, Some("caller-too-slow"))
    );
    let counts = version.take_window();
    assert_eq!((counts.requests, counts.failures), (0, 0));
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_let_go_with_its_place() {
    let version = web(1, Limits::default()).await;
    let settings = settings(|settings| {
        settings.write_stall = Duration::from_millis(300);
        settings.max_connections = 1;
    });
    let rig = Rig::start(settings, vec![route("web", &version)]).await;
    let mut stalled = rig.connect().await;
    // More than the kernel keeps for a connection that is not read.
    stalled
        .send("GET /web/big?bytes=60000000 HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    until("the call is in flight", || version.in_flight() == 1).await;
    // The only place is taken: this one is served once the gateway has let the other go.
    let mut next = Raw::connect(rig.address).await;
    assert_eq!(next.get("/web/").await.text(), "hello\n");
    until("the call has ended", || version.in_flight() == 0).await;
    assert_eq!(version.take_window().failures, 0);
    let reply = stalled.reply().await;
    assert_ne!(reply.end, End::Whole);
}
