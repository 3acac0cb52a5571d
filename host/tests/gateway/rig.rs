//! A gateway on a port of its own, with real agents behind it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton::gateway::{self, GatewaySettings, Served, Shutdown};
use caxton::routes::{AgentRoute, RoutingTable, Target};
use caxton_rollout::VersionNumber;
use caxton_runtime::{AgentSpec, Limits, Runtime, RuntimeOptions, Version};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{DEADLINE, Raw};

pub struct Rig {
    pub address: SocketAddr,
    pub routes: Arc<ArcSwap<RoutingTable>>,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<Served>,
}

impl Rig {
    /// A gateway that routes to these agents.
    pub async fn start(settings: GatewaySettings, agents: Vec<AgentRoute>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Arc::new(ArcSwap::from_pointee(RoutingTable::build(agents)));
        let shutdown = Shutdown::default();
        let serving = gateway::serve(listener, Arc::clone(&routes), settings, shutdown.clone());
        Self {
            address,
            routes,
            shutdown,
            serving: tokio::spawn(serving),
        }
    }

    /// One with default settings and one agent, `web`, and a connection to it.
    pub async fn web(limits: Limits) -> (Self, Arc<Version>, Raw) {
        let version = web(1, limits).await;
        let rig = Self::start(GatewaySettings::default(), vec![route("web", &version)]).await;
        let raw = rig.connect().await;
        (rig, version, raw)
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// What the gateway says when it has ended.
    pub async fn ended(self) -> Served {
        timeout(DEADLINE, self.serving).await.unwrap().unwrap()
    }
}

/// Waits until it holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}: still not so");
        sleep(Duration::from_millis(2)).await;
    }
}

/// One runtime for all tests: what was compiled once is there for the next.
fn runtime() -> &'static Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeOptions::default()).unwrap())
}

async fn prepare(name: &str, bytes: &[u8], number: u64, limits: Limits) -> Arc<Version> {
    let mut spec = AgentSpec::new(name, number);
    spec.limits = limits;
    runtime().prepare(bytes.into(), spec).await.unwrap()
}

/// The HTTP agent whose path says what it does.
pub async fn web(number: u64, limits: Limits) -> Arc<Version> {
    prepare("web", caxton_test_artifacts::WEB, number, limits).await
}

/// The handler agent whose body says what it does.
pub async fn tool(number: u64, limits: Limits) -> Arc<Version> {
    prepare("tool", caxton_test_artifacts::TOOL, number, limits).await
}

/// The agent under its name.
pub fn route(name: &str, version: &Arc<Version>) -> AgentRoute {
    AgentRoute {
        name: name.parse().unwrap(),
        target: Target::Serving {
            number: VersionNumber::new(version.number()).unwrap(),
            version: Arc::clone(version),
        },
        host: None,
        path: None,
    }
}
