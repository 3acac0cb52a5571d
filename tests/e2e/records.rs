//! Decision records: what was asked, what was said and what was done can be read while it happens and afterwards.

use caxton::records::{Answered, Called, Record, Tick};
use caxton_rollout::{Action, FaultKind, Judgement, PolicyMode, Series, Window};
use caxton_test_artifacts::{POLICY_FAULTY, WEB};
use serde_json::Value;

use crate::harness::{Caxton, Setup, put, variant, wait_for};
use crate::judged::goes_back_under_load;

/// The records that answer this query, each a record of the format.
async fn records(host: &Caxton, query: &str) -> Vec<Record> {
    let reply = host.admin.records(query).await;
    assert!(
        reply.is_good(),
        "{query}: {} {}",
        reply.status,
        reply.text()
    );
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{query}: {error}: {line}"))
    };
    reply.text().lines().map(parse).collect()
}

fn ticks(records: &[Record]) -> Vec<&Tick> {
    let tick = records.iter().map(|record| match record {
        Record::Tick(tick) => Some(&**tick),
        _ => None,
    });
    tick.flatten().collect()
}

fn ended(records: &[Record]) -> Vec<&Value> {
    let result = records.iter().map(|record| match record {
        Record::Ended { result } => Some(result),
        _ => None,
    });
    result.flatten().collect()
}

