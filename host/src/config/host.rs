//! caxton.toml: what the host itself is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caxton_store::Limits;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{AgentConfig, ConfigError, is_table, schema, units, written};

/// The host's settings with every value filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct HostConfig {
    /// The watched directory.
    pub agents: PathBuf,
    /// Where policies are looked up that are not in the binary.
    pub policies: PathBuf,
    /// Where the host keeps what is its own.
    pub data_dir: PathBuf,
    /// The gateway's address.
    pub listen: SocketAddr,
    /// The admin surface's address.
    pub admin: SocketAddr,
    /// Reloads that are prepared at once.
    pub max_reloads: usize,
    /// How often traffic is summed up and judged.
    pub tick: Duration,
    /// How long a file must stand still where its end cannot be seen.
    pub settle: Duration,
    /// How often the directory is listed, whatever the events say.
    pub rescan: Duration,
    /// How long a file must be gone before that is believed.
    pub remove_grace: Duration,
    /// Watch by listing only.
    pub poll: bool,
    /// The program that is told what waits for a person, and its arguments; empty: none.
    pub on_attention: Vec<String>,
    /// How much of what happened is kept.
    pub retention: Limits,
    /// The tables under every NAME.toml.
    pub defaults: toml::Table,
    /// Serves someone who works on agents: see `dev`.
    pub dev: bool,
}

/// Events that are kept: fewer than this do not tell one agent's reloads.
const FEWEST_EVENTS: u64 = 100;
/// More of them are a file that nobody reads.
const MOST_EVENTS: u64 = 10_000_000;

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            agents: PathBuf::from("agents"),
            policies: PathBuf::from("policies"),
            data_dir: PathBuf::from(".caxton"),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            max_reloads: 5,
            tick: Duration::from_secs(1),
            settle: Duration::from_millis(200),
            rescan: Duration::from_secs(2),
            remove_grace: Duration::from_secs(5),
            poll: false,
            on_attention: Vec::new(),
            retention: Limits::default(),
            defaults: toml::Table::new(),
            dev: false,
        }
    }
}

/// What the host itself is told, `caxton.toml`; it is read at the start.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    /// The host's own settings.
    host: Host,
    /// What every agent's own file is laid over, key by key.
    #[schemars(with = "written::Agent")]
    defaults: toml::Table,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Host {
    /// The watched directory with NAME.wasm files. Paths here are relative to the folder of this file.
    #[schemars(extend("default" = "agents"))]
    agents: Option<PathBuf>,
    /// The directory with policies of your own.
    #[schemars(extend("default" = "policies"))]
    policies: Option<PathBuf>,
    /// Where the host keeps what is its own; outside of the agents directory.
    #[schemars(extend("default" = ".caxton"))]
    data_dir: Option<PathBuf>,
    /// Where requests come in: address and port.
    #[schemars(schema_with = "schema::address", extend("default" = "127.0.0.1:8080"))]
    listen: Option<SocketAddr>,
    /// Where operators come in: address and port.
    #[schemars(schema_with = "schema::address", extend("default" = "127.0.0.1:8081"))]
    admin: Option<SocketAddr>,
    /// Reloads that are prepared at once.
    #[schemars(range(min = 1), extend("default" = 5))]
    max_reloads: Option<usize>,
    /// How often traffic is summed up and judged.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "1s"))]
    tick: Option<Duration>,
    /// How long a file must stand still where its end cannot be seen.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "200ms"))]
    settle: Option<Duration>,
    /// How often the directory is listed, whatever the events say.
    #[serde(deserialize_with = "units::limit")]
    #[schemars(schema_with = "schema::limit", extend("default" = "2s"))]
    rescan: Option<Duration>,
    /// How long a file must be gone before that is believed.
    #[serde(deserialize_with = "units::wait")]
    #[schemars(schema_with = "schema::wait", extend("default" = "5s"))]
    remove_grace: Option<Duration>,
    /// Watch by listing only: for network and bind mounts, which send no events.
    #[schemars(extend("default" = false))]
    poll: Option<bool>,
    /// A program and its arguments, started when something waits for a person, and when it no longer does: what, as JSON on its
    /// standard input. `CAXTON_DATA_DIR` names the data directory to it.
    #[schemars(extend("default" = []))]
    on_attention: Vec<String>,
    /// How much is kept of what happened; what is beyond goes by itself, the oldest first.
    retention: Retention,
}

