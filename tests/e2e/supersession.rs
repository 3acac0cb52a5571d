//! A newer file while a reload goes on, and bytes that come again.

use std::time::{Duration, Instant};

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::{Value, json};

use crate::harness::{Ask, Caxton, Event, Load, Setup, digest, put, variant, wait_for};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_file_takes_the_place_of_the_reload_that_bakes() {
    let host = baking().await;
    host.deploy("web", &variant(WEB, 3), 3).await;
    assert_eq!(host.version_at("/web/").await, 3);
    let superseded = host
        .admin
        .until_result("web", "superseded", |r| {
            r["to"] == 2 && r["status"] == "cancelled"
        })
        .await;
    assert!(
        superseded["error"].as_str().unwrap().contains("superseded"),
        "{superseded}"
    );
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(
        (&status["stable"]["number"], &status["candidate"]["number"]),
        (&json!(1), &json!(3)),
        "{status}"
    );
    assert_eq!(status["quarantined"], json!([]), "{status}");
    // What was superseded is forgotten, not barred.
    host.deploy("web", &variant(WEB, 2), 4).await;
    // A rollback goes to the permanent version, not to what baked before.
    host.admin.must("web", "rollback").await;
    host.admin
        .until_result("web", "rolled back", |r| {
            r["status"] == "rolled-back" && r["to"] == 1
        })
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_file_takes_the_place_of_a_version_that_warms_up() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n",
    ))
    .await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.configure("web", "[reload]\nwarm_up = \"20m\"\n");
    host.drop_agent("web", &variant(WEB, 2));
    let starts = |status: &Value| status["reload"]["status"] == "starting";
    host.admin.until("web", "version 2 warms up", starts).await;
    host.configure("web", "[reload]\nwarm_up = \"0s\"\n");
    host.deploy("web", &variant(WEB, 3), 3).await;
    let swaps = host.events.count("web", "swapped");
    assert_eq!(swaps, 2, "version 2 never got traffic");
    let history = host.admin.history("web").await;
    assert!(
        history
            .iter()
            .any(|r| r["to"] == 2 && r["status"] == "cancelled"),
        "{history:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copying_the_old_file_over_goes_back_without_quarantine() {
    let host = baking().await;
    host.drop_agent("web", &variant(WEB, 1));
    host.events
        .first("version 1 serves again", |event| {
            event.swaps("web", 1) && event.json["from"] == 2
        })
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
    let status = host
        .admin
        .until("web", "no reload", |status| status["reload"].is_null())
        .await;
    assert_eq!(
        status["stable"]["digest"],
        digest(&variant(WEB, 1)),
        "{status}"
    );
    assert_eq!(
        (&status["quarantined"], &status["attention"]),
        (&json!([]), &json!([])),
        "{status}"
    );
    // The bytes that were taken back may come again.
    host.drop_agent("web", &variant(WEB, 2));
    host.events
        .first("version 2 again", |event| {
            begins(event, &variant(WEB, 2), 3)
        })
        .await;
    host.swapped("web", 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolled_back_bytes_stay_out_until_retry() {
    let host = baking().await;
    host.admin.must("web", "rollback").await;
    host.admin
        .until_result("web", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    assert_eq!(host.version_at("/web/").await, 1);
    // Touched, written again, copied over: they are the same.
    std::fs::write(host.agents().join("web.wasm"), variant(WEB, 2)).unwrap();
    host.drop_agent("web", &variant(WEB, 2));
    host.deploy("sentinel", FLAKY, 1).await;
    assert_eq!(host.events.count("web", "reload-started"), 2);
    let status = host.admin.status("web").await.unwrap();
    assert!(!status["diverged"].is_null(), "{status}");
    assert_eq!(
        status["quarantined"][0]["digest"],
        digest(&variant(WEB, 2)),
        "{status}"
    );
    host.admin.must("web", "retry").await;
    host.events
        .first("version 2 again", |event| {
            begins(event, &variant(WEB, 2), 3)
        })
        .await;
    host.swapped("web", 3).await;
    assert_eq!(host.version_at("/web/").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_agents_reload_meanwhile_and_a_second_order_is_a_conflict() {
    let host = Caxton::start_with(Setup::defaults("[defaults.reload]\nbake = \"1h\"\n")).await;
    for name in ["a", "b", "c"] {
        host.drop_agent(name, &variant(WEB, 1));
    }
    for name in ["a", "b", "c"] {
        host.swapped(name, 1).await;
    }
    let load = Load::start(
        host.gateway,
        3,
        ["/a/", "/b/", "/c/"].map(Ask::get).to_vec(),
    );
    for name in ["a", "b", "c"] {
        host.drop_agent(name, &variant(WEB, 2));
    }
    for name in ["a", "b", "c"] {
        host.swapped(name, 2).await;
        let status = host.admin.status(name).await.unwrap();
        let reply = host.admin.order(name, "retry", json!({})).await;
        let conflict: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            (reply.status, &conflict["reload"]),
            (409, &status["reload"]["id"]),
            "{conflict}"
        );
    }
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
    }
}

/// Versions that somebody saves one after the other.
const SAVED: u64 = 20;

/// Between two saves of somebody who is in a hurry: twenty are done well within 10 s.
const SAVES_APART: Duration = Duration::from_millis(300);

/// The permanent version, the candidate, one that is being prepared or ends, and one that still drains.
const MOST_AT_ONCE: usize = 4;

/// Twenty saves under load; what the host has come to once the last of them serves.
async fn twenty_in_ten_seconds(reload: &str, comes_in: impl Fn(&Value) -> bool) {
    let host = Caxton::start_with(Setup::defaults(&format!(
        "[defaults.reload]\nwarm_up = \"0s\"\nkeep_previous = \"0s\"\n{reload}\n"
    )))
    .await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/web/")]);
    let bounded = async || {
        let status = host.admin.status("web").await.unwrap();
        let live = status["live"].as_array().unwrap().len();
        assert!(live <= MOST_AT_ONCE, "{live} generations: {status}");
        status
    };
    for number in 2..=SAVED + 1 {
        host.drop_agent("web", &variant(WEB, number));
        tokio::time::sleep(SAVES_APART).await;
        bounded().await;
    }
    let last = digest(&variant(WEB, SAVED + 1));
    let status = wait_for("the last one to come in", async || {
        let status = bounded().await;
        (status["candidate"]["digest"] == last && comes_in(&status)).then_some(status)
    })
    .await;
    let number = status["candidate"]["number"].as_u64().unwrap();
    let promote = json!({ "now": true });
    let taken = host.admin.order("web", "promote", promote).await;
    assert!(taken.is_good(), "{}", taken.text());
    let status = host
        .admin
        .until("web", "it is permanent and alone", |status| {
            status["permanent"] == number && status["live"].as_array().unwrap().len() == 1
        })
        .await;
    assert_eq!(status["stable"]["digest"], last, "{status}");
    let (since, so_far) = (Instant::now(), load.ended());
    wait_for("traffic afterwards", async || {
        (load.ended() > so_far + 100).then_some(())
    })
    .await;
    for record in load.finish().await {
        assert!(record.is_good(), "{}", record.told());
        if record.sent > since {
            assert_eq!(record.version(), Some(number), "{}", record.told());
        }
    }
    for result in host.admin.history("web").await {
        let (to, status) = (result["to"].as_u64(), result["status"].as_str());
        let expected = match to {
            Some(1) => "completed",
            to if to == Some(number) => "completed",
            _ => "cancelled",
        };
        assert_eq!(status, Some(expected), "{result}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_of_twenty_versions_in_ten_seconds_the_last_one_wins() {
    let bakes = |status: &Value| status["serving"] == status["candidate"]["number"];
    twenty_in_ten_seconds("bake = \"1h\"", bakes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k_of_twenty_versions_in_ten_seconds_the_last_one_has_the_share() {
    let splitting =
        "strategy = \"traffic-splitting\"\nprogressive = false\nsplit = 30\nbake = \"1h\"";
    twenty_in_ten_seconds(splitting, |status| status["split"] == 30).await;
}

/// Version 1 is permanent, version 2 bakes for as long as the test takes.
async fn baking() -> Caxton {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n",
    ))
    .await;
    put(&host.agents(), "web.wasm", &variant(WEB, 1));
    host.swapped("web", 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    host
}

fn begins(event: &Event, component: &[u8], number: u64) -> bool {
    event.is("web", "reload-started")
        && event.json["component"] == digest(component)
        && event.json["to"] == number
}
