//! What is handed over comes back after a start, and only that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::sync::Arc;

use caxton_rollout::{
    Aside, Happened, HotReloadStatus, Memory, Moment, Notice, Outcome, ReloadMemory, ReturnMemory,
};
use caxton_store::Act;
use common::*;

#[tokio::test]
async fn what_is_remembered_comes_back() {
    let data = tempfile::tempdir().unwrap();
    let (store, opened) = open(data.path());
    assert!(opened.agents.is_empty() && opened.damage.is_empty());
    let one = memory("one", 1);
    let two = memory("two", 2);
    let (reload, made_of) = (one.reload.as_ref().unwrap().id, content("one", identity(4)));
    store.journal.taken(made_of.clone());
    store.journal.pinned(
        &one.agent,
        reload,
        vec![pin("evidence", digest(7)), pin("own", digest(8))],
    );
    store.journal.saved(snapshot("one", 3, digest(5)));
    store.journal.saved(snapshot("one", 3, digest(6)));
    remember(&store.journal, one.clone()).await.unwrap();
    store.journal.remember(two.clone(), None);
    stop(store).await;

    let (store, opened) = open(data.path());
    assert_eq!(opened.damage, Vec::<String>::new());
    let [first, second] = &opened.agents[..] else {
        panic!("{} agents", opened.agents.len())
    };
    assert_eq!(first.memory, one);
    assert_eq!(second.memory, two);
    assert_eq!(first.contents, [made_of]);
    assert_eq!(
        first.pins[&reload],
        [pin("evidence", digest(7)), pin("own", digest(8))]
    );
    assert_eq!(first.snapshots, [snapshot("one", 3, digest(6))]);
    assert!(second.contents.is_empty() && second.pins.is_empty() && second.snapshots.is_empty());
    stop(store).await;
}

/// Every way in which a reload can stand in a memory.
fn ways_of_going_on() -> Vec<Memory> {
    use HotReloadStatus::{Completed, InProgress, Pending, Preparing, RollingBack, Starting};
    let back = |target, aside| ReturnMemory {
        target: number(target),
        aside,
        reason: "by an operator".to_owned(),
    };
    let mut ways = Vec::new();
    for status in [Pending, Preparing, Starting, InProgress, RollingBack] {
        for returning in [None, Some(back(3, None)), Some(back(2, Some(Aside::Ended)))] {
            let mut way = memory("a", 2);
            let reload = way.reload.as_mut().unwrap();
            (reload.status, reload.returning) = (status, returning);
            ways.push(way);
        }
    }
    // It has completed and is not proven, or is on its way back: it stands in the history, the newest or not, and goes on.
    for place in [0, 1] {
        for returning in [None, Some(back(2, Some(Aside::Quarantined)))] {
            let mut way = memory("a", 2);
            let past = &way.history[place];
            way.reload = Some(ReloadMemory {
                id: past.result.id,
                number: past.version.number,
                stable: past.result.from,
                status: Completed,
                strategy: past.result.strategy,
                stage: None,
                split: 100,
                started_at: past.result.started_at,
                returning,
            });
            ways.push(way);
        }
    }
    // So many have ended since that its result is not there any more.
    let mut way = ways.last().unwrap().clone();
    way.history.remove(1);
    ways.push(way);
    // It was interrupted: only its version and its result are there.
    let mut way = memory("a", 2);
    let mut interrupted = (*past(0, 4)).clone();
    interrupted.result.id = way.reload.take().unwrap().id;
    interrupted.result.status = HotReloadStatus::Cancelled;
    interrupted.outcome = Outcome::Cancelled;
    way.history.insert(0, Arc::new(interrupted));
    ways.push(way);
    ways
}

#[tokio::test]
async fn however_a_reload_goes_on_it_comes_back_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    // Each over the one before, and each in a journal of its own.
    for way in ways_of_going_on() {
        let alone = tempfile::tempdir().unwrap();
        for data in [data.path(), alone.path()] {
            let (store, _) = reopened(data);
            remember(&store.journal, way.clone()).await.unwrap();
            stop(store).await;
            let (store, memories) = reopened(data);
            assert_eq!(memories, std::slice::from_ref(&way));
            stop(store).await;
        }
    }
}

