//! A version with one instance: who is next, what ends it, and what the host asks in between.

use crate::{PATIENCE, answer, counted, get, handle, http, request, soon, text, version};
use caxton_runtime::{
    AgentSpec, CallError, CallInfo, HealthOutcome, Instances, Message, StateSpec, Version,
};
use caxton_test_artifacts::{STATEFUL, STATEFUL_WEB, TOOL};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for another call to stand in line, short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(300);

/// A stateful version without checkpoints of its own accord.
pub(crate) async fn stateful(guest: &[u8], set: impl FnOnce(&mut AgentSpec)) -> Arc<Version> {
    version(guest, |spec| {
        spec.state = Some(StateSpec {
            checkpoint: None,
            max_size: 1 << 20,
        });
        set(spec);
    })
    .await
}

/// What a handler says to `body`.
pub(crate) async fn ask(version: &Version, body: &'static str) -> Result<String, CallError> {
    let message = Message {
        body: body.into(),
        ..Message::default()
    };
    let reply = soon(handle(version, message, CallInfo::default())).await?;
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

/// Asks in the background. On one thread the call stands in line, or runs, when this one has given way.
async fn ask_beside(
    version: &Arc<Version>,
    body: &'static str,
) -> tokio::task::JoinHandle<Result<String, CallError>> {
    let admission = version.admit(CallInfo::default()).unwrap();
    let asked = Arc::clone(version);
    let message = Message {
        body: body.into(),
        ..Message::default()
    };
    let call = tokio::spawn(async move {
        let reply = asked.handle(message, admission).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test]
async fn one_instance_takes_one_call_after_the_other_in_order_of_arrival() {
    let version = version(TOOL, |spec| spec.instances = Some(Instances::Single)).await;
    let mut calls = vec![ask_beside(&version, "sleep 50").await];
    for _ in 0..5 {
        calls.push(ask_beside(&version, "count").await);
    }
    let mut answers = Vec::new();
    for call in calls {
        answers.push(soon(call).await.unwrap().unwrap());
    }
    assert_eq!(answers, ["slept", "2", "3", "4", "5", "6"]);
    assert_eq!(counted(&version).await.requests, 6);
}

#[tokio::test]
async fn a_trap_a_deadline_and_a_cut_end_the_instance_and_not_the_line() {
    let version = version(TOOL, |spec| {
        spec.instances = Some(Instances::Single);
        spec.limits.request_timeout = Duration::from_secs(2);
    })
    .await;
    assert_eq!(ask(&version, "count").await.unwrap(), "1");
    let trap = ask_beside(&version, "trap").await;
    let next = ask_beside(&version, "count").await;
    assert!(matches!(soon(trap).await.unwrap(), Err(CallError::Trap(_))));
    assert_eq!(soon(next).await.unwrap().unwrap(), "1");
    let late = ask(&version, "block").await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { .. }), "{late:?}");
    assert_eq!(ask(&version, "count").await.unwrap(), "1");
    let running = ask_beside(&version, "block").await;
    let waiting = ask_beside(&version, "count").await;
    assert_eq!(version.cut(), 2);
    for call in [running, waiting] {
        assert_eq!(soon(call).await.unwrap().unwrap_err(), CallError::Cut);
    }
    assert_eq!(version.calls_cut(), 2);
    assert_eq!(ask(&version, "count").await.unwrap(), "1");
}

#[tokio::test]
async fn the_line_is_bounded_and_its_places_come_back() {
    let version = version(TOOL, |spec| {
        spec.instances = Some(Instances::Single);
        spec.limits.concurrency = 2;
    })
    .await;
    let running = ask_beside(&version, "block").await;
    let waiting = ask_beside(&version, "count").await;
    let shed = ask(&version, "count").await.unwrap_err();
    assert!(matches!(shed, CallError::Busy(_)), "{shed:?}");
    version.cut();
    for call in [running, waiting] {
        soon(call).await.unwrap().unwrap_err();
    }
    assert_eq!(ask(&version, "count").await.unwrap(), "1");
    let admission = version.admit(CallInfo::default()).unwrap();
    assert_eq!(version.in_flight(), 1);
    drop(admission);
    assert_eq!(version.in_flight(), 0);
}

/// Its own time begins with its turn: it would end the instance if it came in with none left.
#[tokio::test]
async fn a_call_that_waited_in_line_has_all_of_its_time() {
    let version = version(TOOL, |spec| {
        spec.instances = Some(Instances::Single);
        spec.limits.request_timeout = Duration::from_secs(2);
    })
    .await;
    let first = ask_beside(&version, "sleep 1500").await;
    let second = ask_beside(&version, "sleep 1500").await;
    let third = ask_beside(&version, "count").await;
    assert_eq!(soon(first).await.unwrap().unwrap(), "slept");
    assert_eq!(soon(second).await.unwrap().unwrap(), "slept");
    // Its turn did not come in time; it never reached the instance, and counts against nobody.
    let late = soon(third).await.unwrap().unwrap_err();
    assert!(matches!(late, CallError::Busy(_)), "{late:?}");
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.not_counted), (2, 0, 1));
    assert_eq!(ask(&version, "count").await.unwrap(), "3");
}

#[tokio::test]
async fn the_next_call_begins_while_the_caller_still_reads() {
    let version = stateful(STATEFUL_WEB, |_| {}).await;
    let unread = get(&version, "/").await.unwrap();
    assert_eq!(answer(&version, "/").await.1, "2");
    assert_eq!(version.in_flight(), 1, "to the end of the body");
    assert_eq!(text(unread).await.unwrap(), "1");
    assert_eq!(counted(&version).await.requests, 2);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_along() {
    let version = stateful(STATEFUL_WEB, |_| {}).await;
    let call = http(&version, request("/sleep/1000"), CallInfo::default());
    assert!(tokio::time::timeout(A_WHILE, call).await.is_err());
    assert_eq!(answer(&version, "/").await.1, "2");
    assert_eq!(version.take_losses(), []);
}

/// Far more than the guest's chunks have room for: it could not end while nobody reads.
#[tokio::test]
async fn a_caller_that_does_not_read_neither_holds_the_instance_nor_costs_it() {
    let version = stateful(STATEFUL_WEB, |spec| {
        spec.limits.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let unread = soon(get(&version, "/large/8192")).await.unwrap();
    assert_eq!(answer(&version, "/").await.1, "2");
    // The caller's time is up, and only the caller's.
    soon(version.drained()).await;
    text(unread).await.unwrap_err();
    assert_eq!(answer(&version, "/").await.1, "3");
    assert_eq!(version.take_losses(), []);
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.not_counted), (2, 0, 1));
    let whole = text(soon(get(&version, "/large/64")).await.unwrap()).await;
    assert_eq!(whole.unwrap().len(), 1 + 64 * 1024);
}

#[tokio::test]
async fn health_is_asked_between_two_calls_of_the_one_instance() {
    let version = stateful(STATEFUL, |_| {}).await;
    assert_eq!(version.check_health(PATIENCE).await, HealthOutcome::Passed);
    let long = ask_beside(&version, "sleep 2000").await;
    // There is no gap for as long as the call runs.
    assert_eq!(version.check_health(A_WHILE).await, HealthOutcome::Busy);
    assert_eq!(version.check_health(PATIENCE).await, HealthOutcome::Passed);
    assert_eq!(soon(long).await.unwrap().unwrap(), "1");
    version.close();
    assert_eq!(version.check_health(PATIENCE).await, HealthOutcome::Busy);
    version.open();
    assert_eq!(ask(&version, "").await.unwrap(), "2");
}
