//! Journals of earlier releases are read, those of later ones are left alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use caxton_rollout::{Happened, Moment, Notice};
use caxton_store::{Act, Limits, Store};
use common::*;

#[test]
fn a_journal_of_a_newer_release_is_refused_and_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(stop(open(data.path()).0));
    let path = data.path().join("journal.sqlite3");
    let newer = |way: &str| {
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(data.path(), Limits::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("newer release") && error.contains("99"),
            "{way}: {error}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), before, "{way}");
    };
    let rows = rusqlite::Connection::open(&path).unwrap();
    // Where the newer release was killed it stands in the log only.
    rows.pragma_update(None, "user_version", 99).unwrap();
    newer("in the log");
    drop(rows);
    newer("in the file");
}

/// A journal as the first release wrote it, in the words of sqlite3's `.dump`.
#[tokio::test]
async fn a_journal_of_the_first_layout_is_read_by_the_present_release() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("journal.sqlite3");
    let rows = rusqlite::Connection::open(&path).unwrap();
    rows.execute_batch(include_str!("fixtures/journal-1.sql"))
        .unwrap();
    drop(rows);
    let (store, opened) = open(data.path());
    assert_eq!(opened.damage, Vec::<String>::new());
    let [found] = &opened.agents[..] else {
        panic!("{:?}", opened.agents)
    };
    assert_eq!(found.memory, memory("a", 1));
    assert_eq!(found.contents, [content("a", identity(4))]);
    assert_eq!(
        found.pins[&memory("a", 1).reload.unwrap().id],
        [pin("evidence", digest(7))]
    );
    assert_eq!(found.snapshots, [snapshot("a", 3, digest(5))]);
    let reader = store.journal.reader().unwrap();
    assert_eq!(
        reader.lines(id(1), 0, 10).unwrap(),
        ["{\"record\":\"began\"}"]
    );
    assert_eq!(reader.acts(None, 10).unwrap()[0].order, "pause");
    assert_eq!(reader.events(None, 10).unwrap()[0].kind, "waiting");
    stop(store).await;
}

/// Writes the fixture above; it is done once for each layout, and never again for an old one.
#[tokio::test]
#[ignore = "it writes a fixture"]
async fn write_the_fixture() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    store.journal.taken(content("a", identity(4)));
    let memory = memory("a", 1);
    let reload = memory.reload.as_ref().unwrap().id;
    store
        .journal
        .pinned(&memory.agent, reload, vec![pin("evidence", digest(7))]);
    store.journal.saved(snapshot("a", 3, digest(5)));
    store
        .journal
        .record(batch("a", id(1), &["{\"record\":\"began\"}"], true, false));
    store.journal.acted(Act {
        at: Moment(1_700_000_000_000),
        agent: agent("a"),
        order: "pause".to_owned(),
        refused: None,
    });
    let waiting = Happened::Waiting {
        reason: "for a slot".to_owned(),
    };
    let notice = Notice {
        agent: agent("a"),
        reload: None,
        what: waiting,
    };
    store.journal.told(Moment(1_700_000_000_000), &notice);
    remember(&store.journal, memory).await.unwrap();
    stop(store).await;
    let dump = std::process::Command::new("sqlite3")
        .arg(data.path().join("journal.sqlite3"))
        .args(["PRAGMA user_version; PRAGMA application_id;", ".dump"])
        .output()
        .unwrap();
    println!("{}", String::from_utf8(dump.stdout).unwrap());
}
