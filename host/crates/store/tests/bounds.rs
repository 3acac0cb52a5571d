//! What is kept is bounded, and what is named is never removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use caxton_rollout::{Happened, Memory, Moment, Notice};
use caxton_store::{BlobKind, Collected, Limits, Store};
use common::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Moment(since.unwrap().as_millis().try_into().unwrap())
}

/// Makes every file and every row as old as nothing that is young.
fn age(data: &Path) {
    for folder in ["artifacts", "policies", "state"] {
        for entry in fs::read_dir(data.join(folder)).into_iter().flatten() {
            let file = File::options()
                .write(true)
                .open(entry.unwrap().path())
                .unwrap();
            file.set_modified(SystemTime::now() - DAY).unwrap();
        }
    }
    let rows = rusqlite::Connection::open(data.join("journal.sqlite3")).unwrap();
    rows.execute_batch("UPDATE contents SET seen_at = 0; UPDATE snapshots SET taken_at = 0")
        .unwrap();
}

fn files(data: &Path) -> usize {
    ["artifacts", "policies", "state"]
        .map(|folder| fs::read_dir(data.join(folder)).map_or(0, Iterator::count))
        .iter()
        .sum()
}

#[tokio::test]
async fn nothing_goes_that_an_agent_a_reload_or_a_quarantine_names() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let memory = everything_named(&store).await;
    assert_eq!(files(data.path()), 6 * 2 + 2);
    age(data.path());
    assert_eq!(store.journal.collect().await.unwrap(), Collected::default());
    assert_eq!(files(data.path()), 6 * 2 + 2);

    // Once nothing names it any more, each goes, and only that.
    let mut left = memory;
    let step = async |store: &Store, left: &Memory, files_gone: u64, what: &str| {
        remember(&store.journal, left.clone()).await.unwrap();
        age(data.path());
        let collected = store.journal.collect().await.unwrap();
        assert_eq!(collected.files, files_gone, "{what}");
    };
    left.wanted = None;
    step(&store, &left, 2, "wanted").await;
    left.endings.clear();
    step(&store, &left, 2, "quarantined").await;
    let reload = left.reload.take().unwrap();
    // The reload is gone, its version is not; its records name its policies still.
    step(&store, &left, 0, "reload").await;
    store.journal.records_over(reload.id);
    left.versions.pop();
    step(&store, &left, 2, "candidate").await;
    left.kept.pop();
    left.versions.remove(0);
    step(&store, &left, 2, "kept").await;
    // Another one is the permanent version, and the one before it is not kept: its state goes with it.
    left.versions.pop();
    (left.serving, left.permanent) = (Some(number(2)), Some(number(2)));
    step(&store, &left, 3, "permanent").await;
    assert_eq!(files(data.path()), 2 + 1);
    stop(store).await;
}

#[tokio::test]
async fn what_was_just_put_stays_although_nothing_names_it_yet() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let content = put_content(&store, "a", b"component");
    assert_eq!(store.journal.collect().await.unwrap(), Collected::default());
    age(data.path());
    // It is dropped again, and counts as just put.
    put_content(&store, "a", b"component");
    assert_eq!(store.journal.collect().await.unwrap(), Collected::default());
    store.journal.taken(content);
    age(data.path());
    // Somebody set the clock back: a file of the future is not old.
    let path = store.blobs.path(
        BlobKind::State,
        store.blobs.put(BlobKind::State, b"state").unwrap(),
    );
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() + DAY).unwrap();
    assert!(store.journal.flush().await);
    age_rows(data.path());
    let collected = store.journal.collect().await.unwrap();
    assert_eq!((collected.files, files(data.path())), (2, 1));
    stop(store).await;
}

fn age_rows(data: &Path) {
    let rows = rusqlite::Connection::open(data.join("journal.sqlite3")).unwrap();
    rows.execute_batch("UPDATE contents SET seen_at = 0")
        .unwrap();
}

fn change(data: &Path, sql: &str) {
    let rows = rusqlite::Connection::open(journal(data)).unwrap();
    rows.execute_batch(sql).unwrap();
}

