//! The binary from outside: exit codes, what it says when it cannot, and how a host begins and ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "cli/policy.rs"]
mod policy;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than a host takes to start in a debug build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// The binary in `folder`, with none of this process's settings for it.
fn caxton(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caxton"));
    for name in [
        "CAXTON_ADMIN",
        "CAXTON_TOKEN",
        "CAXTON_DATA_DIR",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[track_caller]
fn check(output: &Output, code: i32, words: &[&str]) {
    let told = told(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
}

/// A host on free ports, with no agents.
struct Running {
    child: Child,
    folder: TempDir,
    /// What `run` printed.
    printed: Vec<String>,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("agents")).unwrap();
        let mut command = caxton(folder.path());
        command.args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed: Vec<String> = lines.by_ref().take(3).map_while(Result::ok).collect();
        if printed.len() < 3 {
            let mut problem = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut problem)
                .unwrap();
            panic!("the host did not start: {problem}");
        }
        Self {
            child,
            folder,
            printed,
        }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        caxton(self.folder.path()).args(arguments).output().unwrap()
    }

    fn announcement(&self) -> Value {
        let file = self.folder.path().join(".caxton").join("admin.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit code, and what was written to the standard error.
    fn end(&mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the host does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status.code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn wrong_usage_is_two_and_says_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| caxton(folder.path()).args(arguments).output().unwrap();
    check(&ask(&[]), 2, &["Usage: caxton"]);
    check(&ask(&["evnts"]), 2, &["evnts", "events"]);
    check(&ask(&["status"]), 2, &["AGENT"]);
    check(&ask(&["status", "No/Name"]), 2, &["a-z", "caxton ls"]);
    check(
        &ask(&["rollback", "hello", "--to", "0"]),
        2,
        &["numbered from 1"],
    );
    check(
        &ask(&["demo", "--strategy", "blue-green"]),
        2,
        &["graceful", "immediate", "parallel", "traffic-splitting"],
    );
    for share in ["0", "100", "ten"] {
        check(&ask(&["set-split", "hello", share]), 2, &["1", "99"]);
    }
    check(&ask(&["set-split", "hello"]), 2, &["PERCENT"]);
    check(
        &ask(&["rollback", "hello", "--state", "old"]),
        2,
        &["carry", "snapshot", "fresh"],
    );
    check(&ask(&["abort", "hello", "--state", "x"]), 2, &["carry"]);
    check(&ask(&["top"]), 2, &["caxton status", "--json"]);
    check(&ask(&["run"]), 2, &["agents", "mkdir"]);
    check(&ask(&["run", "--config", "none.toml"]), 2, &["none.toml"]);
    check(&ask(&["--version"]), 0, &[env!("CARGO_PKG_VERSION")]);
    std::fs::create_dir(folder.path().join("agents")).unwrap();
    check(
        &ask(&["run", "--data-dir", "agents/data"]),
        2,
        &["agents/data", "--data-dir"],
    );
    let mut odd_log = caxton(folder.path());
    check(
        &odd_log
            .args(["run"])
            .env("RUST_LOG", "=/=")
            .output()
            .unwrap(),
        2,
        &["RUST_LOG"],
    );
}

#[test]
fn no_host_is_three_and_says_how_to_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let ask = || caxton(folder.path());
    check(
        &ask().arg("ls").output().unwrap(),
        3,
        &[".caxton", "caxton run", "--data-dir"],
    );
    check(
        &ask()
            .arg("ls")
            .env("CAXTON_DATA_DIR", "elsewhere")
            .output()
            .unwrap(),
        3,
        &["elsewhere"],
    );
    check(
        &ask().args(["ls", "--data-dir", "named"]).output().unwrap(),
        3,
        &["named"],
    );
    let mut half = ask();
    check(
        &half
            .arg("ls")
            .env("CAXTON_ADMIN", "127.0.0.1:1")
            .output()
            .unwrap(),
        2,
        &["CAXTON_TOKEN"],
    );
    let mut nobody = ask();
    nobody
        .arg("ls")
        .env("CAXTON_ADMIN", "127.0.0.1:1")
        .env("CAXTON_TOKEN", "x");
    check(
        &nobody.output().unwrap(),
        3,
        &["127.0.0.1:1", "CAXTON_ADMIN"],
    );
    std::fs::create_dir(folder.path().join(".caxton")).unwrap();
    std::fs::write(folder.path().join(".caxton/admin.json"), "nonsense").unwrap();
    check(&ask().arg("ls").output().unwrap(), 3, &["admin.json"]);
}

#[test]
fn a_host_tells_where_it_is_and_ends_in_order() {
    let mut host = Running::start();
    let announced = host.announcement();
    let address = |field: &str| announced[field].as_str().unwrap().to_owned();
    assert_eq!(
        host.printed[0],
        format!("gateway  http://{}/", address("gateway"))
    );
    assert_eq!(
        host.printed[1],
        format!("admin    http://{}/", address("address"))
    );
    assert_eq!(announced["pid"], host.child.id());

    let list = host.ask(&["ls", "--json"]);
    check(&list, 0, &[]);
    assert_eq!(
        serde_json::from_slice::<Value>(&list.stdout).unwrap(),
        serde_json::json!([])
    );
    check(
        &host.ask(&["status", "nobody"]),
        1,
        &["nobody", "caxton ls"],
    );
    check(&host.ask(&["rollback", "nobody"]), 1, &["nobody"]);
    check(
        &host.ask(&["rollback", "nobody", "--to", "2", "--state", "fresh"]),
        1,
        &["nobody", "caxton ls"],
    );
    check(&host.ask(&["abort", "nobody"]), 1, &["nobody"]);
    check(&host.ask(&["set-split", "nobody", "25"]), 1, &["nobody"]);
    check(&host.ask(&["call", "nobody"]), 1, &["404"]);

    // The same host, found through the environment, from a folder that knows nothing of it.
    let elsewhere = tempfile::tempdir().unwrap();
    let ask = |token: &str| {
        let mut command = caxton(elsewhere.path());
        command
            .arg("ls")
            .env("CAXTON_ADMIN", address("address"))
            .env("CAXTON_TOKEN", token);
        command.output().unwrap()
    };
    check(&ask(&address("token")), 0, &[]);
    check(&ask("wrong"), 2, &["token"]);

    // A second host keeps away from the first one's data.
    let second = ["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    check(&host.ask(&second), 2, &[".caxton", "--data-dir"]);

    let mut follower = caxton(host.folder.path());
    let following = follower
        .args(["events", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    host.signal("-TERM");
    let (code, log) = host.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
    assert!(!host.folder.path().join(".caxton/admin.json").exists());
    // It had begun to follow, or came too late to: in both cases the host is not there any more.
    check(&following.wait_with_output().unwrap(), 3, &[]);
    check(&host.ask(&["ls"]), 3, &["caxton run"]);
}

#[test]
fn a_host_that_was_killed_is_told_apart_from_one_that_was_never_there() {
    let mut host = Running::start();
    let pid = host.child.id().to_string();
    host.signal("-KILL");
    host.end();
    check(
        &host.ask(&["ls"]),
        3,
        &[&pid, "does not answer", "caxton run"],
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut help = caxton(folder.path());
    let mut child = help
        .arg("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    check(&output, 0, &[]);

    let host = Running::start();
    let mut list = caxton(host.folder.path());
    let mut child = list
        .args(["ls", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    check(&output, 0, &[]);
    assert!(output.stderr.is_empty(), "{}", told(&output));
}

#[test]
fn the_contracts_are_printed_and_written_where_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |words: &[&str]| caxton(folder.path()).args(words).output().unwrap();
    for (name, package) in [
        ("agent", "package caxton:agent@"),
        ("policy", "package caxton:policy@"),
    ] {
        let printed = ask(&["wit", name]);
        check(&printed, 0, &[package]);
        let written = ask(&["wit", name, "--out", "wit/deeper"]);
        check(&written, 0, &[&format!("{name}.wit is written")]);
        let path = folder.path().join("wit/deeper").join(format!("{name}.wit"));
        assert_eq!(std::fs::read(&path).unwrap(), printed.stdout);
        check(
            &ask(&["wit", name, "--out", "wit/deeper"]),
            0,
            &["the same"],
        );
        std::fs::write(&path, "package other;").unwrap();
        check(
            &ask(&["wit", name, "--out", "wit/deeper"]),
            1,
            &["says something else", "--out"],
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"package other;");
        std::fs::remove_file(&path).unwrap();
    }
    check(&ask(&["wit", "agents"]), 2, &["agent", "policy"]);
}
