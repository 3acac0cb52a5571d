//! Parallel: the new version hears copies, and no caller ever hears from it before it is promoted.

use caxton_test_artifacts::{FLAKY, POLICY_FAULTY, WEB};
use serde_json::Value;

use crate::harness::{Ask, Caxton, Load, Setup, put, variant, wait_for};

fn parallel(mirror: &str) -> Setup {
    Setup::defaults(&format!(
        "[defaults.reload]\nstrategy = \"parallel\"\nwarm_up = \"0s\"\nbake = \"0s\"\nmirror = {{ {mirror} }}\n"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_a_listener_hears_copies_before_it_serves_and_nobody_hears_it() {
    let host = Caxton::start_with(parallel("at_least = \"0s\", at_least_requests = 40")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    wait_for("traffic", async || (load.ended() > 20).then_some(())).await;
    host.drop_agent("web", &variant(WEB, 2));
    let swapped = host.swapped("web", 2).await;
    let result = host
        .admin
        .until_result("web", "completed", |r| {
            r["to"] == 2 && r["status"] == "completed"
        })
        .await;
    assert_eq!(result["strategy"], "parallel", "{result}");
    assert_eq!(result["lost_requests"], 0, "{result}");
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
        if record.ended_at < swapped.at() {
            assert_eq!(record.version(), Some(1), "{}", record.told());
        }
    }
    let began = host
        .events
        .first("it is in progress", |event| {
            event.is("web", "status-changed") && event.json["to"] == "in-progress"
        })
        .await;
    assert!(began.at() <= swapped.at());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_without_copies_nothing_is_promoted() {
    let host = Caxton::start_with(parallel("at_least = \"0s\", at_least_requests = 10")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    host.admin
        .until("web", "it listens", |status| {
            status["reload"]["status"] == "in-progress"
        })
        .await;
    // A method that may change something is not copied: a hundred of them bring nothing.
    for _ in 0..100 {
        let reply = host.ask(Ask::post("/web/", "")).await;
        assert_eq!(reply.version(), Some(1), "{reply:?}");
    }
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(status["serving"], 1, "{status}");
    assert_eq!(status["reload"]["status"], "in-progress", "{status}");
    let load = Load::start(host.gateway, 1, vec![Ask::get("/web/")]);
    host.swapped("web", 2).await;
    load.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_a_listener_that_fails_is_taken_back_before_any_caller_hears_it() {
    let host = Caxton::start_with(parallel("at_least = \"1h\"")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    wait_for("traffic", async || (load.ended() > 20).then_some(())).await;
    host.drop_agent("web", FLAKY);
    let result = host
        .admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let reason = result["rollback_reason"].as_str().unwrap();
    // Every answer of it differs as well, and whichever is sure first is said.
    assert!(
        reason.contains("copies failed") || reason.contains("copies were answered differently"),
        "{reason}"
    );
    assert_eq!(
        result["metrics"]["requests-processed"], 0,
        "copies are no live traffic: {result}"
    );
    assert_eq!(result["error_kind"], "automatic-rollback", "{result}");
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
        assert_eq!(record.version(), Some(1), "{}", record.told());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e_answers_that_differ_are_counted_and_reach_the_policies() {
    let host = Caxton::start_with(parallel("at_least = \"1h\"")).await;
    put(&host.policies(), "faulty.wasm", POLICY_FAULTY);
    let config = |path: &str| {
        format!(
            "[grants]\nenv = {{ ANSWER_AS = \"{path}\" }}\n\
             [rollback]\npolicies = [{{ name = \"faulty\", settings = {{ fault = \"mismatched\" }} }}]\n"
        )
    };
    host.configure("web", &config("/"));
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    // The same answers by other bytes: nothing differs, however many copies were heard.
    host.drop_agent("web", &variant(WEB, 2));
    let heard = |status: &Value| status["reload"]["requests"].as_u64() >= Some(100);
    host.admin.until("web", "copies", heard).await;
    assert_eq!(host.events.count("web", "rolled-back"), 0);
    // As good a status, and another body.
    host.configure("web", &config("/memory?mib=1"));
    let result = host
        .admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(result["from"], 3, "{result}");
    let reason = result["rollback_reason"].as_str().unwrap();
    assert!(reason.contains("mismatched"), "{reason}");
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
        assert_eq!(record.version(), Some(1), "{}", record.told());
    }
}
