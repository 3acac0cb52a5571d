//! An answer is finished when its body is, and who is blamed when it never is.

use crate::{answer, counted, get, http, request, soon, text, version};
use bytes::Bytes;
use caxton_runtime::{BodyError, CallError, CallInfo, Instances};
use caxton_test_artifacts::WEB;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(300);

/// Whatever of the reply comes, it must not end cleanly.
async fn broken(version: &caxton_runtime::Version, path: &str) -> BodyError {
    text(get(version, path).await.unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_body_that_the_guest_drops_breaks_off() {
    let version = version(WEB, |_| {}).await;
    assert_eq!(broken(&version, "/drop-body").await, BodyError::Unfinished);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.traps), (1, 1, 0));
}

#[tokio::test]
async fn a_trap_before_or_behind_the_head_is_never_a_clean_end() {
    for mode in [Instances::Fresh, Instances::Reused { reuse: 9 }] {
        let version = version(WEB, |spec| spec.instances = Some(mode)).await;
        // The guest traps in one go with its first chunk: depending on where it waited the head is out or not.
        match get(&version, "/trap-mid-body").await {
            Ok(reply) => assert!(matches!(text(reply).await, Err(BodyError::Trap(_)))),
            Err(error) => assert!(matches!(error, CallError::Trap(_)), "{error:?}"),
        }
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures, arm.traps), (1, 1, 1));
        assert_eq!(
            answer(&version, "/count").await.1,
            "1",
            "never entered again"
        );
    }
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_late() {
    let version = version(WEB, |spec| spec.limits.idle_timeout = SHORT).await;
    assert_eq!(
        broken(&version, "/stall-mid-body").await,
        BodyError::AgentIdle
    );
    let arm = counted(&version).await;
    assert_eq!((arm.failures, arm.deadlines), (1, 1));
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_not_the_agents_failure() {
    for mode in [Instances::Fresh, Instances::Reused { reuse: 9 }] {
        let version = version(WEB, |spec| {
            spec.limits.idle_timeout = SHORT;
            spec.instances = Some(mode);
        })
        .await;
        let reply = get(&version, "/big?bytes=9000000").await.unwrap();
        let mut body = reply.into_body();
        soon(body.frame()).await.unwrap().unwrap();
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures, arm.not_counted), (0, 0, 1));
        let rest = soon(body.collect()).await;
        assert_eq!(rest.unwrap_err(), BodyError::CallerIdle);
    }
}

#[tokio::test]
async fn a_finished_answer_that_nobody_takes_does_not_stay_in_flight() {
    let version = version(WEB, |spec| spec.limits.idle_timeout = SHORT).await;
    let _untouched = get(&version, "/").await.unwrap();
    assert_eq!(counted(&version).await.not_counted, 1);
}

#[tokio::test]
async fn a_slow_sender_is_not_the_agents_failure() {
    let version = version(WEB, |spec| spec.limits.request_timeout = SHORT).await;
    let (_open, receive) =
        futures::channel::mpsc::unbounded::<Result<http_body::Frame<Bytes>, std::io::Error>>();
    let request = http::Request::post("/read-slow")
        .header("host", "a")
        .body(StreamBody::new(receive))
        .unwrap();
    let error = soon(http(&version, request, CallInfo::default()))
        .await
        .unwrap_err();
    assert_eq!(error, CallError::CallerTooSlow);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.not_counted), (0, 0, 1));
}

/// It asked for the body at some time, and the body never came; but it does not wait for it.
#[tokio::test]
async fn a_loop_beside_a_slow_sender_is_the_agents_failure() {
    let version = version(WEB, |spec| spec.limits.request_timeout = SHORT).await;
    let (_open, receive) =
        futures::channel::mpsc::unbounded::<Result<http_body::Frame<Bytes>, std::io::Error>>();
    let request = http::Request::post("/loop-beside-body")
        .header("host", "a")
        .body(StreamBody::new(receive))
        .unwrap();
    let error = soon(http(&version, request, CallInfo::default()))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error:?}");
    let arm = counted(&version).await;
    assert_eq!((arm.failures, arm.deadlines, arm.not_counted), (1, 1, 0));
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_the_agents_failure() {
    let version = version(WEB, |_| {}).await;
    let broken = futures::stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
        Err(std::io::Error::other("connection reset")),
    ]);
    let request = http::Request::post("/echo")
        .header("host", "a")
        .body(StreamBody::new(broken))
        .unwrap();
    if let Ok(reply) = soon(http(&version, request, CallInfo::default())).await {
        text(reply).await.unwrap_err();
    }
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.not_counted), (0, 0, 1));
}

