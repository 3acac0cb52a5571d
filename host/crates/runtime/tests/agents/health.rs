//! Health by a path: what is asked, and what is made of the answer.

use crate::{PATIENCE, counted, request, soon, version};
use caxton_runtime::{CallInfo, HealthOutcome, Instances, Version};
use caxton_test_artifacts::{UNHEALTHY, WEB};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for an answer that comes at once, short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(500);

async fn asked_at(path: &'static str, instances: Instances) -> Arc<Version> {
    version(WEB, |spec| {
        spec.health_path = Some(path.parse().unwrap());
        spec.instances = Some(instances);
        // What nobody waits for any more does not run for as long as the tests do.
        spec.limits.request_timeout = Duration::from_secs(2);
    })
    .await
}

fn failed(reason: &str) -> HealthOutcome {
    HealthOutcome::Failed(reason.into())
}

#[tokio::test]
async fn a_path_that_answers_2xx_is_healthy_and_anything_else_is_not() {
    let modes = [
        Instances::Fresh,
        Instances::Reused { reuse: 128 },
        Instances::Single,
    ];
    for instances in modes {
        for (path, expected) in [
            ("/?deep=1", HealthOutcome::Passed),
            ("/status/201", HealthOutcome::Passed),
            (
                "/status/503",
                failed("GET /status/503 answered 503 Service Unavailable"),
            ),
            ("/status/302", failed("GET /status/302 answered 302 Found")),
        ] {
            let version = asked_at(path, instances).await;
            for _ in 0..2 {
                let found = version.check_health(PATIENCE).await;
                assert_eq!(found, expected, "{instances:?}");
            }
            assert_eq!(counted(&version).await.requests, 0, "it is no traffic");
        }
        let version = asked_at("/trap", instances).await;
        let HealthOutcome::Failed(reason) = version.check_health(PATIENCE).await else {
            panic!("it is no health to trap");
        };
        assert!(reason.contains("GET /trap: the agent trapped"), "{reason}");
        let version = asked_at("/loop", instances).await;
        let late = failed("the health check did not end within 500 ms");
        assert_eq!(version.check_health(A_WHILE).await, late, "{instances:?}");
        let arm = counted(&version).await;
        assert_eq!((arm.requests, arm.failures), (0, 0));
    }
}

#[tokio::test]
async fn a_single_instance_that_works_is_busy_and_not_unhealthy() {
    let version = asked_at("/", Instances::Single).await;
    let admission = version.admit(CallInfo::default()).unwrap();
    let at_work = Arc::clone(&version);
    let call =
        tokio::spawn(async move { at_work.http(request("/sleep?ms=1500"), admission).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(version.check_health(A_WHILE).await, HealthOutcome::Busy);
    assert_eq!(soon(call).await.unwrap().unwrap().status(), 200);
    assert_eq!(version.check_health(PATIENCE).await, HealthOutcome::Passed);
}

#[tokio::test]
async fn an_export_is_asked_and_not_the_path() {
    let version = version(UNHEALTHY, |spec| {
        spec.health_path = Some("/".parse().unwrap());
    })
    .await;
    let found = version.check_health(PATIENCE).await;
    assert_eq!(found, failed("database is down"));
}
