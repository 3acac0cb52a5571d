//! From a settled file to something that a version can be made of, or to a refusal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use caxton_rollout::{AgentName, Digest, Event, Identity, Moment};
use caxton_store::{BlobKind, Blobs};
use caxton_watch::Change;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::agent::{Again, Material, Refused};
use super::files::{Looked, Terms, Wrong, named, settings_fit};
use super::{Controller, Done};
use crate::clock::moment;
use crate::config::kept;

/// What came of looking into a file.
pub(super) struct Inspected {
    pub agent: AgentName,
    pub generation: u64,
    /// What was looked into.
    pub component: Digest,
    /// How often policies had changed when it began.
    pub policy_changes: u64,
    /// None: its configuration says that it is not to run.
    pub result: Result<Option<(Found, Kept)>, Wrong>,
}

/// What a version can be made of, and what makes it the same as another.
type Found = (Identity, Arc<Material>);

/// The configuration as it is kept: its blob, and the text for people.
pub(super) struct Kept {
    config: Digest,
    shown: String,
}

impl Controller {
    pub(super) fn on_change(&mut self, change: Change, place: OwnedSemaphorePermit) {
        match change {
            Change::Wanted {
                name,
                component,
                config,
                written_at,
            } => {
                self.dropped(&name, written_at);
                self.inspect(&name, component, config, place);
            }
            Change::Gone { name } => self.gone(&name),
            Change::Refused {
                file,
                name,
                problem,
            } => {
                let refused = Refused {
                    file,
                    error: problem.to_string(),
                    since: self.clock.now(),
                    component: None,
                    size: problem.size(),
                };
                self.refuse(name.as_deref(), refused);
            }
            Change::Cleared { file, name } => self.clear(name.as_deref(), &file),
            Change::DirectoryLost { why } => self.directory_lost(why.to_string()),
            Change::DirectoryFound => self.directory_found(),
            Change::Polling { why } => {
                tracing::warn!("{why}");
                self.tell("polling", None, json!({ "reason": why }));
                self.polling = Some((why.to_string(), self.clock.now()));
            }
        }
    }

    /// Parsing a large component takes long enough to keep it off this task; the newest change of an agent wins.
    /// It has its `place` only for that: who waits for the answers of policies keeps nobody from being looked into.
    pub(super) fn inspect(
        &mut self,
        name: &str,
        component: caxton_watch::Content,
        config: Option<caxton_watch::Content>,
        place: OwnedSemaphorePermit,
    ) {
        let Ok(agent) = AgentName::try_from(name.to_owned()) else {
            return;
        };
        self.inspections += 1;
        let generation = self.inspections;
        let entry = self.agents.entry(agent.clone()).or_default();
        entry.generation = generation;
        entry.inspecting = true;
        entry.again = None;
        let runtime = Arc::clone(&self.runtime);
        let policies = Arc::clone(&self.policies);
        let blobs = self.store.blobs.clone();
        let storing = Arc::clone(&self.storing);
        let defaults = Arc::clone(&self.defaults);
        let folders = Arc::clone(&self.folders);
        let dev = self.dev;
        let policy_changes = self.policy_changes;
        let name = agent.clone();
        let digest = Digest::new(component.digest);
        self.spawn(async move {
            let file = name.to_string();
            let (component_again, config_again) = (component.clone(), config.clone());
            let (look_runtime, look_defaults) = (runtime, Arc::clone(&defaults));
            let looking = tokio::task::spawn_blocking(move || {
                let _place = place;
                let terms = Terms {
                    runtime: &look_runtime,
                    defaults: &look_defaults,
                    folders: &folders,
                    environment: &|name| std::env::var_os(name),
                    dev,
                };
                terms.look(&file, &component, config.as_ref())
            });
            let looked = looking
                .await
                .unwrap_or_else(|e| Err(Wrong::component(name.as_ref(), e)));
            let again = |policies, unstored| {
                Some(Box::new(Again {
                    policies,
                    unstored,
                    component: component_again.clone(),
                    config: config_again.clone(),
                }))
            };
            let result = match looked {
                Ok(Looked::Off) => Ok(None),
                Ok(Looked::On(identity, material)) => {
                    match settings_fit(&policies, name.as_ref(), &material.config).await {
                        Ok(()) => {
                            let _place = storing.acquire().await;
                            let files = (component_again.clone(), config_again.clone());
                            let stored = store(blobs, name, files, defaults, identity).await;
                            let stored = stored.map(|config| Some(((identity, material), config)));
                            stored.map_err(|wrong| Wrong {
                                again: again(BTreeSet::new(), true),
                                ..wrong
                            })
                        }
                        Err(wrong) => Err(Wrong {
                            again: again(named(&material.config), false),
                            ..wrong
                        }),
                    }
                }
                Err(wrong) => Err(wrong),
            };
            Done::Inspected(Inspected {
                agent,
                generation,
                component: digest,
                policy_changes,
                result,
            })
        });
    }