/// A life in small steps: after each, what is on the disk is what was remembered last.
fn life() -> Vec<Memory> {
    let mut steps = vec![new_memory("a"), memory("a", 1)];
    let mut change = |f: &mut dyn FnMut(&mut Memory)| {
        let mut next = steps.last().unwrap().clone();
        f(&mut next);
        steps.push(next);
    };
    change(&mut |_| {});
    change(&mut |memory| memory.last_error = None);
    change(&mut |memory| memory.reload.as_mut().unwrap().status = HotReloadStatus::RollingBack);
    change(&mut |memory| {
        // It ends.
        let reload = memory.reload.take().unwrap();
        let mut ended = (*past(0, 4)).clone();
        ended.result.id = reload.id;
        memory.history.insert(0, Arc::new(ended));
    });
    change(&mut |memory| {
        // An earlier one goes on again, to be rolled back: it stands in the history and goes on.
        let id = memory.history[1].result.id;
        let version = memory.history[1].version.number;
        let mut reload = super_reload();
        (reload.id, reload.number) = (id, version);
        memory.reload = Some(reload);
    });
    change(&mut |memory| {
        // Its result is replaced, and it is the newest now.
        memory.reload = None;
        let mut ended = (*memory.history.remove(1)).clone();
        ended.result.status = HotReloadStatus::RolledBack;
        memory.history.insert(0, Arc::new(ended));
    });
    change(&mut |memory| {
        memory.history.pop();
        memory.endings.clear();
    });
    change(&mut |memory| {
        memory.versions.remove(0);
        memory.kept.pop();
        memory.kept.push(number(3));
    });
    change(&mut |memory| memory.removed_at = Some(Moment(5)));
    change(&mut |memory| *memory = new_memory("a"));
    change(&mut |memory| memory.next = None);
    steps
}

fn super_reload() -> ReloadMemory {
    memory("a", 0).reload.unwrap()
}

#[tokio::test]
async fn every_step_of_a_life_comes_back_whether_the_host_was_restarted_before_or_not() {
    let steps = life();
    for restarts in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let mut store = open(data.path()).0;
        for (at, step) in steps.iter().enumerate() {
            remember(&store.journal, step.clone()).await.unwrap();
            if restarts || at + 1 == steps.len() {
                stop(store).await;
                let memories;
                (store, memories) = reopened(data.path());
                assert_eq!(&memories, std::slice::from_ref(step), "step {at}");
            }
        }
        stop(store).await;
    }
}

#[tokio::test]
async fn what_is_the_same_is_not_written_again() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    remember(&store.journal, memory("a", 1)).await.unwrap();
    let changes = |sql: &str| {
        let rows = rusqlite::Connection::open(data.path().join("journal.sqlite3")).unwrap();
        rows.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let rows = rusqlite::Connection::open(data.path().join("journal.sqlite3")).unwrap();
    rows.execute_batch("CREATE TABLE written (what TEXT);")
        .unwrap();
    for table in ["agents", "versions", "endings", "reloads"] {
        for act in ["INSERT", "UPDATE", "DELETE"] {
            rows.execute_batch(&format!(
                "CREATE TRIGGER {table}_{act} AFTER {act} ON {table} BEGIN INSERT INTO written VALUES ('{act} {table}'); END;"
            ))
            .unwrap();
        }
    }
    let mut next = memory("a", 1);
    remember(&store.journal, next.clone()).await.unwrap();
    assert_eq!(changes("SELECT count(*) FROM written"), 0);
    next.reload.as_mut().unwrap().split = 50;
    remember(&store.journal, next).await.unwrap();
    // One row, and nothing of the rest of the agent.
    assert_eq!(
        changes("SELECT count(*) FROM written WHERE what LIKE 'INSERT%'"),
        1
    );
    assert_eq!(
        changes("SELECT count(*) FROM written WHERE what NOT LIKE '%reloads'"),
        0
    );
    stop(store).await;
}

