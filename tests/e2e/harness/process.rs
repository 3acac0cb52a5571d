//! The host's process in its temporary directory: ended with its owner, its log shown when a test fails.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::time::{PATIENCE, wait_for};

/// Lines of the host's log that a failing test shows.
pub(crate) const LOG_LINES: usize = 60;

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_caxton"))
}

/// A `caxton run`, with directories and configuration of its own.
pub(crate) struct Process {
    folder: TempDir,
    child: Child,
}

impl Process {
    /// Starts it with this caxton.toml.
    pub(crate) fn start(config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agents", "policies"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("caxton.toml"), config).unwrap();
        let child = spawn(folder.path(), arguments);
        Self { folder, child }
    }

    /// Kills it without a word and starts it again in the same directories.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again();
    }

    /// Starts it in the same directories, once it has ended.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), &[]);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What this process wrote about where it listens, as soon as it has.
    pub(crate) async fn contact(&mut self) -> Value {
        let file = self.data_dir().join("admin.json");
        let begun = Instant::now();
        loop {
            let written = fs::read(&file).unwrap_or_default();
            let contact: Value = serde_json::from_slice(&written).unwrap_or_default();
            // A process that was killed leaves its own behind.
            if contact["pid"] == self.child.id() {
                return contact;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the host did not start: {ended:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &pid]);
        assert!(kill.status().unwrap().success(), "{name}");
    }

    pub(crate) async fn exited(&mut self) -> ExitStatus {
        wait_for("the host to end", async || self.child.try_wait().unwrap()).await
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host's log\n{}", self.log());
        }
    }
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    let mut log = File::options();
    let log = log.create(true).append(true).open(folder.join("log"));
    let log = log.unwrap();
    binary()
        .arg("run")
        .arg(folder.join("agents"))
        .arg("--config")
        .arg(folder.join("caxton.toml"))
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--policies")
        .arg(folder.join("policies"))
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
