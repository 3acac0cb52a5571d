//! What a component and its configuration say of themselves, in words.

use caxton_rollout::Identity;
use caxton_runtime::{Inspection, Instances};

use crate::config::AgentConfig;

/// Interfaces that answer with an error until something is granted, and the key that grants it.
const GRANTED: [(&str, &str); 4] = [
    ("wasi:http/outgoing-handler", "grants.outbound"),
    ("wasi:http/client", "grants.outbound"),
    ("wasi:filesystem/", "grants.dirs"),
    ("wasi:cli/environment", "grants.env"),
];

/// What a version would be made of.
pub(super) struct Version {
    pub(super) identity: Identity,
    pub(super) mode: &'static str,
    pub(super) env: Vec<String>,
    pub(super) dirs: Vec<String>,
    pub(super) outbound: Vec<String>,
    /// Keys of grants that were not written, each with the import that could use it.
    pub(super) could_use: Vec<(&'static str, String)>,
}

impl Version {
    pub(super) fn of(
        identity: Identity,
        inspection: &Inspection,
        config: &AgentConfig,
        stateful: bool,
    ) -> Self {
        let env: Vec<String> = config.env.names().map(str::to_owned).collect();
        let dirs: Vec<String> = config.dirs.iter().map(|dir| dir.guest.clone()).collect();
        let outbound: Vec<String> = config
            .outbound
            .iter()
            .map(|origin| format!("{}:{}", origin.host(), origin.port()))
            .collect();
        let is_written = |key: &str| match key {
            "grants.env" => !env.is_empty(),
            "grants.dirs" => !dirs.is_empty(),
            _ => !outbound.is_empty(),
        };
        let could_use = GRANTED.iter().filter(|(_, key)| !is_written(key));
        let could_use = could_use.filter_map(|(interface, key)| {
            let import = inspection
                .imports
                .iter()
                .find(|name| name.starts_with(interface))?;
            Some((*key, import.clone()))
        });
        Self {
            identity,
            mode: Instances::in_effect(config.instances, inspection.contract, stateful).mode(),
            could_use: could_use.collect(),
            env,
            dirs,
            outbound,
        }
    }
}
