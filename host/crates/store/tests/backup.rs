//! A backup holds everything that a start needs, and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::fs;

use caxton_store::{BlobKind, Store, restore_backup};
use common::*;

#[tokio::test]
async fn a_backup_holds_everything_and_comes_back_into_an_empty_directory() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let memory = everything_named(&store).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("backup.caxton");
    let made = store.journal.backup(file.clone()).await.unwrap();
    assert_eq!((made.files, made.missing.len()), (6 * 2 + 2, 0));
    assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(
        fs::read_dir(elsewhere.path()).unwrap().count(),
        1,
        "one file"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let error = store.journal.backup(file.clone()).await.unwrap_err();
    assert!(error.contains("is there already"), "{error}");
    // What happens later is not in it, and does not disturb it.
    remember(&store.journal, new_memory("later")).await.unwrap();
    let error = restore_backup(&file, data.path()).unwrap_err();
    assert!(error.contains("new or empty directory"), "{error}");
    stop(store).await;

    let anew = elsewhere.path().join("some/where");
    let restored = restore_backup(&file, &anew).unwrap();
    assert_eq!(restored.files, made.files);
    let (store, opened) = open(&anew);
    assert_eq!(opened.damage, Vec::<String>::new());
    assert_eq!(opened.agents.len(), 1);
    assert_eq!(opened.agents[0].memory, memory);
    for content in &opened.agents[0].contents {
        store
            .blobs
            .get(BlobKind::Component, content.identity.component)
            .unwrap();
        store.blobs.get(BlobKind::Config, content.config).unwrap();
    }
    assert_eq!(opened.agents[0].contents.len(), 6);
    let state = opened.agents[0].snapshots[0].blob;
    assert_eq!(&*store.blobs.get(BlobKind::State, state).unwrap(), b"state");
    stop(store).await;
}

#[tokio::test]
async fn a_backup_is_made_although_a_file_is_missing_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let memory = everything_named(&store).await;
    let gone = memory.endings[0].identity.component;
    store.blobs.remove(BlobKind::Component, gone).unwrap();
    let made = store
        .journal
        .backup(data.path().join("backup"))
        .await
        .unwrap();
    assert_eq!(made.files, 6 * 2 + 1);
    assert!(
        made.missing[0].contains(&gone.to_string()),
        "{:?}",
        made.missing
    );
    stop(store).await;
}

#[tokio::test]
async fn what_is_no_backup_or_a_damaged_one_is_refused_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    everything_named(&store).await;
    let whole = data.path().join("backup");
    store.journal.backup(whole.clone()).await.unwrap();
    stop(store).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let change = |name: &str, sql: &str| {
        let path = elsewhere.path().join(name);
        fs::copy(&whole, &path).unwrap();
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        path
    };
    let text = elsewhere.path().join("text");
    fs::write(&text, "no database").unwrap();
    let torn = elsewhere.path().join("torn");
    let mut bytes = fs::read(&whole).unwrap();
    bytes[4096 * 3..4096 * 6].fill(0xa5);
    fs::write(&torn, bytes).unwrap();
    for (path, problem) in [
        (elsewhere.path().join("none"), "unable to open"),
        (text, "is no backup"),
        (torn, "damaged"),
        (data.path().join("journal.sqlite3"), "is no backup"),
        (change("newer", "PRAGMA user_version = 99"), "newer release"),
        (
            change(
                "bytes",
                "UPDATE files SET bytes = x'00' WHERE path LIKE 'state/%'",
            ),
            "damaged",
        ),
        (
            change(
                "outside",
                "UPDATE files SET path = '../../outside' WHERE path LIKE 'state/%'",
            ),
            "../../outside",
        ),
    ] {
        let to = elsewhere.path().join("restored");
        let error = restore_backup(&path, &to).unwrap_err();
        assert!(error.contains(problem), "{}: {error}", path.display());
        assert!(!to.exists(), "{}", path.display());
    }
    // As a journal it is not taken either.
    let anew = elsewhere.path().join("data");
    fs::create_dir(&anew).unwrap();
    fs::copy(&whole, anew.join("journal.sqlite3")).unwrap();
    let error = Store::open(&anew, limits()).unwrap_err().to_string();
    assert!(error.contains("it is a backup"), "{error}");
}

#[tokio::test]
async fn what_another_journal_has_left_is_never_played_into_a_restored_one() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let file = data.path().join("backup");
    store.journal.backup(file.clone()).await.unwrap();
    stop(store).await;
    for ending in ["", "-wal", "-journal", "-shm", ".salvaged"] {
        let anew = tempfile::tempdir().unwrap();
        let name = format!("journal.sqlite3{ending}");
        fs::write(anew.path().join(&name), "").unwrap();
        let error = restore_backup(&file, anew.path()).unwrap_err();
        assert!(
            error.contains(&format!("{name} is there already")),
            "{error}"
        );
        let left: Vec<_> = fs::read_dir(anew.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_backup_is_made_while_others_write() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    everything_named(&store).await;
    let writing = store.journal.clone();
    let writer = tokio::spawn(async move {
        for n in 0_u8..200 {
            let name = format!("agent-{n}");
            remember(&writing, memory(&name, n.wrapping_add(2)))
                .await
                .unwrap();
        }
    });
    let mut made = 0;
    while !writer.is_finished() || made == 0 {
        let to = data.path().join(format!("backup-{made}"));
        store.journal.backup(to.clone()).await.unwrap();
        let anew = data.path().join(format!("restored-{made}"));
        restore_backup(&to, &anew).unwrap();
        let (restored, opened) = open(&anew);
        assert_eq!(opened.damage, Vec::<String>::new());
        stop(restored).await;
        made += 1;
    }
    writer.await.unwrap();
    stop(store).await;
}
