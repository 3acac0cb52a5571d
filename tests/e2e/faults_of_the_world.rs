//! What happens when the world fails: a disk that is full or cannot be written, a permission that is missing, bytes that have
//! changed, a clock that was wrong, a directory that is not there.
//!
//! Of each: what serves goes on serving; what cannot be recorded is not begun, except going back; the message says what to do;
//! and once the fault is gone everything goes on by itself. The faults are real ones: file systems of their own, permissions,
//! bytes that are overwritten.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use caxton_test_artifacts::{Manner, build_named};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Around, Ask, Caxton, Load, Setup, digest, put, wait_for};
use crate::restarts::{answers, completed, named};

/// Where the journal stands in the data directory.
const JOURNAL: &str = "journal.sqlite3";

fn judged() -> Setup {
    Setup::defaults(
        "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"1h\"\n\
         [defaults.rollback]\npolicies = [{ name = \"thresholds\", settings = { minimum_sample = 10 } }]\n",
    )
}

/// What waits for a person, at the host and at its agents.
async fn attention(host: &Caxton) -> Vec<Value> {
    let list = |value: &Value| value["attention"].as_array().cloned().unwrap_or_default();
    let mut entries = list(&host.admin.host().await);
    for name in ["shop", "other"] {
        if let Some(status) = host.admin.status(name).await {
            entries.extend(list(&status));
        }
    }
    entries
}

/// Waits for something in `attention` that has all these words, and a command that helps.
async fn told(host: &Caxton, words: &[&str]) -> Value {
    wait_for(&format!("attention that says {words:?}"), async || {
        let entries = attention(host).await;
        entries.into_iter().find(|entry| {
            let text = entry["text"].as_str().unwrap_or_default();
            let helps = entry["command"].as_str().is_some_and(|c| !c.is_empty());
            helps && words.iter().all(|word| text.contains(word))
        })
    })
    .await
}

/// Waits until nothing is left of what kept the journal from being written.
async fn nothing_told(host: &Caxton) {
    wait_for("no attention of the journal", async || {
        let entries = attention(host).await;
        let trouble = |entry: &Value| {
            let kind = entry["kind"].as_str().unwrap_or_default();
            kind.starts_with("journal") || kind == "not-recorded"
        };
        (!entries.iter().any(trouble)).then_some(())
    })
    .await;
}

/// Takes all room that is left on the file system of a folder.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let piece = vec![b'x'; size];
        while file.write_all(&piece).is_ok() {}
    }
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_what_begins_and_not_what_goes_back() {
    let mounts = "mount -t tmpfs -o size=48m none \"$data\"";
    let setup = judged().inside(Around::Mounts(mounts.to_owned()));
    let host = Caxton::start_with(setup).await;
    host.deploy("shop", &named("one"), 1).await;
    host.deploy("other", &named("first"), 1).await;
    let bad = build_named("two", Manner::Failing).unwrap();
    host.deploy("shop", &bad, 2).await;

    let filler = fill(&host.data_dir());
    let load = Load::start(host.gateway, 2, vec![Ask::get("/shop/")]);
    host.drop_agent("other", &named("second"));
    // Going back needs no room: it is done, and is said.
    host.admin
        .until_result("shop", "rolled back on a full disk", |result| {
            result["status"] == "rolled-back"
        })
        .await;
    assert_eq!(answers(&host, "shop").await, "one");
    let entry = wait_for("attention for the journal", async || {
        let entries = attention(&host).await;
        entries.into_iter().find(|entry| entry["kind"] == "journal")
    })
    .await;
    let (text, command) = (entry["text"].as_str(), entry["command"].as_str());
    assert!(text.unwrap().contains("agents serve on"), "{entry}");
    assert!(command.unwrap().contains("make room"), "{entry}");
    // What is new waits, and what serves goes on.
    assert_eq!(answers(&host, "other").await, "first");
    let swaps = host.events.count("other", "swapped");
    assert_eq!(swaps, 1, "nothing new has traffic");

    fs::remove_file(filler).unwrap();
    host.swapped("other", 2).await;
    nothing_told(&host).await;
    for record in load.finish().await {
        let status = record.reply.as_ref().map(|reply| reply.status);
        assert!(matches!(status, Ok(200 | 500)), "{}", record.told());
    }
    // It was written once there was room. (The mount goes with the host's process, and the journal with the mount; so it is looked
    // at, not restarted.)
    wait_for("the quarantine is in the journal", async || {
        let journal = copied(&host.data_dir(), host.elsewhere());
        let ask = "SELECT count(*) FROM endings WHERE agent = 'shop' AND aside = 'quarantined'";
        let found: i64 = journal.query_row(ask, [], |row| row.get(0)).ok()?;
        (found == 1).then_some(())
    })
    .await;
}

