//! A host that runs: the real binary in a temporary directory, ended with its test.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::admin::Admin;
use super::events::{Event, Events};
use super::files::put;
use super::http::{Ask, Connection, Reply, once};
use super::time::{PATIENCE, wait_for};
use super::turns::Turn;

/// Lines of the host's log that a failing test shows.
const LOG_LINES: usize = 60;

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_caxton"))
}

/// How a host is started. Every time in it is short, so that tests need not wait for what is not their matter.
pub(crate) struct Setup {
    /// The `[host]` table of caxton.toml.
    pub(crate) host: String,
    /// The tables under `[defaults]`.
    pub(crate) defaults: String,
    /// Further arguments of `run`.
    pub(crate) arguments: Vec<&'static str>,
    /// Whether the test has the machine for itself.
    pub(crate) alone: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            host:
                "tick = \"100ms\"\nsettle = \"100ms\"\nrescan = \"500ms\"\nremove_grace = \"1s\"\n"
                    .to_owned(),
            defaults: "[defaults.reload]\nwarm_up = \"0s\"\nbake = \"0s\"\n\
                       [defaults.health]\ninterval = \"100ms\"\n"
                .to_owned(),
            arguments: Vec::new(),
            alone: false,
        }
    }
}

impl Setup {
    /// Other tables under `[defaults]`.
    pub(crate) fn defaults(defaults: &str) -> Self {
        Self {
            defaults: defaults.to_owned(),
            ..Self::default()
        }
    }

    /// While no other test runs.
    pub(crate) fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }
}

/// A running host.
pub(crate) struct Caxton {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: Admin,
    pub(crate) events: Events,
    folder: TempDir,
    child: Child,
    _turn: Turn,
}

impl Caxton {
    /// A host with short times.
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let turn = if setup.alone {
            Turn::alone().await
        } else {
            Turn::shared().await
        };
        let folder = tempfile::tempdir().unwrap();
        for name in ["agents", "policies"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = format!("[host]\n{}\n{}", setup.host, setup.defaults);
        fs::write(folder.path().join("caxton.toml"), config).unwrap();
        let child = spawn(folder.path(), &setup.arguments);
        let mut started = Started { folder, child };
        let contact = started.contact().await;
        let address = |key: &str| contact[key].as_str().unwrap().parse().unwrap();
        let admin = Admin {
            address: address("address"),
            token: contact["token"].as_str().unwrap().to_owned(),
        };
        let Started { folder, child } = started;
        let events = Events::follow(&admin).await;
        Self {
            gateway: address("gateway"),
            admin,
            events,
            folder,
            child,
            _turn: turn,
        }
    }

    /// The watched directory.
    pub(crate) fn agents(&self) -> PathBuf {
        self.folder.path().join("agents")
    }

    /// Where own policies are.
    pub(crate) fn policies(&self) -> PathBuf {
        self.folder.path().join("policies")
    }

    /// Outside of everything that is watched, on the same file system.
    pub(crate) fn elsewhere(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts NAME.wasm into place.
    pub(crate) fn drop_agent(&self, name: &str, component: &[u8]) {
        put(&self.agents(), &format!("{name}.wasm"), component);
    }

    /// Puts NAME.toml into place. It waits for its component, so it comes first.
    pub(crate) fn configure(&self, name: &str, config: &str) {
        put(&self.agents(), &format!("{name}.toml"), config.as_bytes());
    }

    /// Puts NAME.wasm into place and waits until version `number` of it gets the new requests.
    pub(crate) async fn deploy(&self, name: &str, component: &[u8], number: u64) -> Event {
        self.drop_agent(name, component);
        self.swapped(name, number).await
    }

    /// Waits until version `number` gets the new requests.
    pub(crate) async fn swapped(&self, name: &str, number: u64) -> Event {
        self.events
            .first(&format!("{name}: version {number} serves"), |event| {
                event.swaps(name, number)
            })
            .await
    }

    /// One request to the gateway, which must bring back a head.
    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        let path = ask.path.clone();
        once(self.gateway, ask)
            .await
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(Ask::get(path)).await
    }

    /// The number of the version that answers `path` now, with 200.
    pub(crate) async fn version_at(&self, path: &str) -> u64 {
        let reply = self.get(path).await;
        assert!(reply.is_good(), "{path}: {} {}", reply.status, reply.text());
        reply
            .version()
            .unwrap_or_else(|| panic!("{path}: a reply without its version: {:?}", reply.headers))
    }

    /// A connection to the gateway.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.gateway).await.unwrap()
    }

    /// Runs the command line against this host.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir());
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    /// Sends the host a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// Waits until the host's process has ended.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        wait_for("the host to end", async || self.child.try_wait().unwrap()).await
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Caxton {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- events: {:?}", self.events.summary());
            for event in self.events.all().iter().rev().take(LOG_LINES).rev() {
                eprintln!("{}", event.json);
            }
        }
        end(&mut self.child, self.folder.path());
    }
}

/// A process that has not said yet where it listens.
struct Started {
    folder: TempDir,
    child: Child,
}

impl Started {
    async fn contact(&mut self) -> Value {
        let file = self.folder.path().join("data").join("admin.json");
        let begun = std::time::Instant::now();
        loop {
            if let Some(contact) = fs::read(&file)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            {
                return contact;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                end(&mut self.child, self.folder.path());
                panic!(
                    "the host did not start: {ended:?}\n{}",
                    log(self.folder.path())
                );
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    let log = File::create(folder.join("log")).unwrap();
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

fn end(child: &mut Child, folder: &Path) {
    // It may have ended by itself; then there is nothing to kill.
    let _ = child.kill();
    let _ = child.wait();
    if std::thread::panicking() {
        eprintln!("--- the host's log\n{}", log(folder));
    }
}

fn log(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