/// How much is kept: of decision records and of events, by what it takes and by its age.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retention {
    /// Decision records of all reloads.
    #[serde(deserialize_with = "units::kept")]
    #[schemars(schema_with = "schema::kept", extend("default" = "1GiB"))]
    records: Option<u64>,
    /// Decision records of reloads that are over.
    #[serde(deserialize_with = "units::age")]
    #[schemars(schema_with = "schema::age", extend("default" = "90d"))]
    records_age: Option<Duration>,
    /// Events, and as many orders.
    #[schemars(range(min = FEWEST_EVENTS, max = MOST_EVENTS), extend("default" = 100_000))]
    events: Option<u64>,
    /// Events and orders.
    #[serde(deserialize_with = "units::age")]
    #[schemars(schema_with = "schema::age", extend("default" = "90d"))]
    events_age: Option<Duration>,
}

impl Retention {
    fn over(self, default: Limits) -> Limits {
        Limits {
            records_bytes: self.records.unwrap_or(default.records_bytes),
            records_age: self.records_age.unwrap_or(default.records_age),
            events: self.events.unwrap_or(default.events),
            events_age: self.events_age.unwrap_or(default.events_age),
            ..default
        }
    }
}

/// Just `[defaults]`, to have the parser's errors with their lines.
#[derive(Deserialize)]
struct DefaultsOnly {
    #[serde(default, rename = "defaults")]
    _defaults: written::Agent,
}

