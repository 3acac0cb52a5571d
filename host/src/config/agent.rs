//! What an agent's configuration means.

use std::str::FromStr;
use std::time::Duration;

use caxton_rollout::{
    Breaker, Digest, HealthSettings, PolicyMode, PolicyRef, ReloadSettings, RollbackSettings,
};
use caxton_runtime::{Instances, Limits, Origin};
use http::HeaderName;
use http::uri::PathAndQuery;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::env::Variables;
use super::reload::{reload, traffic};
use super::{ConfigError, are_tables, is_table, written};
use crate::policies;
use crate::routes::{Affinity, RouteHost, RoutePath, RouteSyntaxError};

/// Requests that a reused instance takes before it is replaced, unless said otherwise.
const REUSE: u32 = 128;
/// Between two checkpoints unless said otherwise.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// Bytes of a snapshot unless said otherwise.
const STATE_SIZE: u64 = 64 << 20;
/// Rollback policies of one agent: each is asked at every tick.
pub(super) const MAX_POLICIES: usize = 16;
/// Rollbacks that a breaker waits for at most: each is remembered with its agent.
pub(super) const MAX_BREAKER: u32 = 100;
/// More instances than this of one agent are more than the pool of all agents holds.
pub(super) const MAX_CONCURRENCY: u32 = 10_000;

/// NAME.toml over `[defaults]`, with every value that was left out filled in.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Digest of the keys that were written and that a version runs with: grants, instances, limits and route.
    pub digest: Digest,
    /// Whether the agent is to run at all.
    pub enabled: bool,
    /// The component that the configuration goes with, where it says so.
    pub component: Option<Digest>,
    /// How a new version comes in.
    pub reload: ReloadSettings,
    /// What the request path needs to know of `reload`, which the core does not.
    pub traffic: TrafficConfig,
    /// How state is kept, where the agent has any and it is preserved.
    pub state: StateConfig,
    /// When to go back.
    pub rollback: RollbackSettings,
    /// How health is checked.
    pub health: HealthSettings,
    /// Where it is asked for, where no export says it.
    pub health_path: Option<PathAndQuery>,
    /// How long instances live; none leaves it to the agent's contract.
    pub instances: Option<Instances>,
    /// What one instance and one call may use.
    pub limits: Limits,
    /// Environment variables that the agent sees.
    pub env: Variables,
    /// Directories that the agent sees, as written.
    pub dirs: Vec<written::Dir>,
    /// Origins that the agent may send requests to.
    pub outbound: Vec<Origin>,
    /// Whether two versions of the agent may work side by side.
    pub isolation: bool,
    /// What it claims beside its name.
    pub route: RouteConfig,
}

/// How requests are told apart and answers compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficConfig {
    /// What tells callers apart.
    pub affinity: Affinity,
    /// Whether a listener has what the agent is granted.
    pub grants_to_listener: bool,
    /// Headers that may differ between two answers.
    pub ignore_headers: Vec<HeaderName>,
}

/// The `[state]` table as it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateConfig {
    /// How often a checkpoint is taken at most; none: never.
    pub checkpoint: Option<Duration>,
    /// Bytes of a snapshot.
    pub max_size: u64,
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
        Self::over(file, text, defaults).map_err(|error| error.placed_over(text, defaults))
    }

    /// The tables under every agent's own, by themselves.
    pub(super) fn of_defaults(file: &str, defaults: &toml::Table) -> Result<Self, ConfigError> {
        Self::over(file, "", defaults)
    }

    fn over(file: &str, text: &str, defaults: &toml::Table) -> Result<Self, ConfigError> {
        // Read by itself first: only then do the parser's errors have the lines of this file.
        let wrong = |e: toml::de::Error| ConfigError::parsing(file, text, &e);
        toml::from_str::<written::Agent>(text).map_err(wrong)?;
        let own: toml::Table = toml::from_str(text).map_err(wrong)?;
        let whole = over_defaults(defaults.clone(), own);
        tables(file, &whole)?;
        let written = whole.try_into();
        let written = written.map_err(|e| ConfigError::parsing(file, "", &e))?;
        Self::meaning(file, written)
    }

    fn meaning(file: &str, written: written::Agent) -> Result<Self, ConfigError> {
        let digest = version_digest(file, &written)?;
        let limits = limits(file, &written.limits)?;
        Ok(Self {
            digest,
            enabled: or(written.enabled, true),
            component: written.component,
            traffic: traffic(file, &written.reload)?,
            state: state(&written.state),
            isolation: or(written.limits.isolation, true),
            dirs: dirs(file, &written.grants)?,
            outbound: outbound(file, &written.grants)?,
            reload: reload(file, written.reload)?,
            rollback: rollback(file, written.rollback)?,
            health: HealthSettings {
                interval: or(written.health.interval, HealthSettings::default().interval),
                timeout: or(written.health.timeout, HealthSettings::default().timeout),
            },
            health_path: health_path(file, written.health.path.as_deref())?,
            instances: instances(file, &written.instances)?,
            limits,
            env: written.grants.env.checked(file)?,
            route: route(file, written.route)?,
        })
    }
}

