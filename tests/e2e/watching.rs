//! Every way in which files come, change and go: one deployment each, and never half a file.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use caxton_test_artifacts::{FLAKY, WEB};
use serde_json::json;

use crate::harness::{Ask, Caxton, Setup, digest, once, put, variant, wait_for};

/// What a slow copy writes at once.
const PIECE: usize = 1024;

/// How long a slow copy takes altogether.
const SLOWLY: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_slowly_is_loaded_once_and_whole() {
    let host = Caxton::start().await;
    // One writer keeps the file open, the other opens it anew for each piece.
    let (kept, anew) = (variant(WEB, 1), variant(WEB, 2));
    let folder = host.agents();
    let writers = [
        tokio::spawn(write_slowly(folder.join("kept.wasm"), kept.clone(), false)),
        tokio::spawn(write_slowly(folder.join("anew.wasm"), anew.clone(), true)),
    ];
    for writer in writers {
        writer.await.unwrap();
    }
    host.swapped("kept", 1).await;
    host.swapped("anew", 1).await;
    settled(&host).await;
    for (agent, bytes) in [("kept", kept), ("anew", anew)] {
        assert_eq!(host.events.count(agent, "reload-started"), 1, "{agent}");
        assert_eq!(host.events.count(agent, "refused"), 0, "{agent}");
        let status = host.admin.status(agent).await.unwrap();
        assert_eq!(status["stable"]["digest"], digest(&bytes), "{agent}");
    }
}

async fn write_slowly(path: std::path::PathBuf, bytes: Vec<u8>, reopen: bool) {
    let pieces: Vec<&[u8]> = bytes.chunks(PIECE).collect();
    let pause = SLOWLY / u32::try_from(pieces.len()).unwrap();
    let open = || {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap()
    };
    let mut file = open();
    for piece in pieces {
        if reopen {
            file = open();
        }
        file.write_all(piece).unwrap();
        tokio::time::sleep(pause).await;
    }
}

