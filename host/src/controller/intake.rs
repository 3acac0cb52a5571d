//! From a settled file to something that a version can be made of, or to a refusal.

use std::sync::Arc;

use caxton_rollout::{
    AgentName, Digest, Event, FaultKind, HotReloadRequest, Identity, MirrorRequests, PolicyMode,
};
use caxton_runtime::policy::PolicyKind;
use caxton_runtime::{Contract, Instances, Runtime};
use caxton_watch::Change;
use serde_json::json;

use super::agent::{Material, Refused};
use super::{Controller, Done};
use crate::config::AgentConfig;
use crate::folders::Folders;
use crate::policies::Policies;

/// What came of looking into a file.
pub(super) struct Inspected {
    pub agent: AgentName,
    pub generation: u64,
    pub result: Result<(Identity, Arc<Material>), Wrong>,
}

/// What is wrong with an agent's files, and with which of them.
pub(super) struct Wrong {
    file: String,
    error: String,
}

impl Wrong {
    fn config(agent: &str, error: impl std::fmt::Display) -> Self {
        let file = format!("{agent}.toml");
        Self {
            error: format!("{file}: {error}"),
            file,
        }
    }

    fn component(agent: &str, error: impl std::fmt::Display) -> Self {
        let file = format!("{agent}.wasm");
        Self {
            error: format!("{file}: {error}"),
            file,
        }
    }
}

