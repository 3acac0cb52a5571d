//! What callers are told when no agent answers, and that an agent's own answers are not mistaken for it.

use std::time::Duration;

use caxton::gateway::GatewaySettings;
use caxton::routes::{AgentRoute, Target};
use caxton_runtime::Limits;

use crate::raw::{End, Reply};
use crate::rig::{Rig, route, tool, until, web};

/// Status, `x-caxton-error`, `error` and `agent` of the body, and `retry-after`.
fn told(reply: &Reply) -> String {
    assert_eq!(
        reply.header("content-type"),
        Some("application/json"),
        "{reply:?}"
    );
    assert_eq!(reply.end, End::Whole);
    let message = reply.json("message");
    assert!(
        message.as_str().is_some_and(|text| text.len() > 3),
        "{message}"
    );
    let header = reply.header("x-caxton-error").unwrap_or("-");
    let retry = reply.header("retry-after").unwrap_or("-");
    format!(
        "{} {header} {} {} {retry}",
        reply.status,
        reply.json("error"),
        reply.json("agent")
    )
}

fn short() -> Limits {
    Limits {
        request_timeout: Duration::from_millis(400),
        ..Limits::default()
    }
}

#[tokio::test]
async fn an_http_agent_that_fails_is_answered_for() {
    let (_rig, _version, mut raw) = Rig::web(short()).await;
    for (path, expected) in [
        ("/nobody/x", r#"404 no-route "no-route" null -"#),
        ("/", r#"404 no-route "no-route" null -"#),
        ("/Web/", r#"404 no-route "no-route" null -"#),
        ("/web/../x", r#"400 bad-path "bad-path" null -"#),
        ("/web/%2e%2E/x", r#"400 bad-path "bad-path" null -"#),
        ("/web/trap", r#"502 trap "trap" "web" -"#),
        ("/web/panic", r#"502 trap "trap" "web" -"#),
        ("/web/allocate", r#"502 trap "trap" "web" -"#),
        ("/web/loop", r#"504 deadline "deadline" "web" -"#),
        ("/web/block", r#"504 deadline "deadline" "web" -"#),
        ("/web/no-answer", r#"500 no-answer "no-answer" "web" -"#),
    ] {
        let reply = raw.get(path).await;
        assert_eq!(told(&reply), expected, "{path}");
        let version = path.starts_with("/web/") && !path.contains("..") && !path.contains("%2e");
        assert_eq!(
            reply.header("x-caxton-version"),
            version.then_some("1"),
            "{path}"
        );
    }
    // All of it went over one connection, and the agent still answers.
    assert_eq!(raw.get("/web/").await.text(), "hello\n");
}

#[tokio::test]
async fn what_an_agent_says_itself_passes_as_it_is() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    for status in [200, 204, 304, 404, 500, 503, 504] {
        let reply = raw.get(&format!("/web/status/{status}")).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("x-caxton-error"), None);
        assert_eq!(reply.header("x-caxton-version"), Some("1"));
        assert_eq!(reply.end, End::Whole);
    }
}

#[tokio::test]
async fn a_handler_takes_posts_and_its_failures_are_its_own() {
    let version = tool(7, short()).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("tool", &version)]).await;
    let mut raw = rig.connect().await;
    raw.send("POST /tool HTTP/1.1\r\nhost: test\r\ncontent-type: text/csv\r\nX-One: 1\r\ncontent-length: 3\r\n\r\na,b")
        .await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, reply.text()), (200, "a,b"));
    assert_eq!(reply.header("content-type"), Some("text/csv"));
    assert_eq!(reply.header("x-one"), Some("1"));
    assert_eq!(reply.header("x-forwarded-prefix"), Some("/tool"));
    assert_eq!(reply.header("x-caxton-version"), Some("7"));
    for (body, expected) in [
        ("invalid no such thing", r#"400 - "invalid" "tool" -"#),
        ("unavailable later", r#"503 - "unavailable" "tool" 1"#),
        ("internal broken", r#"500 - "internal" "tool" -"#),
        ("trap", r#"502 trap "trap" "tool" -"#),
        ("loop", r#"504 deadline "deadline" "tool" -"#),
        ("block", r#"504 deadline "deadline" "tool" -"#),
    ] {
        let reply = raw.post("/tool", body).await;
        assert_eq!(told(&reply), expected, "{body}");
    }
    assert_eq!(
        raw.post("/tool/", "invalid why").await.json("message"),
        "why"
    );
    let refused = raw.get("/tool").await;
    assert_eq!(
        told(&refused),
        r#"405 method-not-allowed "method-not-allowed" "tool" -"#
    );
    assert_eq!(refused.header("allow"), Some("POST"));
    let refused = raw.post("/tool/below", "echo x").await;
    assert_eq!(
        told(&refused),
        r#"404 no-such-path "no-such-path" "tool" -"#
    );
}

#[tokio::test]
async fn an_agent_without_a_serving_version_says_why() {
    let waiting = AgentRoute {
        name: "web".parse().unwrap(),
        target: Target::Unavailable {
            why: "it is starting".to_owned(),
        },
        host: None,
        path: None,
    };
    let rig = Rig::start(GatewaySettings::default(), vec![waiting]).await;
    let reply = rig.connect().await.get("/web/").await;
    assert_eq!(
        told(&reply),
        r#"503 agent-unavailable "agent-unavailable" "web" 5"#
    );
    assert!(
        reply
            .json("message")
            .as_str()
            .unwrap()
            .contains("it is starting")
    );
    assert_eq!(reply.header("x-caxton-version"), None);
}

#[tokio::test]
async fn a_full_agent_and_a_cut_call_are_told_to_come_again() {
    let limits = Limits {
        concurrency: 1,
        ..Limits::default()
    };
    let (rig, version, mut first) = Rig::web(limits).await;
    first
        .send("GET /web/block HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    until("the call is in flight", || version.in_flight() == 1).await;
    let reply = rig.connect().await.get("/web/").await;
    assert_eq!(told(&reply), r#"503 busy "busy" "web" 1"#);
    assert_eq!(version.cut(), 1);
    assert_eq!(told(&first.reply().await), r#"503 cut "cut" "web" 1"#);
    // The connection is as good as before.
    assert_eq!(first.get("/web/").await.status, 200);
}

#[tokio::test]
async fn hosts_are_checked_before_any_instance_sees_a_request() {
    let version = web(1, Limits::default()).await;
    let rig = Rig::start(GatewaySettings::default(), vec![route("web", &version)]).await;
    for hosts in [
        "",
        "host: a b\r\n",
        "host: \r\n",
        "host: a/b\r\n",
        "host: user@a\r\n",
        "host: a:99999\r\n",
        "host: a\r\nhost: a\r\n",
    ] {
        let mut raw = rig.connect().await;
        raw.send(format!("GET /web/ HTTP/1.1\r\n{hosts}\r\n")).await;
        let reply = raw.reply().await;
        assert_eq!(
            told(&reply),
            r#"400 bad-host "bad-host" null -"#,
            "{hosts:?}"
        );
    }
    let counts = version.take_window();
    assert_eq!((counts.requests, counts.not_counted), (0, 0));
}

#[tokio::test]
async fn tunnels_and_websockets_are_refused_and_other_upgrades_ignored() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    raw.send(
        "GET /web/ HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )
    .await;
    let reply = raw.reply().await;
    assert_eq!(
        told(&reply),
        r#"501 not-implemented "not-implemented" null -"#
    );
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("GET /web/headers HTTP/1.1\r\nhost: test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: x\r\n\r\n")
        .await;
    let reply = raw.reply().await;
    assert_eq!(reply.status, 200);
    assert!(!reply.text().contains("h2c"));
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    raw.send("CONNECT test:80 HTTP/1.1\r\nhost: test:80\r\n\r\n")
        .await;
    let reply = raw.reply().await;
    assert_eq!(
        told(&reply),
        r#"501 not-implemented "not-implemented" null -"#
    );
}