fn tables(file: &str, whole: &toml::Table) -> Result<(), ConfigError> {
    let tables = [
        "reload",
        "rollback",
        "health",
        "state",
        "instances",
        "limits",
        "grants",
        "route",
        "reload.mirror",
        "rollback.breaker",
    ];
    tables
        .into_iter()
        .try_for_each(|key| is_table(file, whole, key))?;
    let lists = [
        ("reload", "stages"),
        ("rollback", "policies"),
        ("grants", "dirs"),
    ];
    lists
        .into_iter()
        .try_for_each(|(table, key)| are_tables(file, whole, table, key))
}

pub(super) fn or<T>(written: Option<T>, default: T) -> T {
    written.unwrap_or(default)
}

/// NAME.toml over the tables below it.
pub(super) fn over_defaults(mut below: toml::Table, own: toml::Table) -> toml::Table {
    // A header and a cookie are no two keys of one table: one of them is written, and replaces the other.
    let says = |tables: &toml::Table| {
        let reload = tables.get("reload").and_then(toml::Value::as_table);
        reload.is_some_and(|reload| reload.contains_key(AFFINITY))
    };
    if says(&own)
        && let Some(toml::Value::Table(reload)) = below.get_mut("reload")
    {
        reload.remove(AFFINITY);
    }
    laid_over(below, own)
}

/// The key of `[reload]` that is one value, though it is written as a table.
const AFFINITY: &str = "affinity";

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
        state: &'a written::State,
        /// Of the reload settings the one that a version runs with: whether it keeps its state at all.
        preserve_state: Option<bool>,
        route: &'a written::Route,
    }
    let runs_with = RunsWith {
        grants: &written.grants,
        instances: &written.instances,
        limits: &written.limits,
        state: &written.state,
        preserve_state: written.reload.preserve_state,
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
            let empty_table = inner.as_object().is_some_and(|table| table.is_empty());
            let empty_list = inner.as_array().is_some_and(Vec::is_empty);
            !inner.is_null() && !empty_table && !empty_list
        });
    }
}

fn state(written: &written::State) -> StateConfig {
    StateConfig {
        checkpoint: match written.checkpoint {
            None => Some(CHECKPOINT),
            Some(written::Interval::Off) => None,
            Some(written::Interval::Every(time)) => Some(time),
        },
        max_size: or(written.max_size, STATE_SIZE),
    }
}

fn outbound(file: &str, grants: &written::Grants) -> Result<Vec<Origin>, ConfigError> {
    let origin = |(at, text): (usize, &String)| {
        text.parse().map_err(|e| {
            ConfigError::of(file, "grants.outbound", format!(": {e}")).at(&at.to_string())
        })
    };
    grants.outbound.iter().enumerate().map(origin).collect()
}

fn dirs(file: &str, grants: &written::Grants) -> Result<Vec<written::Dir>, ConfigError> {
    for (at, dir) in grants.dirs.iter().enumerate() {
        let twice = grants
            .dirs
            .iter()
            .take(at)
            .any(|other| other.guest == dir.guest);
        if !dir.guest.starts_with('/') || dir.guest.contains('\0') || twice {
            let why = format!(
                " cannot show {:?} to the agent: a guest path begins with a slash and stands once",
                dir.guest
            );
            let wrong = ConfigError::of(file, "grants.dirs", why);
            return Err(wrong.at(&at.to_string()).at("guest"));
        }
    }
    Ok(grants.dirs.clone())
}

fn rollback(file: &str, written: written::Rollback) -> Result<RollbackSettings, ConfigError> {
    let default = RollbackSettings::default();
    let policies = match written.policies {
        None => default.policies,
        Some(list) => list
            .into_iter()
            .enumerate()
            .map(|(at, policy)| {
                let at = at.to_string();
                let settings = json(file, "rollback.policies", Some(policy.settings));
                let name = policy_name(file, "rollback.policies", policy.name);
                Ok(PolicyRef {
                    settings: settings.map_err(|error| error.at(&at).at("settings"))?,
                    name: name.map_err(|error| error.at(&at).at("name"))?,
                    mode: policy.mode,
                })
            })
            .collect::<Result<_, ConfigError>>()?,
    };
    if policies.len() > MAX_POLICIES {
        return Err(ConfigError::of(
            file,
            "rollback.policies",
            format!(
                " names {} policies: at most {MAX_POLICIES}, because each is asked at every tick",
                policies.len()
            ),
        ));
    }
    let enabled = or(written.enabled, default.enabled);
    if enabled && !policies.iter().any(|p| p.mode == PolicyMode::Enforce) {
        return Err(ConfigError::of(
            file,
            "rollback.policies",
            " has no policy with mode = \"enforce\", so nothing would judge a new version: \
             add one, or say `enabled = false` under [rollback]",
        ));
    }
    if let Some(twice) = repeated(&policies) {
        return Err(ConfigError::of(
            file,
            "rollback.policies",
            format!(" names `{twice}` twice: leave one of them"),
        ));
    }
    Ok(RollbackSettings {
        enabled,
        preserve_versions: or(written.preserve_versions, default.preserve_versions),
        breaker: breaker(file, &written.breaker)?,
        on_crash_loop: or(written.on_crash_loop, default.on_crash_loop),
        timeout: or(written.timeout, default.timeout),
        policies,
        quarantine: default.quarantine,
    })
}

