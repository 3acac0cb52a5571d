//! What agents remember when their host was killed, when what they left cannot be found, and when an earlier release left it.

use std::path::Path;

use caxton_test_artifacts::STATEFUL;
use serde_json::json;

use crate::harness::{Caxton, Setup, digest, variant, wait_for};
use crate::state::{count, counted, told};

/// A host whose agents are stored at nearly every call.
async fn often(bake: &str) -> Caxton {
    Caxton::start_with(Setup::defaults(&format!(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"{bake}\"\n\
         [defaults.state]\ncheckpoint = \"20ms\"\n"
    )))
    .await
}

/// Waits until the version that serves is the one with this number.
async fn serves(host: &Caxton, number: u64) {
    host.admin
        .until("counter", "serves", |status| status["serving"] == number)
        .await;
}

/// Waits until a state with this count is on disk, and the journal names it.
async fn is_stored(host: &Caxton, count: u64) {
    let name = format!("state/{}.bin", digest(&count.to_le_bytes()));
    let path = host.data_dir().join(name);
    wait_for("a checkpoint", async || path.exists().then_some(())).await;
    // Two later checkpoints: the row of the first was handed to the journal before the bytes of the second were written ...
    let next = counted(host).await;
    let name = format!("state/{}.bin", digest(&next.to_le_bytes()));
    let path = host.data_dir().join(name);
    wait_for("the next checkpoint", async || path.exists().then_some(())).await;
    // ... and whoever gets an answer to an order finds everything written that came before it.
    host.admin.order("counter", "pause", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_begins_with_the_last_checkpoint() {
    let host = often("0s").await;
    host.deploy("counter", STATEFUL, 1).await;
    for expected in 1..=5 {
        assert_eq!(counted(&host).await, expected);
    }
    is_stored(&host, 5).await;
    let host = host.killed_and_started_again().await;
    serves(&host, 1).await;
    let next = counted(&host).await;
    assert!((6..=7).contains(&next), "{next}");
    // What it began with is stored again, and goes on from there.
    is_stored(&host, next).await;
    let host = host.killed_and_started_again().await;
    serves(&host, 1).await;
    assert!(counted(&host).await > next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_while_a_version_is_on_trial_begins_with_what_the_permanent_one_handed_over()
 {
    let host = often("1h").await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    for expected in 1..=3 {
        assert_eq!(counted(&host).await, expected);
    }
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    for expected in 4..=6 {
        assert_eq!(counted(&host).await, expected);
    }
    is_stored(&host, 6).await;
    let host = host.killed_and_started_again().await;
    serves(&host, 2).await;
    assert_eq!(counted(&host).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_versions_state_can_be_gone_back_to_after_a_restart() {
    let host = Caxton::start().await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    for expected in 1..=3 {
        assert_eq!(counted(&host).await, expected);
    }
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    host.admin
        .until("counter", "permanent", |status| status["permanent"] == 2)
        .await;
    for expected in 4..=6 {
        assert_eq!(counted(&host).await, expected);
    }
    let host = host.stopped_and_started_again().await;
    serves(&host, 2).await;
    assert_eq!(counted(&host).await, 7);
    let taken = host
        .admin
        .order(
            "counter",
            "rollback",
            json!({ "to": 1, "state": "snapshot" }),
        )
        .await;
    assert!(taken.is_good(), "{}", taken.text());
    host.admin
        .until_result("counter", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let reply = host.ask(count()).await;
    assert_eq!((reply.text().as_str(), reply.version()), ("4", Some(1)));
}

/// Otherwise the host that is killed would bring back what was saved when version 1 was left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_did_away_with_does_not_come_back() {
    let host = Caxton::start().await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    for expected in 1..=3 {
        assert_eq!(counted(&host).await, expected);
    }
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    host.admin
        .until("counter", "permanent", |status| status["permanent"] == 2)
        .await;
    let taken = host
        .admin
        .order("counter", "rollback", json!({ "to": 1, "state": "fresh" }))
        .await;
    assert!(taken.is_good(), "{}", taken.text());
    host.admin
        .until_result("counter", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let host = host.killed_and_started_again().await;
    serves(&host, 1).await;
    assert_eq!(counted(&host).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_stored_state_was_removed_begins_empty_and_that_is_told() {
    let host = Caxton::start().await;
    host.deploy("counter", STATEFUL, 1).await;
    assert_eq!(counted(&host).await, 1);
    let host = host
        .stopped_and_started_again_after(|data| {
            std::fs::remove_dir_all(data.join("state")).unwrap();
        })
        .await;
    serves(&host, 1).await;
    let lost = told(&host, "state-lost").await;
    let reason = lost.json["reason"].as_str().unwrap();
    assert!(reason.contains("is not there any more"), "{reason}");
    assert_eq!(counted(&host).await, 1);
}

/// A file as the first release left it.
fn left_by_the_first_release(data: &Path, count: u64) {
    let state = count.to_le_bytes();
    let header = json!({
        "kind": "caxton-snapshot/1",
        "agent": "counter",
        "number": 9,
        "component": digest(STATEFUL),
        "format": "count/1",
        "bytes": state.len(),
        "sha256": digest(&state),
    });
    let mut file = format!("{header}\n").into_bytes();
    file.extend(state);
    std::fs::create_dir_all(data.join("state")).unwrap();
    std::fs::write(data.join("state/counter.snapshot"), file).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_release_stored_is_taken_over_once() {
    let host = Caxton::start().await;
    left_by_the_first_release(&host.data_dir(), 41);
    host.deploy("counter", STATEFUL, 1).await;
    assert_eq!(counted(&host).await, 42);
    let old = host.data_dir().join("state/counter.snapshot");
    assert!(!old.exists());
    assert!(old.with_extension("snapshot.migrated").exists());
    let host = host.killed_and_started_again().await;
    serves(&host, 1).await;
    let next = counted(&host).await;
    assert!((42..=43).contains(&next), "{next}");
}