    /// Remembers when the files were written, until they are taken.
    fn dropped(&mut self, name: &str, written_at: Option<SystemTime>) {
        if let Ok(agent) = AgentName::try_from(name.to_owned()) {
            self.agents.entry(agent).or_default().written_at = written_at.and_then(moment);
        }
    }

    /// The files are understood, stored, and what the directory asks for from now on.
    fn tell_taken(&mut self, agent: AgentName, identity: Identity, written_at: Option<Moment>) {
        let Identity { component, config } = identity;
        let entry = self.agents.get(&agent);
        let serves = entry.and_then(|entry| entry.live.get(&entry.serving()?));
        let fields = json!({
            "component": component,
            "config": config,
            "written_at": written_at,
            "serving": serves.is_some_and(|live| live.identity == identity),
        });
        self.tell("taken", Some(agent), fields);
    }

    pub(super) fn on_inspected(&mut self, inspected: Inspected) {
        let agent = inspected.agent;
        let Some(entry) = self.agents.get_mut(&agent) else {
            return;
        };
        if entry.generation != inspected.generation {
            return;
        }
        entry.inspecting = false;
        match inspected.result {
            // It may have been another policy that refused it than the one that is there now.
            Err(Wrong {
                again: Some(again), ..
            }) if !again.unstored && inspected.policy_changes != self.policy_changes => {
                entry.inspecting = true;
                entry.again = Some(again);
                self.look_again.insert(agent);
            }
            Err(Wrong { file, error, again }) => {
                // What is tried again by itself is told once.
                let told = again.as_ref().is_some_and(|again| again.unstored)
                    && entry
                        .refused
                        .get(&file)
                        .is_some_and(|before| before.error == error);
                entry.again = again;
                if told {
                    return;
                }
                let refused = Refused {
                    file,
                    error,
                    since: self.clock.now(),
                    component: Some(inspected.component),
                    size: None,
                };
                self.refuse(Some(agent.as_ref()), refused);
            }
            Ok(None) => self.turn_off(agent),
            Ok(Some(((identity, material), kept))) => {
                self.store.journal.taken(caxton_store::Content {
                    agent: agent.clone(),
                    identity,
                    config: kept.config,
                    shown: kept.shown,
                    size: material.size,
                    taken_at: self.clock.now(),
                });
                entry.refused.retain(|_, refused| refused.by_watch());
                let written_at = entry.written_at.take();
                entry.disabled = false;
                entry.policies = named(&material.config);
                entry.gate_timeout = material.config.reload.gate_timeout;
                let name = agent.clone();
                let event = Event::Wanted {
                    agent,
                    content: material.content(identity),
                    settings: material.settings(),
                };
                entry.materials.insert(identity, material);
                let unrouted = entry.traffic.is_none();
                self.tell_taken(name, identity, written_at);
                self.step(event);
                // Until its first version serves, callers hear that the agent is there and does not answer yet.
                if unrouted {
                    self.reroute();
                }
            }
        }
    }

