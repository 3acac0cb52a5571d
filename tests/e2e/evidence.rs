//! The default rollback policy against real traffic.

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Load, Setup, variant, wait_for};

/// Requests of the first version before anything else happens: a baseline to compare with.
const BASELINE: usize = 200;

/// A candidate that fails three calls in ten is found after about 26 of them; a tick more is the price of counting in ticks.
const SOME_TENS: u64 = 150;

fn splitting(stages: &str) -> Setup {
    Setup::defaults(&format!(
        "[defaults.reload]\nstrategy = \"traffic-splitting\"\nwarm_up = \"0s\"\nbake = \"300ms\"\nstages = [{stages}]\n"
    ))
}

/// Traffic on the first version, long enough to be a baseline.
async fn with_baseline(host: &Caxton, first: &[u8], asks: Vec<Ask>) -> Load {
    host.deploy("web", first, 1).await;
    let load = Load::start(host.gateway, 2, asks);
    wait_for("a baseline", async || {
        (load.ended() > BASELINE).then_some(())
    })
    .await;
    load
}

/// Waits until `evidence` says so.
async fn until_it_says(host: &Caxton, code: &str) -> Value {
    let says = |status: &Value| status["verdicts"][0]["why"]["code"] == code;
    host.admin.until("web", code, says).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_fails_thirty_per_cent_goes_after_some_tens_of_its_requests() {
    let host = Caxton::start_with(splitting("{ split = 10, at_least = \"1h\" }")).await;
    // The stable version takes its time, so that a tick holds a few requests and not hundreds.
    let load = with_baseline(&host, &variant(WEB, 1), vec![Ask::get("/web/sleep?ms=5")]).await;
    host.drop_agent("web", FLAKY);
    let result = host
        .admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let reason = result["rollback_reason"].as_str().unwrap();
    assert!(reason.starts_with("evidence: "), "{reason}");
    let requests = result["metrics"]["requests-processed"].as_u64().unwrap();
    assert!(requests <= SOME_TENS, "after {requests} requests: {reason}");
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(status["quarantined"][0]["blamed"], true, "{status}");
    let records = load.finish().await;
    let failed = records.iter().filter(|record| !record.is_good());
    assert!(failed.clone().all(|record| record.version() == Some(2)));
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_graceful_swap_it_is_found_too_and_blames_nobody_for_certain() {
    let host = Caxton::start_with(Setup::defaults("[defaults.reload]\nbake = \"1h\"\n")).await;
    let load = with_baseline(&host, WEB, vec![Ask::get("/web/")]).await;
    host.deploy("web", FLAKY, 2).await;
    let rolled_back = host
        .events
        .first("rolled back", |event| event.is("web", "rolled-back"))
        .await;
    assert_eq!(rolled_back.json["blame"], "unknown", "{}", rolled_back.json);
    load.finish().await;
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_fails_one_per_cent_completes() {
    let host = Caxton::start_with(Setup::defaults("[defaults.reload]\nbake = \"2s\"\n")).await;
    let mut asks = vec![Ask::get("/web/"); 99];
    asks.push(Ask::get("/web/status/500"));
    let load = with_baseline(&host, &variant(WEB, 1), asks).await;
    host.drop_agent("web", &variant(WEB, 2));
    let result = host
        .admin
        .until_result("web", "ended", |result| result["to"] == 2)
        .await;
    assert_eq!(
        (&result["status"], &result["evidence"]),
        (&json!("completed"), &json!("sufficient")),
        "{result}"
    );
    assert!(
        result["metrics"]["requests-failed"].as_u64() > Some(0),
        "{result}"
    );
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_both_versions_holds_and_then_completes() {
    let stage = "{ split = 50, at_least = \"0s\", needs_operator = true }";
    let host = Caxton::start_with(splitting(stage)).await;
    let load = with_baseline(&host, &variant(WEB, 1), vec![Ask::get("/web/")]).await;
    host.drop_agent("web", &variant(WEB, 2));
    host.admin
        .until("web", "its share", |status| status["split"] == 50)
        .await;
    until_it_says(&host, "healthy").await;
    load.finish().await;

    let outage = Load::start(host.gateway, 2, vec![Ask::get("/web/status/500")]);
    let status = until_it_says(&host, "common-cause").await;
    assert_eq!(status["verdicts"][0]["verdict"], "hold", "{status}");
    assert_eq!(status["split"], 50, "{status}");
    outage.finish().await;

    let load = Load::start(host.gateway, 4, vec![Ask::get("/web/")]);
    until_it_says(&host, "healthy").await;
    host.admin.must("web", "resume").await;
    let result = host
        .admin
        .until_result("web", "ended", |result| result["to"] == 2)
        .await;
    assert_eq!(result["status"], "completed", "{result}");
    assert_eq!(host.events.count("web", "rolled-back"), 0);
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_mends_a_broken_stable_version_gets_through() {
    let host = Caxton::start_with(splitting(
        "{ split = 50, at_least = \"0s\", at_least_requests = 30 }",
    ))
    .await;
    let load = with_baseline(&host, FLAKY, vec![Ask::get("/web/")]).await;
    host.drop_agent("web", WEB);
    let result = host
        .admin
        .until_result("web", "ended", |result| result["to"] == 2)
        .await;
    assert_eq!(
        (&result["status"], &result["evidence"]),
        (&json!("completed"), &json!("sufficient")),
        "{result}"
    );
    load.finish().await;
    assert!(host.get("/web/").await.is_good());
}
