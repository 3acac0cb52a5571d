//! Agents that remember: what a count is after reloads, returns, stops and traps.
//!
//! The counter answers each call with the number of calls that it has answered, so that whatever was lost or doubled shows in
//! the numbers that its callers got.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use caxton_test_artifacts::STATEFUL;
use serde_json::json;

use crate::harness::{Ask, Caxton, Event, Load, Record, Setup, variant, wait_for};

/// Reloads under load of one test.
const RELOADS: u64 = 100;

pub(crate) fn count() -> Ask {
    Ask::post("/counter", "")
}

/// The counts that were answered. Every request has an answer, no count came twice, and none is missing.
pub(crate) fn all_counts(records: &[Record]) -> u64 {
    let mut counts = BTreeSet::new();
    for record in records {
        assert!(record.is_good(), "{}", record.told());
        let text = record.reply.as_ref().unwrap().text();
        let fresh = counts.insert(text.parse::<u64>().unwrap());
        assert!(fresh, "{text} was answered twice: {}", record.told());
    }
    let (first, last) = (counts.first().copied(), counts.last().copied());
    let (first, last) = (first.unwrap(), last.unwrap());
    assert_eq!(
        last - first + 1,
        counts.len() as u64,
        "counts are missing between {first} and {last}"
    );
    last
}

pub(crate) async fn counted(host: &Caxton) -> u64 {
    let reply = host.ask(count()).await;
    assert!(reply.is_good(), "{} {}", reply.status, reply.text());
    reply.text().parse().unwrap()
}

