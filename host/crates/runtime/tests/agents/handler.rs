//! What a handler agent answers, reports, and how it may fail.

use crate::{PATIENCE, counted, handle, soon, version};
use caxton_runtime::{
    CallError, CallInfo, CustomMetric, Failure, HealthOutcome, Instances, Message, MetricValue,
    Version,
};
use caxton_test_artifacts::{TOOL, UNHEALTHY, WEB};
use std::time::Duration;

async fn ask(version: &Version, body: &'static str) -> Result<String, CallError> {
    let message = Message {
        body: body.into(),
        ..Message::default()
    };
    let reply = soon(handle(version, message, CallInfo::default())).await?;
    Ok(String::from_utf8_lossy(&reply.body).into_owned())
}

#[tokio::test]
async fn a_message_comes_back_as_it_was() {
    let version = version(TOOL, |_| {}).await;
    let message = Message {
        content_type: Some("text/plain".into()),
        body: "unchanged".into(),
        metadata: vec![("x-one".into(), "1".into()), ("x-one".into(), "2".into())],
    };
    let reply = soon(handle(&version, message.clone(), CallInfo::default())).await;
    assert_eq!(reply.unwrap(), message);
}

#[tokio::test]
async fn each_failure_is_counted_in_its_column() {
    let version = version(TOOL, |_| {}).await;
    let failures = [
        ("invalid no", Failure::Invalid("no".into()), 400),
        (
            "unavailable later",
            Failure::Unavailable("later".into()),
            503,
        ),
        ("internal broken", Failure::Internal("broken".into()), 500),
    ];
    for (body, failure, status) in failures {
        let error = ask(&version, body).await.unwrap_err();
        assert_eq!(error, CallError::Failure(failure));
        assert_eq!(error.status().as_u16(), status);
    }
    assert!(matches!(
        ask(&version, "trap").await,
        Err(CallError::Trap(_))
    ));
    let arm = counted(&version).await;
    assert_eq!((arm.requests, arm.failures, arm.traps), (4, 2, 1));
    assert_eq!((arm.rejected, arm.unavailable), (1, 1));
}

#[tokio::test]
async fn instances_are_reused_until_one_traps() {
    let kept = version(TOOL, |_| {}).await;
    for count in ["1", "2", "3"] {
        assert_eq!(ask_alone(&kept, "count").await.unwrap(), count);
    }
    ask_alone(&kept, "trap").await.unwrap_err();
    assert_eq!(ask_alone(&kept, "count").await.unwrap(), "1");
    let fresh = version(TOOL, |spec| spec.instances = Some(Instances::Fresh)).await;
    for _ in 0..2 {
        assert_eq!(ask(&fresh, "count").await.unwrap(), "1");
    }
}

/// Asks when the instance that answered before has offered itself again: on one thread it has when it gave way.
async fn ask_alone(version: &Version, body: &'static str) -> Result<String, CallError> {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    ask(version, body).await
}

#[tokio::test]
async fn loops_and_waits_end_at_the_deadline() {
    let version = version(TOOL, |spec| {
        spec.limits.request_timeout = Duration::from_millis(300);
    })
    .await;
    for body in ["loop", "block"] {
        let error = ask(&version, body).await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error:?}");
    }
    let arm = counted(&version).await;
    assert_eq!((arm.failures, arm.deadlines), (2, 2));
}

#[tokio::test]
async fn a_reply_over_the_limit_is_the_agents_failure() {
    let version = version(TOOL, |spec| spec.limits.reply_body = 1_000).await;
    assert_eq!(ask(&version, "big 1000").await.unwrap().len(), 1_000);
    let error = ask(&version, "big 1001").await.unwrap_err();
    assert_eq!(error, CallError::ReplyTooLarge { limit: 1_000 });
    assert_eq!(counted(&version).await.failures, 1);
}

#[tokio::test]
async fn what_a_failure_says_is_no_longer_than_a_reply() {
    let version = version(TOOL, |spec| spec.limits.reply_body = 5).await;
    let error = ask(&version, "internal 1234567").await.unwrap_err();
    let kept = Failure::Internal("12345".into());
    assert_eq!(error, CallError::Failure(kept));
}

#[tokio::test]
async fn reports_reach_the_window() {
    let version = version(TOOL, |_| {}).await;
    for body in [
        "metric add orders 2",
        "metric add orders 3",
        "metric set queue 1.5",
        "metric ratio checks 3 100",
        "metric add BAD 1",
    ] {
        ask(&version, body).await.unwrap();
    }
    let arm = counted(&version).await;
    let metric = |name: &str, value| CustomMetric {
        name: name.into(),
        value,
    };
    assert_eq!(
        arm.custom,
        [
            metric("orders", MetricValue::Counter(5)),
            metric("queue", MetricValue::Gauge(1.5)),
            metric("checks", MetricValue::Ratio { bad: 3, total: 100 }),
        ]
    );
    assert_eq!(arm.custom_dropped, 1);
}

#[tokio::test]
async fn health_is_asked_where_it_is_exported() {
    let healthy = version(TOOL, |_| {}).await;
    assert_eq!(healthy.check_health(PATIENCE).await, HealthOutcome::Passed);
    let unhealthy = version(UNHEALTHY, |_| {}).await;
    let reason = HealthOutcome::Failed("database is down".into());
    assert_eq!(unhealthy.check_health(PATIENCE).await, reason);
    let without = version(WEB, |_| {}).await;
    assert_eq!(without.check_health(PATIENCE).await, HealthOutcome::Absent);
    assert_eq!(counted(&healthy).await.requests, 0);
}

#[tokio::test]
async fn an_agent_is_called_the_way_it_exports() {
    let tool = version(TOOL, |_| {}).await;
    let error = crate::get(&tool, "/").await.unwrap_err();
    assert_eq!(error, CallError::WrongContract);
    let web = version(WEB, |_| {}).await;
    assert_eq!(ask(&web, "x").await.unwrap_err(), CallError::WrongContract);
}