fn is_whole<T>(call: &Called<T>) {
    assert_ne!(call.digest.bytes(), &[0; 32], "{}", call.policy);
    assert!(call.fuel > 0, "{}: no fuel", call.policy);
    assert!(call.duration_us > 0, "{}: no time", call.policy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_under_load_is_recorded_round_by_round() {
    let defaults = "[defaults.reload]\nbake = \"1h\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }, \
                    { name = \"faulty\", mode = \"monitor\", settings = { fault = \"hold\" } }]\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    put(&host.policies(), "faulty.wasm", POLICY_FAULTY);
    let (load, result) = goes_back_under_load(&host).await;
    let query = format!("reload={}", result["id"].as_str().unwrap());
    // Those that monitor speak after the decision.
    let read = wait_for("a monitor's word", async || {
        let read = records(&host, &query).await;
        let spoke = read.iter().any(|r| matches!(r, Record::Monitored(_)));
        spoke.then_some(read)
    })
    .await;
    load.finish().await;

    let Some(Record::Began(began)) = read.first() else {
        panic!("{read:?}");
    };
    let modes = began.policies.iter().map(|p| (p.policy.as_str(), p.mode));
    assert_eq!(
        modes.collect::<Vec<_>>(),
        [
            ("faulty", PolicyMode::Monitor),
            ("standard", PolicyMode::Enforce),
            ("thresholds", PolicyMode::Enforce)
        ]
    );
    assert_eq!(began.policies[0].settings["fault"], "hold");
    let planned = read.iter().filter(|r| matches!(r, Record::Planned(_)));
    assert_eq!(planned.count(), 1);
    rounds_are_whole(&read);

    let rounds = ticks(&read);
    let last = rounds.last().unwrap().decided.as_ref().unwrap();
    assert!(
        matches!(&last.judgement, Judgement::Rollback { policy, .. } if policy == "thresholds"),
        "{last:?}"
    );
    assert!(matches!(last.action, Action::RollBack { .. }), "{last:?}");
    let results = ended(&read);
    assert_eq!(results[0]["status"], "rolled-back");
    let of = |wanted: fn(&Record) -> bool| read.iter().position(wanted);
    let decided = read.iter().rposition(|r| matches!(r, Record::Tick(_)));
    assert!(decided < of(|r| matches!(r, Record::Ended { .. })));
    let told =
        |kind| move |r: &&Record| matches!(r, Record::Told { event } if event["kind"] == kind);
    for kind in ["reload-started", "rolled-back", "quarantined"] {
        assert_eq!(read.iter().filter(told(kind)).count(), 1, "{kind}");
    }
}

/// Each interval stands once, each round has what it takes to be asked again, and its figures are those of its intervals.
fn rounds_are_whole(read: &[Record]) {
    let mut windows: Vec<Window> = Vec::new();
    let (mut rounds, mut monitored) = (0, 0);
    for record in read {
        match record {
            Record::Window(window) => {
                if let Some(before) = windows.last() {
                    assert_eq!(before.end_ms, window.start_ms, "no gap, none twice");
                }
                windows.push((**window).clone());
            }
            Record::Tick(tick) => {
                rounds += 1;
                assert_eq!(tick.windows, windows.len() as u64);
                let mut series = Series::default();
                windows
                    .iter()
                    .for_each(|window| series.push(window.clone()));
                let candidate = series.windows().iter().flat_map(|w| &w.candidate);
                let requests: u64 = candidate.map(|arm| arm.requests).sum();
                assert_eq!(requests, tick.metrics.requests_processed);
                assert!(tick.decided.is_some(), "round {}", tick.tick);
                assert_eq!(tick.rollback.len(), 1);
                tick.rollback.iter().for_each(is_whole);
                tick.strategy.iter().for_each(is_whole);
            }
            Record::Monitored(answers) => {
                monitored += 1;
                assert_eq!(answers.rollback.len(), 1);
                assert_eq!(answers.rollback[0].policy, "faulty");
                is_whole(&answers.rollback[0]);
            }
            _ => {}
        }
    }
    assert!(rounds > 0 && monitored > 0, "{rounds} rounds, {monitored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_recorded_and_a_kill_leaves_what_there_is() {
    let host = Caxton::start_with(Setup::defaults("[defaults.reload]\nbake = \"1h\"\n")).await;
    put(&host.policies(), "faulty.wasm", POLICY_FAULTY);
    let config =
        "[rollback]\npolicies = [{ name = \"faulty\", settings = { fault = \"trap\" } }]\n";
    host.configure("web", config);
    host.deploy("web", &variant(WEB, 1), 1).await;
    host.deploy("web", &variant(WEB, 2), 2).await;
    host.events
        .first("the fault", |event| event.is("web", "fault"))
        .await;
    let read = records(&host, "agent=web").await;
    let rounds = ticks(&read);
    let first = rounds.first().unwrap();
    is_whole(&first.rollback[0]);
    let Answered::Fault(fault) = &first.rollback[0].answer else {
        panic!("{first:?}");
    };
    assert_eq!(fault.kind, FaultKind::Trap);
    let decided = first.decided.as_ref().unwrap();
    assert!(matches!(decided.judgement, Judgement::Fault { .. }));
    assert_eq!(decided.action, Action::Stay);
    assert_eq!(host.version_at("/web/").await, 2);

    let Some(Record::Began(began)) = read.first() else {
        panic!("{read:?}");
    };
    let query = format!("reload={}", began.reload);
    let host = host.killed_and_started_again().await;
    let kept = records(&host, &query).await;
    assert!(kept.len() >= read.len());
    let ended = ended(&kept);
    let ended = ended.last().expect("the next start ends it");
    assert_eq!(ended["status"], "cancelled", "{ended}");
}

/// A program that opened the journal, changed something and did not end: the host cannot write for as long as it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_takes_nothing_harms_nobody_and_has_everything_afterwards() {
    let defaults = "[defaults.reload]\nbake = \"300ms\"\n[defaults.rollback]\npolicies = [{ name = \"thresholds\" }]\n";
    let host = Caxton::start_with(Setup::defaults(defaults)).await;
    host.deploy("shop", &variant(WEB, 1), 1).await;
    let other = rusqlite::Connection::open(host.data_dir().join("journal.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    host.drop_agent("shop", &variant(WEB, 2));
    // What there is can be read, and it is said that there is more.
    let arguments = ["records", "--agent", "shop"];
    wait_for("a note", async || {
        let read = host.command(&arguments).await;
        let error = String::from_utf8(read.stderr).unwrap();
        assert!(host.get("/shop/").await.is_good());
        error.contains("cannot write its journal now").then_some(())
    })
    .await;

    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    host.swapped("shop", 2).await;
    let result = host
        .admin
        .until_result("shop", "completed", |result| {
            result["to"] == 2 && result["status"] == "completed"
        })
        .await;
    let query = format!("reload={}", result["id"].as_str().unwrap());
    let read = wait_for("its records", async || {
        let reply = host.admin.records(&query).await;
        (reply.is_good() && reply.headers.get("x-caxton-incomplete").is_none()).then_some(())
    });
    read.await;
    let read = records(&host, &query).await;
    assert!(matches!(read.first(), Some(Record::Began(_))), "{read:?}");
    assert_eq!(ended(&read)[0]["status"], "completed", "{read:?}");
    let is_full = |record: &Record| matches!(record, Record::Full { .. });
    assert!(!read.iter().any(is_full), "nothing was lost: {read:?}");
    let read = host.command(&arguments).await;
    assert!(read.stderr.is_empty(), "{read:?}");
}