/// Puts other bytes in the place of web.wasm: in this folder, with a place aside to write to first.
type Replace = fn(&Path, &Path, &[u8]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_replace_a_file_gives_exactly_one_reload() {
    let host = Caxton::start().await;
    let ways: [(&str, Replace); 5] = [
        ("cp", |folder, aside, bytes| {
            fs::write(aside, bytes).unwrap();
            fs::copy(aside, folder.join("web.wasm")).unwrap();
        }),
        ("mv", |folder, aside, bytes| {
            fs::write(aside, bytes).unwrap();
            fs::rename(aside, folder.join("web.wasm")).unwrap();
        }),
        ("an editor's rename", |folder, _, bytes| {
            let (file, backup) = (folder.join("web.wasm"), folder.join("web.wasm~"));
            fs::write(folder.join(".web.wasm.swp"), b"swap file").unwrap();
            fs::rename(&file, &backup).unwrap();
            fs::write(&file, bytes).unwrap();
            fs::remove_file(backup).unwrap();
            fs::remove_file(folder.join(".web.wasm.swp")).unwrap();
        }),
        ("rm then cp", |folder, aside, bytes| {
            fs::remove_file(folder.join("web.wasm")).unwrap();
            fs::write(aside, bytes).unwrap();
            fs::copy(aside, folder.join("web.wasm")).unwrap();
        }),
        ("hard link", |folder, aside, bytes| {
            fs::write(aside, bytes).unwrap();
            fs::remove_file(folder.join("web.wasm")).unwrap();
            fs::hard_link(aside, folder.join("web.wasm")).unwrap();
            fs::remove_file(aside).unwrap();
        }),
    ];
    // Something that stays, so that a file that is gone for a moment is not the whole directory.
    host.deploy("other", FLAKY, 1).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    for (number, (way, replace)) in (2..).zip(ways) {
        let bytes = variant(WEB, number);
        replace(&host.agents(), &host.elsewhere().join("aside"), &bytes);
        host.swapped("web", number).await;
        settled(&host).await;
        let began = host.events.count("web", "reload-started");
        assert_eq!(u64::try_from(began).unwrap(), number, "{way}");
        assert_eq!(host.version_at("/web/").await, number, "{way}");
        let status = host.admin.status("web").await.unwrap();
        assert_eq!(status["stable"]["digest"], digest(&bytes), "{way}");
    }
    assert_eq!(host.events.count("web", "refused"), 0);
    assert_eq!(host.events.count("web", "stopped"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_symlink_swap_gives_exactly_one_reload() {
    let host = Caxton::start().await;
    let folder = host.agents();
    let revision = |name: &str, bytes: &[u8]| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("web.wasm"), bytes).unwrap();
    };
    // As Kubernetes mounts a volume: NAME -> ..data/NAME, and ..data -> the revision.
    revision("..first", &variant(WEB, 1));
    symlink("..first", folder.join("..data")).unwrap();
    symlink("..data/web.wasm", folder.join("web.wasm")).unwrap();
    host.swapped("web", 1).await;
    revision("..second", &variant(WEB, 2));
    symlink("..second", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    host.swapped("web", 2).await;
    settled(&host).await;
    assert_eq!(host.events.count("web", "reload-started"), 2);
    assert_eq!(host.version_at("/web/").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_with_a_new_date_are_nothing_new() {
    let host = Caxton::start().await;
    host.deploy("web", WEB, 1).await;
    fs::write(host.agents().join("web.wasm"), WEB).unwrap();
    host.drop_agent("web", WEB);
    settled(&host).await;
    assert_eq!(host.events.count("web", "reload-started"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_deploys() {
    let host = Caxton::start_with(Setup {
        arguments: vec!["--poll"],
        ..Setup::default()
    })
    .await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    fs::write(host.agents().join("web.wasm"), variant(WEB, 2)).unwrap();
    host.swapped("web", 2).await;
    assert_eq!(host.version_at("/web/").await, 2);
}

/// With an hour between rescans, nothing but the overflow itself can tell of the new version.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_whose_queue_overflowed_still_deploys() {
    let setup = Setup {
        host: "tick = \"100ms\"\nrescan = \"1h\"\n".to_owned(),
        ..Setup::default()
    };
    let host = Caxton::start_with(setup).await;
    host.deploy("web", &variant(WEB, 1), 1).await;
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: usize = queue.trim().parse().unwrap();
    host.signal("STOP");
    // Each round makes at least two events that differ from those before them; equal neighbours are counted once.
    for round in 0..queue {
        let name = host.agents().join(format!(".noise-{}", round % 2));
        File::create(name).unwrap();
    }
    host.drop_agent("web", &variant(WEB, 2));
    host.signal("CONT");
    host.swapped("web", 2).await;
    assert_eq!(host.version_at("/web/").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_files_vanishing_at_once_removes_nothing() {
    let host = Caxton::start().await;
    host.deploy("one", &variant(WEB, 1), 1).await;
    host.deploy("two", &variant(WEB, 2), 1).await;
    for name in ["one.wasm", "two.wasm"] {
        fs::remove_file(host.agents().join(name)).unwrap();
    }
    let lost = wait_for("attention for the directory", async || {
        let host = host.admin.host().await;
        let attention = host["attention"].as_array().unwrap().clone();
        attention
            .into_iter()
            .find(|entry| entry["kind"] == "directory-vanished")
    })
    .await;
    assert!(
        lost["text"].as_str().unwrap().contains("serves on"),
        "{lost}"
    );
    assert_eq!(host.version_at("/one/").await, 1);
    assert_eq!(host.version_at("/two/").await, 1);
    // One file shows that the directory is meant: now what is missing is believed.
    put(&host.agents(), "one.wasm", &variant(WEB, 1));
    host.events
        .first("two is stopped", |event| event.is("two", "stopped"))
        .await;
    assert_eq!(host.version_at("/one/").await, 1);
    assert_eq!(host.events.count("one", "reload-started"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_agent_stops_after_the_grace_and_finishes_what_it_has() {
    let host = Caxton::start().await;
    host.deploy("one", &variant(WEB, 1), 1).await;
    host.deploy("two", &variant(WEB, 2), 1).await;
    let gateway = host.gateway;
    let slow = tokio::spawn(once(gateway, Ask::get("/one/sleep?ms=3000")));
    host.admin.until_in_flight("one", 1).await;
    let removed_at = crate::harness::epoch_ms();
    fs::remove_file(host.agents().join("one.wasm")).unwrap();
    let stopped = host
        .events
        .first("one is stopped", |event| event.is("one", "stopped"))
        .await;
    assert!(
        stopped.at() - removed_at >= 900.0,
        "it was removed before its grace had passed"
    );
    let reply = host.get("/one/").await;
    assert!(matches!(reply.status, 404 | 503), "{}", reply.status);
    assert_eq!(host.version_at("/two/").await, 1);
    let reply = slow.await.unwrap().unwrap();
    assert!(reply.is_good() && reply.version() == Some(1), "{reply:?}");
    let status = host.admin.status("one").await;
    assert!(status.is_none_or(|status| status["state"] == json!("stopped")));
}

/// A deployment of another agent, begun after everything else, that has come in: what was on its way is here, too.
async fn settled(host: &Caxton) {
    let before = host.events.count("sentinel", "swapped");
    let number = u64::try_from(before).unwrap() + 1;
    host.deploy("sentinel", &variant(FLAKY, number), number)
        .await;
}
