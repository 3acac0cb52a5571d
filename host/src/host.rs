//! A running host: everything wired together, and taken apart again in order.

mod data;

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton_rollout::FleetSettings;
use caxton_runtime::policy::{PolicyLimits, PolicyRuntime};
use caxton_runtime::{LogSink, Runtime, RuntimeOptions, TracingSink};
use caxton_store::{Journal, Store};
use caxton_watch::{Options, Watcher};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::data::{check_agents, check_folders, data_error, lock};
use crate::admin::{self, Admin, Announcement, Upkeep};
use crate::attention::Program;
use crate::clock::Clock;
use crate::config::HostConfig;
use crate::controller::{Controller, Parts, Recalled, known};
use crate::dev::PrintedLines;
use crate::events::EventLog;
use crate::folders::{Folders, Granted};
use crate::gateway::{self, GatewaySettings, Served, Shutdown};
use crate::handle::ControllerHandle;
use crate::logs::AgentLogs;
use crate::policies::{Policies, Watching};
use crate::records::Recorder;
use crate::routes::RoutingTable;
use crate::telemetry::Telemetry;

/// News of policies that may wait for the controller.
const POLICY_NEWS: usize = 16;

/// How long the gateway waits at a start for permanent versions to come up: what takes longer is not compiled any more, or has much
/// to load, and is answered for with 503 meanwhile.
const START_WAIT: Duration = Duration::from_secs(2);

/// Why a host does not start: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The agents directory is missing.
    #[error("the agents directory {0} is not there; make it with: mkdir -p {0}")]
    NoAgents(String),
    /// It is made in dev mode, and cannot be.
    #[error(
        "the agents directory {folder} is not there and cannot be made: {problem}; choose another, as in `caxton run --dev DIR`"
    )]
    MakeAgents {
        /// The agents directory.
        folder: String,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The data directory lies where files are deployments.
    #[error(
        "the data directory {data} lies inside the agents directory {agents}, where files are deployments; choose \
         another with --data-dir"
    )]
    DataInside {
        /// The data directory.
        data: String,
        /// The agents directory.
        agents: String,
    },
    /// Policies would be watched where the host keeps its own copies of them.
    #[error(
        "the policies directory {policies} is where the host keeps its own copies, in the data directory {data}; choose \
         another with --policies"
    )]
    PoliciesInside {
        /// The policies directory.
        policies: String,
        /// The data directory.
        data: String,
    },
    /// The program that is to be told what waits for a person cannot be run.
    #[error("{0}")]
    OnAttention(String),
    /// The data directory cannot be used.
    #[error(
        "the data directory {folder} cannot be used: {problem}; give this user the right to write into it, or choose another with \
         --data-dir"
    )]
    Data {
        /// The data directory.
        folder: String,
        /// What the system said.
        problem: std::io::Error,
    },
    /// What is kept in the data directory cannot be opened.
    #[error(transparent)]
    Store(#[from] caxton_store::OpenError),
    /// Another host has the data directory.
    #[error(
        "another host uses the data directory {0}; stop it, or choose another directory with --data-dir"
    )]
    Locked(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for the {what}: {problem}; choose another with --{option}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Gateway or admin surface.
        what: &'static str,
        /// The option that changes it.
        option: &'static str,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The directory cannot be watched.
    #[error(transparent)]
    Watch(#[from] caxton_watch::StartError),
    /// The machine cannot run components.
    #[error("components cannot be run here: {0}")]
    Runtime(String),
}

impl StartError {
    /// Whether another command line or configuration would help.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Runtime(_))
    }
}

/// What a stop cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Requests that were ended before they were answered.
    pub cut: u64,
}

/// A host that serves until it is stopped.
pub struct Host {
    gateway: SocketAddr,
    admin: SocketAddr,
    handle: ControllerHandle,
    events: Arc<EventLog>,
    data_dir: PathBuf,
    shutdown: Shutdown,
    serving: JoinHandle<Served>,
    /// Ends the surface and the controller, after the gateway.
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    journal: Journal,
    /// Held for as long as the host lives: its lock keeps a second host out.
    _lock: File,
}

