//! Whom a request reaches, and what of it an agent sees.

use caxton::gateway::GatewaySettings;
use caxton_runtime::Limits;

use crate::raw::Raw;
use crate::rig::{Rig, route, web};

/// The lines in which the agent tells what it sees.
async fn seen(raw: &mut Raw, request: &str) -> Vec<String> {
    raw.send(request.replace('\n', "\r\n") + "\r\n\r\n").await;
    let reply = raw.reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text().lines().map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|seen| seen == line)
}

#[tokio::test]
async fn the_prefix_is_taken_off_and_told_with_what_the_gateway_saw() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    let lines = seen(
        &mut raw,
        "GET /web/headers?a=%20b HTTP/1.1\nhost: test:81\nX-Forwarded-For: 10.9.9.9\nx-real-ip: 10.9.9.9\nforwarded: for=x\n\
         x-forwarded-proto: https\nconnection: keep-alive, x-hop\nx-hop: 1\nx-kept: 1",
    )
    .await;
    for line in [
        "method: GET",
        "path: /headers?a=%20b",
        "authority: test:81",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: test:81",
        "x-forwarded-proto: http",
        "x-forwarded-prefix: /web",
        "x-kept: 1",
    ] {
        assert!(has(&lines, line), "{line} is not in {lines:?}");
    }
    for gone in [
        "10.9.9.9",
        "https",
        "forwarded: ",
        "x-hop",
        "connection",
        "keep-alive",
    ] {
        let left = lines
            .iter()
            .any(|line| line.starts_with(gone) || line.ends_with(gone));
        assert!(!left, "{gone} is in {lines:?}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_in_front_is_believed() {
    let version = web(1, Limits::default()).await;
    let settings = GatewaySettings {
        trust_forwarded: true,
        ..GatewaySettings::default()
    };
    let rig = Rig::start(settings, vec![route("web", &version)]).await;
    let mut raw = rig.connect().await;
    let lines = seen(
        &mut raw,
        "GET /web/headers HTTP/1.1\nhost: test\nx-forwarded-for: 10.9.9.9\nx-forwarded-proto: https\nx-forwarded-prefix: /apps",
    )
    .await;
    for line in [
        "x-forwarded-for: 10.9.9.9, 127.0.0.1",
        "x-forwarded-host: test",
        "x-forwarded-proto: https",
        "x-forwarded-prefix: /apps/web",
    ] {
        assert!(has(&lines, line), "{line} is not in {lines:?}");
    }
}

#[tokio::test]
async fn an_agent_answers_on_the_host_that_it_claims() {
    let version = web(1, Limits::default()).await;
    let mut claiming = route("web", &version);
    claiming.host = Some("hello.localhost".parse().unwrap());
    let rig = Rig::start(GatewaySettings::default(), vec![claiming]).await;
    let mut raw = rig.connect().await;
    let lines = seen(
        &mut raw,
        "GET /headers HTTP/1.1\nhost: Hello.localhost:8080",
    )
    .await;
    assert!(has(&lines, "path: /headers"));
    assert!(
        !lines
            .iter()
            .any(|line| line.starts_with("x-forwarded-prefix"))
    );
    // The target's own authority goes before `Host`.
    let lines = seen(
        &mut raw,
        "GET http://hello.localhost/headers?q HTTP/1.1\nhost: elsewhere",
    )
    .await;
    assert!(has(&lines, "path: /headers?q"));
    assert!(has(&lines, "authority: hello.localhost"));
    assert!(has(&lines, "x-forwarded-host: hello.localhost"));
    raw.send("GET /headers HTTP/1.1\r\nhost: elsewhere\r\n\r\n")
        .await;
    assert_eq!(raw.reply().await.status, 404);
}

#[tokio::test]
async fn odd_paths_reach_the_agent_as_they_were_sent() {
    let (_rig, _version, mut raw) = Rig::web(Limits::default()).await;
    for (target, status, body) in [
        ("/web", 200, "hello\n"),
        ("/web/", 200, "hello\n"),
        ("/web?x", 200, "hello\n"),
        ("/web//", 404, "no such route\n"),
        ("/web/%2Fstatus", 404, "no such route\n"),
        ("/web/...", 404, "no such route\n"),
    ] {
        let reply = raw.get(target).await;
        assert_eq!((reply.status, reply.text()), (status, body), "{target}");
        assert_eq!(reply.header("x-caxton-error"), None, "{target}");
    }
}

#[tokio::test]
async fn keys_tell_callers_apart() {
    let (_rig, version, mut raw) = Rig::web(Limits::default()).await;
    for key in ["a", "b", "a", "a"] {
        raw.send(format!(
            "GET /web/ HTTP/1.1\r\nhost: test\r\nx-caxton-key: {key}\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.reply().await.status, 200);
    }
    crate::rig::until("every call is settled", || version.in_flight() == 0).await;
    let counts = version.take_window();
    assert_eq!((counts.requests, counts.callers), (4, 2));
}
