//! Instances that trap: when they are replaced, who waits for that and for how long, and what is told of it.

use crate::single::ask;
use crate::{PATIENCE, counted, http, request, soon, text, version};
use bytes::Bytes;
use caxton_runtime::{AgentSpec, CallError, CallInfo, HealthOutcome, Instances, Message, Version};
use caxton_test_artifacts::{TOOL, WEB};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const REUSED: Instances = Instances::Reused { reuse: 1_000 };

async fn tool(instances: Instances, set: impl FnOnce(&mut AgentSpec)) -> Arc<Version> {
    version(TOOL, |spec| {
        spec.instances = Some(instances);
        set(spec);
    })
    .await
}

async fn trap(version: &Version) {
    let error = ask(version, "trap").await.unwrap_err();
    assert!(matches!(error, CallError::Trap(_)), "{error:?}");
}

#[tokio::test]
async fn five_traps_of_instances_that_take_several_calls_are_told_once() {
    for instances in [Instances::Single, REUSED] {
        let version = tool(instances, |_| {}).await;
        for _ in 0..4 {
            trap(&version).await;
            assert_eq!(version.take_crash_loop(), None, "{instances:?}");
        }
        trap(&version).await;
        let told = version.take_crash_loop().unwrap();
        assert_eq!(told.traps, 5, "{instances:?}");
        assert!(told.within < Duration::from_secs(60), "{told:?}");
        assert!(told.to_string().contains("trapped 5 times"), "{told}");
        assert!(told.last.contains("unreachable"), "{told:?}");
        assert_eq!(version.take_crash_loop(), None, "{instances:?}");
        // The agent still answers, from an instance of its own.
        assert_eq!(ask(&version, "count").await.unwrap(), "1");
    }
}

#[tokio::test]
async fn a_fresh_instance_is_never_replaced_and_a_deadline_is_no_trap() {
    let fresh = tool(Instances::Fresh, |_| {}).await;
    for _ in 0..12 {
        trap(&fresh).await;
    }
    assert_eq!(fresh.take_crash_loop(), None);
    let late = tool(Instances::Single, |spec| {
        spec.limits.request_timeout = Duration::from_millis(300);
    })
    .await;
    for _ in 0..6 {
        let error = ask(&late, "block").await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error:?}");
    }
    assert_eq!(late.take_crash_loop(), None);
}

/// A trap after the other until a call is shed because its time is up before an instance may be made. How many traps there were.
async fn until_shed(version: &Version) -> u64 {
    let mut traps = 0;
    loop {
        match ask(version, "trap").await {
            Err(CallError::Trap(_)) => traps += 1,
            Err(CallError::Busy(why)) => {
                assert!(why.contains("keeps trapping"), "{why}");
                return traps;
            }
            other => panic!("after {traps} traps: {other:?}"),
        }
    }
}

#[tokio::test]
async fn callers_wait_for_a_replacement_and_never_longer_than_a_call_may_take() {
    for instances in [Instances::Single, REUSED] {
        let version = tool(instances, |spec| {
            spec.limits.request_timeout = Duration::from_secs(1);
        })
        .await;
        let traps = until_shed(&version).await;
        // No wait before these was longer than a second, and the one after them was.
        assert!((7..=8).contains(&traps), "{traps} {instances:?}");
        // Shed calls say nothing about the version.
        let arm = counted(&version).await;
        assert_eq!(
            (arm.requests, arm.traps, arm.not_counted),
            (traps, traps, 1),
            "{instances:?}"
        );
        let answer = soon(async {
            loop {
                match ask(&version, "count").await {
                    Ok(answer) => return answer,
                    Err(CallError::Busy(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(answer.await, "1", "{instances:?}");
    }
}

#[tokio::test]
async fn a_cut_does_not_wait_for_a_replacement_nor_does_a_health_check_make_one() {
    for instances in [Instances::Single, REUSED] {
        let version = tool(instances, |_| {}).await;
        for _ in 0..9 {
            trap(&version).await;
        }
        if instances == Instances::Single {
            let checked = version.check_health(PATIENCE).await;
            assert_eq!(checked, HealthOutcome::Busy);
        }
        let admission = version.admit(CallInfo::default()).unwrap();
        let asked = Arc::clone(&version);
        let message = Message {
            body: "count".into(),
            ..Message::default()
        };
        let call = tokio::spawn(async move { asked.handle(message, admission).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!call.is_finished(), "it waits: {instances:?}");
        version.cut();
        let error = soon(call).await.unwrap().unwrap_err();
        assert_eq!(error, CallError::Cut, "{instances:?}");
    }
}

/// A caller that makes its instance trap again and again takes none from the others.
#[tokio::test]
async fn who_waits_for_a_replacement_takes_an_instance_that_is_free_before() {
    let version = version(WEB, |spec| spec.instances = Some(REUSED)).await;
    let (sender, frames) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let frames = futures::stream::unfold(frames, |mut frames| async move {
        Some((frames.recv().await?, frames))
    });
    let busy = http::Request::post("/echo")
        .header("host", "agent.localhost")
        .body(StreamBody::new(Box::pin(frames)))
        .unwrap();
    let asked = Arc::clone(&version);
    let busy = tokio::spawn(async move {
        let reply = http(&asked, busy, CallInfo::default()).await.unwrap();
        text(reply).await.unwrap()
    });
    soon(sender.send(Ok(Frame::data("half".into()))))
        .await
        .unwrap();
    for _ in 0..9 {
        let error = http(&version, request("/trap"), CallInfo::default()).await;
        assert!(matches!(error, Err(CallError::Trap(_))));
    }
    let asked = Arc::clone(&version);
    let waits = tokio::spawn(async move {
        let reply = http(&asked, request("/count"), CallInfo::default()).await;
        text(reply.unwrap()).await.unwrap()
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waits.is_finished());
    drop(sender);
    assert_eq!(soon(busy).await.unwrap(), "half");
    assert_eq!(
        soon(waits).await.unwrap(),
        "2",
        "the instance's second call"
    );
}
