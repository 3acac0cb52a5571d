//! Fuel limits and health paths: what an operator writes for an agent that needs to export nothing for it.

use caxton_test_artifacts::WEB;
use serde_json::Value;

use crate::harness::{Caxton, Setup, variant};

/// Some dozen times what a short request takes.
const FUEL: u64 = 3_000_000;

/// The agent's status when that version has been taken for good, and the one before it is kept.
async fn permanent(host: &Caxton, number: u64) -> Value {
    let is_there = |status: &Value| {
        let kept = status["kept"][0]["number"].as_u64();
        status["permanent"] == number && kept.unwrap_or(0) == number - 1
    };
    host.admin.until("web", "it is permanent", is_there).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_uses_up_its_fuel_ends_and_what_others_used_is_told() {
    let bake = "[defaults.reload]\nbake = \"1s\"\n";
    let host = Caxton::start_with(Setup::defaults(bake)).await;
    host.configure("web", &format!("[limits]\nfuel = {FUEL}\n"));
    host.deploy("web", WEB, 1).await;
    permanent(&host, 1).await;
    assert!(host.get("/web/").await.is_good());
    let ended = host.get("/web/loop").await;
    assert_eq!(ended.status, 502, "{}", ended.text());
    assert_eq!(ended.headers["x-caxton-error"], "out-of-fuel");
    let told = format!("used up its fuel of {FUEL} units");
    assert!(ended.text().contains(&told), "{}", ended.text());
    assert!(host.get("/web/").await.is_good());
    // The limit is what a version runs with: without it there is another, and what the first used is known for good.
    host.configure("web", "");
    host.swapped("web", 2).await;
    assert!(host.get("/web/").await.is_good());
    let status = permanent(&host, 2).await;
    let used = &status["kept"][0]["usage"];
    assert!(used["fuel"].as_u64() > Some(FUEL), "{status}");
    assert_eq!(
        (&used["requests"], &used["failures"]),
        (&3.into(), &1.into())
    );
    host.configure("web", "[limits]\nconcurrency = 7\n");
    host.swapped("web", 3).await;
    let status = permanent(&host, 3).await;
    let used = &status["kept"][0]["usage"];
    assert!(used["fuel"].is_null() && used["requests"] == 1, "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_health_path_answers_503_never_gets_traffic() {
    let defaults = "[defaults.reload]\nwarm_up = \"300ms\"\nbake = \"0s\"\n[defaults.health]\ninterval = \"100ms\"\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    host.configure("web", "[health]\npath = \"/\"\n");
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.configure("web", "[health]\npath = \"/status/503\"\n");
    host.drop_agent("web", &variant(WEB, 2));
    let result = host
        .admin
        .until_result("web", "failed", |result| result["status"] == "failed")
        .await;
    let error = result["error"].as_str().unwrap();
    assert!(
        error.contains("health") && error.contains("GET /status/503 answered 503"),
        "{error}"
    );
    assert_eq!(host.version_at("/web/").await, 1);
    assert_eq!(host.events.count("web", "swapped"), 1);
    host.configure("web", "[health]\npath = \"/status/204\"\n");
    host.drop_agent("web", &variant(WEB, 3));
    host.admin
        .until("web", "the next one serves", |status| {
            status["serving"].as_u64() > Some(1)
        })
        .await;
}
