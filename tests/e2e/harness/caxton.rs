//! A host that runs: the real binary in a temporary directory, ended with its test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

use super::admin::Admin;
use super::events::{Event, Events};
use super::files::put;
use super::http::{Ask, Connection, Reply, once};
use super::process::{Around, Process, binary};
use super::time::wait_for;
use super::turns::Turn;

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
    /// What it is started inside of.
    pub(crate) around: Around,
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
            around: Around::Bare,
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

    /// Inside of something.
    pub(crate) fn inside(self, around: Around) -> Self {
        Self { around, ..self }
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
    process: Process,
    turn: Turn,
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
        let config = format!("[host]\n{}\n{}", setup.host, setup.defaults);
        Self::of(
            Process::start(&config, &setup.arguments, setup.around),
            turn,
        )
        .await
    }

    /// Kills the host without a word and starts another one in the same directories.
    pub(crate) async fn killed_and_started_again(self) -> Self {
        self.killed().start_again().await
    }

    /// Stops the host as its users do and starts another one in the same directories.
    pub(crate) async fn stopped_and_started_again(self) -> Self {
        self.stopped().await.start_again().await
    }

    /// The same, with something done to the data directory in between.
    pub(crate) async fn stopped_and_started_again_after(
        self,
        meanwhile: impl FnOnce(&Path),
    ) -> Self {
        let down = self.stopped().await;
        meanwhile(&down.data_dir());
        down.start_again().await
    }

    /// Kills the host without a word.
    pub(crate) fn killed(self) -> Down {
        let Self {
            mut process, turn, ..
        } = self;
        process.kill();
        Down { process, turn }
    }

    /// Stops the host as its users do.
    pub(crate) async fn stopped(self) -> Down {
        let Self {
            mut process, turn, ..
        } = self;
        process.signal("TERM");
        let ended = process.exited().await;
        assert!(ended.success(), "{ended}");
        Down { process, turn }
    }

    /// Starts a second host in the same directories, which must end by itself: its exit code and what it says.
    pub(crate) async fn second(&self) -> (Option<i32>, String) {
        self.process.second().await
    }

    /// Runs a script among the host's mounts, in which `$data` is the data directory.
    pub(crate) fn among_mounts(&self, script: &str) {
        self.process.among_mounts(script);
    }

    async fn of(mut process: Process, turn: Turn) -> Self {
        let contact = process.contact().await;
        let address = |key: &str| contact[key].as_str().unwrap().parse().unwrap();
        let admin = Admin {
            address: address("address"),
            token: contact["token"].as_str().unwrap().to_owned(),
        };
        Self {
            gateway: address("gateway"),
            events: Events::follow(&admin).await,
            admin,
            process,
            turn,
        }
    }

    /// The watched directory.
    pub(crate) fn agents(&self) -> PathBuf {
        self.process.folder().join("agents")
    }

    /// Where own policies are.
    pub(crate) fn policies(&self) -> PathBuf {
        self.process.folder().join("policies")
    }

    /// Outside of everything that is watched, on the same file system.
    pub(crate) fn elsewhere(&self) -> &Path {
        self.process.folder()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.process.data_dir()
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

    /// The end of what it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Sends the host a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until the host's process has ended.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        self.process.exited().await
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }
}

/// A host that has ended; its directories are as it left them.
pub(crate) struct Down {
    process: Process,
    turn: Turn,
}

impl Down {
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.process.folder().join("data")
    }

    pub(crate) fn agents(&self) -> PathBuf {
        self.process.folder().join("agents")
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.process.folder().join("policies")
    }

    /// Starts another one.
    pub(crate) async fn start_again(self) -> Caxton {
        let Self { mut process, turn } = self;
        process.start_again();
        Caxton::of(process, turn).await
    }

    /// Starts another one, which may find no room for anything: a host, or its exit code and the end of its log.
    pub(crate) async fn start_again_on_a_full_disk(self) -> Result<Caxton, (Option<i32>, String)> {
        let Self { mut process, turn } = self;
        process.start_again();
        let ended = wait_for("the host to start or to end", async || {
            match process.ended() {
                Some(status) => Some(Some(status)),
                None => process.is_announced().then_some(None),
            }
        })
        .await;
        match ended {
            Some(status) => Err((status.code(), process.log())),
            None => Ok(Caxton::of(process, turn).await),
        }
    }

    /// Starts another one from now on inside of something.
    pub(crate) fn put_inside(&mut self, around: Around) {
        self.process.put_inside(around);
    }

    /// Starts another one, which must end by itself: its exit code and the end of the log.
    pub(crate) async fn does_not_start(&mut self) -> (Option<i32>, String) {
        self.process.start_again();
        let ended = self.process.exited().await;
        (ended.code(), self.process.log())
    }
}