#[tokio::test]
async fn a_reply_over_the_limit_breaks_off_and_fails() {
    let version = version(WEB, |spec| spec.limits.reply_body = 100_000).await;
    let error = broken(&version, "/big?bytes=1000000").await;
    assert_eq!(error, BodyError::TooLarge { limit: 100_000 });
    assert_eq!(counted(&version).await.failures, 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_end_a_reused_instance() {
    let version = version(WEB, |spec| {
        spec.instances = Some(Instances::Reused { reuse: 99 })
    })
    .await;
    let mut body = get(&version, "/stream?chunks=30&gap=10")
        .await
        .unwrap()
        .into_body();
    soon(body.frame()).await.unwrap().unwrap();
    drop(body);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.not_counted), (0, 0, 1));
    // Two idle instances take turns, so a count comes twice; a single one would count up for ever.
    soon(async {
        let mut seen = Vec::new();
        loop {
            let count = answer(&version, "/count").await.1;
            soon(version.drained()).await;
            if count != "1" && seen.contains(&count) {
                return;
            }
            seen.push(count);
            assert!(seen.len() < 90, "{seen:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_before_the_head_counts_nowhere() {
    let version = version(WEB, |_| {}).await;
    let call = http(&version, request("/block"), CallInfo::default());
    assert!(tokio::time::timeout(SHORT, call).await.is_err());
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.not_counted), (0, 1));
}

#[tokio::test]
async fn a_cut_ends_heads_and_bodies_at_once_and_later_calls_run() {
    let version = version(WEB, |_| {}).await;
    let streaming = get(&version, "/stream?chunks=2&gap=600000").await.unwrap();
    let other = version.clone();
    let waiting = tokio::spawn(async move { get(&other, "/block").await });
    soon(async {
        while version.in_flight() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(version.cut(), 2);
    assert_eq!(soon(waiting).await.unwrap().unwrap_err(), CallError::Cut);
    assert_eq!(text(streaming).await.unwrap_err(), BodyError::Cut);
    let arm = counted(&version).await;
    assert_eq!((arm.cut, arm.not_counted, arm.requests), (2, 2, 0));
    assert_eq!(answer(&version, "/").await.0, 200);
}

/// The server reads the next request of a connection only when this one's body is let go of.
#[tokio::test]
async fn a_request_that_the_guest_keeps_goes_with_its_call() {
    let version = version(WEB, |spec| {
        spec.instances = Some(Instances::Reused { reuse: 99 })
    })
    .await;
    let (send, receive) =
        futures::channel::mpsc::unbounded::<Result<http_body::Frame<Bytes>, std::io::Error>>();
    let request = http::Request::post("/keep-request")
        .header("host", "a")
        .body(StreamBody::new(receive))
        .unwrap();
    let reply = soon(http(&version, request, CallInfo::default()))
        .await
        .unwrap();
    assert_eq!(text(reply).await.unwrap(), "kept\n");
    soon(async {
        while !send.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(answer(&version, "/count").await.1, "1");
}

#[tokio::test]
async fn a_cut_takes_nothing_from_a_caller_who_has_all() {
    let version = version(WEB, |_| {}).await;
    let reply = get(&version, "/linger").await.unwrap();
    assert_eq!(text(reply).await.unwrap(), "all of it\n");
    assert_eq!(version.in_flight(), 1, "the guest works on");
    assert_eq!(version.cut(), 0);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.cut), (1, 0, 0));
}

#[tokio::test]
async fn a_guest_that_ends_in_one_go_with_its_body_open_has_not_answered() {
    let version = version(WEB, |_| {}).await;
    let error = get(&version, "/leave-body").await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
    assert_eq!(error.status(), 500);
    assert_eq!(counted(&version).await.failures, 1);
}
