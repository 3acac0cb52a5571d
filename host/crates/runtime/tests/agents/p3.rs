//! What holds of a call of WASI 0.2 holds of one of 0.3.

use crate::{answer, counted, get, http, request, soon, text, version};
use bytes::Bytes;
use caxton_runtime::{
    AgentSpec, BodyError, CallError, CallInfo, HealthOutcome, Instances, Outbound, Runtime,
    RuntimeOptions, StateSpec, Version,
};
use caxton_test_artifacts::{WEB_P3, WEB_P3_STATEFUL};
use http_body_util::{BodyExt, Full, StreamBody};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);
const STATE: StateSpec = StateSpec {
    checkpoint: None,
    max_size: 1 << 20,
};

fn post(path: &str, body: &'static str) -> http::Request<Full<Bytes>> {
    http::Request::post(path)
        .header("host", "agent.localhost")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

async fn fresh() -> Arc<Version> {
    version(WEB_P3, |spec| spec.instances = Some(Instances::Fresh)).await
}

/// Whatever of the reply comes, it must not end cleanly.
async fn broken(version: &Version, path: &str) -> BodyError {
    text(get(version, path).await.unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn requests_and_replies_pass_with_head_and_body() {
    let version = version(WEB_P3, |_| {}).await;
    assert_eq!(answer(&version, "/").await, (200, "hello\n".into()));
    assert_eq!(answer(&version, "/status/404").await.0, 404);
    let described = answer(&version, "/headers?a=b").await.1;
    for line in [
        "method: GET",
        "scheme: http",
        "path: /headers?a=b",
        "authority: agent.localhost",
    ] {
        assert!(described.lines().any(|l| l == line), "{line}: {described}");
    }
    for path in ["/echo", "/pass"] {
        let reply = http(&version, post(path, "there and back"), CallInfo::default());
        assert_eq!(
            text(soon(reply).await.unwrap()).await.unwrap(),
            "there and back",
            "{path}"
        );
    }
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.rejected, arm.failures), (5, 1, 0));
    assert_eq!(
        version.check_health(SHORT * 100).await,
        HealthOutcome::Passed
    );
}

#[tokio::test]
async fn bodies_stream_in_both_directions() {
    for path in ["/echo", "/pass"] {
        let version = version(WEB_P3, |_| {}).await;
        let (send, receive) = futures::channel::mpsc::unbounded();
        let request = http::Request::post(path)
            .header("host", "a")
            .body(StreamBody::new(receive))
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
        assert_eq!(rest, "three", "{path}");
        assert_eq!(counted(&version).await.requests, 1);
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole_and_no_larger_than_allowed() {
    let version = version(WEB_P3, |spec| {
        spec.limits.reply_body = 6 << 20;
        spec.limits.request_body = 10;
    })
    .await;
    let body = answer(&version, "/big?bytes=5000000").await.1;
    assert_eq!(body.len(), 5_000_000);
    assert_eq!(
        broken(&version, "/big?bytes=7000000").await,
        BodyError::TooLarge { limit: 6 << 20 }
    );
    let (send, receive) = futures::channel::mpsc::unbounded();
    for _ in 0..3 {
        let piece = Bytes::from_static(b"four");
        send.unbounded_send(Ok::<_, std::io::Error>(http_body::Frame::data(piece)))
            .unwrap();
    }
    let request = http::Request::post("/read-slow")
        .header("host", "a")
        .body(StreamBody::new(receive))
        .unwrap();
    let error = soon(http(&version, request, CallInfo::default()))
        .await
        .unwrap_err();
    assert_eq!(error, CallError::RequestTooLarge { limit: 10 });
    let head = http::Request::head("/big?bytes=3000000").header("host", "a");
    let reply = http(
        &version,
        head.body(Full::new(Bytes::new())).unwrap(),
        CallInfo::default(),
    );
    assert_eq!(text(soon(reply).await.unwrap()).await.unwrap(), "");
    soon(version.drained()).await;
}

#[tokio::test]
async fn traps_and_errors_are_told_apart_before_and_behind_the_head() {
    for mode in [Instances::Fresh, Instances::Reused { reuse: 9 }] {
        let version = version(WEB_P3, |spec| spec.instances = Some(mode)).await;
        let error = get(&version, "/trap").await.unwrap_err();
        assert!(matches!(error, CallError::Trap(_)), "{error:?}");
        assert_eq!(error.status(), 502);
        let error = get(&version, "/no-answer").await.unwrap_err();
        assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
        let error = broken(&version, "/trap-mid-body?after=50").await;
        assert!(matches!(error, BodyError::Trap(_)), "{error:?}");
        assert_eq!(
            broken(&version, "/fail-mid-body").await,
            BodyError::Unfinished
        );
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures, arm.traps), (4, 4, 2));
        assert_eq!(answer(&version, "/").await.0, 200);
    }
}

#[tokio::test]
async fn time_is_limited_before_the_head_and_between_pieces() {
    let version = version(WEB_P3, |spec| {
        spec.limits.request_timeout = SHORT;
        spec.limits.idle_timeout = SHORT;
    })
    .await;
    for path in ["/block", "/loop", "/sleep?ms=60000"] {
        let error = get(&version, path).await.unwrap_err();
        assert_eq!(error.status(), 504, "{path}: {error:?}");
    }
    for path in ["/stall-mid-body", "/leave-body", "/loop-behind-head"] {
        assert_eq!(broken(&version, path).await, BodyError::AgentIdle, "{path}");
    }
    // Longer than both limits, and never silent.
    let body = answer(&version, "/stream?chunks=20&gap=50").await.1;
    assert_eq!(body.len(), 320);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.deadlines), (7, 6, 6));
}

