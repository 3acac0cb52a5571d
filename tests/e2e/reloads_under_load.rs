//! Two hundred reloads under steady traffic: every request is answered, each by the version that served when it came.

use std::collections::BTreeMap;
use std::time::Instant;

use caxton_test_artifacts::WEB;

use crate::harness::{Ask, Caxton, Event, Load, Record, Setup, digest, variant};

/// Reloads in one test.
const RELOADS: u64 = 200;

/// Of these, so many at least must have found a call in flight.
const WITH_A_CALL_IN_FLIGHT: usize = 150;

/// Connections that are kept busy.
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_graceful_reloads_lose_nothing() {
    let host = Caxton::start_with(setup("0s")).await;
    reload_under_load(&host).await;
    let newest = host
        .admin
        .until_result("web", "the last reload is completed", |result| {
            result["status"] == "completed" && result["to"] == RELOADS + 1
        })
        .await;
    assert_eq!(newest["lost_requests"], 0, "{newest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_that_supersede_each_other_lose_nothing() {
    let host = Caxton::start_with(setup("1h")).await;
    reload_under_load(&host).await;
    let status = host.admin.status("web").await.unwrap();
    assert_eq!(
        status["stable"]["number"], 1,
        "none of them became permanent: {status}"
    );
    assert_eq!(status["candidate"]["number"], RELOADS + 1, "{status}");
    for result in host
        .admin
        .history("web")
        .await
        .iter()
        .filter(|result| result["to"] != 1)
    {
        assert_eq!(result["status"], "cancelled", "{result}");
        assert!(
            result["error"].as_str().unwrap().contains("superseded"),
            "{result}"
        );
        assert_eq!(result["lost_requests"], 0, "{result}");
    }
}

fn setup(bake: &str) -> Setup {
    let defaults =
        format!("[defaults.reload]\nwarm_up = \"0s\"\nbake = \"{bake}\"\nkeep_previous = \"0s\"\n");
    Setup::defaults(&defaults).alone()
}

/// Calls of 1 to 500 ms, replies at once and replies in pieces.
fn traffic() -> Vec<Ask> {
    [
        "/web/sleep?ms=1",
        "/web/stream?chunks=6&gap=40&size=2000",
        "/web/",
        "/web/sleep?ms=120",
        "/web/sleep?ms=500",
        "/web/stream?chunks=20&gap=5&size=700",
        "/web/sleep?ms=30",
        "/web/big?bytes=200000",
        "/web/sleep?ms=250",
    ]
    .map(Ask::get)
    .to_vec()
}

async fn reload_under_load(host: &Caxton) {
    let first = variant(WEB, 1);
    host.deploy("web", &first, 1).await;
    let load = Load::start(host.gateway, CLIENTS, traffic());
    let mut swaps = BTreeMap::new();
    let begun = Instant::now();
    for number in 2..=RELOADS + 1 {
        let component = variant(WEB, number);
        let swap = host.deploy("web", &component, number).await;
        assert_bytes(host, number, &digest(&component)).await;
        swaps.insert(number, swap);
    }
    let took = begun.elapsed();
    let records = load.finish().await;
    eprintln!(
        "{RELOADS} reloads in {took:.1?}, {} requests",
        records.len()
    );
    assert_nothing_lost(&records);
    assert_only_new_versions_answer(&records, &swaps);
    let busy = swaps
        .iter()
        .filter(|(number, swap)| finds_call_in_flight(&records, **number, swap))
        .count();
    eprintln!("{busy} of {RELOADS} swaps found a call in flight");
    assert!(
        busy >= WITH_A_CALL_IN_FLIGHT,
        "only {busy} of {RELOADS} swaps found a call in flight"
    );
    host.admin.until_in_flight("web", 0).await;
}

/// The version is made of the bytes that were dropped.
async fn assert_bytes(host: &Caxton, number: u64, digest: &str) {
    let begins = |event: &Event| event.is("web", "reload-started") && event.json["to"] == number;
    let begun = host
        .events
        .first(&format!("version {number} begins"), begins)
        .await;
    assert_eq!(begun.json["component"], digest, "{}", begun.json);
}

fn assert_nothing_lost(records: &[Record]) {
    assert!(
        records.len() > 1_000,
        "only {} requests were sent",
        records.len()
    );
    let lost: Vec<String> = records
        .iter()
        .filter(|r| !r.is_good())
        .map(Record::told)
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} requests were lost:\n{}",
        lost.len(),
        records.len(),
        lost.join("\n")
    );
    for record in records {
        let length = record.reply.as_ref().unwrap().body.len();
        let expected = match record.path.as_str() {
            "/web/stream?chunks=6&gap=40&size=2000" => 12_000,
            "/web/stream?chunks=20&gap=5&size=700" => 14_000,
            "/web/big?bytes=200000" => 200_000,
            _ => 6,
        };
        assert_eq!(length, expected, "{}", record.told());
    }
}

/// A request that was sent after the test had heard of a swap is answered by that version or a later one.
fn assert_only_new_versions_answer(records: &[Record], swaps: &BTreeMap<u64, Event>) {
    let mut heard: Vec<(Instant, u64)> = swaps
        .iter()
        .map(|(number, swap)| (swap.seen, *number))
        .collect();
    heard.sort();
    for record in records {
        let version = record
            .version()
            .unwrap_or_else(|| panic!("no version: {}", record.told()));
        let sent_after = heard
            .iter()
            .take_while(|(seen, _)| *seen < record.sent)
            .last();
        let at_least = sent_after.map_or(1, |(_, number)| *number);
        assert!(
            version >= at_least,
            "version {at_least} had been swapped in: {}",
            record.told()
        );
        // A swap is told after it is made, so a version may answer a moment before its event, and never before its file.
        let before = swaps.get(&version.saturating_sub(1));
        assert!(
            before.is_none_or(|swap| record.ended_at >= swap.at()),
            "too early: {}",
            record.told()
        );
    }
}

/// Whether a call that the version before had begun was answered, by that version, after the swap.
fn finds_call_in_flight(records: &[Record], number: u64, swap: &Event) -> bool {
    records.iter().any(|record| {
        record.version() == Some(number - 1)
            && record.sent_at < swap.at()
            && record.ended_at > swap.at() + 1.0
    })
}
