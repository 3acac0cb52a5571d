//! Agents whose instances trap again and again: told, shown, and where that is configured gone back from. And such as say that they are
//! not well: told and shown.

use std::fs;

use caxton_test_artifacts::{TOOL, UNHEALTHY};
use serde_json::Value;

use crate::harness::{Ask, Caxton, Setup, put, variant};

/// Traps that are a crash loop.
const TRAPS: usize = 5;

/// A host whose reloads are over once they serve, and that goes back for no other reason.
async fn host(on_crash_loop: &str) -> Caxton {
    let defaults = format!(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n\
         [defaults.rollback]\npolicies = [{{ name = \"manual\" }}]\non_crash_loop = \"{on_crash_loop}\"\n"
    );
    Caxton::start_with(Setup::defaults(&defaults)).await
}

async fn trap(host: &Caxton) {
    let reply = host.ask(Ask::post("/tool", "trap")).await;
    assert_eq!(reply.status, 502, "{}", reply.text());
}

async fn permanent(host: &Caxton, number: u64) {
    host.admin
        .until("tool", "permanent", |status| status["permanent"] == number)
        .await;
}

async fn told(host: &Caxton) -> Value {
    let event = host
        .events
        .first("a crash loop", |event| event.is("tool", "crash-loop"))
        .await;
    event.json
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_keeps_trapping_is_told_and_serves_on() {
    let host = host("tell").await;
    host.deploy("tool", &variant(TOOL, 1), 1).await;
    permanent(&host, 1).await;
    for _ in 0..TRAPS - 1 {
        trap(&host).await;
    }
    // Nothing that four traps would have done comes after this.
    let asked = host.ask(Ask::post("/tool", "echo still here")).await;
    assert_eq!(
        (asked.text().as_str(), asked.version()),
        ("still here", Some(1))
    );
    assert_eq!(host.events.count("tool", "crash-loop"), 0);
    trap(&host).await;
    let told = told(&host).await;
    assert_eq!(told["number"], 1, "{told}");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("trapped 5 times"), "{reason}");
    let status = host
        .admin
        .until("tool", "attention", |status| {
            let all = status["attention"].as_array();
            all.is_some_and(|all| all.iter().any(|one| one["kind"] == "crash-loop"))
        })
        .await;
    assert_eq!(status["serving"], 1, "{status}");
    let asked = host.ask(Ask::post("/tool", "echo still here")).await;
    assert_eq!(
        (asked.text().as_str(), asked.version()),
        ("still here", Some(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_that_is_configured_the_kept_version_takes_over() {
    let host = host("rollback").await;
    for number in 1..=2 {
        host.deploy("tool", &variant(TOOL, number), number).await;
        permanent(&host, number).await;
    }
    for _ in 0..TRAPS {
        trap(&host).await;
    }
    assert_eq!(told(&host).await["number"], 2);
    let result = host
        .admin
        .until_result("tool", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(result["to"], 1, "{result}");
    let reason = result["rollback_reason"].as_str().unwrap();
    assert!(reason.contains("trapped 5 times"), "{reason}");
    let asked = host.ask(Ask::post("/tool", "echo the good one")).await;
    assert_eq!(
        (asked.text().as_str(), asked.version()),
        ("the good one", Some(1))
    );
    // And it stays: the file that is there is the one that keeps crashing.
    let host = host.killed_and_started_again().await;
    host.admin
        .until("tool", "serves", |status| status["serving"] == 1)
        .await;
    assert_eq!(
        host.ask(Ask::post("/tool", "echo again")).await.version(),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_version_that_says_it_is_not_well_is_told_and_shown_until_it_is() {
    let host = host("tell").await;
    let data = host.elsewhere().join("seen");
    fs::create_dir(&data).unwrap();
    host.configure(
        "tool",
        "[health]\ninterval = \"100ms\"\n\
         [grants]\ndirs = [{ host = \"../seen\", guest = \"/data\" }]\n",
    );
    host.deploy("tool", UNHEALTHY, 1).await;
    permanent(&host, 1).await;
    let unhealthy = |status: &Value| {
        let all = status["attention"].as_array().unwrap();
        all.iter().any(|one| one["kind"] == "unhealthy")
    };
    put(&data, "down", b"");
    let told = host
        .events
        .first("it is not well", |event| event.is("tool", "health-failed"))
        .await;
    assert_eq!(told.json["reason"], "database is down", "{}", told.json);
    let status = host.admin.until("tool", "shown", unhealthy).await;
    let text = status["attention"][0]["text"].as_str().unwrap();
    assert!(text.contains("database is down"), "{text}");
    // It serves on: nothing is decided by it.
    assert_eq!(status["serving"], 1, "{status}");
    assert_eq!(host.ask(Ask::post("/tool", "hi")).await.text(), "hi");
    fs::remove_file(data.join("down")).unwrap();
    let well = |status: &Value| !unhealthy(status);
    host.admin.until("tool", "well again", well).await;
    assert_eq!(host.events.count("tool", "health-failed"), 1);
}
