//! Versions that were permanent: which are kept, and that what one goes back to is what was dropped.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use caxton_test_artifacts::WEB;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Caxton, Setup, digest, variant, wait_for};
use crate::restarts::completed;

/// A configuration whose version answers with this status.
fn answering(status: u64) -> String {
    format!("[grants]\nenv = {{ ANSWER_AS = \"/status/{status}\" }}\n")
}

/// The status that version `number` answers with: its configuration shows in it.
fn status_of(number: u64) -> u64 {
    200 + number
}

/// Version `number`: a component and a configuration of its own, both changed at once.
async fn drop_version(host: &Caxton, number: u64) {
    let component = variant(WEB, number);
    let bound = format!(
        "component = \"sha256:{}\"\n{}",
        digest(&component),
        answering(status_of(number))
    );
    host.configure("shop", &bound);
    completed(host, "shop", &component, number).await;
}

fn kept(status: &Value) -> Vec<u64> {
    let kept = status["kept"].as_array().unwrap();
    kept.iter().filter_map(|v| v["number"].as_u64()).collect()
}

/// The sha256 of the component of this digest as the data directory has it.
fn stored(data: &Path, digest_of_it: &str) -> String {
    let file = data.join(format!("artifacts/{digest_of_it}.wasm"));
    digest(&fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

async fn rolls_back_to(host: &Caxton, number: u64) {
    let taken = host
        .admin
        .order("shop", "rollback", json!({ "to": number }))
        .await;
    assert!(taken.is_good(), "to {number}: {}", taken.text());
    host.admin
        .until_result("shop", &format!("back at {number}"), |result| {
            result["status"] == "rolled-back" && result["to"] == number
        })
        .await;
    let reply = host.get("/shop/").await;
    assert_eq!(
        (reply.version(), u64::from(reply.status)),
        (Some(number), status_of(number)),
        "its component and its configuration"
    );
    let status = host.admin.status("shop").await.unwrap();
    let expected = digest(&variant(WEB, number));
    assert_eq!(status["stable"]["digest"], expected, "{status}");
    assert_eq!(
        stored(&host.data_dir(), &expected),
        expected,
        "as it was dropped"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_each_kept_version_can_be_gone_back_to_and_is_what_was_dropped() {
    for restarted in [false, true] {
        let mut host = Caxton::start().await;
        for number in 1..=4 {
            drop_version(&host, number).await;
        }
        let status = host.admin.status("shop").await.unwrap();
        assert_eq!(kept(&status), [3, 2, 1], "{status}");
        for to in [3, 2, 1] {
            if restarted {
                host = if to == 2 {
                    host.killed_and_started_again().await
                } else {
                    host.stopped_and_started_again().await
                };
            }
            rolls_back_to(&host, to).await;
        }
        // What serves now is permanent: also for the next start.
        let host = host.killed_and_started_again().await;
        assert_eq!(host.get("/shop/").await.version(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_kept_versions_know_what_they_used() {
    let host = Caxton::start().await;
    drop_version(&host, 1).await;
    for _ in 0..7 {
        host.get("/shop/").await;
    }
    drop_version(&host, 2).await;
    let host = host.killed_and_started_again().await;
    let status = host.admin.status("shop").await.unwrap();
    assert_eq!(status["kept"][0]["number"], 1, "{status}");
    let down = host.stopped().await;
    let journal = Connection::open(down.data_dir().join("journal.sqlite3")).unwrap();
    let used: (i64, i64) = journal
        .query_row(
            "SELECT requests, memory_peak FROM versions WHERE agent = 'shop' AND number = 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!(used.0 >= 7 && used.1 > 0, "requests and memory: {used:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h_so_many_are_kept_as_is_said_and_others_cannot_be_gone_back_to() {
    let setup = Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n[defaults.rollback]\npreserve_versions = 2\n",
    );
    let host = Caxton::start_with(setup).await;
    for number in 1..=5 {
        drop_version(&host, number).await;
    }
    let status = host.admin.status("shop").await.unwrap();
    assert_eq!(kept(&status), [4, 3], "{status}");
    for unknown in [1, 2, 99] {
        let refused = host
            .admin
            .order("shop", "rollback", json!({ "to": unknown }))
            .await;
        assert!(!refused.is_good(), "{unknown}: {}", refused.text());
        assert!(
            refused.text().contains(&format!("{unknown}")),
            "{}",
            refused.text()
        );
    }
    assert_eq!(host.get("/shop/").await.version(), Some(5));
}

fn components(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data.join("artifacts")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(".wasm").map(str::to_owned))
        .collect()
}

/// Nothing is collected that came lately, because somebody may be about to name it.
fn grown_old(data: &Path) {
    const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let journal = Connection::open(data.join("journal.sqlite3")).unwrap();
    let millis = i64::try_from(A_DAY.as_millis()).unwrap();
    journal
        .execute(
            "UPDATE contents SET taken_at = taken_at - ?1, seen_at = seen_at - ?1",
            [millis],
        )
        .unwrap();
    for entry in fs::read_dir(data.join("artifacts")).unwrap() {
        let file = fs::File::options().append(true).open(entry.unwrap().path());
        let long_ago = SystemTime::now() - A_DAY;
        file.unwrap().set_modified(long_ago).unwrap();
    }
}

/// What nothing names goes, at once or when somebody asks for it; what a pointer, a kept version or a quarantine names stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_artifacts_are_collected_and_never_one_that_is_named() {
    let setup = Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n[defaults.rollback]\npreserve_versions = 1\n",
    );
    let host = Caxton::start_with(setup).await;
    for number in 1..=4 {
        drop_version(&host, number).await;
    }
    // Quarantined, and on its way: bytes that something else names than a permanent or kept version.
    host.admin.must("shop", "rollback").await;
    host.admin
        .until_result("shop", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    host.configure("shop", "[reload]\nbake = \"1h\"\n");
    host.deploy("shop", &variant(WEB, 5), 5).await;
    let host = host.stopped_and_started_again_after(grown_old).await;
    wait_for("nothing but what is named", async || {
        let output = host.command(&["gc"]).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let there = components(&host.data_dir());
        let named = [3, 4, 5].map(|number| digest(&variant(WEB, number)));
        for digest in &named {
            assert!(there.contains(digest), "{digest} is named and gone");
        }
        (!there.contains(&digest(&variant(WEB, 1)))).then_some(())
    })
    .await;
    let host = host.killed_and_started_again().await;
    host.swapped("shop", 3).await;
    host.swapped("shop", 5).await;
}
