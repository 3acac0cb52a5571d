//! The real binary, running on free ports over a temporary directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// How long anything may take before the measurement is given up.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running host; ends with this value.
pub struct Host {
    child: Child,
    folder: TempDir,
    client: reqwest::Client,
    /// Address of the gateway.
    pub gateway: String,
}

impl Host {
    /// Starts `caxton run` with this configuration beside the defaults.
    pub async fn start(config: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let agents = folder.path().join("agents");
        std::fs::create_dir(&agents)?;
        let config_file = folder.path().join("caxton.toml");
        std::fs::write(&config_file, config)?;
        let child = Command::new(beside_this_program("caxton")?)
            .arg("run")
            .arg(&agents)
            .arg("--config")
            .arg(&config_file)
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .context("starting caxton")?;
        let mut host = Self {
            child,
            folder,
            client: reqwest::Client::new(),
            gateway: String::new(),
        };
        host.gateway = host.announced().await?;
        Ok(host)
    }

    async fn announced(&mut self) -> Result<String> {
        let file = self.folder.path().join("data/admin.json");
        let given_up = Instant::now() + DEADLINE;
        loop {
            if let Some(address) = std::fs::read(&file)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
                .and_then(|json| Some(json.get("gateway")?.as_str()?.to_owned()))
            {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("caxton ended with {status} before it served");
            }
            if Instant::now() > given_up {
                bail!("caxton did not serve in {DEADLINE:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The host's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes the bytes beside the watched directory and renames them into it; returns when that began.
    pub fn drop_in(&self, name: &str, bytes: &[u8]) -> Result<Instant> {
        let beside = self.folder.path().join("incoming");
        std::fs::write(&beside, bytes)?;
        let renamed = Instant::now();
        std::fs::rename(beside, self.agents().join(format!("{name}.wasm")))?;
        Ok(renamed)
    }

    /// Writes NAME.toml.
    pub fn configure(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(
            self.agents().join(format!("{name}.toml")),
            text,
        )?)
    }

    /// Asks until this version answers; returns when it did.
    pub async fn answered_by(&self, name: &str, version: u32) -> Result<Instant> {
        let url = format!("http://{}/{name}/", self.gateway);
        self.answered(name, version, || self.client.get(&url)).await
    }

    /// The same for an agent that takes messages.
    pub async fn answered_by_post(&self, name: &str, version: u32) -> Result<Instant> {
        let url = format!("http://{}/{name}", self.gateway);
        self.answered(name, version, || self.client.post(&url))
            .await
    }

    async fn answered(
        &self,
        name: &str,
        version: u32,
        ask: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Instant> {
        let wanted = version.to_string();
        let given_up = Instant::now() + DEADLINE;
        loop {
            let reply = ask().send().await?;
            let by = reply.headers().get("x-caxton-version").cloned();
            let answered = Instant::now();
            reply.bytes().await?;
            if by.is_some_and(|by| by.as_bytes() == wanted.as_bytes()) {
                return Ok(answered);
            }
            if answered > given_up {
                bail!("version {version} of {name} did not answer in {DEADLINE:?}");
            }
        }
    }

    fn agents(&self) -> PathBuf {
        self.folder.path().join("agents")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of this name in the folder that this program stands in.
fn beside_this_program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let path = this.parent().unwrap_or(Path::new("")).join(name);
    if !path.exists() {
        bail!(
            "{} is not there; build it with: cargo build --release -p caxton",
            path.display()
        );
    }
    Ok(path)
}
