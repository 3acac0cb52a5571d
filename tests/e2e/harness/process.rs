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

/// A variable in the environment of every host, which a configuration may hand on, and its value.
pub(crate) const HOSTS_OWN: (&str, &str) =
    ("CAXTON_TEST_SECRET", "/headers?hunter2-of-the-hosts-own");

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_caxton"))
}

/// A `caxton run`, with directories and configuration of its own.
pub(crate) struct Process {
    folder: TempDir,
    child: Child,
    arguments: Vec<String>,
    around: Around,
}

/// What a host is started inside of.
#[derive(Debug, Clone, Default)]
pub(crate) enum Around {
    /// Nothing.
    #[default]
    Bare,
    /// Mounts of its own, made by this script of `sh`, in which `$data` is the data directory. Another script of that kind can
    /// change them while the host runs.
    Mounts(String),
    /// A user without rights of its own.
    Powerless,
    /// An environment with these variables besides.
    Environment(Vec<(&'static str, String)>),
}

impl Process {
    /// Starts it with this caxton.toml.
    pub(crate) fn start(config: &str, arguments: &[&str], around: Around) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agents", "policies"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("caxton.toml"), config).unwrap();
        if matches!(around, Around::Mounts(_)) {
            fs::create_dir(folder.path().join("data")).unwrap();
        }
        if matches!(around, Around::Powerless) {
            hand_over(folder.path());
        }
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        let child = spawn(folder.path(), &arguments, &around);
        Self {
            folder,
            child,
            arguments,
            around,
        }
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it in the same directories, once it has ended.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), &self.arguments, &self.around);
    }

    /// Starts it from now on inside of something else.
    pub(crate) fn put_inside(&mut self, around: Around) {
        self.around = around;
    }

    /// Starts a second one in the same directories, which must end by itself: its exit code and what it says.
    pub(crate) async fn second(&self) -> (Option<i32>, String) {
        let mut command = run(self.folder.path(), &self.arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    }

    /// Runs a script among the host's mounts, in which `$data` is the data directory.
    pub(crate) fn among_mounts(&self, script: &str) {
        let pid = self.child.id().to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--preserve-credentials", "-U", "-m", "-t", &pid]);
        enter.args(["sh", "-c", script]);
        enter.env("data", self.folder.path().join("data"));
        let output = enter.output().unwrap();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// As the host sees it: a mount of its own is reached through the process.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let data = self.folder.path().join("data");
        match self.around {
            Around::Mounts(_) => {
                let root = PathBuf::from(format!("/proc/{}/root", self.child.id()));
                root.join(data.strip_prefix("/").unwrap())
            }
            Around::Bare | Around::Powerless | Around::Environment(_) => data,
        }
    }

    /// What this process wrote about where it listens, as soon as it has.
    pub(crate) async fn contact(&mut self) -> Value {
        let begun = Instant::now();
        loop {
            let contact = self.announcement();
            // A process that was killed leaves its own behind.
            if contact["pid"] == self.child.id() {
                return contact;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the host did not start: {ended:?}\n{}",
                self.log()
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
        self.ended().is_none()
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Whether this process wrote where it listens.
    pub(crate) fn is_announced(&self) -> bool {
        self.announcement()["pid"] == self.child.id()
    }

    fn announcement(&self) -> Value {
        let written = fs::read(self.data_dir().join("admin.json")).unwrap_or_default();
        serde_json::from_slice(&written).unwrap_or_default()
    }

    /// The end of what it has logged.
    pub(crate) fn log(&self) -> String {
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

/// The user without rights of its own: `nobody`, as most systems number it.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Gives the directories to a user without rights, where this one has all of them.
fn hand_over(folder: &Path) {
    if !is_root() {
        return;
    }
    for name in ["", "agents", "policies"] {
        let path = folder.join(name);
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn spawn(folder: &Path, arguments: &[String], around: &Around) -> Child {
    let log = || {
        let mut log = File::options();
        let log = log.create(true).append(true).open(folder.join("log"));
        log.unwrap()
    };
    let mut inner = run(folder, arguments);
    let mut command = match around {
        Around::Bare => inner,
        Around::Environment(variables) => {
            inner.envs(variables.iter().map(|(name, value)| (name, value)));
            inner
        }
        Around::Powerless if !is_root() => inner,
        Around::Powerless => {
            let id = NOBODY.to_string();
            let mut outer = Command::new("setpriv");
            outer.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
            within(outer, &inner)
        }
        Around::Mounts(script) => {
            let mut outer = Command::new("unshare");
            outer.args(["-r", "-m", "sh", "-c"]);
            outer.arg(format!("{script}\nexec \"$@\""));
            outer.arg("sh").env("data", folder.join("data"));
            within(outer, &inner)
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log())
        .spawn()
        .unwrap()
}

fn within(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    outer
}

fn run(folder: &Path, arguments: &[String]) -> Command {
    let mut command = binary();
    command
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
        .env(HOSTS_OWN.0, HOSTS_OWN.1);
    command
}
