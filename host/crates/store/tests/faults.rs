//! Faults of the world, for real: a full disk, one that cannot be written to, and a host that is killed.
//!
//! Where a fault needs a process of its own, the test runs itself again as a child, in a namespace in which it may mount, under a
//! limit, or as another user.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use caxton_rollout::Memory;
use caxton_store::{BlobKind, OpenError, Store};
use common::*;

/// Runs it to its end.
fn run(test: &str, folder: &Path, wrapper: &[&str], script: &str) {
    let output = child(test, folder, wrapper, script).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whether this machine lets tests mount file systems in a namespace of their own.
fn may_mount() -> bool {
    let may = Command::new("unshare")
        .args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"])
        .status()
        .is_ok_and(|status| status.success());
    let must = std::env::var_os("CAXTON_CI").is_some();
    assert!(
        may || !must,
        "`unshare -rm` does not work here, and CAXTON_CI says that it must"
    );
    if !may {
        eprintln!("skipped: `unshare -rm` does not work here");
    }
    may
}

/// An agent that needs some room.
fn large(name: &str, count: u64) -> Memory {
    let mut memory = memory(name, name.as_bytes()[0]);
    memory.last_error = Some(format!("{count} {}", "x".repeat(100_000)));
    memory
}

/// What must hold while the disk takes nothing, and afterwards.
async fn a_disk_that_fills_up(data: &Path, fill: impl FnOnce(), heal: impl FnOnce(), help: &str) {
    let (store, _) = open(data);
    remember(&store.journal, memory("before", 1)).await.unwrap();
    fill();
    // Until then there was room in what is there already.
    let mut asked = 0;
    let refused = loop {
        asked += 1;
        assert!(asked < 1_000, "the disk does not fill up");
        if let Err(refused) = remember(&store.journal, large("asked", asked)).await {
            break refused;
        }
    };
    assert!(
        refused.contains("journal.sqlite3 cannot be written"),
        "{refused}"
    );
    assert!(refused.contains(help), "{refused}");
    // Who asks is answered at once, not when it is tried again.
    for _ in 0..100 {
        assert!(
            remember(&store.journal, large("asked", 5_000))
                .await
                .is_err()
        );
    }
    let plain = large("plain", 2);
    store.journal.remember(large("plain", 1), None);
    store.journal.remember(plain.clone(), None);
    store.journal.taken(content("plain", identity(1)));
    assert!(
        store
            .journal
            .record(batch("plain", id(1), &["{}"], true, false))
    );
    assert!(!store.journal.flush().await);
    let attention = store.journal.attention();
    assert_eq!(attention[0].kind, "journal");
    assert!(
        attention[0].text.contains("agents serve on"),
        "{}",
        attention[0].text
    );
    assert!(
        attention[0].command.contains(help),
        "{}",
        attention[0].command
    );
    // Components and the like: nothing of them is left.
    let bytes = vec![7; 4 << 20];
    let error = store
        .blobs
        .put(BlobKind::Component, &bytes)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("artifacts") && error.contains("make room"),
        "{error}"
    );
    assert_eq!(fs::read_dir(data.join("artifacts")).unwrap().count(), 0);
    let error = store.journal.collect().await.unwrap_err();
    assert!(error.contains(help), "{error}");
    let error = store.journal.backup(data.join("backup")).await.unwrap_err();
    assert!(error.contains("would not be complete"), "{error}");

    heal();
    let mut written = store.journal.written();
    let position = store.journal.position();
    let well = written.wait_for(|written| written.up_to >= position && written.trouble.is_none());
    tokio::time::timeout(Duration::from_secs(60), well)
        .await
        .unwrap()
        .unwrap();
    assert!(store.journal.attention().is_empty());
    store.blobs.put(BlobKind::Component, b"small").unwrap();
    stop(store).await;
    let (store, memories) = reopened(data);
    let mut expected = vec![memory("before", 1), plain];
    if asked > 1 {
        // That of the last time there was room, and not what was refused.
        expected.insert(0, large("asked", asked - 1));
    }
    let short = |memories: &[Memory]| {
        let short = |memory: &Memory| {
            let error = memory.last_error.as_deref().unwrap_or_default();
            format!("{} {}", memory.agent, &error[..error.len().min(9)])
        };
        memories.iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(short(&memories), short(&expected));
    assert!(memories == expected);
    assert_eq!(
        store.journal.reader().unwrap().lines(id(1), 0, 10).unwrap(),
        ["{}"]
    );
    stop(store).await;
}

#[tokio::test]
async fn while_the_disk_is_full_nothing_is_forgotten_and_who_asks_is_told() {
    let Some(folder) = folder_of_the_child() else {
        if may_mount() {
            let folder = tempfile::tempdir().unwrap();
            run(
                "while_the_disk_is_full_nothing_is_forgotten_and_who_asks_is_told",
                folder.path(),
                &["unshare", "-rm"],
                "mount -t tmpfs -o size=6m none \"$CAXTON_STORE_CHILD\" && exec \"$@\"",
            );
        }
        return;
    };
    let ballast = folder.join("ballast");
    let fill = || fill(&ballast);
    let heal = || fs::remove_file(&ballast).unwrap();
    a_disk_that_fills_up(&folder.join("data"), fill, heal, "make room").await;
}

#[tokio::test]
async fn a_host_starts_on_a_full_disk_with_what_it_knows() {
    let Some(folder) = folder_of_the_child() else {
        if may_mount() {
            let folder = tempfile::tempdir().unwrap();
            run(
                "a_host_starts_on_a_full_disk_with_what_it_knows",
                folder.path(),
                &["unshare", "-rm"],
                "mount -t tmpfs -o size=6m none \"$CAXTON_STORE_CHILD\" && exec \"$@\"",
            );
        }
        return;
    };
    let data = folder.join("data");
    let (store, _) = open(&data);
    remember(&store.journal, memory("before", 1)).await.unwrap();
    stop(store).await;
    let ballast = folder.join("ballast");
    fill(&ballast);
    let (store, opened) = open(&data);
    assert_eq!(opened.agents[0].memory, memory("before", 1));
    // Whoever looks finds out before anything is begun.
    let mut written = store.journal.written();
    let trouble = written.borrow().trouble.clone().unwrap();
    assert!(trouble.command.contains("make room"), "{trouble:?}");
    let refused = remember(&store.journal, large("a", 1)).await.unwrap_err();
    assert!(refused.contains("make room"), "{refused}");
    store.journal.remember(memory("after", 2), None);
    fs::remove_file(&ballast).unwrap();
    let well = written.wait_for(|written| written.trouble.is_none());
    tokio::time::timeout(Duration::from_secs(60), well)
        .await
        .unwrap()
        .unwrap();
    stop(store).await;
    let (store, memories) = reopened(&data);
    assert_eq!(memories, [memory("after", 2), memory("before", 1)]);
    stop(store).await;
}

/// Takes all the room that there is.
fn fill(ballast: &Path) {
    let mut file = fs::File::create(ballast).unwrap();
    let mut chunk = 64 * 1024;
    while chunk > 0 {
        if file.write_all(&vec![1; chunk]).is_err() {
            chunk /= 2;
        }
    }
}

fn listing(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path(), entry.metadata().unwrap().len())
        })
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_as_a_full_disk() {
    let Some(folder) = folder_of_the_child() else {
        let folder = tempfile::tempdir().unwrap();
        run(
            "a_file_that_may_not_grow_is_as_a_full_disk",
            folder.path(),
            &[],
            "trap '' XFSZ; exec \"$@\"",
        );
        return;
    };
    let limit = |bytes: &str| {
        let pid = std::process::id().to_string();
        let status = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={bytes}:unlimited")])
            .status();
        assert!(status.unwrap().success());
    };
    let data = folder.join("data");
    a_disk_that_fills_up(
        &data,
        || limit("1000000"),
        || limit("unlimited"),
        "make room",
    )
    .await;
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_refused_with_what_helps_and_stays_as_it_is() {
    let Some(folder) = folder_of_the_child() else {
        if may_mount() {
            let folder = tempfile::tempdir().unwrap();
            stop(open(&folder.path().join("data")).0).await;
            fs::create_dir(folder.path().join("empty")).unwrap();
            run(
                "a_data_directory_that_cannot_be_written_is_refused_with_what_helps_and_stays_as_it_is",
                folder.path(),
                &["unshare", "-rm"],
                "mount --bind \"$CAXTON_STORE_CHILD\" \"$CAXTON_STORE_CHILD\" \
                 && mount -o remount,bind,ro \"$CAXTON_STORE_CHILD\" && exec \"$@\"",
            );
        }
        return;
    };
    for name in ["data", "empty", "none"] {
        refused(&folder.join(name), "mount");
    }
}

#[tokio::test]
async fn a_data_directory_of_another_user_is_refused_with_what_helps_and_stays_as_it_is() {
    let Some(folder) = folder_of_the_child() else {
        let folder = tempfile::tempdir().unwrap();
        // Root may do everything: then the test is nobody, to whom this belongs.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        stop(open(&folder.path().join("data")).0).await;
        fs::create_dir(folder.path().join("empty")).unwrap();
        let script = "chmod -R a+rX \"$CAXTON_STORE_CHILD\" && chmod -R a-w \"$CAXTON_STORE_CHILD\" && exec ";
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups ";
        let script = format!("{script}{}\"$@\"", if is_root { nobody } else { "" });
        run(
            "a_data_directory_of_another_user_is_refused_with_what_helps_and_stays_as_it_is",
            folder.path(),
            &[],
            &script,
        );
        let status = Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(folder.path())
            .status();
        assert!(status.unwrap().success());
        return;
    };
    for name in ["data", "empty", "none"] {
        refused(&folder.join(name), "let this user");
    }
    let error = caxton_store::Blobs::within(&folder.join("data"))
        .put(BlobKind::State, b"state")
        .unwrap_err()
        .to_string();
    assert!(error.contains("let this user"), "{error}");
}

fn refused(data: &Path, help: &str) {
    let before = listing(data);
    let error = Store::open(data, limits()).unwrap_err();
    assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains(help), "{error}");
    assert_eq!(listing(data), before);
}

#[tokio::test]
async fn a_journal_that_is_removed_while_the_host_runs_is_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = open(data.path());
    let journal = &store.journal;
    remember(journal, memory("one", 1)).await.unwrap();
    remember(journal, memory("two", 2)).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        fs::remove_file(data.path().join(format!("journal.sqlite3{ending}"))).unwrap();
    }
    let refused = remember(journal, memory("one", 3)).await.unwrap_err();
    assert!(refused.contains("removed or replaced"), "{refused}");
    let mut written = journal.written();
    let well = written.wait_for(|written| written.trouble.is_none());
    tokio::time::timeout(Duration::from_secs(60), well)
        .await
        .unwrap()
        .unwrap();
    remember(journal, memory("three", 3)).await.unwrap();
    // What stood in it besides is lost, and that is said.
    let attention = journal.attention();
    assert_eq!(attention[0].kind, "journal-damaged");
    assert!(
        attention[0].text.contains("states and configurations"),
        "{attention:?}"
    );
    stop(store).await;
    let (store, memories) = reopened(data.path());
    assert_eq!(
        memories,
        [memory("one", 1), memory("three", 3), memory("two", 2)]
    );
    stop(store).await;
}
