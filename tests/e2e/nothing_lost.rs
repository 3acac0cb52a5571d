//! Ten thousand requests across a change of each kind and across the way back from it.
//!
//! The agent writes a line for each call that it begins, so that a request that was handled twice shows as well as one that was not
//! handled at all.

use std::fs;

use caxton_test_artifacts::{REACHING, WEB};

use crate::harness::{Ask, Caxton, Load, Record, Setup, variant, wait_for};

/// Requests across a change and its way back.
const REQUESTS: usize = 10_000;

/// Connections that are kept busy.
const CLIENTS: usize = 8;

/// Stages that a test can wait for.
const STAGES: &str = "stages = [{ split = 10, at_least = \"0s\", at_least_requests = 50 }, \
                      { split = 50, at_least = \"0s\", at_least_requests = 50 }]";

fn reload(strategy: &str, more: &str) -> Setup {
    let written = format!(
        "[defaults.reload]\nstrategy = \"{strategy}\"\nwarm_up = \"0s\"\nbake = \"0s\"\n{more}\n"
    );
    Setup::defaults(&written).alone()
}

async fn until_ended(load: &Load, requests: usize) {
    wait_for("traffic", async || (load.ended() >= requests).then_some(())).await;
}

/// An agent that may write into a folder outside of the watched one.
async fn writing(setup: Setup) -> Caxton {
    let host = Caxton::start_with(setup).await;
    fs::create_dir(host.elsewhere().join("written")).unwrap();
    let grants = "[grants]\ndirs = [{ host = \"../written\", guest = \"/data\", write = true }]\n";
    host.configure("shop", grants);
    host.deploy("shop", &variant(REACHING, 1), 1).await;
    host
}

/// Version 2 comes in and becomes permanent, and an operator goes back to version 1.
async fn there_and_back(host: &Caxton, load: &Load) {
    until_ended(load, REQUESTS / 4).await;
    host.drop_agent("shop", &variant(REACHING, 2));
    let there = host
        .admin
        .until_result("shop", "completed", |result| {
            result["to"] == 2 && result["status"] == "completed"
        })
        .await;
    assert_eq!(there["lost_requests"], 0, "{there}");
    let so_far = load.ended();
    until_ended(load, so_far + REQUESTS / 10).await;
    host.admin.must("shop", "rollback").await;
    rolled_back(host).await;
}

async fn rolled_back(host: &Caxton) {
    let back = host
        .admin
        .until_result("shop", "rolled back", |result| {
            result["to"] == 1 && result["status"] == "rolled-back"
        })
        .await;
    assert_eq!(back["lost_requests"], 0, "{back}");
}

/// Every request was answered, and begun exactly once by a version that may write.
fn assert_once_each(host: &Caxton, records: &[Record]) {
    assert!(records.len() >= REQUESTS, "{}", records.len());
    for record in records {
        assert!(record.is_good(), "{}", record.told());
        let text = record.reply.as_ref().unwrap().text();
        assert!(text.contains("file: written"), "{}: {text}", record.told());
    }
    let file = fs::read_to_string(host.elsewhere().join("written/calls")).unwrap();
    assert_eq!(file.lines().count(), records.len());
    let answered = |number| records.iter().any(|r| r.version() == Some(number));
    assert!(answered(1) && answered(2));
    assert_eq!(records.last().unwrap().version(), Some(1));
}

async fn ten_thousand(setup: Setup) {
    let host = writing(setup).await;
    let load = Load::start(host.gateway, CLIENTS, vec![Ask::get("/shop/")]);
    there_and_back(&host, &load).await;
    until_ended(&load, REQUESTS).await;
    assert_once_each(&host, &load.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_loses_and_doubles_none_of_ten_thousand_requests() {
    ten_thousand(reload("graceful", "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parallel_loses_and_doubles_none_of_ten_thousand_requests() {
    // Copies may not write and say so: answers differ, which `evidence` would take offence at.
    let mirror = "mirror = { at_least = \"0s\", at_least_requests = 200 }\n\
                  [defaults.rollback]\npolicies = [{ name = \"thresholds\" }]";
    ten_thousand(reload("parallel", mirror)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_traffic_splitting_loses_and_doubles_none_of_ten_thousand_requests() {
    ten_thousand(reload("traffic-splitting", STAGES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_is_taken_back_loses_and_doubles_none_of_ten_thousand_requests() {
    let host = writing(reload(
        "traffic-splitting",
        "progressive = false\nsplit = 50",
    ))
    .await;
    let load = Load::start(host.gateway, CLIENTS, vec![Ask::get("/shop/")]);
    until_ended(&load, REQUESTS / 4).await;
    host.drop_agent("shop", &variant(REACHING, 2));
    host.admin
        .until("shop", "its share", |status| status["split"] == 50)
        .await;
    let so_far = load.ended();
    until_ended(&load, so_far + REQUESTS / 4).await;
    host.admin.must("shop", "rollback").await;
    host.admin
        .until("shop", "no reload", |status| status["reload"].is_null())
        .await;
    until_ended(&load, REQUESTS).await;
    assert_once_each(&host, &load.finish().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_immediate_counts_what_its_clients_count_as_lost() {
    let host = Caxton::start_with(reload("immediate", "")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let asks = ["/web/sleep?ms=20", "/web/", "/web/stream?chunks=4&gap=10"].map(Ask::get);
    let load = Load::start(host.gateway, CLIENTS, asks.to_vec());
    until_ended(&load, 1_000).await;
    for number in 2..=6 {
        host.deploy("web", &variant(WEB, number), number).await;
        host.admin
            .until_result("web", "completed", |result| {
                result["to"] == number && result["status"] == "completed"
            })
            .await;
        let so_far = load.ended();
        until_ended(&load, so_far + 500).await;
    }
    host.admin.must("web", "rollback").await;
    host.admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    until_ended(&load, REQUESTS).await;
    let records = load.finish().await;
    let lost = records.iter().filter(|record| !record.is_good()).count() as u64;
    assert!(lost > 0, "no call was in flight at any of six swaps");
    for record in records.iter().filter(|record| !record.is_good()) {
        let reply = record.reply.as_ref().unwrap();
        assert!(
            reply.broken.is_some() || reply.status == 503,
            "{}",
            record.told()
        );
    }
    wait_for("the host to count what its clients counted", async || {
        let history = host.admin.history("web").await;
        let told: u64 = history
            .iter()
            .filter_map(|result| result["lost_requests"].as_u64())
            .sum();
        assert!(told <= lost, "told {told}, seen {lost}: {history:#?}");
        (told == lost).then_some(())
    })
    .await;
}
