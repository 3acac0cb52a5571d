//! caxton.toml: what the host itself is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{AgentConfig, ConfigError, units, written};

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
    /// The tables under every NAME.toml.
    pub defaults: toml::Table,
}

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
            defaults: toml::Table::new(),
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

    fn read(name: &str, text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let parse = |e: toml::de::Error| ConfigError::parsing(name, text, &e);
        let File { host, defaults } = toml::from_str(text).map_err(parse)?;
        toml::from_str::<DefaultsOnly>(text).map_err(parse)?;
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
            defaults,
        };
        if config.max_reloads == 0 {
            return Err(ConfigError::new(
                name,
                "`host.max_reloads` is 0, so nothing could ever be deployed: write 1 or more",
            ));
        }
        // What only shows once the defaults are taken together is found at start and not at the first deployment.
        AgentConfig::read(name, "", &config.defaults)?;
        Ok(config)
    }
}
