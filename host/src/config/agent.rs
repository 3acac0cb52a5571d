//! What an agent's configuration means.

use std::str::FromStr;

use caxton_rollout::{
    Digest, HealthSettings, PolicyMode, PolicyRef, ReloadSettings, RollbackSettings, Strategy,
};
use caxton_runtime::{Instances, Limits};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{ConfigError, written};
use crate::routes::{RouteHost, RoutePath, RouteSyntaxError};

/// Requests that a reused instance takes before it is replaced, unless said otherwise.
const REUSE: u32 = 128;
/// More instances than this of one agent are more than the pool of all agents holds.
const MAX_CONCURRENCY: u32 = 10_000;

/// NAME.toml over `[defaults]`, with every value that was left out filled in.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Digest of the keys that were written and that a version runs with: grants, instances, limits and route.
    pub digest: Digest,
    /// The component that the configuration goes with, where it says so.
    pub component: Option<Digest>,
    /// How a new version comes in.
    pub reload: ReloadSettings,
    /// Whether state moves between versions; only `false` is served today for a component that exports state.
    pub preserve_state: bool,
    /// When to go back.
    pub rollback: RollbackSettings,
    /// How health is checked.
    pub health: HealthSettings,
    /// How long instances live; none leaves it to the agent's contract.
    pub instances: Option<Instances>,
    /// What one instance and one call may use.
    pub limits: Limits,
    /// Environment variables that the agent sees.
    pub env: Vec<(String, String)>,
    /// What it claims beside its name.
    pub route: RouteConfig,
}

/// What an agent claims beside `/NAME/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteConfig {
    /// Requests with this host name.
    pub host: Option<RouteHost>,
    /// Requests below this path.
    pub path: Option<RoutePath>,
}

impl AgentConfig {
    /// Reads NAME.toml (`text`, empty where there is none) over the tables of `defaults`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn read(file: &str, text: &str, defaults: &toml::Table) -> Result<Self, ConfigError> {
        // Read by itself first: only then do the parser's errors have the lines of this file.
        let wrong = |e: toml::de::Error| ConfigError::parsing(file, text, &e);
        toml::from_str::<written::Agent>(text).map_err(wrong)?;
        let own: toml::Table = toml::from_str(text).map_err(wrong)?;
        let written = laid_over(defaults.clone(), own).try_into();
        let written = written.map_err(|e| ConfigError::parsing(file, "", &e))?;
        Self::meaning(file, written)
    }

    fn meaning(file: &str, written: written::Agent) -> Result<Self, ConfigError> {
        let digest = version_digest(file, &written)?;
        let limits = limits(file, &written.limits)?;
        Ok(Self {
            digest,
            component: written.component,
            preserve_state: written.reload.preserve_state.unwrap_or(true),
            reload: reload(file, written.reload)?,
            rollback: rollback(file, written.rollback)?,
            health: HealthSettings {
                interval: or(written.health.interval, HealthSettings::default().interval),
                timeout: or(written.health.timeout, HealthSettings::default().timeout),
            },
            instances: instances(file, &written.instances)?,
            limits,
            env: env(file, written.grants)?,
            route: route(file, written.route)?,
        })
    }
}

fn or<T>(written: Option<T>, default: T) -> T {
    written.unwrap_or(default)
}