impl HostConfig {
    /// Reads caxton.toml; paths in it are relative to the folder that it stands in.
    ///
    /// # Errors
    /// The file cannot be read, or the first thing in it that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::new(&name, format!("cannot be read: {e}")))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::read(&name, &text, folder)
    }

    pub(super) fn read(name: &str, text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let parse = |e: toml::de::Error| ConfigError::parsing(name, text, &e);
        let File { host, defaults } = toml::from_str(text).map_err(parse)?;
        toml::from_str::<DefaultsOnly>(text).map_err(parse)?;
        Self::meaning(name, text, host, defaults, folder).map_err(|error| error.placed(text))
    }

    fn meaning(
        name: &str,
        text: &str,
        host: Host,
        defaults: toml::Table,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let parse = |e: toml::de::Error| ConfigError::parsing(name, text, &e);
        let tables: toml::Table = toml::from_str(text).map_err(parse)?;
        is_table(name, &tables, "host")?;
        is_table(name, &tables, "host.retention")?;
        let default = Self::default();
        let config = Self {
            agents: folder.join(host.agents.unwrap_or(default.agents)),
            policies: folder.join(host.policies.unwrap_or(default.policies)),
            data_dir: folder.join(host.data_dir.unwrap_or(default.data_dir)),
            listen: host.listen.unwrap_or(default.listen),
            admin: host.admin.unwrap_or(default.admin),
            max_reloads: host.max_reloads.unwrap_or(default.max_reloads),
            tick: host.tick.unwrap_or(default.tick),
            settle: host.settle.unwrap_or(default.settle),
            rescan: host.rescan.unwrap_or(default.rescan),
            remove_grace: host.remove_grace.unwrap_or(default.remove_grace),
            poll: host.poll.unwrap_or(default.poll),
            on_attention: host.on_attention,
            retention: host.retention.over(default.retention),
            defaults,
            dev: default.dev,
        };
        if config.max_reloads == 0 {
            let why = " is 0, so nothing could ever be deployed: write 1 or more";
            return Err(ConfigError::of(name, "host.max_reloads", why));
        }
        let events = config.retention.events;
        if !(FEWEST_EVENTS..=MOST_EVENTS).contains(&events) {
            let why = format!(" is {events}: it goes from {FEWEST_EVENTS} to {MOST_EVENTS}");
            return Err(ConfigError::of(name, "host.retention.events", why));
        }
        // What only shows once the defaults are taken together is found at start and not at the first deployment.
        AgentConfig::of_defaults(name, &config.defaults)
            .map_err(|error| error.below("defaults"))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn read(text: &str) -> Result<HostConfig, ConfigError> {
        HostConfig::read("caxton.toml", text, Path::new(""))
    }

    #[test]
    fn what_is_kept_is_said_and_the_rest_is_as_always() {
        assert_eq!(read("").unwrap().retention, Limits::default());
        let text = "[host.retention]\nrecords = \"2GiB\"\nrecords_age = \"30d\"\nevents = 500\n";
        let expected = Limits {
            records_bytes: 2 << 30,
            records_age: Duration::from_secs(30 * 24 * 60 * 60),
            events: 500,
            ..Limits::default()
        };
        assert_eq!(read(text).unwrap().retention, expected);
        let inline = "[host]\nretention = { events_age = \"1h\" }\n";
        let age = read(inline).unwrap().retention.events_age;
        assert_eq!(age, Duration::from_secs(60 * 60));
    }

    #[test]
    fn each_key_is_as_written_and_paths_begin_at_the_file() {
        let text = "[host]\nagents = \"a\"\npolicies = \"/p\"\ndata_dir = \"../d\"\nlisten = \"0.0.0.0:1\"\nadmin = \"[::1]:2\"\n\
                    max_reloads = 3\ntick = \"2s\"\nsettle = \"3s\"\nrescan = \"4s\"\nremove_grace = \"6s\"\npoll = true\n";
        let config = HostConfig::read("caxton.toml", text, Path::new("/etc")).unwrap();
        let expected = HostConfig {
            agents: PathBuf::from("/etc/a"),
            policies: PathBuf::from("/p"),
            data_dir: PathBuf::from("/etc/../d"),
            listen: "0.0.0.0:1".parse().unwrap(),
            admin: "[::1]:2".parse().unwrap(),
            max_reloads: 3,
            tick: Duration::from_secs(2),
            settle: Duration::from_secs(3),
            rescan: Duration::from_secs(4),
            remove_grace: Duration::from_secs(6),
            poll: true,
            ..HostConfig::default()
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_wrong_below_defaults_is_told_with_its_line() {
        refused(
            "[host]\npoll = true\n[defaults.limits]\nmemory = \"1GiB\"\nconcurrency = 0\n",
            expect!["caxton.toml: line 5: `limits.concurrency` is 0: it goes from 1 to 10000"],
        );
    }

    fn refused(text: &str, expected: Expect) {
        expected.assert_eq(&read(text).unwrap_err().to_string());
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_what_can() {
        refused(
            "[host.retention]\nrecords = \"10KiB\"\n",
            expect![[
                r#"caxton.toml: line 2, `records = "10KiB"`: `10KiB` is out of bounds: from 1.0 MiB to 1.0 TiB"#
            ]],
        );
        refused(
            "[host.retention]\nrecords = 5\n",
            expect![[
                r#"caxton.toml: line 2, `records = 5`: expected a size in quotes, such as 64MiB, and found a number without quotes; did you mean "5MiB"?"#
            ]],
        );
        refused(
            "[host.retention]\nrecords_age = \"1s\"\n",
            expect![[
                r#"caxton.toml: line 2, `records_age = "1s"`: `1s` is out of bounds: from 1m to 10years"#
            ]],
        );
        refused(
            "[host.retention]\nrecords_age = \"always\"\n",
            expect![[
                r#"caxton.toml: line 2, `records_age = "always"`: `always` is no duration (expected number at 0); write for example "30s", "500ms" or "5m""#
            ]],
        );
        refused(
            "[host.retention]\nevents = 5\n",
            expect![
                "caxton.toml: line 2: `host.retention.events` is 5: it goes from 100 to 10000000"
            ],
        );
        refused(
            "[host.retention]\nevents = \"many\"\n",
            expect![[
                r#"caxton.toml: line 2, `events = "many"`: expected a whole number from 0, and found string "many""#
            ]],
        );
        refused(
            "[host.retention]\nevent_age = \"5d\"\n",
            expect![
                "caxton.toml: line 2, `event_age`: unknown field `event_age`, expected one of `records`, `records_age`, `events`, `events_age`; did you mean `events_age`?"
            ],
        );
    }
}
