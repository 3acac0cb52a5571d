//! A version that is worse than the one before it.

use caxton_test_artifacts::{FLAKY, TOOL, UNHEALTHY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, digest, variant, wait_for};

/// The agent `shop` gets a second version that fails 30 % of its calls, under load, and is gone back from: the load, which goes
/// on, and the result.
pub(crate) async fn goes_back_under_load(host: &Caxton) -> (Load, Value) {
    host.deploy("shop", WEB, 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/shop/")]);
    wait_for("traffic on the first version", async || {
        (load.ended() > 20).then_some(())
    })
    .await;
    host.deploy("shop", FLAKY, 2).await;
    let result = host
        .admin
        .until_result("shop", "rolled back", |result| {
            result["status"] == "rolled-back"
        })
        .await;
    (load, result)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_thirty_per_cent_of_its_calls_is_rolled_back_by_thresholds() {
    let thresholds = "[defaults.reload]\nbake = \"1h\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n";
    let host = Caxton::start_with(Setup::defaults(thresholds)).await;
    let (load, result) = goes_back_under_load(&host).await;
    assert_eq!(
        (&result["from"], &result["to"]),
        (&json!(2), &json!(1)),
        "{result}"
    );
    assert_reason(result["rollback_reason"].as_str().unwrap());
    assert_eq!(
        result["lost_requests"], 0,
        "going back is graceful, too: {result}"
    );

    let status = host.admin.status("shop").await.unwrap();
    assert_eq!(status["stable"]["digest"], digest(WEB), "{status}");
    assert_eq!(
        status["quarantined"][0]["digest"],
        digest(FLAKY),
        "{status}"
    );
    assert_eq!(status["attention"][0]["kind"], "quarantined", "{status}");
    assert_eq!(host.version_at("/shop/").await, 1);

    let records = load.finish().await;
    let failed = records.iter().filter(|record| !record.is_good());
    assert!(
        failed.clone().count() > 0 && failed.clone().all(|r| r.version() == Some(2)),
        "only version 2 fails"
    );
    let unanswered = records
        .iter()
        .find(|record| record.reply.as_ref().is_ok_and(|r| r.broken.is_none()));
    assert!(
        unanswered.is_some() && records.iter().all(|r| r.reply.is_ok()),
        "every request has an answer"
    );
}

/// Trigger, observed value, threshold and sample: `error rate 33.3 % is above 5 % (10 of 30 requests failed)`.
fn assert_reason(reason: &str) {
    let (before, sample) = reason
        .split_once(" (")
        .unwrap_or_else(|| panic!("no sample: {reason}"));
    let (trigger, threshold) = before
        .split_once(" is above ")
        .unwrap_or_else(|| panic!("no threshold: {reason}"));
    assert!(trigger.starts_with("thresholds: error rate "), "{reason}");
    let observed: f64 = trigger.split(' ').nth(3).unwrap().parse().unwrap();
    assert!((5.0..=100.0).contains(&observed), "{reason}");
    assert_eq!(threshold, "5 %", "{reason}");
    let numbers: Vec<u64> = sample
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(
        matches!(numbers.as_slice(), [failed, of] if failed < of && *of >= 20),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_its_health_check_never_gets_traffic() {
    let defaults = "[defaults.reload]\nwarm_up = \"300ms\"\nbake = \"0s\"\n[defaults.health]\ninterval = \"100ms\"\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    host.deploy("tool", &variant(TOOL, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::post("/tool", "echo hi")]);
    host.drop_agent("tool", UNHEALTHY);
    let result = host
        .admin
        .until_result("tool", "failed", |result| result["status"] == "failed")
        .await;
    let error = result["error"].as_str().unwrap();
    assert!(
        error.contains("health") && error.contains("database is down"),
        "{error}"
    );
    let sent_before = load.ended();
    wait_for("traffic after the failure", async || {
        (load.ended() > sent_before + 20).then_some(())
    })
    .await;
    for record in load.finish().await {
        assert!(
            record.is_good() && record.version() == Some(1),
            "{}",
            record.told()
        );
    }
    let status = host.admin.status("tool").await.unwrap();
    assert_eq!(
        (&status["state"], &status["stable"]["number"]),
        (&json!("serving"), &json!(1)),
        "{status}"
    );
    assert!(
        status["last_error"]
            .as_str()
            .unwrap()
            .contains("database is down"),
        "{status}"
    );
    // The next attempt is free.
    host.deploy("tool", &variant(TOOL, 3), 3).await;
    assert_eq!(
        host.ask(Ask::post("/tool", "echo hi")).await.version(),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_version_that_is_not_healthy_is_failed_and_answers_503() {
    let host = Caxton::start().await;
    host.drop_agent("tool", UNHEALTHY);
    let status = host
        .admin
        .until("tool", "failed", |status| status["state"] == "failed")
        .await;
    assert!(
        status["last_error"]
            .as_str()
            .unwrap()
            .contains("database is down"),
        "{status}"
    );
    assert!(status["stable"].is_null(), "{status}");
    let reply = host.ask(Ask::post("/tool", "echo hi")).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
}
