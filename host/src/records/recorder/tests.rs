//! Bounds and losses on the way to the disk, and what is read back.

use caxton_rollout::{Arm, Evidence, HotReloadStatus, ReloadMetrics, Strategy};
use caxton_store::{Limits, Store};

use super::super::{Readable, Selection};
use super::*;

fn agent() -> AgentName {
    "shop".parse().unwrap()
}

fn reload(number: u128) -> HotReloadId {
    HotReloadId::from_random_bits(number)
}

fn told(text: &str) -> Record {
    let event = json!({ "text": text });
    Record::Told { event }
}

fn ended() -> Record {
    let result = json!({ "status": "completed" });
    Record::Ended { result }
}

fn recorded() -> Recorded {
    let mut trail = Trail::new(agent(), reload(1));
    assert_eq!(trail.began(Moment(1), Vec::new()).len(), 1);
    Recorded {
        agent: agent(),
        trail,
        begun: false,
        bytes: 0,
        keeps: Keeps::All,
    }
}

fn read(batch: Option<RecordBatch>) -> Vec<Record> {
    let lines = batch.map(|batch| batch.lines).unwrap_or_default();
    let parse = |line: &String| serde_json::from_str(line).unwrap();
    lines.iter().map(parse).collect()
}

fn journal(folder: &tempfile::TempDir) -> Journal {
    let (store, _) = Store::open(folder.path(), Limits::default()).unwrap();
    store.journal
}

/// What the journal has of a reload.
fn kept(journal: &Journal, reload: HotReloadId) -> Vec<Record> {
    let lines = journal.reader().unwrap().lines(reload, 0, 10_000).unwrap();
    let parse = |line: &String| serde_json::from_str(line).unwrap();
    lines.iter().map(parse).collect()
}

#[test]
fn a_full_file_says_so_once_and_has_its_results_all_the_same() {
    let mut recorded = recorded();
    let mut batch = |records: &[Record]| recorded.batch(Moment(9), reload(1), records, 200);
    let first = batch(&[told("a")]).unwrap();
    assert!(first.begins && !first.ends);
    assert_eq!(read(Some(first)), [told("a")]);
    let long = told(&"x".repeat(200));
    let full = Record::Full { at: Moment(9) };
    let last = batch(&[long.clone(), ended()]).unwrap();
    assert!(last.ends && !last.begins);
    assert_eq!(read(Some(last)), [full, ended()]);
    assert_eq!(read(batch(std::slice::from_ref(&long))), []);
    assert_eq!(read(batch(&[long, ended()])), [ended()]);
}

#[test]
fn lost_lines_are_told_and_nothing_stands_after_them_but_results() {
    let mut recorded = recorded();
    let batch = |recorded: &mut Recorded, records: &[Record]| {
        read(recorded.batch(Moment(9), reload(1), records, 10_000))
    };
    assert_eq!(batch(&mut recorded, &[told("a")]), [told("a")]);
    assert!(recorded.lose("the disk is slow"));
    let lines = batch(&mut recorded, &[told("b")]);
    let [Record::Told { event }, Record::Full { .. }] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(event["kind"], "records-lost");
    assert!(event["reason"].as_str().unwrap().contains("disk is slow"));
    // The next tick goes wrong in the same way, and nobody has to hear of it again.
    assert!(!recorded.lose("the disk is slow"));
    assert_eq!(batch(&mut recorded, &[told("c")]), []);
    assert_eq!(batch(&mut recorded, &[told("d"), ended()]), [ended()]);
}

#[test]
fn figures_come_back_to_the_last_bit() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2_000 {
        let arm = Arm {
            requests: random.u64(..),
            ..Arm::default()
        };
        let window = Window {
            split_actual: Some(random.f32() * 100.0),
            candidate: Some(arm),
            ..Window::default()
        };
        let record = Record::Window(Box::new(window));
        let lines = lines_of([&record].into_iter());
        let back: Record = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(back, record);
    }
}

#[tokio::test]
async fn what_comes_after_the_end_is_kept_where_the_reload_has_records() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    // What is older than three months is kept no longer.
    let now = crate::clock::Clock::start().now();
    let (mut recorder, reader) = Recorder::start(&journal, folder.path());
    recorder.pins(&agent(), reload(1), BTreeMap::new());
    recorder.pinned(now, reload(1), Vec::new());
    recorder.unpinned(reload(1));
    for number in [1, 2] {
        recorder.after_the_end(now, &agent(), reload(number), &ended(), true);
    }
    assert_eq!(reader.written().await, Readable::All);
    let one = kept(&journal, reload(1));
    assert!(
        matches!(&one[..], [Record::Began(_), last] if *last == ended()),
        "{one:?}"
    );
    assert!(kept(&journal, reload(2)).is_empty(), "nobody began it");
    recorder.stop().await;
}

