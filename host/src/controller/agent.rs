//! What the controller holds for one agent: contents, live versions, and what is wrong with its file.

use std::collections::BTreeMap;
use std::sync::Arc;

use caxton_rollout::{
    AgentName, Content, HotReloadId, Identity, Moment, Settings, Ticket, VersionNumber,
};
use caxton_runtime::policy::Policy;
use caxton_runtime::{AgentSpec, Version};
use tokio::task::AbortHandle;

use crate::config::{AgentConfig, RouteConfig};
use crate::routes::{AgentRoute, Served, Serving, Target};

/// What a version can be made of.
pub(super) struct Material {
    pub bytes: Arc<[u8]>,
    pub config: AgentConfig,
    pub has_health: bool,
    pub stateful: bool,
}

impl Material {
    pub fn content(&self, identity: Identity) -> Content {
        Content {
            identity,
            size: self.bytes.len() as u64,
            has_health: self.has_health,
            stateful: self.stateful,
        }
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::new(Settings {
            reload: self.config.reload.clone(),
            rollback: self.config.rollback.clone(),
            health: self.config.health.clone(),
        })
    }

    pub fn spec(&self, agent: &AgentName, number: VersionNumber) -> AgentSpec {
        AgentSpec {
            limits: self.config.limits.clone(),
            instances: self.config.instances,
            env: self.config.env.clone(),
            ..AgentSpec::new(agent.to_string(), number.get())
        }
    }
}

/// A version that is up, with what it was made of.
pub(super) struct Live {
    pub version: Arc<Version>,
    pub material: Arc<Material>,
    /// Tells the core when nothing is in flight; taken back when the version serves again.
    pub draining: Option<AbortHandle>,
    /// The most distinct callers that were seen in one window, and of failing ones.
    pub callers: (u64, u64),
}

/// A file that was refused, and since when.
pub(super) struct Refused {
    pub file: String,
    pub error: String,
    pub since: Moment,
    /// By the watcher, which also says when the file is fine again.
    pub by_watch: bool,
}

/// The policies of one reload, by name.
pub(super) type Pinned = Arc<BTreeMap<String, Policy>>;

/// One agent at the edge.
#[derive(Default)]
pub(super) struct Agent {
    /// The newest inspection of its files, so that one that was overtaken can be told; 0 where none counts.
    pub generation: u64,
    /// Whether the newest change is still being looked into.
    pub inspecting: bool,
    /// By file: NAME.wasm and NAME.toml may both be wrong.
    pub refused: BTreeMap<String, Refused>,
    pub materials: BTreeMap<Identity, Arc<Material>>,
    pub live: BTreeMap<VersionNumber, Live>,
    pub preparing: BTreeMap<VersionNumber, (Ticket, AbortHandle)>,
    pub pinned: BTreeMap<HotReloadId, Pinned>,
    pub serving: Option<VersionNumber>,
    /// What another agent claimed before this one did.
    pub conflict: Option<(String, Moment)>,
}

impl Agent {
    /// How the gateway reaches the agent now.
    pub fn route(&self, name: &AgentName) -> AgentRoute {
        let serving = self
            .serving
            .and_then(|number| Some((number, self.live.get(&number)?)));
        let Some((number, live)) = serving else {
            let why = match self.refused.values().next() {
                // Callers may be anyone, and what is wrong with a configuration quotes a line of it.
                Some(refused) if refused.file.ends_with(".toml") => {
                    format!("{} was refused", refused.file)
                }
                Some(refused) => refused.error.clone(),
                None => "no version of it serves now".to_owned(),
            };
            return AgentRoute {
                name: name.clone(),
                target: Target::Unavailable { why },
                host: None,
                path: None,
            };
        };
        let route = &live.material.config.route;
        AgentRoute {
            name: name.clone(),
            target: Target::Serving(Serving::all_to(Served::new(
                number,
                Arc::clone(&live.version),
            ))),
            host: route.host.clone(),
            path: route.path.clone(),
        }
    }

    /// What it claims beside its name, while a version serves.
    pub fn claim(&self) -> Option<&RouteConfig> {
        Some(&self.live.get(&self.serving?)?.material.config.route)
    }

    /// Ends what runs for this version and drops it.
    pub fn unload(&mut self, number: VersionNumber) {
        if let Some((_, task)) = self.preparing.remove(&number) {
            task.abort();
        }
        if let Some(live) = self.live.remove(&number) {
            if let Some(task) = live.draining {
                task.abort();
            }
            live.version.retire();
        }
    }
}