impl Host {
    /// Starts everything; returns when both surfaces accept connections.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing runs then.
    pub async fn start(config: HostConfig, telemetry: Telemetry) -> Result<Self, StartError> {
        let clock = Clock::start();
        check_folders(&config)?;
        let on_attention =
            Program::of(&config.on_attention, &config.data_dir).map_err(StartError::OnAttention)?;
        let lock = lock(&config.data_dir)?;
        let (store, recalled, damage) = recall(&config).await?;
        // Agents that are remembered serve on without it, as they do where it vanishes later.
        if known(&recalled).is_empty() {
            check_agents(&config)?;
        }
        let listener = listen(config.listen, "gateway", "listen").await?;
        let admin_listener = listen(config.admin, "admin surface", "admin").await?;
        let gateway = local(&listener, config.listen, "gateway", "listen")?;
        let admin = local(&admin_listener, config.admin, "admin surface", "admin")?;
        let token = admin::new_token().map_err(|problem| data_error(&config.data_dir, problem))?;

        let compiled = config.data_dir.join("compiled");
        let logs = Arc::new(AgentLogs::and_to(onward(config.dev)));
        let runtime = Runtime::new(runtime_options(admin, &compiled, &logs))
            .map_err(|e| StartError::Runtime(e.to_string()))?;
        let policy_runtime = PolicyRuntime::with_cache(PolicyLimits::default(), Some(&compiled))
            .map_err(|e| StartError::Runtime(e.to_string()))?;
        let policies_dir = std::path::absolute(&config.policies)
            .map_err(|problem| data_error(&config.policies, problem))?;
        let policies = Arc::new(Policies::new(
            policy_runtime,
            policies_dir.clone(),
            store.blobs.clone(),
        ));
        let (news, policy_news) = mpsc::channel(POLICY_NEWS);
        let watching = Watching {
            policies: Arc::clone(&policies),
            options: watch_options(&config),
            clock,
            news,
        };
        let agents_dir = std::path::absolute(&config.agents)
            .map_err(|problem| data_error(&config.agents, problem))?;
        let watcher = Watcher::start(&config.agents, watch_options(&config), known(&recalled))?;
        let routes = Arc::new(ArcSwap::from_pointee(RoutingTable::default()));
        let events = Arc::new(EventLog::new());
        let (recorder, records) = Recorder::start(&store.journal, &config.data_dir);
        let granted = Granted::default();
        let upkeep = Upkeep::new(
            store.journal.clone(),
            &[
                ("agents directory", agents_dir.clone()),
                ("policies directory", policies_dir.clone()),
                ("data directory", config.data_dir.clone()),
            ],
            granted.clone(),
        );
        let (settled, all_up) = oneshot::channel();
        let journal = store.journal.clone();
        let (controller, handle) = Controller::new(Parts {
            runtime,
            policies: Arc::clone(&policies),
            policy_news,
            watcher,
            routes: Arc::clone(&routes),
            events: Arc::clone(&events),
            logs: Arc::clone(&logs),
            recorder,
            store,
            recalled,
            damage,
            settled,
            defaults: config.defaults,
            dev: config.dev,
            tick: config.tick,
            fleet: FleetSettings {
                max_reloads: config.max_reloads,
                seed: random_seed().map_err(|problem| data_error(&config.data_dir, problem))?,
            },
            clock,
            telemetry: telemetry.clone(),
            folders: Folders {
                agents: agents_dir,
                policies: policies_dir,
                data: config.data_dir.clone(),
                granted,
            },
        });

        telemetry.observe(&handle);
        let stop = CancellationToken::new();
        let shutdown = Shutdown::default();
        let surface = Admin {
            handle: handle.clone(),
            events: Arc::clone(&events),
            logs,
            records,
            upkeep,
            policies,
            gateway,
            started: clock.now(),
            token: token.clone(),
            telemetry: telemetry.clone(),
        };
        let mut tasks = vec![
            tokio::spawn(controller.run(stop.clone())),
            tokio::spawn(watching.run(stop.clone())),
        ];
        if let Some(program) = on_attention {
            tasks.push(tokio::spawn(program.tell(handle.clone(), stop.clone())));
        }
        // Whoever connects meanwhile waits: nobody is told that an agent is not there which is remembered.
        let _ = tokio::time::timeout(START_WAIT, all_up).await;
        tasks.push(tokio::spawn(admin::serve(
            admin_listener,
            surface,
            stop.clone(),
        )));
        let announcement = Announcement {
            address: admin,
            gateway,
            pid: std::process::id(),
            token,
        };
        if let Err(problem) = admin::announce(&config.data_dir, &announcement) {
            stop.cancel();
            for task in tasks {
                let _ = task.await;
            }
            return Err(data_error(&config.data_dir, problem));
        }
        let serving = tokio::spawn(gateway::serve(
            listener,
            routes,
            GatewaySettings::default(),
            telemetry,
            shutdown.clone(),
        ));
        Ok(Self {
            gateway,
            admin,
            handle,
            events,
            data_dir: config.data_dir,
            shutdown,
            serving,
            stop,
            tasks,
            journal,
            _lock: lock,
        })
    }