/// A start ends the reload that the last process left under its old id; until then nothing of it may go.
#[tokio::test]
async fn what_an_earlier_process_began_may_go_once_it_has_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        records_bytes: 1,
        ..Limits::default()
    };
    let (store, _) = Store::open(folder.path(), limits).unwrap();
    let journal = store.journal;
    assert!(journal.record(RecordBatch {
        agent: agent(),
        reload: reload(1),
        at: Moment(5),
        lines: lines_of([&told("a")].into_iter()),
        begins: true,
        ends: false,
    }));
    let (mut recorder, reader) = Recorder::start(&journal, folder.path());
    assert_eq!(reader.written().await, Readable::All);
    journal.collect().await.unwrap();
    assert_eq!(kept(&journal, reload(1)), [told("a")]);

    let result = HotReloadResult {
        id: reload(1),
        status: HotReloadStatus::Cancelled,
        strategy: Strategy::Graceful,
        from: None,
        to: None,
        started_at: Moment(5),
        completed_at: Moment(6),
        rollback_reason: None,
        error: None,
        error_kind: None,
        evidence: Evidence::None,
        metrics: ReloadMetrics::default(),
        state: None,
        lost_requests: 0,
    };
    recorder.ended(Moment(6), &agent(), &result);
    assert_eq!(reader.written().await, Readable::All);
    journal.collect().await.unwrap();
    assert!(kept(&journal, reload(1)).is_empty());
    recorder.stop().await;
}

#[tokio::test]
async fn a_journal_that_takes_no_more_loses_lines_says_so_and_has_the_result_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal(&folder);
    let (mut recorder, reader) = Recorder::start(&journal, folder.path());
    recorder.pins(&agent(), reload(1), BTreeMap::new());
    recorder.pinned(Moment(5), reload(1), Vec::new());
    assert_eq!(reader.written().await, Readable::All);

    // Somebody has the journal open and changes something, and does not end.
    let file = folder.path().join("journal.sqlite3");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let event = |text: &str| json!({ "kind": "said", "text": text });
    let long = "x".repeat(1 << 20);
    let mut said = 0;
    let lost = |recorder: &Recorder| {
        let mut told = recorder.journal.attention().into_iter();
        told.find(|told| told.kind == "records-lost")
    };
    while lost(&recorder).is_none() {
        said += 1;
        assert!(said < 1_000, "the queue has no bound");
        recorder.record(Moment(6), reload(1), |trail| Ok(trail.told(event(&long))));
    }
    assert_eq!(lost(&recorder).unwrap().since, Moment(6));
    assert_ne!(reader.written().await, Readable::All);

    other.execute_batch("ROLLBACK").unwrap();
    let mut written = journal.written();
    let well = written.wait_for(|written| written.trouble.is_none());
    let well = tokio::time::timeout(Duration::from_secs(60), well);
    well.await.unwrap().unwrap();
    recorder.record(Moment(7), reload(1), |trail| {
        Ok(trail.told(event("left out")))
    });
    recorder.record(Moment(8), reload(1), |_| Ok(vec![ended()]));
    assert_eq!(reader.written().await, Readable::All);
    let kept = kept(&journal, reload(1));
    let [.., Record::Told { event }, Record::Full { at }, last] = &kept[..] else {
        panic!("{} lines", kept.len());
    };
    assert_eq!((&event["kind"], at), (&json!("records-lost"), &Moment(7)));
    assert_eq!(last, &ended());
    assert_eq!(kept.len(), 1 + (said - 1) + 3, "what was taken is there");

    assert!(lost(&recorder).is_some(), "until a reload is whole again");
    recorder.pins(&agent(), reload(2), BTreeMap::new());
    recorder.pinned(Moment(9), reload(2), Vec::new());
    assert_eq!(reader.written().await, Readable::All);
    assert!(lost(&recorder).is_none());
    recorder.stop().await;
}

#[tokio::test]
async fn what_was_recorded_is_found_by_reload_by_agent_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, reader) = Recorder::start(&journal(&folder), folder.path());
    for (number, name) in [(1, "shop"), (2, "till"), (3, "shop")] {
        let agent = name.parse().unwrap();
        recorder.pins(&agent, reload(number), BTreeMap::new());
        let at = Moment(100 - u64::try_from(number).unwrap());
        recorder.pinned(at, reload(number), Vec::new());
    }
    // Never judged: nothing to find.
    recorder.pins(&agent(), reload(4), BTreeMap::new());
    assert_eq!(reader.written().await, Readable::All);
    let found = |wanted: Selection| -> Vec<_> {
        let (_, found) = reader.list(&wanted).unwrap();
        found.iter().map(|of| of.began.0).collect()
    };
    assert_eq!(found(Selection::default()), [97, 98, 99]);
    let of_reload = |number| Selection {
        reload: Some(reload(number)),
        ..Selection::default()
    };
    assert_eq!(found(of_reload(2)), [98]);
    assert!(found(of_reload(4)).is_empty());
    let of_agent = |since| Selection {
        agent: Some(agent()),
        since,
        ..Selection::default()
    };
    assert_eq!(found(of_agent(None)), [97, 99]);
    assert_eq!(found(of_agent(Some(Moment(1)))), [97, 99]);
    assert!(found(of_agent(Some(Moment(u64::MAX)))).is_empty());
    recorder.stop().await;
}