#[tokio::test]
async fn a_guest_that_works_on_behind_its_reply_is_let_go() {
    let version = version(WEB_P3, |spec| spec.limits.idle_timeout = SHORT).await;
    assert_eq!(answer(&version, "/linger").await, (200, "first\n".into()));
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures), (1, 0));
}

#[tokio::test]
async fn callers_that_are_slow_or_gone_count_against_nobody() {
    for mode in [Instances::Fresh, Instances::Reused { reuse: 9 }] {
        let version = version(WEB_P3, |spec| {
            spec.limits.idle_timeout = SHORT;
            spec.instances = Some(mode);
        })
        .await;
        let mut slow = get(&version, "/big?bytes=9000000")
            .await
            .unwrap()
            .into_body();
        soon(slow.frame()).await.unwrap().unwrap();
        let gone = get(&version, "/stream?chunks=3&gap=20").await.unwrap();
        drop(gone);
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures, arm.not_counted), (0, 0, 2));
        assert_eq!(
            soon(slow.collect()).await.unwrap_err(),
            BodyError::CallerIdle
        );
    }
}

#[tokio::test]
async fn a_cut_ends_calls_before_and_behind_their_head() {
    let version = version(WEB_P3, |_| {}).await;
    let streaming = get(&version, "/stream?chunks=2&gap=600000").await.unwrap();
    let blocked = tokio::spawn({
        let version = Arc::clone(&version);
        async move { get(&version, "/block").await.map(drop) }
    });
    soon(async {
        while version.in_flight() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(version.cut(), 2);
    assert_eq!(soon(blocked).await.unwrap().unwrap_err(), CallError::Cut);
    assert_eq!(text(streaming).await.unwrap_err(), BodyError::Cut);
    soon(version.drained()).await;
    assert_eq!(version.calls_cut(), 2);
}

#[tokio::test]
async fn memory_is_limited_and_counted() {
    let version = fresh().await;
    let error = get(&version, "/allocate").await.unwrap_err();
    assert!(error.to_string().contains("refused memory"), "{error}");
    let arm = counted(&version).await;
    assert!(arm.memory_peak > 32 << 20, "{}", arm.memory_peak);
}

#[tokio::test]
async fn a_guest_that_computes_leaves_others_their_turn() {
    let version = version(WEB_P3, |spec| spec.limits.request_timeout = SHORT * 4).await;
    let loops = (0..4).map(|_| get(&version, "/loop"));
    let loops = futures::future::join_all(loops);
    let quick = async {
        let begun = Instant::now();
        assert_eq!(answer(&version, "/").await.0, 200);
        begun.elapsed()
    };
    let (loops, quick) = futures::future::join(loops, quick).await;
    assert!(loops.iter().all(Result::is_err));
    assert!(quick < SHORT * 3, "{quick:?}");
}

#[tokio::test]
async fn an_instance_takes_the_next_call_too() {
    for path in [
        "/",
        "/echo",
        "/pass",
        "/stream",
        "/big",
        "/read-slow",
        "/status/404",
        "/no-answer",
    ] {
        let version = version(WEB_P3, |_| {}).await;
        // It offers itself right after its answer, and a call that is quicker gets another one.
        soon(async {
            while answer(&version, "/count").await.1 != "9" {
                let reply = http(&version, post(path, "body"), CallInfo::default()).await;
                if let Ok(reply) = reply {
                    text(reply).await.unwrap();
                }
                version.drained().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_instance_goes_with_what_it_keeps_of_a_call() {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let spec = AgentSpec::new("keeps", 1);
    let version = runtime.prepare(WEB_P3.into(), spec).await.unwrap();
    for path in ["/keep-request", "/keep-body"] {
        let reply = http(&version, post(path, "body"), CallInfo::default());
        text(soon(reply).await.unwrap()).await.unwrap();
        // Sooner than an idle one would.
        let gone = async {
            while runtime.holdings().instances > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(20), gone);
        gone.await.unwrap_or_else(|_| panic!("{path}"));
    }
}

#[tokio::test]
async fn a_single_instance_answers_in_order_and_hands_its_state_over() {
    let stateful = async |number: u64| {
        version(WEB_P3_STATEFUL, move |spec| {
            spec.number = number;
            spec.state = Some(STATE);
        })
        .await
    };
    let first = stateful(1).await;
    for count in 1..=5 {
        assert_eq!(answer(&first, "/count").await.1, count.to_string());
    }
    // A reader that takes nothing keeps nobody waiting.
    let slow = get(&first, "/big?bytes=9000000").await.unwrap();
    assert_eq!(answer(&first, "/count").await.1, "7");
    drop(slow);
    let limit = SHORT * 100;
    first.close();
    let saved = first.save(limit).await.unwrap();
    let second = stateful(2).await;
    second.load(Some(&saved), limit).await.unwrap();
    assert_eq!(answer(&second, "/count").await.1, "8");
    assert_eq!(second.check_health(limit).await, HealthOutcome::Passed);
}

#[tokio::test]
async fn what_is_not_granted_is_denied() {
    let version = version(WEB_P3, |spec| spec.outbound = Outbound::Deny).await;
    let mut request = request("/reach");
    request
        .headers_mut()
        .insert("x-call", "http://127.0.0.1:1/".parse().unwrap());
    let reply = http(&version, request, CallInfo::default());
    let said = text(soon(reply).await.unwrap()).await.unwrap();
    assert!(
        said.contains("called: ErrorCode::HttpRequestDenied"),
        "{said}"
    );
    assert!(said.contains("lines: 0\nvariables: 0\n"), "{said}");
    assert!(!said.contains("file: written"), "{said}");
}
