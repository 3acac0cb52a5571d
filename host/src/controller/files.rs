//! An agent's files: what they say, whether this host takes it, and what policies say to what is said about them.
//!
//! The same for a host, before it deploys them, and for `caxton check`, which never does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;

use caxton_rollout::{AgentName, Digest, HotReloadRequest, Identity, MirrorRequests, PolicyMode};
use caxton_runtime::policy::PolicyKind;
use caxton_runtime::{Inspection, Instances, Runtime};

use super::agent::{Again, Material};
use crate::config::AgentConfig;
use crate::folders::Folders;
use crate::policies::{Policies, Unusable};

/// What an agent's files ask for.
pub(crate) enum Looked {
    /// That it does not run: nothing else of them was looked at.
    Off,
    /// A version, and what it can be made of.
    On(Identity, Arc<Material>),
}

/// What is wrong with an agent's files, and with which of them.
pub(crate) struct Wrong {
    pub file: String,
    pub error: String,
    /// Where another policy of a name may set it right.
    pub(super) again: Option<Box<Again>>,
}

impl Wrong {
    pub(crate) fn config(agent: &str, error: impl std::fmt::Display) -> Self {
        let file = format!("{agent}.toml");
        Self {
            error: format!("{file}: {error}"),
            file,
            again: None,
        }
    }

    pub(super) fn component(agent: &str, error: impl std::fmt::Display) -> Self {
        let file = format!("{agent}.wasm");
        Self {
            error: format!("{file}: {error}"),
            file,
            again: None,
        }
    }
}

/// What a host looks at agents' files with.
pub(crate) struct Terms<'a> {
    pub runtime: &'a Runtime,
    /// What each agent is that does not say otherwise.
    pub defaults: &'a toml::Table,
    pub folders: &'a Folders,
    /// Variables that agents may be given.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Whether agents are as dev mode has them.
    pub dev: bool,
}

impl Terms<'_> {
    /// Reads and checks an agent's files: everything but what policies have to say, and nothing that runs.
    pub(crate) fn look(
        &self,
        agent: &str,
        component: &caxton_watch::Content,
        config: Option<&caxton_watch::Content>,
    ) -> Result<Looked, Wrong> {
        let file = format!("{agent}.toml");
        let wrong = |error: String| Wrong {
            file: file.clone(),
            error,
            again: None,
        };
        let text = config.map_or(Ok(""), |content| std::str::from_utf8(&content.bytes));
        let text = text.map_err(|e| wrong(format!("{file}: not UTF-8 text: {e}")))?;
        let config =
            AgentConfig::read(&file, text, self.defaults).map_err(|e| wrong(e.to_string()))?;
        let config = if self.dev { config.for_dev() } else { config };
        if !config.enabled {
            return Ok(Looked::Off);
        }
        let digest = Digest::new(component.digest);
        if let Some(bound) = config.component.filter(|bound| *bound != digest) {
            let error = format!(
                "it goes with the component sha256:{bound}, and {agent}.wasm is sha256:{digest}: copy that component, or \
                 correct the line `component`"
            );
            return Err(Wrong::config(agent, error));
        }
        self.folders
            .allow(&config.dirs)
            .map_err(|e| Wrong::config(agent, e))?;
        config
            .env
            .values(self.environment)
            .map_err(|e| Wrong::config(agent, e))?;
        let inspection = self
            .runtime
            .inspect(&component.bytes)
            .map_err(|refusal| Wrong::component(agent, refusal))?;
        if let Some(why) = config.health_path.as_ref().and(no_path(&inspection)) {
            return Err(Wrong::config(agent, why));
        }
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
            has_copies: inspection.contract.is_http()
                || config.reload.mirror.requests == MirrorRequests::All,
        };
        request.validate().map_err(|e| wrong(e.to_string()))?;
        let identity = Identity {
            component: digest,
            config: config.digest,
        };
        let material = Material {
            size: component.bytes.len() as u64,
            has_health: inspection.health || config.health_path.is_some(),
            config,
            stateful,
        };
        Ok(Looked::On(identity, Arc::new(material)))
    }
}

/// Why the component cannot be asked for its health by a path.
fn no_path(inspection: &Inspection) -> Option<&'static str> {
    if inspection.health {
        Some(
            "it exports caxton:agent/health, and that is what is asked: remove the line `path` under [health]",
        )
    } else if !inspection.contract.is_http() {
        Some(
            "it answers messages, which have no path: remove the line `path` under [health], and export caxton:agent/health to be \
             asked for its health",
        )
    } else {
        None
    }
}

/// Asks the policies that the configuration names whether they are what it takes them for, and take their settings. One that is
/// not there may still come: the reload that needs it waits and says so.
pub(crate) async fn settings_fit(
    policies: &Policies,
    agent: &str,
    config: &AgentConfig,
) -> Result<(), Wrong> {
    for (kind, name, settings) in asked(config) {
        if let Err(Unusable::Misconfigured(fault)) = policies.find(name, kind, settings).await {
            return Err(Wrong::config(agent, fault));
        }
    }
    Ok(())
}

/// Names of the policies that a reload with this configuration asks.
pub(super) fn named(config: &AgentConfig) -> BTreeSet<String> {
    asked(config).map(|(_, name, _)| name.to_owned()).collect()
}

/// The policies that a reload with this configuration asks: kind, name, settings.
pub(crate) fn asked(config: &AgentConfig) -> impl Iterator<Item = (PolicyKind, &str, &str)> {
    let reload = &config.reload;
    let strategy = (
        PolicyKind::Strategy,
        reload.policy.as_str(),
        reload.policy_settings.as_str(),
    );
    let enabled = config.rollback.enabled;
    let judges = config.rollback.policies.iter();
    let judges = judges
        .filter(move |policy| enabled && policy.mode != PolicyMode::Off)
        .map(|policy| {
            (
                PolicyKind::Rollback,
                policy.name.as_str(),
                policy.settings.as_str(),
            )
        });
    std::iter::once(strategy).chain(judges)
}

#[cfg(test)]
mod tests {
    use caxton_runtime::Contract;

    use super::*;

    #[test]
    fn a_health_path_fits_only_who_answers_requests_and_exports_no_health() {
        let inspection = |contract, health| Inspection {
            contract,
            passed_over: Vec::new(),
            health,
            state: false,
            imports: Vec::new(),
            exports: Vec::new(),
            size: 1,
        };
        assert_eq!(no_path(&inspection(Contract::HttpP2, false)), None);
        assert_eq!(no_path(&inspection(Contract::HttpP3, false)), None);
        for contract in [Contract::HttpP2, Contract::HttpP3, Contract::Handler] {
            let why = no_path(&inspection(contract, true)).unwrap();
            assert!(why.contains("exports caxton:agent/health"), "{why}");
        }
        let why = no_path(&inspection(Contract::Handler, false)).unwrap();
        assert!(
            why.contains("answers messages, which have no path"),
            "{why}"
        );
    }
}