impl Controller {
    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Wanted {
                name,
                component,
                config,
                ..
            } => self.inspect(&name, component, config),
            Change::Gone { name } => self.gone(&name),
            Change::Refused {
                file,
                name,
                problem,
            } => self.refuse(name.as_deref(), file, problem.to_string(), true),
            Change::Cleared { file, name } => self.clear(name.as_deref(), &file),
            Change::DirectoryLost { why } => self.directory_lost(why.to_string()),
            Change::DirectoryFound => self.directory_found(),
            Change::Polling { why } => {
                tracing::warn!("{why}");
                self.tell("polling", None, json!({ "reason": why }));
            }
        }
    }

    /// Parsing a large component takes long enough to keep it off this task; the newest change of an agent wins.
    fn inspect(
        &mut self,
        name: &str,
        component: caxton_watch::Content,
        config: Option<caxton_watch::Content>,
    ) {
        let Ok(agent) = AgentName::try_from(name.to_owned()) else {
            return;
        };
        self.inspections += 1;
        let generation = self.inspections;
        let entry = self.agents.entry(agent.clone()).or_default();
        entry.generation = generation;
        entry.inspecting = true;
        let runtime = Arc::clone(&self.runtime);
        let policies = Arc::clone(&self.policies);
        let defaults = Arc::clone(&self.defaults);
        let folders = Arc::clone(&self.folders);
        // A change is only taken while there is a place, see `run`: at most so many contents wait here.
        let place = Arc::clone(&self.inspecting).try_acquire_owned();
        let name = agent.clone();
        self.spawn(async move {
            let file = name.to_string();
            let look = tokio::task::spawn_blocking(move || {
                material(
                    &runtime,
                    &file,
                    &component,
                    config.as_ref(),
                    &defaults,
                    &folders,
                )
            });
            let looked = look
                .await
                .unwrap_or_else(|e| Err(Wrong::component(name.as_ref(), e)));
            let result = match looked {
                Ok(found) => settings_fit(&policies, name.as_ref(), &found.1.config)
                    .await
                    .map(|()| found),
                wrong => wrong,
            };
            // Before the controller hears of it, so that it finds the place free.
            drop(place);
            Done::Inspected(Inspected {
                agent,
                generation,
                result,
            })
        });
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
            Err(Wrong { file, error }) => self.refuse(Some(agent.as_ref()), file, error, false),
            Ok((identity, material)) => {
                entry.refused.retain(|_, refused| refused.by_watch);
                entry.gate_timeout = material.config.reload.gate_timeout;
                let event = Event::Wanted {
                    agent,
                    content: material.content(identity),
                    settings: material.settings(),
                };
                entry.materials.insert(identity, material);
                let unrouted = entry.traffic.is_none();
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
            entry.refused.clear();
        }
        self.step(Event::Removed { agent });
    }

    fn refuse(&mut self, name: Option<&str>, file: String, error: String, by_watch: bool) {
        let agent = name.and_then(|name| AgentName::try_from(name.to_owned()).ok());
        let refused = Refused {
            file: file.clone(),
            error: error.clone(),
            since: self.clock.now(),
            by_watch,
        };
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

fn material(
    runtime: &Runtime,
    agent: &str,
    component: &caxton_watch::Content,
    config: Option<&caxton_watch::Content>,
    defaults: &toml::Table,
    folders: &Folders,
) -> Result<(Identity, Arc<Material>), Wrong> {
    let file = format!("{agent}.toml");
    let wrong = |error: String| Wrong {
        file: file.clone(),
        error,
    };
    let text = config.map_or(Ok(""), |content| std::str::from_utf8(&content.bytes));
    let text = text.map_err(|e| wrong(format!("{file}: not UTF-8 text: {e}")))?;
    let config = AgentConfig::read(&file, text, defaults).map_err(|e| wrong(e.to_string()))?;
    let digest = Digest::new(component.digest);
    if let Some(bound) = config.component.filter(|bound| *bound != digest) {
        let error = format!(
            "it goes with the component sha256:{bound}, and {agent}.wasm is sha256:{digest}: copy that component, or \
             correct the line `component`"
        );
        return Err(Wrong::config(agent, error));
    }
    folders
        .allow(&config.dirs)
        .map_err(|e| Wrong::config(agent, e))?;
    let inspection = runtime
        .inspect(&component.bytes)
        .map_err(|refusal| Wrong::component(agent, refusal))?;
    let stateful = inspection.state && config.reload.preserve_state;
    if stateful
        && matches!(
            config.instances,
            Some(Instances::Fresh | Instances::Reused { .. })
        )
    {
        let error = "it exports caxton:agent/state, so one instance takes all its calls: leave [instances] out or write mode = \
                     \"single\", or set preserve_state = false under [reload] to run it without its state";
        return Err(Wrong::config(agent, error));
    }
    let name = AgentName::try_from(agent.to_owned()).map_err(|e| Wrong::component(agent, e))?;
    let request = HotReloadRequest {
        agent: name,
        size: component.bytes.len() as u64,
        // What serves already is no reload: the core takes it for what it is.
        from: None,
        to: (digest, config.digest),
        strategy: config.reload.strategy,
        split: (!config.reload.progressive).then_some(config.reload.split),
        isolation: config.isolation,
        rollback: config.rollback.enabled,
        stateful,
        has_copies: inspection.contract == Contract::Http
            || config.reload.mirror.requests == MirrorRequests::All,
    };
    request.validate().map_err(|e| wrong(e.to_string()))?;
    let identity = Identity {
        component: digest,
        config: config.digest,
    };
    let material = Material {
        bytes: Arc::clone(&component.bytes),
        config,
        has_health: inspection.health,
        stateful,
    };
    Ok((identity, Arc::new(material)))
}

/// Asks the policies that the configuration names whether they take their settings. One that is not there may still
/// come: the reload that needs it waits and says so.
async fn settings_fit(policies: &Policies, agent: &str, config: &AgentConfig) -> Result<(), Wrong> {
    let reload = &config.reload;
    let strategy = (
        PolicyKind::Strategy,
        &reload.policy,
        &reload.policy_settings,
    );
    let asked = |mode| config.rollback.enabled && mode != PolicyMode::Off;
    let judges = config.rollback.policies.iter();
    let judges = judges
        .filter(|policy| asked(policy.mode))
        .map(|policy| (PolicyKind::Rollback, &policy.name, &policy.settings));
    for (kind, name, settings) in std::iter::once(strategy).chain(judges) {
        if let Err(fault) = policies.find(name, kind, settings).await
            && fault.kind == FaultKind::Settings
        {
            return Err(Wrong::config(agent, fault));
        }
    }
    Ok(())
}
