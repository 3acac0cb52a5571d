//! A gateway on a port of its own, with real agents behind it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton::gateway::{self, GatewaySettings, Served, Shutdown};
use caxton::routes::{self, AgentRoute, RoutingTable, Serving, Target};
use caxton::telemetry::Telemetry;
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
        let telemetry = Telemetry::start(None).unwrap();
        let serving = gateway::serve(
            listener,
            Arc::clone(&routes),
            settings,
            telemetry,
            shutdown.clone(),
        );
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

    /// Routes to these agents from here on.
    pub fn store(&self, agents: Vec<AgentRoute>) {
        self.routes.store(Arc::new(RoutingTable::build(agents)));
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
    prepare_spec(bytes, spec).await
}

pub async fn prepare_spec(bytes: &[u8], spec: AgentSpec) -> Arc<Version> {
    runtime().prepare(bytes.into(), spec).await.unwrap()
}

/// The HTTP agent whose path says what it does.
pub async fn web(number: u64, limits: Limits) -> Arc<Version> {
    prepare("web", caxton_test_artifacts::WEB, number, limits).await
}

/// The same agent, which answers every request as if it were for this path.
pub async fn web_as(path: &str, number: u64, limits: Limits) -> Arc<Version> {
    let mut spec = AgentSpec::new("web", number);
    spec.limits = limits;
    spec.env = vec![("ANSWER_AS".to_owned(), path.to_owned())];
    prepare_spec(caxton_test_artifacts::WEB, spec).await
}

/// The handler agent whose body says what it does.
pub async fn tool(number: u64, limits: Limits) -> Arc<Version> {
    prepare("tool", caxton_test_artifacts::TOOL, number, limits).await
}

/// The agent under its name, with all requests for one version.
pub fn route(name: &str, version: &Arc<Version>) -> AgentRoute {
    routed(name, Serving::all_to(served(version)))
}

/// The agent under its name.
pub fn routed(name: &str, serving: Serving) -> AgentRoute {
    AgentRoute {
        name: name.parse().unwrap(),
        target: Target::Serving(serving),
        host: None,
        path: None,
    }
}

/// The version as a table names it.
pub fn served(version: &Arc<Version>) -> routes::Served {
    let number = VersionNumber::new(version.number()).unwrap();
    routes::Served::new(number, Arc::clone(version))
}
