//! A forgotten agent leaves nothing but what it did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::path::Path;

use caxton_rollout::{Happened, Moment, Notice};
use caxton_store::{Act, Store};
use common::*;

/// How many rows bear the agent's name.
fn rows_of(data: &Path, name: &str) -> Vec<(&'static str, i64)> {
    let rows = rusqlite::Connection::open(data.join("journal.sqlite3")).unwrap();
    let count = |(table, column): (&'static str, &str)| {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} = ?1");
        let count = rows.query_row(&sql, [name], |row| row.get(0)).unwrap();
        (table, count)
    };
    [
        ("agents", "name"),
        ("versions", "agent"),
        ("reloads", "agent"),
        ("endings", "agent"),
        ("contents", "agent"),
        ("pins", "agent"),
        ("snapshots", "agent"),
        ("events", "agent"),
        ("acts", "agent"),
        ("recordings", "agent"),
    ]
    .map(count)
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect()
}

/// Hands over something of every kind.
fn hand_over_everything(store: &Store, name: &str, bits: u128) {
    let journal = &store.journal;
    let name_of = agent(name);
    journal.taken(content(name, identity(4)));
    journal.pinned(&name_of, id(bits), vec![pin("own", digest(8))]);
    journal.saved(snapshot(name, 3, digest(5)));
    journal.record(batch(name, id(bits), &["{}"], true, false));
    let what = Happened::Waiting {
        reason: String::new(),
    };
    let notice = Notice {
        agent: name_of.clone(),
        reload: None,
        what,
    };
    journal.told(Moment(1), &notice);
    journal.acted(Act {
        at: Moment(1),
        agent: name_of,
        order: "remove".to_owned(),
        refused: None,
    });
}

#[tokio::test]
async fn a_forgotten_agent_leaves_only_what_it_did_whether_it_was_written_before_or_not() {
    for is_written in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let (store, _) = open(data.path());
        let journal = &store.journal;
        for (name, bits) in [("a", 100), ("b", 200)] {
            hand_over_everything(&store, name, bits);
            journal.remember(memory(name, bits as u8), None);
        }
        if is_written {
            assert!(journal.flush().await);
        }
        journal.forget(&agent("a"));
        journal.forget(&agent("nobody"));
        assert!(journal.flush().await);
        let left = [("events", 1), ("acts", 1), ("recordings", 1)];
        assert_eq!(rows_of(data.path(), "a"), left);
        assert_eq!(rows_of(data.path(), "b").len(), 10);
        let over: i64 = rusqlite::Connection::open(data.path().join("journal.sqlite3"))
            .unwrap()
            .query_row(
                "SELECT count(*) FROM recordings WHERE is_over AND agent = 'a'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(over, 1, "its records may go");
        stop(store).await;
        let (store, memories) = reopened(data.path());
        assert_eq!(memories, [memory("b", 200)]);
        stop(store).await;
    }
}

#[tokio::test]
async fn what_is_handed_over_after_an_agent_was_forgotten_is_a_new_agents() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let journal = &store.journal;
    hand_over_everything(&store, "a", 100);
    remember(journal, memory("a", 1)).await.unwrap();
    journal.remember(memory("a", 3), None);
    journal.forget(&agent("a"));
    // Only the new one's stand there, also where they are those of the old one.
    journal.saved(snapshot("a", 1, digest(6)));
    let mut new = memory("a", 1);
    new.history.clear();
    remember(journal, new.clone()).await.unwrap();
    stop(store).await;
    let (store, opened) = open(data.path());
    assert_eq!(opened.damage, Vec::<String>::new());
    let [found] = &opened.agents[..] else {
        panic!("{} agents", opened.agents.len())
    };
    assert_eq!(found.memory, new);
    assert_eq!(found.snapshots, [snapshot("a", 1, digest(6))]);
    assert!(found.contents.is_empty() && found.pins.is_empty());
    stop(store).await;
}
