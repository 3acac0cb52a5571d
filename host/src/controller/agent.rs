//! What the controller holds for one agent: contents, live versions, and what is wrong with its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Content, Digest, HotReloadId, Identity, Moment, Settings, Ticket, Traffic,
    VersionNumber,
};
use caxton_runtime::{AgentSpec, DirGrant, Outbound, StateSpec, Version};
use caxton_store::Pin;
use tokio::task::AbortHandle;

use super::checkpoints::Checkpoints;
use crate::config::{AgentConfig, RouteConfig};
use crate::gate::Gate;
use crate::policies::PinnedPolicy;
use crate::published::{Copies, Rates};
use crate::routes::{
    AgentRoute, Listener, MirrorCounts, MirrorRules, Served, Serving, Share, Target,
};
use crate::snapshots::States;

/// So many different notes on answers of policies are warned of in one reload.
const MAX_NOTED: usize = 256;

/// What a version can be made of; the component's bytes are in the store.
pub(crate) struct Material {
    /// Bytes of the component.
    pub size: u64,
    pub config: AgentConfig,
    pub has_health: bool,
    pub stateful: bool,
}

impl Material {
    pub fn content(&self, identity: Identity) -> Content {
        Content {
            identity,
            size: self.size,
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

    /// What the runtime is to bring up; `agents` is the folder that relative paths begin at, `environment` the host's own.
    ///
    /// # Errors
    /// The host's environment has not what is granted of it.
    pub fn spec(
        &self,
        agent: &AgentName,
        number: VersionNumber,
        agents: &Path,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<AgentSpec, String> {
        let config = &self.config;
        let dir = |dir: &crate::config::Dir| DirGrant {
            host: agents.join(&dir.host),
            guest: dir.guest.clone(),
            write: dir.write,
        };
        let env = config.env.values(environment)?;
        Ok(AgentSpec {
            limits: config.limits.clone(),
            instances: config.instances,
            health_path: config.health_path.clone(),
            env,
            dirs: config.dirs.iter().map(dir).collect(),
            outbound: match config.outbound.as_slice() {
                [] => Outbound::Deny,
                origins => Outbound::Origins(origins.to_vec()),
            },
            grants_to_listener: config.traffic.grants_to_listener,
            state: self.stateful.then_some(StateSpec {
                checkpoint: config.state.checkpoint,
                max_size: config.state.max_size,
            }),
            ..AgentSpec::new(agent.to_string(), number.get())
        })
    }
}

/// A version that is up, with what it was made of.
pub(super) struct Live {
    pub version: Arc<Version>,
    pub identity: Identity,
    pub material: Arc<Material>,
    /// What became of copies while it listened.
    pub mirror: Arc<MirrorCounts>,
    /// The same, for people who watch.
    pub copies: Copies,
    /// Its last full interval.
    pub rates: Rates,
    /// Tells the core when nothing is in flight; taken back when the version serves again.
    pub draining: Option<AbortHandle>,
    /// Which of its checkpoints are on disk.
    pub checkpoints: Checkpoints,
}

/// A file that was refused, and since when.
pub(super) struct Refused {
    pub file: String,
    pub error: String,
    pub since: Moment,
    /// Of the component, where it was looked into; none where the watcher did not take the file.
    pub component: Option<Digest>,
    /// Its size, where the watcher did not take it for that.
    pub size: Option<u64>,
}

impl Refused {
    /// By the watcher, which also says when the file is fine again.
    pub fn by_watch(&self) -> bool {
        self.component.is_none()
    }
}

/// Contents that were refused for what may change: what their configuration says about policies, or a disk that takes nothing.
pub(super) struct Again {
    pub policies: BTreeSet<String>,
    /// Whether they could not be stored, which is tried again by itself.
    pub unstored: bool,
    pub component: caxton_watch::Content,
    pub config: Option<caxton_watch::Content>,
}

/// The policies of one reload, by name.
pub(super) type Pinned = Arc<BTreeMap<String, PinnedPolicy>>;

/// One agent at the edge.
#[derive(Default)]
pub(super) struct Agent {
    /// The newest inspection of its files, so that one that was overtaken can be told; 0 where none counts.
    pub generation: u64,
    /// Whether the newest change is still being looked into.
    pub inspecting: bool,
    /// When its files were written, from when they are delivered until they are taken.
    pub written_at: Option<Moment>,
    /// What to look at again when a policy changes.
    pub again: Option<Box<Again>>,
    /// Names of the policies in the newest configuration that was taken.
    pub policies: BTreeSet<String>,
    /// Its configuration says that it is not to run.
    pub disabled: bool,
    /// By file: NAME.wasm and NAME.toml may both be wrong.
    pub refused: BTreeMap<String, Refused>,
    pub materials: BTreeMap<Identity, Arc<Material>>,
    pub live: BTreeMap<VersionNumber, Live>,
    pub preparing: BTreeMap<VersionNumber, (Ticket, AbortHandle)>,
    pub pinned: BTreeMap<HotReloadId, Pinned>,
    /// What reloads of earlier processes held.
    pub held_before: BTreeMap<HotReloadId, Vec<Pin>>,
    /// What was corrected in answers of a policy, and warned of, in each of these reloads.
    pub noted: BTreeMap<HotReloadId, BTreeSet<(String, String)>>,
    pub traffic: Option<Traffic>,
    /// Where requests wait while state moves.
    pub gate: Arc<Gate>,
    /// How long they do, as the newest configuration has it: a hand-over goes by that, too.
    pub gate_timeout: Duration,
    /// The longest that one did, in the last interval in which any did.
    pub longest_wait: Duration,
    /// What its versions saved.
    pub states: Arc<States>,
    /// What another agent claimed before this one did.
    pub conflict: Option<(String, Moment)>,
}

impl Agent {
    /// Who gets new requests, but for a share.
    pub fn serving(&self) -> Option<VersionNumber> {
        self.traffic.map(|traffic| traffic.serving)
    }

    pub fn version(&self, number: VersionNumber) -> Option<Arc<Version>> {
        Some(Arc::clone(&self.live.get(&number)?.version))
    }

    /// How the gateway reaches the agent now.
    pub fn route(&self, name: &AgentName) -> AgentRoute {
        let routed = self
            .traffic
            .and_then(|traffic| Some((traffic, self.live.get(&traffic.serving)?)));
        let Some((traffic, live)) = routed else {
            let why = match self.refused.values().next() {
                // Callers may be anyone, and what is wrong with a configuration quotes a line of it.
                Some(refused) if refused.file.ends_with(".toml") => {
                    format!("{} was refused", refused.file)
                }
                Some(refused) => refused.error.clone(),
                None if self.disabled => "it is turned off".to_owned(),
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
            target: Target::Serving(self.serving_of(traffic, live)),
            host: route.host.clone(),
            path: route.path.clone(),
        }
    }

    /// Where its requests go, in the words of the request path. How callers are told apart, and what is copied, is what the
    /// version on trial is configured with.
    fn serving_of(&self, traffic: Traffic, live: &Live) -> Serving {
        let split = traffic
            .split
            .and_then(|split| Some((split, self.live.get(&split.candidate)?)));
        let listener = traffic
            .listener
            .and_then(|number| Some((number, self.live.get(&number)?)));
        let on_trial = split.map(|s| s.1).or(listener.map(|l| l.1)).unwrap_or(live);
        let trial = &on_trial.material.config;
        Serving {
            served: live.served(traffic.serving),
            split: split.map(|(split, candidate)| Share {
                served: candidate.served(split.candidate),
                percent: split.percent,
                salt: salt(&candidate.identity),
            }),
            listener: listener.map(|(number, listener)| Listener {
                served: listener.served(number),
                rules: Arc::new(MirrorRules {
                    requests: trial.reload.mirror.requests,
                    ignore_headers: trial.traffic.ignore_headers.clone(),
                }),
                counts: Arc::clone(&listener.mirror),
            }),
            affinity: trial.traffic.affinity.clone(),
            gate: live.version.is_stateful().then(|| Arc::clone(&self.gate)),
            gate_timeout: self.gate_timeout,
        }
    }

    /// What it claims beside its name, while a version serves.
    pub fn claim(&self) -> Option<&RouteConfig> {
        Some(&self.live.get(&self.serving()?)?.material.config.route)
    }

    /// The reload has these policies from now on, unless it is over or has others.
    pub fn hold(&mut self, reload: HotReloadId, pinned: Pinned) {
        if let Some(place) = self.pinned.get_mut(&reload)
            && place.is_empty()
        {
            *place = pinned;
        }
    }

    /// The reload asks its policies no more.
    pub fn let_go(&mut self, reload: HotReloadId) {
        self.pinned.remove(&reload);
        self.held_before.remove(&reload);
        self.noted.remove(&reload);
    }

    /// Whether nobody was warned of this note yet in this reload; of one that is over, or that has too many, nobody is.
    pub fn is_new(&mut self, reload: HotReloadId, policy: &str, note: &str) -> bool {
        if !self.pinned.contains_key(&reload) {
            return false;
        }
        let noted = self.noted.entry(reload).or_default();
        noted.len() < MAX_NOTED && noted.insert((policy.to_owned(), note.to_owned()))
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
            // One with state may be about to be saved; it goes with whoever holds it last.
            if !live.version.is_stateful() {
                live.version.retire();
            }
        }
    }
}

impl Live {
    fn served(&self, number: VersionNumber) -> Served {
        Served::new(number, Arc::clone(&self.version))
    }
}

/// What decides, with a caller's key, who belongs to a share: the same for the same content, in every process.
fn salt(identity: &Identity) -> u64 {
    let part = |digest: &Digest| {
        let bytes = digest.bytes();
        u64::from_le_bytes(std::array::from_fn(|at| {
            bytes.get(at).copied().unwrap_or_default()
        }))
    };
    part(&identity.component) ^ part(&identity.config).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_new_once_in_a_reload_and_there_are_so_many() {
        let (one, other) = (
            HotReloadId::from_random_bits(1),
            HotReloadId::from_random_bits(2),
        );
        let mut agent = Agent::default();
        assert!(!agent.is_new(one, "evidence", "cut"), "it has no policies");
        agent.pinned.entry(one).or_default();
        agent.pinned.entry(other).or_default();
        assert!(agent.is_new(one, "evidence", "cut"));
        assert!(!agent.is_new(one, "evidence", "cut"));
        assert!(agent.is_new(one, "thresholds", "cut"));
        assert!(agent.is_new(other, "evidence", "cut"));
        let new = (0..1_000).filter(|n| agent.is_new(one, "evidence", &n.to_string()));
        assert_eq!(new.count(), MAX_NOTED - 2);
        agent.let_go(one);
        assert!(!agent.is_new(one, "evidence", "late"));
        assert_eq!(agent.noted.len(), 1, "nothing is left of it");
    }
}
