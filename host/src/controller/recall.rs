//! What a start finds: agents as the journal remembers them, with the configurations that their versions run with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caxton_rollout::{AgentName, Identity, Remembered};
use caxton_store::{BlobKind, Blobs, StoredAgent};

use super::agent::{Agent, Material};
use super::files::named;
use crate::config::AgentConfig;
use crate::snapshots::States;

/// One agent as it is taken up again.
pub struct Recalled {
    stored: StoredAgent,
    materials: BTreeMap<Identity, Arc<Material>>,
}

impl Recalled {
    /// Reads the configurations of its versions; what cannot be read is told, and that version cannot come up. Reads files.
    pub(crate) fn read(stored: StoredAgent, blobs: &Blobs) -> Self {
        let mut materials = BTreeMap::new();
        let agent = &stored.memory.agent;
        for version in &stored.memory.versions {
            let identity = version.content.identity;
            match config_of(&stored, identity, blobs) {
                Ok(config) => {
                    let material = Material {
                        size: version.content.size,
                        config,
                        has_health: version.content.has_health,
                        stateful: version.content.stateful,
                    };
                    materials.insert(identity, Arc::new(material));
                }
                Err(why) => {
                    let number = version.number;
                    tracing::error!(%agent, "version {number} cannot come up as it was: {why}");
                }
            }
        }
        Self { stored, materials }
    }

    /// Whose it is.
    pub(crate) fn agent(&self) -> &AgentName {
        &self.stored.memory.agent
    }

    /// Whether the directory had its file when the journal was last written: one that was wanted, or one that said that it is not
    /// to run.
    pub(crate) fn had_file(&self) -> bool {
        let memory = &self.stored.memory;
        memory.wanted.is_some() || memory.removed_at.is_none()
    }

    /// For the core, and for the edge.
    pub(super) fn split(self) -> (Remembered, Agent) {
        let Self { stored, materials } = self;
        let memory = stored.memory;
        let of = |number| memory.versions.iter().find(|v| v.number == number);
        let permanent = memory.permanent.and_then(of);
        let material = permanent.and_then(|version| materials.get(&version.content.identity));
        let mut entry = Agent {
            held_before: stored.pins,
            states: Arc::new(States::of(stored.snapshots)),
            ..Agent::default()
        };
        if let Some(material) = material.filter(|_| memory.wanted.is_some()) {
            entry.policies = named(&material.config);
            entry.gate_timeout = material.config.reload.gate_timeout;
        }
        let settings = material.map(|material| material.settings());
        entry.materials = materials;
        (Remembered { memory, settings }, entry)
    }
}

/// The configuration of one version, which stands whole in the store.
fn config_of(
    stored: &StoredAgent,
    identity: Identity,
    blobs: &Blobs,
) -> Result<AgentConfig, String> {
    let agent = &stored.memory.agent;
    let content = stored.contents.iter().find(|c| c.identity == identity);
    let content = content.ok_or("the journal does not say how it was configured")?;
    let bytes = blobs
        .get(BlobKind::Config, content.config)
        .map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    let config = AgentConfig::read(&format!("{agent}.toml"), text, &toml::Table::new())
        .map_err(|error| error.to_string())?;
    if config.digest != identity.config {
        return Err(format!(
            "this release reads its configuration otherwise: copy {agent}.wasm and {agent}.toml into the agents directory again, as a new \
             version"
        ));
    }
    Ok(config)
}

/// Agents whose files the directory had.
pub(crate) fn known(recalled: &[Recalled]) -> BTreeSet<String> {
    let had = recalled.iter().filter(|recalled| recalled.had_file());
    had.map(|recalled| recalled.agent().to_string()).collect()
}
