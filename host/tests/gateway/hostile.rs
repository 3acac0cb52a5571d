//! What a caller can try against others who share the gateway, or a proxy in front of it.

use caxton_runtime::Limits;

use crate::raw::Raw;
use crate::rig::Rig;

/// What a proxy may believe to be one request with one body, and the next reader two. The chunks say where it ends, and the
/// connection ends with it; no agent sees the other length.
#[tokio::test]
async fn what_comes_behind_a_request_with_two_lengths_is_no_request() {
    let (rig, version, _) = Rig::web(Limits::default()).await;
    for lengths in [
        "content-length: 44\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 44\r\n",
    ] {
        let mut raw = rig.connect().await;
        raw.send(format!(
            "POST /web/headers HTTP/1.1\r\nhost: test\r\n{lengths}\r\n0\r\n\r\n\
             GET /web/smuggled HTTP/1.1\r\nhost: test\r\n\r\n"
        ))
        .await;
        let reply = raw.reply().await;
        assert_eq!(
            (reply.status, reply.header("connection")),
            (200, Some("close")),
            "{reply:?}"
        );
        assert!(!reply.text().contains("content-length"), "{}", reply.text());
        let (rest, _) = raw.closed().await;
        assert!(
            rest.is_empty(),
            "what came behind it is answered: {}",
            String::from_utf8_lossy(&rest)
        );
        assert_eq!(version.take_window().requests, 1, "{lengths}");
    }
    // Nor is one with two lengths of one kind a request.
    for lengths in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5, 6\r\n",
        "content-length: 0x5\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let mut raw = rig.connect().await;
        raw.send(format!(
            "POST /web/echo HTTP/1.1\r\nhost: test\r\n{lengths}\r\nhello"
        ))
        .await;
        assert_eq!(raw.reply().await.status, 400, "{lengths}");
        raw.closed().await;
    }
    assert_eq!(version.take_window().requests, 0);
}

/// A line end in a value would be a header of its own, for the agent or for whoever reads its reply.
#[tokio::test]
async fn no_value_ends_its_line() {
    let (rig, version, _) = Rig::web(Limits::default()).await;
    for line in [
        "x-forwarded-prefix: /a\rx-forged: 1",
        "x-forwarded-prefix: /a\nx-forged: 1",
        "x-a: 1\r\n folded",
        "x-a : 1",
        "x-\0a: 1",
        "x-a: \0",
    ] {
        let mut raw: Raw = rig.connect().await;
        raw.send(format!(
            "GET /web/headers HTTP/1.1\r\nhost: test\r\n{line}\r\nconnection: close\r\n\r\n"
        ))
        .await;
        let reply = raw.reply().await;
        // A bare line feed ends a line for many readers, so it does here: what follows is a header, and no secret one.
        let is_two_lines = line.contains('\n') && !line.contains('\r');
        if is_two_lines {
            assert_eq!(reply.status, 200, "{line:?}");
            assert!(
                reply
                    .text()
                    .lines()
                    .any(|seen| seen == "x-forwarded-prefix: /web"),
                "{}",
                reply.text()
            );
        } else {
            assert_eq!(reply.status, 400, "{line:?}: {reply:?}");
        }
    }
    assert!(version.take_window().requests <= 1);
}