/// `own` over `below`, table by table and key by key; arrays are replaced whole.
fn laid_over(mut below: toml::Table, own: toml::Table) -> toml::Table {
    for (key, value) in own {
        let value = match (below.remove(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => {
                toml::Value::Table(laid_over(under, over))
            }
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}

/// Hashes meanings and not spellings: `"60s"` and `"1m"` are the same version.
fn version_digest(file: &str, written: &written::Agent) -> Result<Digest, ConfigError> {
    #[derive(Serialize)]
    struct RunsWith<'a> {
        grants: &'a written::Grants,
        instances: &'a written::Instances,
        limits: &'a written::Limits,
        route: &'a written::Route,
    }
    let runs_with = RunsWith {
        grants: &written.grants,
        instances: &written.instances,
        limits: &written.limits,
        route: &written.route,
    };
    let mut value = serde_json::to_value(&runs_with)
        .map_err(|e| ConfigError::new(file, format!("cannot be hashed: {e}")))?;
    drop_nulls(&mut value);
    Ok(Digest::new(Sha256::digest(value.to_string()).into()))
}

/// A key that a later release adds must not change the digest of a file that does not mention it.
fn drop_nulls(value: &mut serde_json::Value) {
    if let serde_json::Value::Object(map) = value {
        map.retain(|_, inner| {
            drop_nulls(inner);
            !inner.is_null() && inner.as_object().is_none_or(|table| !table.is_empty())
        });
    }
}

fn reload(file: &str, written: written::Reload) -> Result<ReloadSettings, ConfigError> {
    let default = ReloadSettings::default();
    let strategy = match written.strategy {
        None => default.strategy,
        Some(written::Strategy::Graceful) => Strategy::Graceful,
        Some(written::Strategy::Immediate) => Strategy::Immediate,
    };
    Ok(ReloadSettings {
        strategy,
        policy: or(written.policy, default.policy),
        policy_settings: json(file, "reload.policy_settings", written.policy_settings)?,
        drain_timeout: or(written.drain_timeout, default.drain_timeout),
        warm_up: written.warm_up,
        bake: or(written.bake, default.bake),
        keep_previous: or(written.keep_previous, default.keep_previous),
        deadline: or(written.deadline, default.deadline),
        on_inconclusive: or(written.on_inconclusive, default.on_inconclusive),
        on_unproven: or(written.on_unproven, default.on_unproven),
        ..default
    })
}

fn rollback(file: &str, written: written::Rollback) -> Result<RollbackSettings, ConfigError> {
    let default = RollbackSettings::default();
    let policies = match written.policies {
        None => default.policies,
        Some(list) => list
            .into_iter()
            .map(|policy| {
                Ok(PolicyRef {
                    settings: json(file, "rollback.policies.settings", Some(policy.settings))?,
                    name: policy.name,
                    mode: policy.mode,
                })
            })
            .collect::<Result<_, ConfigError>>()?,
    };
    let enabled = or(written.enabled, default.enabled);
    if enabled && !policies.iter().any(|p| p.mode == PolicyMode::Enforce) {
        return Err(ConfigError::new(
            file,
            "`rollback.policies` has no policy with mode = \"enforce\", so nothing would judge a new version: \
             add one, or say `enabled = false` under [rollback]",
        ));
    }
    if let Some(twice) = repeated(&policies) {
        return Err(ConfigError::new(
            file,
            format!("`rollback.policies` names `{twice}` twice: leave one of them"),
        ));
    }
    Ok(RollbackSettings {
        enabled,
        preserve_versions: or(written.preserve_versions, default.preserve_versions),
        timeout: or(written.timeout, default.timeout),
        policies,
    })
}

fn repeated(policies: &[PolicyRef]) -> Option<&str> {
    let mut seen = std::collections::BTreeSet::new();
    policies
        .iter()
        .map(|policy| policy.name.as_str())
        .find(|name| !seen.insert(*name))
}

fn json(file: &str, key: &str, table: Option<toml::Table>) -> Result<String, ConfigError> {
    serde_json::to_string(&table.unwrap_or_default())
        .map_err(|e| ConfigError::new(file, format!("`{key}` cannot be handed on as JSON: {e}")))
}

fn instances(file: &str, written: &written::Instances) -> Result<Option<Instances>, ConfigError> {
    if written.reuse == Some(0) {
        return Err(ConfigError::new(
            file,
            "`instances.reuse` is 0: an instance takes at least one request; \
             write mode = \"fresh\" for a new instance each time",
        ));
    }
    match (written.mode, written.reuse) {
        (Some(written::Mode::Fresh), Some(_)) => Err(ConfigError::new(
            file,
            "`instances.reuse` goes with mode = \"reused\": remove it, or change the mode",
        )),
        (Some(written::Mode::Fresh), None) => Ok(Some(Instances::Fresh)),
        (Some(written::Mode::Reused), reuse) => Ok(Some(Instances::Reused {
            reuse: or(reuse, REUSE),
        })),
        (None, Some(reuse)) => Ok(Some(Instances::Reused { reuse })),
        (None, None) => Ok(None),
    }
}

fn limits(file: &str, written: &written::Limits) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let concurrency = or(written.concurrency, default.concurrency);
    if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
        return Err(ConfigError::new(
            file,
            format!("`limits.concurrency` is {concurrency}: it goes from 1 to {MAX_CONCURRENCY}"),
        ));
    }
    Ok(Limits {
        memory: or(written.memory, default.memory),
        request_timeout: or(written.request_timeout, default.request_timeout),
        idle_timeout: or(written.idle_timeout, default.idle_timeout),
        concurrency,
        request_body: or(written.request_body, default.request_body),
        reply_body: or(written.reply_body, default.reply_body),
    })
}

fn env(file: &str, grants: written::Grants) -> Result<Vec<(String, String)>, ConfigError> {
    for (name, value) in &grants.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(ConfigError::new(
                file,
                format!(
                    "`grants.env` cannot hold {name:?}: a name is not empty and has no `=`, and neither a name \
                     nor a value has a NUL"
                ),
            ));
        }
    }
    Ok(grants.env.into_iter().collect())
}

fn route(file: &str, written: written::Route) -> Result<RouteConfig, ConfigError> {
    Ok(RouteConfig {
        host: claim(file, "route.host", written.host)?,
        path: claim(file, "route.path", written.path)?,
    })
}

fn claim<T: FromStr<Err = RouteSyntaxError>>(
    file: &str,
    key: &str,
    written: Option<String>,
) -> Result<Option<T>, ConfigError> {
    let parsed = written.map(|text| text.parse()).transpose();
    parsed.map_err(|e| ConfigError::new(file, format!("`{key}`: {e}")))
}