fn breaker(file: &str, written: &written::Breaker) -> Result<Breaker, ConfigError> {
    let default = Breaker::default();
    let count = or(written.count, default.count);
    if count > MAX_BREAKER {
        return Err(ConfigError::of(
            file,
            "rollback.breaker.count",
            format!(
                " is {count}: it goes from 1 to {MAX_BREAKER}, and 0 means that it never holds a version back"
            ),
        ));
    }
    Ok(Breaker {
        count,
        window: or(written.window, default.window),
    })
}

fn repeated(policies: &[PolicyRef]) -> Option<&str> {
    let mut seen = std::collections::BTreeSet::new();
    policies
        .iter()
        .map(|policy| policy.name.as_str())
        .find(|name| !seen.insert(*name))
}

pub(super) fn json(
    file: &str,
    key: &str,
    table: Option<toml::Table>,
) -> Result<String, ConfigError> {
    policies::as_json(&table.unwrap_or_default())
        .map(|settings| serde_json::Value::Object(settings).to_string())
        .map_err(|e| ConfigError::of(file, key, format!(": {e}")))
}

/// Names `key` says a policy by; whether there is one is another question.
pub(super) fn policy_name(file: &str, key: &str, name: String) -> Result<String, ConfigError> {
    if caxton_watch::is_name(&name) {
        return Ok(name);
    }
    Err(ConfigError::of(
        file,
        key,
        format!(
            " names {name:?}, and no policy can have that name: 1 to 64 of a-z 0-9 - _, the first a letter or a digit"
        ),
    ))
}

fn instances(file: &str, written: &written::Instances) -> Result<Option<Instances>, ConfigError> {
    if written.reuse == Some(0) {
        return Err(ConfigError::of(
            file,
            "instances.reuse",
            " is 0: an instance takes at least one request; \
             write mode = \"fresh\" for a new instance each time",
        ));
    }
    match (written.mode, written.reuse) {
        (Some(written::Mode::Fresh), Some(_)) => Err(ConfigError::of(
            file,
            "instances.reuse",
            " goes with mode = \"reused\": remove it, or change the mode",
        )),
        (Some(written::Mode::Single), Some(_)) => Err(ConfigError::of(
            file,
            "instances.reuse",
            " goes with mode = \"reused\": a single instance takes all requests of its version",
        )),
        (Some(written::Mode::Fresh), None) => Ok(Some(Instances::Fresh)),
        (Some(written::Mode::Single), None) => Ok(Some(Instances::Single)),
        (Some(written::Mode::Reused), reuse) => Ok(Some(Instances::Reused {
            reuse: or(reuse, REUSE),
        })),
        (None, Some(reuse)) => Ok(Some(Instances::Reused { reuse })),
        (None, None) => Ok(None),
    }
}

fn health_path(file: &str, written: Option<&str>) -> Result<Option<PathAndQuery>, ConfigError> {
    let Some(text) = written else {
        return Ok(None);
    };
    let parsed = text.parse::<PathAndQuery>().ok();
    let path = parsed.filter(|path| text.starts_with('/') && path.as_str() == text);
    path.map(Some).ok_or_else(|| {
        ConfigError::of(
            file,
            "health.path",
            format!(" is {text:?}, which is no path of a request: write for example \"/healthz\""),
        )
    })
}

fn limits(file: &str, written: &written::Limits) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let concurrency = or(written.concurrency, default.concurrency);
    if !(1..=MAX_CONCURRENCY).contains(&concurrency) {
        return Err(ConfigError::of(
            file,
            "limits.concurrency",
            format!(" is {concurrency}: it goes from 1 to {MAX_CONCURRENCY}"),
        ));
    }
    if written.fuel == Some(0) {
        return Err(ConfigError::of(
            file,
            "limits.fuel",
            " is 0, and no request could run: write how many units each has, or leave the key out for no limit",
        ));
    }
    Ok(Limits {
        memory: or(written.memory, default.memory),
        request_timeout: or(written.request_timeout, default.request_timeout),
        idle_timeout: or(written.idle_timeout, default.idle_timeout),
        concurrency,
        request_body: or(written.request_body, default.request_body),
        reply_body: or(written.reply_body, default.reply_body),
        fuel: written.fuel,
    })
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
    parsed.map_err(|e| ConfigError::of(file, key, format!(": {e}")))
}
