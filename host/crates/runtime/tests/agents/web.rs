//! What an HTTP agent answers, and what is counted of it.

use crate::{Kept, answer, counted, get, http, request, soon, text, version};
use bytes::Bytes;
use caxton_runtime::{AgentSpec, Runtime, RuntimeOptions};
use caxton_runtime::{CallError, CallInfo, Instances, LogStream};
use caxton_test_artifacts::WEB;
use http_body_util::{BodyExt, Full, StreamBody};
use std::sync::Arc;

#[tokio::test]
async fn replies_are_counted_by_whose_fault_they_are() {
    let version = version(WEB, |_| {}).await;
    assert_eq!(answer(&version, "/").await, (200, "hello\n".into()));
    for status in [404, 500, 503] {
        assert_eq!(
            answer(&version, &format!("/status/{status}")).await.0,
            status
        );
    }
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures), (4, 1));
    assert_eq!((arm.rejected, arm.unavailable, arm.not_counted), (1, 1, 0));
    assert_eq!(arm.latency.last().unwrap().count, 4);
    assert!(arm.latency_total_us > 0);
    assert!(arm.memory_peak >= 1 << 16 && arm.memory_mean >= 1 << 16);
    assert_eq!(arm.memory_limit, 64 << 20);
    assert_eq!(arm.in_flight, 0);
    assert_eq!(version.take_window().requests, 0);
}

#[tokio::test]
async fn callers_are_counted_by_their_keys_and_probes_are_not() {
    let version = version(WEB, |_| {}).await;
    for (path, affinity) in [("/", 1), ("/", 2), ("/status/500", 2), ("/", 1)] {
        let info = CallInfo {
            affinity: Some(affinity),
            ..CallInfo::default()
        };
        text(http(&version, request(path), info).await.unwrap())
            .await
            .unwrap();
    }
    let probe = CallInfo {
        affinity: Some(3),
        probe: true,
        ..CallInfo::default()
    };
    text(http(&version, request("/"), probe).await.unwrap())
        .await
        .unwrap();
    let arm = counted(&version).await;
    assert_eq!((arm.callers, arm.failing_callers, arm.requests), (2, 1, 4));
}

#[tokio::test]
async fn instances_live_for_as_many_calls_as_they_should() {
    let fresh = version(WEB, |_| {}).await;
    for _ in 0..2 {
        assert_eq!(answer(&fresh, "/count").await.1, "1");
    }
    let reused = version(WEB, |spec| {
        spec.instances = Some(Instances::Reused { reuse: 2 })
    })
    .await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(answer(&reused, "/count").await.1);
        soon(reused.drained()).await;
    }
    // The instance offers itself right after it has answered; a call that is quicker gets a new one.
    assert!(counts.contains(&"2".to_owned()), "{counts:?}");
    assert!(!counts.contains(&"3".to_owned()), "{counts:?}");
}

#[tokio::test]
async fn bodies_stream_in_both_directions() {
    let version = version(WEB, |_| {}).await;
    let (send, receive) = futures::channel::mpsc::unbounded();
    let body = StreamBody::new(receive);
    let request = http::Request::post("/echo")
        .header("host", "a")
        .body(body)
        .unwrap();
    let reply = http(&version, request, CallInfo::default());
    let chunk = |text: &'static str| {
        Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(text.as_bytes())))
    };
    send.unbounded_send(chunk("one")).unwrap();
    let mut body = soon(reply).await.unwrap().into_body();
    for next in ["two", "three"] {
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert!(!frame.into_data().unwrap().is_empty());
        send.unbounded_send(chunk(next)).unwrap();
    }
    assert_eq!(version.in_flight(), 1);
    drop(send);
    let rest = soon(body.collect()).await.unwrap().to_bytes();
    assert_eq!(rest, "three");
    assert_eq!(counted(&version).await.requests, 1);
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let version = version(WEB, |_| {}).await;
    let size = 5 << 20;
    let body = answer(&version, &format!("/big?bytes={size}")).await.1;
    assert_eq!(body.len(), size);
    assert_eq!(counted(&version).await.requests, 1);
}

#[tokio::test]
async fn a_head_request_is_answered_without_its_body() {
    let version = version(WEB, |_| {}).await;
    let head = http::Request::head("/big?bytes=3000000").header("host", "a");
    let request = head.body(Full::new(Bytes::new())).unwrap();
    let reply = soon(http(&version, request, CallInfo::default()))
        .await
        .unwrap();
    assert_eq!(text(reply).await.unwrap(), "");
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures), (1, 0));
}

#[tokio::test]
async fn calls_beyond_the_limit_are_shed() {
    let version = version(WEB, |spec| spec.limits.concurrency = 1).await;
    let first = get(&version, "/stream?chunks=2&gap=600000").await.unwrap();
    let shed = get(&version, "/").await.unwrap_err();
    assert!(matches!(shed, CallError::Busy(_)), "{shed:?}");
    assert_eq!(shed.status(), 503);
    drop(first);
    soon(version.drained()).await;
    assert_eq!(answer(&version, "/").await.0, 200);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.not_counted, arm.failures), (1, 2, 0));
}

#[tokio::test]
async fn malformed_and_oversized_requests_never_reach_an_instance() {
    let version = version(WEB, |spec| spec.limits.request_body = 10).await;
    let no_host = http::Request::get("/")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let error = http(&version, no_host, CallInfo::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.status().as_u16()),
        ("bad-request", 400)
    );
    let declared = http::Request::post("/echo")
        .header("host", "a")
        .header("content-length", "11")
        .body(Full::new(Bytes::from_static(b"elevenbytes")))
        .unwrap();
    let error = http(&version, declared, CallInfo::default())
        .await
        .unwrap_err();
    assert_eq!(error.status(), 413);
    let undeclared = http::Request::post("/read-slow")
        .header("host", "a")
        .body(Full::new(Bytes::from_static(b"elevenbytes")))
        .unwrap();
    let error = soon(http(&version, undeclared, CallInfo::default()))
        .await
        .unwrap_err();
    assert_eq!(error, CallError::RequestTooLarge { limit: 10 });
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.not_counted), (0, 3));
}

#[tokio::test]
async fn what_a_guest_prints_is_captured_by_line() {
    let sink = Arc::new(Kept::default());
    let runtime = Runtime::new(RuntimeOptions {
        instances: 4,
        log_sink: sink.clone(),
        ..RuntimeOptions::default()
    })
    .unwrap();
    let version = runtime
        .prepare(WEB.into(), AgentSpec::new("printer", 3))
        .await
        .unwrap();
    answer(&version, "/print?lines=2").await;
    let lines = sink.until("err 2").await;
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| &*line.agent == "printer" && line.version == 3)
    );
    let of = |stream| {
        let texts = lines.iter().filter(|line| line.stream == stream);
        texts.map(|line| line.text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(LogStream::Stdout), ["out 1", "out 2"]);
    assert_eq!(of(LogStream::Stderr), ["err 1", "err 2"]);
}
