//! Traffic-splitting: two versions that serve side by side, each its share.

use std::collections::BTreeMap;

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::json;

use crate::harness::{Ask, Caxton, Connection, Load, Setup, variant, wait_for};

/// Keys of the test that follows each of them.
const KEYS: usize = 10_000;
/// Connections that ask for them.
const CLIENTS: usize = 8;

fn splitting(more: &str) -> Setup {
    Setup::defaults(&format!(
        "[defaults.reload]\nstrategy = \"traffic-splitting\"\nwarm_up = \"0s\"\nbake = \"0s\"\n{more}\n"
    ))
}

/// Which version answers each key.
async fn versions_of_keys(host: &Caxton) -> BTreeMap<usize, u64> {
    let clients = (0..CLIENTS).map(|place| {
        let gateway = host.gateway;
        tokio::spawn(async move {
            let mut connection = Connection::open(gateway).await.unwrap();
            let mut answered = Vec::new();
            for key in (place..KEYS).step_by(CLIENTS) {
                let ask = Ask::get("/web/").with("x-caxton-key", format!("caller-{key}"));
                let reply = connection.ask(&ask).await.unwrap();
                assert!(reply.is_good(), "{reply:?}");
                answered.push((key, reply.version().unwrap()));
            }
            answered
        })
    });
    let mut versions = BTreeMap::new();
    for client in clients.collect::<Vec<_>>() {
        versions.extend(client.await.unwrap());
    }
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f_no_key_moves_back_while_the_share_rises_and_shares_are_as_wanted() {
    let host = Caxton::start_with(splitting("progressive = false\nsplit = 10").alone()).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.drop_agent("web", &variant(WEB, 2));
    let mut before: BTreeMap<usize, u64> = BTreeMap::new();
    for share in [10_u64, 25, 50] {
        if share > 10 {
            let body = json!({ "percent": share });
            let taken = host.admin.order("web", "set-split", body).await;
            assert!(taken.is_good(), "{}", taken.text());
        }
        host.admin
            .until("web", "the share", |status| status["split"] == share)
            .await;
        let now = versions_of_keys(&host).await;
        let back = before
            .iter()
            .filter(|(key, was)| **was == 2 && now[key] == 1);
        assert_eq!(back.count(), 0, "keys moved back at {share} %");
        let moved = now.values().filter(|version| **version == 2).count() as f64;
        let (keys, part) = (KEYS as f64, share as f64 / 100.0);
        let deviation = (keys * part * (1.0 - part)).sqrt();
        assert!(
            (moved - keys * part).abs() <= 3.0 * deviation,
            "{moved} of {keys} keys at {share} %"
        );
        before = now;
    }
    host.admin.must("web", "promote").await;
    host.swapped("web", 2).await;
    assert!(versions_of_keys(&host).await.values().all(|v| *v == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_progressive_split_goes_through_its_stages_and_loses_nothing() {
    let stages = "stages = [{ split = 10, at_least = \"0s\", at_least_requests = 20 }, { split = 50, at_least = \"0s\", at_least_requests = 20 }]";
    let host = Caxton::start_with(splitting(stages)).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 3, vec![Ask::get("/web/")]);
    host.drop_agent("web", &variant(WEB, 2));
    for split in [10, 50] {
        host.admin
            .until("web", "a stage", |status| status["split"] == split)
            .await;
    }
    let result = host
        .admin
        .until_result("web", "completed", |r| {
            r["to"] == 2 && r["status"] == "completed"
        })
        .await;
    assert_eq!(result["strategy"], "traffic-splitting", "{result}");
    assert_eq!(result["lost_requests"], 0, "{result}");
    let records = load.finish().await;
    for record in &records {
        assert!(record.is_good(), "{}", record.told());
    }
    let both: Vec<_> = records.iter().filter_map(|r| r.version()).collect();
    assert!(both.contains(&1) && both.contains(&2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_in_its_share_is_taken_back_and_never_had_more() {
    let host = Caxton::start_with(splitting("stages = [{ split = 30 }]")).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 3, vec![Ask::get("/web/")]);
    wait_for("traffic", async || (load.ended() > 30).then_some(())).await;
    host.drop_agent("web", FLAKY);
    let result = host
        .admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let reason = result["rollback_reason"].as_str().unwrap();
    assert!(reason.contains("requests failed"), "{reason}");
    assert_eq!((&result["from"], &result["to"]), (&json!(2), &json!(1)));
    let records = load.finish().await;
    let candidate = records.iter().filter(|r| r.version() == Some(2)).count();
    assert!(
        candidate > 0 && candidate * 2 < records.len(),
        "{candidate}"
    );
    assert!(records.iter().all(|r| r.reply.is_ok()));
    let swaps = host.events.all();
    assert!(!swaps.iter().any(|event| event.swaps("web", 2)));
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_needs_an_operator_waits_for_one() {
    let stages = "stages = [{ split = 50, at_least = \"0s\", needs_operator = true }]";
    let host = Caxton::start_with(splitting(stages)).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    host.drop_agent("web", &variant(WEB, 2));
    let status = host
        .admin
        .until("web", "it needs an operator", |status| {
            let attention = status["attention"].as_array();
            attention.is_some_and(|list| list.iter().any(|a| a["kind"] == "needs-operator"))
        })
        .await;
    assert_eq!(status["split"], 50, "{status}");
    host.admin.must("web", "resume").await;
    host.swapped("web", 2).await;
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
    }
}
