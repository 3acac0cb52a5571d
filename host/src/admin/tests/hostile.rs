//! What somebody can try who reaches the surface's port and has no token, or has one and no shell.

use super::*;

/// Every route, with names and orders filled in, as the router's own source lists them.
fn routes() -> Vec<String> {
    let source = include_str!("../mod.rs");
    let (_, router) = source.split_once("fn router(").unwrap();
    let routes = router.split(".route(").skip(1).map(|rest| {
        let path = rest.split('"').nth(1).unwrap();
        format!(
            "/api/v1{}",
            path.replace("{name}", "hello")
                .replace("{order}", "pause")
                .replace("{digest}", &"0".repeat(64))
        )
    });
    let mut routes: Vec<String> = routes.collect();
    assert!(
        routes.len() >= 9 && routes.iter().all(|route| !route.contains('{')),
        "{routes:?}"
    );
    routes.extend(["/", "/metrics", "/api/v1", "/api/v1/nothing"].map(str::to_owned));
    routes
}

pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

#[tokio::test]
async fn every_address_asks_for_the_token_and_for_this_hosts_name_and_none_invites_other_sites() {
    let surface = Surface::start().await;
    let (host, token) = (surface.address.to_string(), surface.token.reveal());
    let origin = "origin: http://other.example\r\naccess-control-request-method: POST\r\n";
    for route in routes() {
        for method in METHODS {
            let ask = async |host: &str, lines: &str| {
                surface
                    .speak(&format!(
                        "{method} {route}?follow=false HTTP/1.1\r\nhost: {host}\r\n{origin}{lines}content-length: 0\r\nconnection: close\r\n\r\n"
                    ))
                    .await
            };
            let signed = format!("authorization: Bearer {token}\r\n");
            let unsigned = ask(&host, "").await;
            assert_eq!(unsigned.status(), "401", "{method} {route}");
            for stranger in [
                "rebound.example",
                "rebound.example:8081",
                "127.0.0.1.nip.io",
            ] {
                let stranger = ask(stranger, &signed).await;
                assert_eq!(stranger.status(), "403", "{method} {route}");
            }
            let admitted = ask(&host, &signed).await;
            assert!(
                !matches!(admitted.status(), "401" | "403"),
                "{method} {route}"
            );
            for reply in [unsigned, admitted] {
                let head = reply.0.to_ascii_lowercase();
                assert!(
                    !head.contains("access-control-"),
                    "{method} {route}: {head}"
                );
            }
        }
    }
    surface.stop().await;
}

#[tokio::test]
async fn the_token_is_taken_from_its_header_and_from_nowhere_else() {
    let surface = Surface::start().await;
    let (host, token) = (surface.address, surface.token.reveal());
    for (path, line) in [
        (format!("/api/v1/host?token={token}"), String::new()),
        (format!("/api/v1/host?access_token={token}"), String::new()),
        (
            "/api/v1/host".to_owned(),
            format!("cookie: token={token}\r\n"),
        ),
        (
            "/api/v1/host".to_owned(),
            format!("x-authorization: Bearer {token}\r\n"),
        ),
        (
            "/api/v1/host".to_owned(),
            format!("authorization: Bearer  {token}\r\n"),
        ),
        (
            "/api/v1/host".to_owned(),
            format!("authorization: Bearer {token} x\r\n"),
        ),
    ] {
        let reply = surface
            .speak(&format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\n{line}connection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(reply.status(), "401", "{path} {line}");
        assert!(
            !reply.0.contains(token),
            "the token comes back: {}",
            reply.0
        );
    }
    surface.stop().await;
}

/// Everything shown of what others wrote is JSON, in which no text ends early and no line is forged.
#[tokio::test]
async fn what_others_wrote_forges_no_event_and_no_field() {
    let surface = Surface::start().await;
    let forged = "x\"}\n\nid: 9\nevent: forged\ndata: {}\n\n\u{1b}[2J\r\n";
    surface.events.push(
        Moment(9),
        Some(name("hello")),
        None,
        "refused",
        json!({ "file": forged, "reason": forged, "seq": 77, "kind": "forged", "agent": "other" }),
    );
    for accept in ["text/event-stream", "application/json"] {
        let reply = surface
            .ask(
                "GET /api/v1/events?follow=false",
                &format!("accept: {accept}\r\n"),
                "",
            )
            .await;
        let body = reply.body();
        assert!(!body.contains("\nevent: forged"), "{body}");
        assert!(
            !body.contains('\u{1b}')
                && !body.contains('\r'.to_string().as_str().repeat(2).as_str()),
            "{body:?}"
        );
        let lines = body.lines().filter_map(|line| {
            let line = line.strip_prefix("data: ").unwrap_or(line);
            line.starts_with('{')
                .then(|| serde_json::from_str::<Value>(line).unwrap())
        });
        let events: Vec<Value> = lines.collect();
        assert_eq!(events.len(), 1, "{body}");
        let event = &events[0];
        assert_eq!(
            (
                &event["seq"],
                &event["kind"],
                &event["agent"],
                &event["file"]
            ),
            (
                &json!(1),
                &json!("refused"),
                &json!("hello"),
                &json!(forged)
            )
        );
    }
    surface.stop().await;
}

/// Short times; what is waited for is that they have an effect.
fn short() -> Bounds {
    Bounds {
        connections: 3,
        head_timeout: Duration::from_millis(200),
        write_stall: Duration::from_millis(200),
        request_timeout: Duration::from_millis(200),
    }
}

/// A test that is longer than any other limit has to name the one that it is about.
fn only(change: impl FnOnce(&mut Bounds)) -> Bounds {
    let long = Duration::from_secs(3600);
    let mut bounds = Bounds {
        connections: 1000,
        head_timeout: long,
        write_stall: long,
        request_timeout: long,
    };
    change(&mut bounds);
    bounds
}

async fn ended(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest))
        .await
        .expect("the connection is ended");
    rest
}