    /// Where requests go.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Where operators go.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The way to the controller.
    #[must_use]
    pub fn handle(&self) -> ControllerHandle {
        self.handle.clone()
    }

    /// What happened.
    #[must_use]
    pub fn events(&self) -> Arc<EventLog> {
        Arc::clone(&self.events)
    }

    /// Where the host keeps what is its own.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Takes no new connections, answers what runs, and ends; when `force` resolves, what still runs is cut.
    pub async fn stop(self, force: impl Future<Output = ()>) -> Stopped {
        self.shutdown.stop();
        let mut serving = self.serving;
        let served = tokio::select! {
            served = &mut serving => served,
            () = force => {
                self.shutdown.force();
                serving.await
            }
        };
        self.stop.cancel();
        for task in self.tasks {
            if let Err(panicked) = task.await {
                tracing::error!("a part of the host ended badly: {panicked}");
            }
        }
        if !self.journal.stop().await {
            tracing::warn!("the last entries of the journal were not written in time");
        }
        if let Err(problem) = admin::withdraw(&self.data_dir) {
            tracing::warn!("{} stays behind: {problem}", self.data_dir.display());
        }
        Stopped {
            cut: served.map_or(0, |served| served.cut),
        }
    }
}

/// Opens the store, and reads what earlier hosts left of each agent.
async fn recall(config: &HostConfig) -> Result<(Store, Vec<Recalled>, Vec<String>), StartError> {
    let (data, limits) = (config.data_dir.clone(), config.retention);
    let read = move || {
        let (store, opened) = Store::open(&data, limits)?;
        let recall = |stored| Recalled::read(stored, &store.blobs);
        let recalled = opened.agents.into_iter().map(recall).collect();
        Ok((store, recalled, opened.damage))
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|panicked| {
        Err(data_error(
            &config.data_dir,
            std::io::Error::other(panicked),
        ))
    })
}

/// No guest reaches the admin surface, whatever it was granted. Guests that compute may have every worker but one, so that sockets are looked at whatever guests do.
fn runtime_options(admin: SocketAddr, compiled: &Path, logs: &Arc<AgentLogs>) -> RuntimeOptions {
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    RuntimeOptions {
        computing: workers.saturating_sub(1).max(1),
        forbidden: vec![admin],
        compiled: Some(compiled.to_owned()),
        log_sink: Arc::<AgentLogs>::clone(logs),
        ..RuntimeOptions::default()
    }
}

/// Where the lines go that agents print, beside the memory of them.
fn onward(dev: bool) -> Arc<dyn LogSink> {
    match dev {
        true => Arc::new(PrintedLines),
        false => Arc::new(TracingSink),
    }
}

fn watch_options(config: &HostConfig) -> Options {
    Options {
        settle: config.settle,
        rescan: config.rescan,
        remove_grace: config.remove_grace,
        poll: config.poll,
        incomplete: caxton_runtime::incomplete,
        repeats: config.dev,
        ..Options::default()
    }
}

async fn listen(
    address: SocketAddr,
    what: &'static str,
    option: &'static str,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|problem| StartError::Listen {
            address,
            what,
            option,
            problem,
        })
}

fn local(
    listener: &TcpListener,
    asked: SocketAddr,
    what: &'static str,
    option: &'static str,
) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|problem| StartError::Listen {
        address: asked,
        what,
        option,
        problem,
    })
}

fn random_seed() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}