type Way = (&'static str, fn(&Path));

#[tokio::test]
async fn after_damage_no_file_goes_for_a_while() {
    let ways: [Way; 5] = [
        ("damaged", |data| {
            fs::write(journal(data), "damaged").unwrap();
        }),
        ("removed", |data| fs::remove_file(journal(data)).unwrap()),
        ("a row", |data| {
            change(data, "UPDATE contents SET file = 'none'")
        }),
        ("a value", |data| {
            change(data, "UPDATE agents SET wanted_component = 'none'")
        }),
        ("a version", |data| {
            change(data, "DELETE FROM versions WHERE number = 3")
        }),
    ];
    for (what, way) in ways {
        let data = tempfile::tempdir().unwrap();
        let (store, _) = open(data.path());
        everything_named(&store).await;
        stop(store).await;
        way(data.path());
        let (store, opened) = open(data.path());
        assert!(!opened.damage.is_empty(), "{what}");
        age(data.path());
        let collected = store.journal.collect().await.unwrap();
        assert_eq!(collected, Collected::default(), "{what}");
        assert_eq!(files(data.path()), 6 * 2 + 2, "{what}");
        stop(store).await;
    }
}

#[tokio::test]
async fn after_the_journal_was_removed_while_the_host_runs_no_file_goes_for_a_while() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let memory = everything_named(&store).await;
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(data.path().join(format!("journal.sqlite3{ending}"))).unwrap();
    }
    remember(&store.journal, memory.clone()).await.unwrap_err();
    let mut written = store.journal.written();
    let well = written.wait_for(|written| written.trouble.is_none());
    well.await.unwrap();
    remember(&store.journal, memory).await.unwrap();
    age(data.path());
    assert_eq!(store.journal.collect().await.unwrap(), Collected::default());
    assert_eq!(files(data.path()), 6 * 2 + 2);
    stop(store).await;
}

#[tokio::test]
async fn the_oldest_records_go_and_never_those_of_a_reload_that_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        records_bytes: 100_000,
        ..limits()
    };
    let (store, _) = Store::open(data.path(), limits).unwrap();
    let journal = &store.journal;
    let memory = memory("a", 1);
    let going_on = memory.reload.as_ref().unwrap().id;
    remember(journal, memory).await.unwrap();
    let line = "x".repeat(1_000);
    let lines = [line.as_str(); 20];
    assert!(journal.record(batch("a", going_on, &lines, true, false)));
    // It is said to be over, and the journal knows better.
    journal.records_over(going_on);
    for n in 100..140 {
        assert!(journal.record(batch("a", id(n), &lines, true, true)));
        journal.records_over(id(n));
    }
    assert!(journal.flush().await);
    // Nobody has to ask for it: it is done once there is too much.
    let reader = journal.reader().unwrap();
    let bytes = || {
        reader
            .records()
            .unwrap()
            .iter()
            .map(|of| of.bytes)
            .sum::<u64>()
    };
    until("the records fit", || bytes() <= 100_000).await;
    let kept = || {
        reader
            .records()
            .unwrap()
            .into_iter()
            .map(|of| of.reload)
            .collect::<Vec<_>>()
    };
    assert!(kept().contains(&going_on));
    assert!(kept().len() < 6, "{:?}", kept());
    // In one look: some of it may be going just now.
    let agree = "SELECT (SELECT count(*) FROM records) = (SELECT sum(lines) FROM recordings)";
    let agree: bool = rusqlite::Connection::open(data.path().join("journal.sqlite3"))
        .unwrap()
        .query_row(agree, [], |row| row.get(0))
        .unwrap();
    assert!(agree, "their lines went with them");
    stop(store).await;
}