pub(crate) async fn some_answers(load: &Load, more: usize) {
    let before = load.ended();
    wait_for("traffic", async || {
        (load.ended() >= before + more).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_counter_keeps_its_count_through_a_hundred_reloads_under_load() {
    let host = Caxton::start_with(Setup::default().alone()).await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    let load = Load::start(host.gateway, 4, vec![count()]);
    for number in 2..=RELOADS + 1 {
        some_answers(&load, 5).await;
        host.deploy("counter", &variant(STATEFUL, number), number)
            .await;
    }
    some_answers(&load, 5).await;
    let records = load.finish().await;
    let last = all_counts(&records);
    assert_eq!(last, records.len() as u64, "the first count was 1");
    assert_eq!(counted(&host).await, last + 1);
    let results = host.admin.history("counter").await;
    let newest = &results[0];
    assert_eq!(newest["state"]["state_from"], "live", "{newest}");
    assert_eq!(newest["lost_requests"], 0, "{newest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_count_outlives_sigterm_and_start() {
    let host = Caxton::start().await;
    host.deploy("counter", STATEFUL, 1).await;
    for expected in 1..=17 {
        assert_eq!(counted(&host).await, expected);
    }
    let host = host.stopped_and_started_again().await;
    host.swapped("counter", 1).await;
    assert_eq!(counted(&host).await, 18);
    // Once more: what was loaded is saved again.
    let host = host.stopped_and_started_again().await;
    host.swapped("counter", 1).await;
    assert_eq!(counted(&host).await, 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_damaged_state_holds_the_agent_rather_than_starting_it_empty() {
    let host = Caxton::start().await;
    host.deploy("counter", STATEFUL, 1).await;
    counted(&host).await;
    let host = host
        .stopped_and_started_again_after(|data| {
            let mut bytes = std::fs::read(the_state(data)).unwrap();
            bytes.pop();
            std::fs::write(the_state(data), bytes).unwrap();
        })
        .await;
    is_held(&host).await;
    // Nor at the next start, when the damaged file has been set aside.
    let host = host.stopped_and_started_again().await;
    let aside = is_held(&host).await;
    // Until somebody decides.
    let host = host
        .stopped_and_started_again_after(|_| std::fs::remove_file(aside).unwrap())
        .await;
    host.swapped("counter", 1).await;
    assert_eq!(counted(&host).await, 1);
    let lost = told(&host, "state-lost").await;
    let reason = lost.json["reason"].as_str().unwrap();
    assert!(reason.contains("it begins empty"), "{reason}");
}

/// The one file with a state.
fn the_state(data: &Path) -> PathBuf {
    let files = std::fs::read_dir(data.join("state")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

/// The counter does not serve, and what is told of it helps: where the damaged file is.
async fn is_held(host: &Caxton) -> PathBuf {
    let status = host
        .admin
        .until("counter", "held", |status| {
            let error = status["last_error"].as_str();
            error.is_some_and(|error| error.contains("is damaged"))
        })
        .await;
    let aside = the_state(&host.data_dir());
    let error = status["last_error"].as_str().unwrap();
    let remedy = format!("remove {} to start the agent empty", aside.display());
    assert!(error.contains(&remedy), "{error}");
    assert_eq!(host.ask(count()).await.status, 503);
    aside
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_an_operators_rollback_carries_the_count() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n",
    ))
    .await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    assert_eq!(counted(&host).await, 1);
    let load = Load::start(host.gateway, 3, vec![count()]);
    some_answers(&load, 20).await;
    host.deploy("counter", &variant(STATEFUL, 2), 2).await;
    some_answers(&load, 20).await;
    host.admin.must("counter", "rollback").await;
    let result = host
        .admin
        .until_result("counter", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    some_answers(&load, 20).await;
    let records = load.finish().await;
    let last = all_counts(&records);
    assert_eq!(last, records.len() as u64 + 1);
    assert_eq!(counted(&host).await, last + 1);
    assert_eq!(result["to"], 1, "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_rollback_by_choice_returns_to_what_was_saved_or_begins_empty() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n",
    ))
    .await;
    for (choice, expected) in [("snapshot", 4), ("fresh", 1)] {
        let name = format!("counter-{choice}");
        let ask = || Ask::post(format!("/{name}"), "");
        host.deploy(&name, &variant(STATEFUL, 1), 1).await;
        for _ in 0..3 {
            host.ask(ask()).await;
        }
        host.deploy(&name, &variant(STATEFUL, 2), 2).await;
        for _ in 0..5 {
            host.ask(ask()).await;
        }
        let taken = host
            .admin
            .order(&name, "rollback", json!({ "state": choice }))
            .await;
        assert!(taken.is_good(), "{}", taken.text());
        host.admin
            .until_result(&name, "rolled back", |r| r["status"] == "rolled-back")
            .await;
        let reply = host.ask(ask()).await;
        assert_eq!(
            (reply.text(), reply.version()),
            (expected.to_string(), Some(1)),
            "{choice}"
        );
    }
}

/// The first event of that kind about the counter.
pub(crate) async fn told(host: &Caxton, kind: &str) -> Event {
    host.events
        .first(kind, |event| event.is("counter", kind))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_a_removed_agent_that_comes_back_remembers() {
    let host = Caxton::start().await;
    host.deploy("counter", STATEFUL, 1).await;
    for expected in 1..=5 {
        assert_eq!(counted(&host).await, expected);
    }
    std::fs::remove_file(host.agents().join("counter.wasm")).unwrap();
    told(&host, "stopped").await;
    host.deploy("counter", STATEFUL, 2).await;
    assert_eq!(counted(&host).await, 6);
}

/// The listener counts the copies as well: if anything of that came into the new version, counts would be missing or double.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_parallel_throws_the_listeners_copy_away_and_hands_over_what_serves() {
    let host = Caxton::start_with(Setup::defaults(
        "[defaults.reload]\nstrategy = \"parallel\"\nwarm_up = \"0s\"\nbake = \"0s\"\n\
         mirror = { requests = \"all\", at_least = \"0s\", at_least_requests = 40 }\n",
    ))
    .await;
    host.deploy("counter", &variant(STATEFUL, 1), 1).await;
    let load = Load::start(host.gateway, 3, vec![count()]);
    for number in 2..=4 {
        some_answers(&load, 20).await;
        host.deploy("counter", &variant(STATEFUL, number), number)
            .await;
    }
    some_answers(&load, 20).await;
    let records = load.finish().await;
    assert_eq!(all_counts(&records), records.len() as u64);
    assert_eq!(host.events.count("counter", "listening"), 3);
    let newest = &host.admin.history("counter").await[0];
    assert_eq!(newest["state"]["state_from"], "live", "{newest}");
}
