//! What stays when versions come and go: nothing.

use crate::{PATIENCE, answer, get, http, soon, text};
use bytes::Bytes;
use caxton_rollout::LATENCY_BOUNDS_US;
use caxton_runtime::{
    AgentSpec, CallInfo, HealthOutcome, Holdings, Instances, Runtime, RuntimeOptions, Version,
};
use caxton_test_artifacts::{TOOL, WEB, with_section};
use http_body_util::StreamBody;
use std::sync::Arc;
use std::time::Duration;

const NOTHING: Holdings = Holdings {
    instances: 0,
    components: 0,
};

fn own_runtime() -> Arc<Runtime> {
    let options = RuntimeOptions {
        instances: 8,
        ..RuntimeOptions::default()
    };
    Runtime::new(options).unwrap()
}

async fn until(runtime: &Runtime, holdings: Holdings) {
    soon(async {
        while runtime.holdings() != holdings {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn reused(runtime: &Arc<Runtime>) -> Arc<Version> {
    let mut spec = AgentSpec::new("a", 1);
    spec.instances = Some(Instances::Reused { reuse: 100 });
    runtime.prepare(WEB.into(), spec).await.unwrap()
}

#[tokio::test]
async fn a_dropped_version_leaves_nothing_behind() {
    let runtime = own_runtime();
    let version = reused(&runtime).await;
    answer(&version, "/").await;
    let idle = Holdings {
        instances: 1,
        components: 1,
    };
    until(&runtime, idle).await;
    let streaming = get(&version, "/stream?chunks=3&gap=50").await.unwrap();
    drop(version);
    assert_eq!(
        runtime.holdings().components,
        1,
        "a call is still in flight"
    );
    assert_eq!(text(streaming).await.unwrap().len(), 48);
    until(&runtime, NOTHING).await;
}

#[tokio::test]
async fn a_retired_version_lets_its_idle_instances_go_and_still_answers() {
    let runtime = own_runtime();
    let version = reused(&runtime).await;
    answer(&version, "/").await;
    version.retire();
    let code_only = Holdings {
        instances: 0,
        components: 1,
    };
    until(&runtime, code_only).await;
    assert_eq!(answer(&version, "/").await.0, 200);
    until(&runtime, code_only).await;
}

#[tokio::test]
async fn the_same_bytes_compile_once_while_a_version_lives() {
    let runtime = own_runtime();
    let spec = |number| AgentSpec::new("a", number);
    let first = runtime.prepare(WEB.into(), spec(1)).await.unwrap();
    assert!(first.compile_time() > Duration::ZERO);
    let again = runtime.prepare(WEB.into(), spec(2)).await.unwrap();
    assert_eq!(again.compile_time(), Duration::ZERO);
    assert_eq!(runtime.holdings().components, 1);
    drop(first);
    assert_eq!(answer(&again, "/").await.0, 200);
    let other = with_section(WEB, "version", b"3");
    let other = runtime.prepare(other.into(), spec(3)).await.unwrap();
    assert!(other.compile_time() > Duration::ZERO);
    assert_ne!(other.digest(), again.digest());
    drop((again, other));
    until(&runtime, NOTHING).await;
}

#[tokio::test]
async fn drained_waits_for_the_end_of_the_body() {
    let runtime = own_runtime();
    let version = runtime
        .prepare(WEB.into(), AgentSpec::new("a", 1))
        .await
        .unwrap();
    let reply = get(&version, "/").await.unwrap();
    assert_eq!(version.in_flight(), 1);
    let early = tokio::time::timeout(Duration::from_millis(100), version.drained()).await;
    assert!(early.is_err(), "the body has not been taken");
    text(reply).await.unwrap();
    soon(version.drained()).await;
    assert_eq!(version.take_window().latency.len(), LATENCY_BOUNDS_US.len());
}

#[tokio::test]
async fn a_full_host_sheds_and_recovers() {
    let runtime = Runtime::new(RuntimeOptions {
        instances: 1,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let mut spec = AgentSpec::new("a", 1);
    spec.limits.request_timeout = PATIENCE;
    let version = runtime.prepare(WEB.into(), spec).await.unwrap();
    let long = get(&version, "/stream?chunks=2&gap=600000").await.unwrap();
    let shed = get(&version, "/").await.unwrap_err();
    assert_eq!((shed.code(), shed.status().as_u16()), ("busy", 503));
    let health = runtime.prepare(TOOL.into(), AgentSpec::new("b", 1)).await;
    assert!(health.unwrap_err().is_hosts_fault());
    version.cut();
    text(long).await.unwrap_err();
    until(
        &runtime,
        Holdings {
            instances: 0,
            components: 1,
        },
    )
    .await;
    assert_eq!(answer(&version, "/").await.0, 200);
}

#[tokio::test]
async fn an_idle_instance_makes_room_for_another_agent() {
    let runtime = Runtime::new(RuntimeOptions {
        instances: 1,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let idle = reused(&runtime).await;
    assert_eq!(answer(&idle, "/").await.0, 200);
    let other = runtime
        .prepare(TOOL.into(), AgentSpec::new("b", 1))
        .await
        .unwrap();
    drop(other);
    assert_eq!(answer(&idle, "/count").await.1, "1");
}

/// Every call that waits for a place gets one of the instances that become idle, not only the first.
#[tokio::test]
async fn idle_instances_make_room_for_all_who_wait() {
    const PLACES: usize = 4;
    let runtime = Runtime::new(RuntimeOptions {
        instances: PLACES as u32,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let busy = reused(&runtime).await;
    let other = runtime
        .prepare(WEB.into(), AgentSpec::new("b", 1))
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..PLACES {
        let (send, receive) =
            futures::channel::mpsc::unbounded::<Result<http_body::Frame<Bytes>, std::io::Error>>();
        let request = http::Request::post("/echo")
            .header("host", "a")
            .body(StreamBody::new(receive))
            .unwrap();
        let reply = soon(http(&busy, request, CallInfo::default()))
            .await
            .unwrap();
        open.push((send, reply));
    }
    let waiting: Vec<_> = (0..PLACES)
        .map(|_| {
            let other = Arc::clone(&other);
            tokio::spawn(async move { get(&other, "/stream?chunks=2&gap=600000").await })
        })
        .collect();
    soon(async {
        while other.in_flight() < PLACES as u32 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for (send, reply) in open {
        drop(send);
        text(reply).await.unwrap();
    }
    let mut replies = Vec::new();
    for call in waiting {
        replies.push(soon(call).await.unwrap().expect("it gets a place"));
    }
    other.cut();
}

#[tokio::test]
async fn a_check_that_found_no_room_says_nothing_about_the_version() {
    let runtime = Runtime::new(RuntimeOptions {
        instances: 1,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let checked = runtime
        .prepare(TOOL.into(), AgentSpec::new("b", 1))
        .await
        .unwrap();
    let web = runtime
        .prepare(WEB.into(), AgentSpec::new("a", 1))
        .await
        .unwrap();
    let _long = get(&web, "/stream?chunks=2&gap=600000").await.unwrap();
    // Less than a call waits for room.
    let outcome = checked.check_health(Duration::from_millis(50)).await;
    assert_eq!(outcome, HealthOutcome::Busy);
    web.cut();
}