#[tokio::test]
async fn records_of_a_host_that_was_killed_may_go_but_those_of_a_reload_that_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let memory = memory("a", 1);
    let going_on = memory.reload.as_ref().unwrap().id;
    remember(&store.journal, memory).await.unwrap();
    for reload in [id(100), going_on] {
        let begun = batch("a", reload, &["{}"], true, false);
        assert!(store.journal.record(begun));
    }
    // It is killed before it says that the first one is over.
    stop(store).await;
    let limits = Limits {
        records_age: DAY,
        ..limits()
    };
    let (store, _) = Store::open(data.path(), limits).unwrap();
    store.journal.collect().await.unwrap();
    let left = store.journal.reader().unwrap().records().unwrap();
    let left: Vec<_> = left.into_iter().map(|of| of.reload).collect();
    assert_eq!(left, [going_on]);
    stop(store).await;
}

#[tokio::test]
async fn what_a_dead_host_was_writing_goes_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    everything_named(&store).await;
    let whole = files(data.path());
    stop(store).await;
    for folder in ["artifacts", "policies", "state"] {
        fs::write(data.path().join(folder).join("1-0.new"), "half").unwrap();
    }
    let (store, _) = open(data.path());
    assert_eq!(files(data.path()), whole);
    stop(store).await;
}

#[tokio::test]
async fn of_many_checkpoints_only_the_newest_stays_on_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        grace: Duration::from_secs(2),
        ..limits()
    };
    let (store, _) = Store::open(data.path(), limits).unwrap();
    // Another one comes by itself only an hour later.
    store.journal.collect().await.unwrap();
    remember(&store.journal, memory("a", 1)).await.unwrap();
    let mut last = None;
    for n in 0..10_u8 {
        let blob = store.blobs.put(BlobKind::State, &[n]).unwrap();
        store.journal.saved(snapshot("a", 3, blob));
        last = Some(blob);
    }
    until("one is left", || files(data.path()) == 1).await;
    assert!(store.blobs.path(BlobKind::State, last.unwrap()).exists());
    store.journal.forget(&agent("a"));
    until("none is left", || files(data.path()) == 0).await;
    stop(store).await;
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        events: 10,
        events_age: DAY,
        records_age: DAY,
        ..Limits::default()
    };
    let (store, _) = Store::open(data.path(), limits).unwrap();
    let journal = &store.journal;
    let notice = |n: u64| Notice {
        agent: agent("a"),
        reload: None,
        what: Happened::Waiting {
            reason: n.to_string(),
        },
    };
    for n in 0..5 {
        journal.told(Moment(1), &notice(n));
    }
    for n in 5..30 {
        journal.told(now(), &notice(n));
    }
    for reload in [1, 2] {
        journal.record(batch("a", id(reload), &["{}"], true, true));
    }
    let mut young = batch("a", id(3), &["{}"], true, true);
    young.at = now();
    journal.record(young);
    for reload in [1, 3] {
        journal.records_over(id(reload));
    }
    assert!(journal.flush().await);
    let collected = journal.collect().await.unwrap();
    assert_eq!(collected.records, 1, "the one that is old and over");
    let reader = journal.reader().unwrap();
    let events = reader.events(None, 100).unwrap();
    assert_eq!(events.len(), 10);
    assert_eq!(events[0].detail, r#"{"reason":"29"}"#);
    assert_eq!(events[9].detail, r#"{"reason":"20"}"#);
    assert_eq!(reader.records().unwrap().len(), 2);
    stop(store).await;
}

#[tokio::test]
async fn room_is_given_back_to_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        records_age: DAY,
        ..limits()
    };
    let (store, _) = open(data.path());
    let line = "x".repeat(10_000);
    for n in 0..20 {
        store
            .journal
            .record(batch("a", id(n), &[line.as_str(); 100], true, true));
        store.journal.records_over(id(n));
    }
    stop(store).await;
    let size = || {
        fs::metadata(data.path().join("journal.sqlite3"))
            .unwrap()
            .len()
    };
    let before = size();
    assert!(before > 20_000_000, "{before}");
    let (store, _) = Store::open(data.path(), limits).unwrap();
    store.journal.collect().await.unwrap();
    stop(store).await;
    assert!(size() < 5_000_000, "{}", size());
}