/// The journal as it stands there now, looked at in a copy.
fn copied(data: &Path, to: &Path) -> Connection {
    for ending in ["", "-wal"] {
        let name = format!("{JOURNAL}{ending}");
        // Without a log everything is in the journal itself.
        let _ = fs::copy(data.join(&name), to.join(&name));
    }
    Connection::open(to.join(JOURNAL)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_at_the_start_serves_what_was_permanent() {
    // A disk image would need rights; a file system in memory that outlives the host is one that another process holds.
    let host = Caxton::start_with(judged()).await;
    host.deploy("shop", &named("one"), 1).await;
    let mut down = host.stopped().await;
    // What it holds fits, and hardly anything more.
    let mounts = "cp -a \"$data\" \"$data.before\" && mount -t tmpfs -o size=48m none \"$data\" && \
                  cp -a \"$data.before/.\" \"$data\" && { cat /dev/zero > \"$data/filler\" || true; } 2>/dev/null";
    down.put_inside(Around::Mounts(mounts.to_owned()));
    // Not even its address fits in: it says so and ends, or it serves.
    let host = down.start_again_on_a_full_disk().await;
    match host {
        Ok(host) => assert_eq!(answers(&host, "shop").await, "one"),
        Err((code, log)) => {
            assert_eq!(code, Some(2), "{log}");
            assert!(
                log.contains("No space left") || log.contains("full"),
                "{log}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_cannot_be_written_is_refused_at_the_start() {
    let host = Caxton::start().await;
    host.deploy("shop", &named("one"), 1).await;
    let mut down = host.stopped().await;
    let mounts = "mount --bind \"$data\" \"$data\" && mount -o remount,bind,ro \"$data\"";
    down.put_inside(Around::Mounts(mounts.to_owned()));
    let (code, log) = down.does_not_start().await;
    assert_eq!(code, Some(2), "{log}");
    let data = down.data_dir();
    for part in [
        data.to_str().unwrap(),
        "Read-only file system",
        "--data-dir",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // With the fault gone it is as it was.
    down.put_inside(Around::Bare);
    let host = down.start_again().await;
    assert_eq!(answers(&host, "shop").await, "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_becomes_read_only_stops_only_what_begins() {
    let setup = judged().inside(Around::Mounts("true".to_owned()));
    let host = Caxton::start_with(setup).await;
    host.deploy("shop", &named("one"), 1).await;
    host.deploy("shop", &build_named("two", Manner::Failing).unwrap(), 2)
        .await;
    host.deploy("other", &named("first"), 1).await;
    host.among_mounts("mount --bind \"$data\" \"$data\" && mount -o remount,bind,ro \"$data\"");

    host.drop_agent("other", &named("second"));
    told(&host, &["Read-only"]).await;
    let load = Load::start(host.gateway, 2, vec![Ask::get("/shop/")]);
    host.admin
        .until_result("shop", "rolled back", |result| {
            result["status"] == "rolled-back"
        })
        .await;
    load.finish().await;
    assert_eq!(answers(&host, "shop").await, "one");
    assert_eq!(answers(&host, "other").await, "first");
    assert_eq!(host.events.count("other", "swapped"), 1);

    host.among_mounts("umount \"$data\"");
    host.swapped("other", 2).await;
    nothing_told(&host).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_stops_only_what_needs_it() {
    let host = Caxton::start_with(judged().inside(Around::Powerless)).await;
    host.deploy("shop", &named("one"), 1).await;
    let artifacts = host.data_dir().join("artifacts");
    let mode = |mode| fs::set_permissions(&artifacts, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    host.drop_agent("shop", &named("two"));
    told(&host, &["artifacts", "ermission denied"]).await;
    assert_eq!(answers(&host, "shop").await, "one");
    assert_eq!(host.events.count("shop", "swapped"), 1);
    mode(0o700);
    host.swapped("shop", 2).await;
    assert_eq!(answers(&host, "shop").await, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_of_somebody_else_is_refused_at_the_start() {
    let host = Caxton::start_with(Setup::default().inside(Around::Powerless)).await;
    let mut down = host.stopped().await;
    fs::set_permissions(down.data_dir(), fs::Permissions::from_mode(0o000)).unwrap();
    let (code, log) = down.does_not_start().await;
    assert_eq!(code, Some(2), "{log}");
    let data = down.data_dir();
    for part in [data.to_str().unwrap(), "ermission denied"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    fs::set_permissions(down.data_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    down.start_again().await;
}

/// Overwrites this many bytes of a file from a place on.
fn damage(path: &Path, from: u64, bytes: usize) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0xa5; bytes]).unwrap();
}

/// The number of a page in which rows of a table are.
fn a_page_of(journal: &Path, table: &str) -> u64 {
    let journal = Connection::open(journal).unwrap();
    let size: i64 = journal
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .unwrap();
    assert_eq!(size, 4096);
    let page: i64 = journal
        .query_row(
            "SELECT max(pageno) FROM dbstat WHERE name = ?",
            [table],
            |row| row.get(0),
        )
        .unwrap();
    page.unsigned_abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_set_aside_and_read_as_far_as_it_goes() {
    let host = Caxton::start().await;
    for number in 1..=3 {
        completed(&host, "shop", &named(&format!("build-{number}")), number).await;
    }
    let down = host.stopped().await;
    let journal = down.data_dir().join(JOURNAL);
    let page = a_page_of(&journal, "reloads");
    damage(&journal, (page - 1) * 4096, 4096);
    let host = down.start_again().await;
    // Whatever was lost, the agent serves, and nothing of it begins in the middle.
    wait_for("the agent serves", async || {
        let reply = host.get("/shop/").await;
        reply.is_good().then_some(())
    })
    .await;
    assert_eq!(answers(&host, "shop").await, "build-3");
    let entry = wait_for("attention for the journal", async || {
        let entries = attention(&host).await;
        entries
            .into_iter()
            .find(|entry| entry["kind"] == "journal-damaged")
    })
    .await;
    let text = entry["text"].as_str().unwrap();
    assert!(text.contains(JOURNAL), "{entry}");
    let kept = fs::read_dir(host.data_dir()).unwrap().flatten();
    let kept: Vec<String> = kept
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("damaged"))
        .collect();
    assert!(
        !kept.is_empty(),
        "the damaged one is kept beside the new one"
    );
    // It goes on with what there is, and remembers that.
    let next = host.admin.status("shop").await.unwrap()["stable"]["number"]
        .as_u64()
        .unwrap()
        + 1;
    completed(&host, "shop", &named("build-4"), next).await;
    let host = host.killed_and_started_again().await;
    assert_eq!(answers(&host, "shop").await, "build-4");
    assert_eq!(host.version_at("/shop/").await, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_no_journal_is_set_aside() {
    let host = Caxton::start().await;
    completed(&host, "shop", &named("one"), 1).await;
    let down = host.stopped().await;
    let journal = down.data_dir().join(JOURNAL);
    damage(&journal, 0, 4096);
    let host = down.start_again().await;
    wait_for("the agent serves", async || {
        (host.get("/shop/").await.is_good()).then_some(())
    })
    .await;
    let entries = attention(&host).await;
    assert!(
        entries
            .iter()
            .any(|entry| entry["kind"] == "journal-damaged"),
        "{entries:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_artifact_is_never_run_and_one_that_is_in_the_directory_is_made_whole() {
    let host = Caxton::start().await;
    for (number, name) in (1..).zip(["one", "two"]) {
        completed(&host, "shop", &named(name), number).await;
    }
    let down = host.stopped().await;
    let artifact = |name: &str| {
        let digest = digest(&named(name));
        down.data_dir().join(format!("artifacts/{digest}.wasm"))
    };
    for name in ["one", "two"] {
        damage(&artifact(name), 100, 50);
    }
    // Compiled code would do without the bytes; here it is all gone.
    fs::remove_dir_all(down.data_dir().join("compiled")).unwrap();
    let two = artifact("two");
    let host = down.start_again().await;
    wait_for("what the directory holds serves", async || {
        let reply = host.get("/shop/").await;
        reply.is_good().then_some(())
    })
    .await;
    assert_eq!(answers(&host, "shop").await, "two");
    wait_for("its artifact is whole again", async || {
        let bytes = fs::read(&two).unwrap_or_default();
        (digest(&bytes) == digest(&named("two"))).then_some(())
    })
    .await;
    // The other one is nowhere else: going back to it is refused, and what serves goes on.
    let asked = host
        .admin
        .order("shop", "rollback", json!({ "to": 1 }))
        .await;
    if asked.is_good() {
        host.admin
            .until("shop", "the way back has failed", |status| {
                let text = status.to_string();
                text.contains("damaged") && status["serving"].is_u64()
            })
            .await;
    } else {
        assert!(
            asked.text().contains("damaged") || asked.text().contains("kept"),
            "{}",
            asked.text()
        );
    }
    assert_eq!(answers(&host, "shop").await, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_compiled_code_is_never_run_and_compiled_anew() {
    let host = Caxton::start().await;
    completed(&host, "shop", &named("one"), 1).await;
    let down = host.stopped().await;
    let mut damaged = 0;
    for entry in fs::read_dir(down.data_dir().join("compiled")).unwrap() {
        let path = entry.unwrap().path();
        let length = fs::metadata(&path).unwrap().len();
        damage(&path, length / 2, 64);
        damaged += 1;
    }
    assert!(damaged > 0, "there was compiled code");
    let host = down.start_again().await;
    wait_for("the agent serves", async || {
        (host.get("/shop/").await.is_good()).then_some(())
    })
    .await;
    assert_eq!(answers(&host, "shop").await, "one");
    assert_eq!(host.version_at("/shop/").await, 1);
    completed(&host, "shop", &named("two"), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_back_changes_no_order_and_stops_nothing() {
    const TEN_DAYS: i64 = 10 * 24 * 60 * 60 * 1_000;
    let host = Caxton::start().await;
    completed(&host, "shop", &named("one"), 1).await;
    completed(&host, "shop", &named("two"), 2).await;
    host.admin.must("shop", "rollback").await;
    host.admin
        .until_result("shop", "rolled back", |r| r["status"] == "rolled-back")
        .await;
    let down = host.stopped().await;
    let journal = Connection::open(down.data_dir().join(JOURNAL)).unwrap();
    for (table, column) in [
        ("reloads", "started_at"),
        ("reloads", "ended_at"),
        ("versions", "created_at"),
        ("endings", "since"),
        ("events", "at"),
        ("acts", "at"),
        ("contents", "taken_at"),
        ("contents", "seen_at"),
        ("agents", "updated_at"),
    ] {
        journal
            .execute(
                &format!("UPDATE {table} SET {column} = {column} + {TEN_DAYS}"),
                [],
            )
            .unwrap();
    }
    drop(journal);
    let host = down.start_again().await;
    assert_eq!(answers(&host, "shop").await, "one");
    host.admin
        .until("shop", "what was rolled back stays out", |status| {
            status["diverged"].is_string()
        })
        .await;
    completed(&host, "shop", &named("three"), 3).await;
    let newest = &host.admin.history("shop").await[0];
    assert_eq!(newest["to"], 3, "the newest is first: {newest}");
    let host = host.killed_and_started_again().await;
    assert_eq!(answers(&host, "shop").await, "three");
    host.admin
        .until_result("shop", "the newest is first", |result| result["to"] == 3)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_directory_that_is_removed_and_made_again_stops_nothing() {
    let host = Caxton::start().await;
    completed(&host, "shop", &named("one"), 1).await;
    completed(&host, "other", &named("first"), 1).await;
    fs::remove_dir_all(host.agents()).unwrap();
    told(&host, &["serves on"]).await;
    assert_eq!(answers(&host, "shop").await, "one");
    fs::create_dir(host.agents()).unwrap();
    put(&host.agents(), "shop.wasm", &named("two"));
    put(&host.agents(), "other.wasm", &named("first"));
    host.swapped("shop", 2).await;
    wait_for("nothing is said of it any more", async || {
        let entries = attention(&host).await;
        let lost = |entry: &Value| entry["kind"] == "directory-vanished";
        (!entries.iter().any(lost)).then_some(())
    })
    .await;
    assert_eq!(host.events.count("other", "reload-started"), 1);
    assert_eq!(host.events.count("other", "stopped"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_directory_that_is_unreadable_for_a_while_stops_nothing() {
    let host = Caxton::start_with(Setup::default().inside(Around::Powerless)).await;
    completed(&host, "shop", &named("one"), 1).await;
    let mode = |mode| fs::set_permissions(host.agents(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    told(&host, &["ermission denied"]).await;
    assert_eq!(answers(&host, "shop").await, "one");
    mode(0o755);
    completed(&host, "shop", &named("two"), 2).await;
    assert_eq!(host.events.count("shop", "stopped"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_directory_that_is_empty_or_gone_at_the_start_stops_nothing() {
    for gone in [false, true] {
        let host = Caxton::start().await;
        completed(&host, "shop", &named("one"), 1).await;
        completed(&host, "other", &named("first"), 1).await;
        let down = host.killed();
        fs::remove_dir_all(down.agents()).unwrap();
        if !gone {
            fs::create_dir(down.agents()).unwrap();
        }
        let host = down.start_again().await;
        told(&host, &["serves on"]).await;
        assert_eq!(answers(&host, "shop").await, "one");
        assert_eq!(answers(&host, "other").await, "first");
        assert_eq!(host.events.count("shop", "stopped"), 0);
        if gone {
            fs::create_dir(host.agents()).unwrap();
        }
        // One file shows that the directory is meant; what is there again is what serves.
        fs::create_dir_all(host.agents()).unwrap();
        put(&host.agents(), "shop.wasm", &named("one"));
        put(&host.agents(), "other.wasm", &named("second"));
        host.swapped("other", 2).await;
        assert_eq!(host.events.count("shop", "reload-started"), 0);
    }
}