#[tokio::test]
async fn who_sends_no_head_or_half_of_one_is_let_go() {
    let surface = Surface::within(only(|b| b.head_timeout = short().head_timeout)).await;
    for beginning in [
        "",
        "GET /api/v1/ho",
        "GET /api/v1/host HTTP/1.1\r\nhost: localhost\r\nx: ",
    ] {
        let mut stream = TcpStream::connect(surface.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        ended(stream).await;
    }
    surface.stop().await;
}

#[tokio::test]
async fn who_sends_no_body_is_told_so_and_let_go() {
    let surface = Surface::within(only(|b| b.request_timeout = short().request_timeout)).await;
    let mut stream = TcpStream::connect(surface.address).await.unwrap();
    let request = format!(
        "POST /api/v1/agents/hello/pause HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{",
        surface.token.reveal()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = Reply(String::from_utf8(ended(stream).await).unwrap());
    assert_eq!(reply.refusal(), "503 timeout");
    surface.stop().await;
}

/// Without a token, too: refusals are answers, and somebody may take none of them.
#[tokio::test]
async fn who_takes_no_answer_is_let_go() {
    let surface = Surface::within(only(|b| b.write_stall = short().write_stall)).await;
    let mut stream = TcpStream::connect(surface.address).await.unwrap();
    let requests = "GET /api/v1/host HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    let flood = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, flood)
        .await
        .expect("the connection is ended");
    surface.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_and_a_place_comes_free() {
    let surface = Surface::within(only(|b| b.connections = short().connections)).await;
    let mut idle = Vec::new();
    for _ in 0..short().connections {
        let mut stream = TcpStream::connect(surface.address).await.unwrap();
        // An answer shows that it has its place.
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();
        read_until(&mut stream, "unauthorized").await;
        idle.push(stream);
    }
    let mut waiting = TcpStream::connect(surface.address).await.unwrap();
    waiting
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    // Those who are in are answered again; were the other in, too, its answer would come meanwhile.
    for stream in &mut idle {
        for _ in 0..20 {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await
                .unwrap();
            read_until(stream, "unauthorized").await;
        }
    }
    let mut nothing = [0; 1];
    let early = waiting.try_read(&mut nothing);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    idle.pop();
    read_until(&mut waiting, "unauthorized").await;
    surface.stop().await;
}

#[tokio::test]
async fn a_head_beyond_its_limit_is_refused() {
    let surface = Surface::start().await;
    let long = "x".repeat(20 * 1024);
    let many = "a: b\r\n".repeat(200);
    for lines in [format!("x: {long}\r\n"), many] {
        let reply = surface.ask("GET /api/v1/host", &lines, "").await;
        assert_eq!(reply.status(), "431", "{}", reply.0);
    }
    let reply = surface.ask(&format!("GET /api/v1/{long}"), "", "").await;
    assert!(
        matches!(reply.status(), "404" | "414" | "431"),
        "{}",
        reply.0
    );
    surface.stop().await;
}

#[test]
fn listening_beyond_this_machine_is_warned_of() {
    let warned = |address: &str| super::super::exposed(address.parse().unwrap());
    for address in [
        "127.0.0.1:8081",
        "127.9.9.9:1",
        "[::1]:8081",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert_eq!(warned(address), None);
    }
    for address in ["0.0.0.0:8081", "[::]:8081", "192.168.1.5:1"] {
        let warning = warned(address).unwrap();
        assert!(
            warning.contains(address) && warning.contains("plain HTTP"),
            "{warning}"
        );
    }
}