#[tokio::test]
async fn what_happened_and_what_operators_did_can_be_read() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let notice = Notice {
        agent: agent("a"),
        reload: Some(id(1)),
        what: Happened::StatusChanged {
            from: HotReloadStatus::Pending,
            to: HotReloadStatus::Preparing,
            reason: None,
        },
    };
    store.journal.told(Moment(1_000), &notice);
    let act = |at, name: &str, refused: Option<&str>| Act {
        at: Moment(at),
        agent: agent(name),
        order: "rollback --to 3".to_owned(),
        refused: refused.map(str::to_owned),
    };
    store.journal.acted(act(1, "a", None));
    store
        .journal
        .acted(act(2, "b", Some("there is no version 3")));
    assert!(store.journal.flush().await);
    let reader = store.journal.reader().unwrap();
    let events = reader.events(None, 10).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "status-changed");
    assert_eq!(events[0].reload, Some(id(1)));
    assert_eq!(
        events[0].detail,
        r#"{"from":"pending","reason":null,"to":"preparing"}"#
    );
    assert_eq!(reader.events(Some(&agent("b")), 10).unwrap(), []);
    let newest_first = [
        act(2, "b", Some("there is no version 3")),
        act(1, "a", None),
    ];
    assert_eq!(reader.acts(None, 10).unwrap(), newest_first);
    assert_eq!(reader.acts(None, 1).unwrap(), newest_first[..1]);
    assert_eq!(
        reader.acts(Some(&agent("a")), 10).unwrap(),
        newest_first[1..]
    );
    stop(store).await;
}

#[tokio::test]
async fn the_position_of_what_was_handed_over_is_reached_once_it_is_written() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let mut written = store.journal.written();
    assert_eq!(store.journal.position(), 0);
    store.journal.taken(content("a", identity(1)));
    store.journal.remember(memory("a", 1), None);
    assert_eq!(store.journal.position(), 2);
    written
        .wait_for(|written| written.up_to == 2)
        .await
        .unwrap();
    assert_eq!(written.borrow().trouble, None);
    assert!(store.journal.attention().is_empty());
    stop(store).await;
}

#[tokio::test]
async fn dropping_the_last_way_to_it_writes_what_waits_and_after_a_stop_nothing_is_taken() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let mut written = store.journal.written();
    store.journal.remember(memory("a", 1), None);
    drop(store);
    written
        .wait_for(|written| written.up_to == 1)
        .await
        .unwrap();
    let (store, memories) = reopened(data.path());
    assert_eq!(memories, [memory("a", 1)]);

    let clone = store.journal.clone();
    stop(store).await;
    let refused = remember(&clone, memory("b", 1)).await.unwrap_err();
    assert!(refused.contains("closed"), "{refused}");
    assert!(!clone.record(batch("a", id(1), &["{}"], true, false)));
    assert!(clone.collect().await.is_err());
}

#[tokio::test]
async fn a_person_sees_with_sqlite3_where_an_agent_stands() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    remember(&store.journal, memory("a", 1)).await.unwrap();
    store.journal.acted(Act {
        at: Moment(1_700_000_000_000),
        agent: agent("a"),
        order: "pause".to_owned(),
        refused: None,
    });
    assert!(store.journal.flush().await);
    let rows = rusqlite::Connection::open(data.path().join("journal.sqlite3")).unwrap();
    let row = |sql: &str| -> String { rows.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(
        row(
            "SELECT concat_ws(' ', agent, serving, permanent, candidate, status, split, '/', kept, '/', out_of_the_way) FROM overview"
        ),
        "a 3 3 4 in-progress 25 / 2 1 / 1"
    );
    assert_eq!(
        row("SELECT concat_ws(' ', time, agent, kind, detail) FROM timeline"),
        r#"2023-11-14 22:13:20.000 a operator {"act":"pause","refused":null}"#
    );
    assert_eq!(row("SELECT group_concat(number) FROM history"), "4,3,2,1");
    assert_eq!(row("SELECT reason FROM quarantine"), "blamed");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let facts = std::fs::metadata(data.path().join("journal.sqlite3")).unwrap();
        assert_eq!(facts.permissions().mode() & 0o777, 0o600);
    }
    stop(store).await;
}

#[tokio::test]
async fn what_alone_cannot_be_written_keeps_nothing_else_from_it_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let mut twice = memory("twice", 1);
    twice.versions.push(version(1, identity(1)));
    store.journal.remember(memory("plain", 2), None);
    let refused = remember(&store.journal, twice).await.unwrap_err();
    assert!(refused.contains("UNIQUE"), "{refused}");
    remember(&store.journal, memory("other", 3)).await.unwrap();
    let attention = store.journal.attention();
    assert_eq!(attention.len(), 1);
    assert!(
        attention[0].text.contains("of twice cannot be written"),
        "{attention:?}"
    );
    // It is over with the next one that can be.
    remember(&store.journal, memory("twice", 1)).await.unwrap();
    assert!(store.journal.attention().is_empty());
    stop(store).await;
    let (store, memories) = reopened(data.path());
    assert_eq!(
        memories,
        [memory("other", 3), memory("plain", 2), memory("twice", 1)]
    );
    stop(store).await;
}