    fn gone(&mut self, name: &str) {
        let Ok(agent) = AgentName::try_from(name.to_owned()) else {
            return;
        };
        if let Some(entry) = self.agents.get_mut(&agent) {
            entry.generation = 0;
            entry.inspecting = false;
            entry.again = None;
            entry.policies.clear();
            entry.refused.clear();
            entry.disabled = false;
        }
        self.step(Event::Removed { agent });
    }

    /// Its configuration says that it is not to run: what serves ends in order, as if its file were gone.
    fn turn_off(&mut self, agent: AgentName) {
        let Some(entry) = self.agents.get_mut(&agent) else {
            return;
        };
        entry.policies.clear();
        entry.refused.retain(|_, refused| refused.by_watch());
        let told = std::mem::replace(&mut entry.disabled, true);
        if !told {
            tracing::info!(%agent, "turned off by its configuration");
            self.tell("disabled", Some(agent.clone()), json!({}));
        }
        self.step(Event::Disabled { agent });
        self.reroute();
    }

    fn refuse(&mut self, name: Option<&str>, refused: Refused) {
        let agent = name.and_then(|name| AgentName::try_from(name.to_owned()).ok());
        let (file, error) = (refused.file.clone(), refused.error.clone());
        tracing::warn!(%file, "refused: {error}");
        self.tell(
            "refused",
            agent.clone(),
            json!({ "file": file, "reason": error }),
        );
        match agent {
            Some(agent) => {
                self.changed.insert(agent.clone());
                let entry = self.agents.entry(agent).or_default();
                entry.refused.insert(file, refused);
                self.reroute();
            }
            None => {
                self.strangers.insert(file, refused);
            }
        }
    }

    fn clear(&mut self, name: Option<&str>, file: &str) {
        self.strangers.remove(file);
        let agent = name.and_then(|name| AgentName::try_from(name.to_owned()).ok());
        let Some(entry) = agent.as_ref().and_then(|agent| self.agents.get_mut(agent)) else {
            return;
        };
        if entry.refused.remove(file).is_some() {
            self.changed.extend(agent);
            self.reroute();
        }
    }

    pub(super) fn directory_lost(&mut self, why: String) {
        tracing::warn!("{why}");
        self.tell("directory-lost", None, json!({ "reason": why }));
        self.directory_lost = Some((why, self.clock.now()));
    }

    fn directory_found(&mut self) {
        tracing::info!("the agents directory is back");
        self.tell("directory-found", None, json!({}));
        self.directory_lost = None;
    }
}

/// Puts an agent's files into the store, whole, before anything names them.
async fn store(
    blobs: Blobs,
    agent: AgentName,
    (component, config): (caxton_watch::Content, Option<caxton_watch::Content>),
    defaults: Arc<toml::Table>,
    identity: Identity,
) -> Result<Kept, Wrong> {
    let name = agent.to_string();
    let put = tokio::task::spawn_blocking(move || {
        let file = format!("{agent}.toml");
        // It was read as such a moment ago.
        let text = config
            .as_ref()
            .map(|content| String::from_utf8_lossy(&content.bytes));
        let whole = kept::whole(&file, text.as_deref().unwrap_or_default(), &defaults)
            .map_err(|error| error.to_string())?;
        let put = |kind, bytes: &[u8]| blobs.put(kind, bytes).map_err(|error| error.to_string());
        let stored = put(BlobKind::Component, &component.bytes)?;
        debug_assert_eq!(stored, identity.component);
        Ok(Kept {
            config: put(BlobKind::Config, whole.as_bytes())?,
            shown: kept::shown(&whole),
        })
    });
    let put = put.await.unwrap_or_else(|error| Err(error.to_string()));
    put.map_err(|error| {
        let error = format!("it cannot be stored, and is tried again every few seconds: {error}");
        Wrong::component(&name, error)
    })
}
