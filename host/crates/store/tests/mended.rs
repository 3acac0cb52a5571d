//! What is lost is told, and what it leaves is mended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::fs;
use std::path::Path;

use caxton_rollout::Aside;
use common::*;

#[tokio::test]
async fn where_a_reload_goes_back_to_is_known_although_that_version_s_row_is_lost() {
    let cases: [(&[i64], Option<u64>, Option<u64>); 3] = [
        // One that is kept takes the place of the permanent one.
        (&[3], Some(3), Some(2)),
        // There is none but the candidate, which was not permanent yet, or was.
        (&[1, 2, 3], Some(3), None),
        (&[1, 2, 3], Some(4), None),
    ];
    for (lost, permanent, target) in cases {
        let data = tempfile::tempdir().unwrap();
        let (store, _) = open(data.path());
        let mut going_back = memory("a", 1);
        going_back.permanent = permanent.map(number);
        remember(&store.journal, going_back).await.unwrap();
        stop(store).await;
        let rows = rusqlite::Connection::open(journal(data.path())).unwrap();
        for number in lost {
            rows.execute("DELETE FROM versions WHERE number = ?1", [number])
                .unwrap();
        }
        drop(rows);
        let (store, opened) = open(data.path());
        let told = opened.damage.join("\n");
        assert!(told.contains("version 3, to which its reload"), "{told}");
        let found = &opened.agents[0].memory;
        let reload = found.reload.as_ref().unwrap();
        let returning = reload.returning.as_ref();
        assert_eq!(returning.map(|back| back.target), target.map(number));
        // What goes back takes the quarantine along; what cannot is in it already.
        let quarantined = found
            .endings
            .iter()
            .any(|ending| ending.identity == identity(4) && ending.blocks);
        assert_eq!(quarantined, target.is_none() && permanent == Some(3));
        if let Some(back) = returning {
            assert_eq!(back.aside, Some(Aside::Quarantined));
        }
        stop(store).await;
    }
}

#[tokio::test]
async fn a_start_that_was_killed_while_it_put_a_damaged_journal_aside_is_ended_by_the_next() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path(), 3).await;
    let salvaged = data.path().join("journal.sqlite3.salvaged");
    // What is no journal takes the place of none.
    fs::write(&salvaged, "of an earlier start").unwrap();
    let (store, memories) = reopened(data.path());
    assert_eq!(memories.len(), 3);
    assert!(!salvaged.exists());
    stop(store).await;
    // Killed after it moved.
    fs::rename(journal(data.path()), &salvaged).unwrap();
    let (store, opened) = open(data.path());
    assert_eq!(opened.agents.len(), 3);
    assert!(
        opened.damage[0].contains("earlier start"),
        "{:?}",
        opened.damage
    );
    stop(store).await;
}

/// A journal that was damaged, what was read of it, and its log, as they stand there before the damaged one moves.
async fn read_and_not_moved(data: &Path) -> Vec<u8> {
    let salvaged = tempfile::tempdir().unwrap();
    filled(salvaged.path(), 3).await;
    // Without its log it is whole, and knows less.
    filled(data, 1).await;
    let earlier = fs::read(journal(data)).unwrap();
    fs::rename(
        journal(salvaged.path()),
        data.join("journal.sqlite3.salvaged"),
    )
    .unwrap();
    earlier
}

#[tokio::test]
async fn what_was_read_of_a_damaged_journal_is_kept_wherever_the_start_is_killed_after_that() {
    for moved in [&[][..], &["-wal"], &["-wal", ""]] {
        let data = tempfile::tempdir().unwrap();
        let earlier = read_and_not_moved(data.path()).await;
        fs::write(data.path().join("journal.sqlite3-wal"), "log").unwrap();
        for ending in moved {
            let [from, to] = ["", ".damaged-1"]
                .map(|infix| data.path().join(format!("journal.sqlite3{infix}{ending}")));
            fs::rename(from, to).unwrap();
        }
        let (store, opened) = open(data.path());
        assert_eq!(opened.agents.len(), 3, "{moved:?}");
        assert!(opened.damage[0].contains("earlier start"), "{moved:?}");
        let aside = aside(data.path());
        let [aside] = &aside[..] else {
            panic!("{moved:?}: {aside:?}")
        };
        assert!(fs::read(aside).unwrap() == earlier, "{moved:?}");
        let log = fs::read(format!("{}-wal", aside.display())).unwrap();
        assert_eq!(log, b"log", "{moved:?}");
        assert!(!data.path().join("journal.sqlite3.salvaged").exists());
        stop(store).await;
        let (store, memories) = reopened(data.path());
        assert_eq!(memories.len(), 3, "{moved:?}");
        stop(store).await;
    }
}

#[tokio::test]
async fn only_the_newest_damaged_journals_are_kept() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..6 {
        fs::write(journal(data.path()), "damaged").unwrap();
        stop(open(data.path()).0).await;
    }
    assert_eq!(aside(data.path()).len(), 3);
}

#[tokio::test]
async fn damage_that_is_found_while_the_host_runs_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    put_content(&store, "one", b"component");
    remember(&store.journal, memory("one", 1)).await.unwrap();
    fs::write(data.path().join("new"), "no journal").unwrap();
    fs::rename(data.path().join("new"), data.path().join("journal.sqlite3")).unwrap();
    remember(&store.journal, memory("one", 3))
        .await
        .unwrap_err();
    let mut written = store.journal.written();
    let well = written.wait_for(|written| written.trouble.is_none());
    well.await.unwrap();
    let attention = store.journal.attention();
    assert_eq!(attention[0].kind, "journal-damaged");
    assert!(attention[0].text.contains("is damaged"), "{attention:?}");
    stop(store).await;
}

#[tokio::test]
async fn what_alone_cannot_be_written_and_versions_reloads_or_states_rest_on_is_told() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let rows = rusqlite::Connection::open(data.path().join("journal.sqlite3")).unwrap();
    for table in ["contents", "pins", "snapshots"] {
        rows.execute_batch(&format!(
            "CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'not so'); END"
        ))
        .unwrap();
    }
    let journal = &store.journal;
    journal.taken(content("a", identity(1)));
    journal.pinned(&agent("b"), id(1), vec![pin("own", digest(1))]);
    journal.saved(snapshot("c", 3, digest(1)));
    remember(journal, memory("d", 1)).await.unwrap();
    let attention = journal.attention();
    assert_eq!(attention.len(), 3, "{attention:?}");
    for (attention, what) in attention.iter().zip(["of a ", "of b ", "that c saved"]) {
        assert!(attention.text.contains(what), "{}", attention.text);
        assert!(attention.text.contains("not so"), "{}", attention.text);
    }
    stop(store).await;
}
