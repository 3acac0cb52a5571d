//! caxton.toml: what the host itself is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caxton_store::Limits;
use serde::Deserialize;

use super::{AgentConfig, ConfigError, is_table, units, written};

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
const EVENTS: std::ops::RangeInclusive<u64> = 100..=10_000_000;

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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    host: Host,
    defaults: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    agents: Option<PathBuf>,
    policies: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    max_reloads: Option<usize>,
    #[serde(deserialize_with = "units::limit")]
    tick: Option<Duration>,
    #[serde(deserialize_with = "units::wait")]
    settle: Option<Duration>,
    #[serde(deserialize_with = "units::limit")]
    rescan: Option<Duration>,
    #[serde(deserialize_with = "units::wait")]
    remove_grace: Option<Duration>,
    poll: Option<bool>,
    on_attention: Vec<String>,
    retention: Retention,
}

/// How much is kept: of decision records and of events, by what it takes and by its age.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Retention {
    #[serde(deserialize_with = "units::kept")]
    records: Option<u64>,
    #[serde(deserialize_with = "units::age")]
    records_age: Option<Duration>,
    events: Option<u64>,
    #[serde(deserialize_with = "units::age")]
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
        is_table(name, &toml::from_str(text).map_err(parse)?, "host")?;
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
            return Err(ConfigError::new(
                name,
                "`host.max_reloads` is 0, so nothing could ever be deployed: write 1 or more",
            ));
        }
        let (fewest, most) = (EVENTS.start(), EVENTS.end());
        if !EVENTS.contains(&config.retention.events) {
            return Err(ConfigError::new(
                name,
                format!(
                    "`host.retention.events` is {}: it goes from {fewest} to {most}",
                    config.retention.events
                ),
            ));
        }
        // What only shows once the defaults are taken together is found at start and not at the first deployment.
        AgentConfig::read(name, "", &config.defaults)?;
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
            expect![
                "caxton.toml: line 2, `records = 5`: expected a size in quotes, such as 64MiB, and found integer"
            ],
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
            expect!["caxton.toml: `host.retention.events` is 5: it goes from 100 to 10000000"],
        );
        refused(
            "[host.retention]\nevents = \"many\"\n",
            expect![[
                r#"caxton.toml: line 2, `events = "many"`: invalid type: string "many", expected u64"#
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
