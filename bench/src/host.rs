//! The real binary, running on free ports over a temporary directory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::admin::Admin;

/// How long anything may take before the measurement is given up.
const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at something that takes milliseconds.
const LOOK: Duration = Duration::from_millis(2);

/// A host and its directories; ends with this value.
pub struct Host {
    child: Child,
    folder: TempDir,
    binary: PathBuf,
    client: reqwest::Client,
    /// Address of the gateway.
    pub gateway: String,
    /// The way to the admin surface.
    pub admin: Admin,
}

impl Host {
    /// Starts `caxton run` with this configuration beside the defaults.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(config: &str) -> Result<Self> {
        let mut host = Self::launch(beside_this_program("caxton")?, config)?;
        host.up().await?;
        Ok(host)
    }

    /// Starts this binary, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(binary: PathBuf, config: &str) -> Result<Self> {
        Self::launch_over(binary, config, |_| Ok(()))
    }

    /// The same, with something put into the watched directory before.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch_over(
        binary: PathBuf,
        config: &str,
        drop_in: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let agents = folder.path().join("agents");
        std::fs::create_dir(&agents)?;
        drop_in(&agents)?;
        std::fs::write(folder.path().join("caxton.toml"), config)?;
        Ok(Self {
            child: spawn(&binary, folder.path())?,
            folder,
            binary,
            client: crate::client(),
            gateway: String::new(),
            admin: Admin::default(),
        })
    }

    /// Waits until it says where it listens.
    ///
    /// # Errors
    /// It ends, or says nothing for a minute.
    pub async fn up(&mut self) -> Result<()> {
        let file = self.data_dir().join("admin.json");
        let given_up = Instant::now() + DEADLINE;
        loop {
            let written = std::fs::read(&file).unwrap_or_default();
            let contact: serde_json::Value = serde_json::from_slice(&written).unwrap_or_default();
            let text = |key: &str| {
                let value = contact.get(key).and_then(serde_json::Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            // A host that was killed leaves its own behind.
            if contact.get("pid") == Some(&self.child.id().into()) {
                self.gateway = text("gateway");
                self.admin = Admin::at(&text("address"), &text("token"));
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "caxton ended with {status} before it served; its last words:\n{}",
                    self.last_words()
                );
            }
            if Instant::now() > given_up {
                bail!("caxton did not serve in {DEADLINE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends it without a word (SIGKILL).
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as its users do (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// It does not end well.
    pub async fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let given_up = Instant::now() + DEADLINE;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("caxton ended with {status}:\n{}", self.last_words()),
                None if Instant::now() > given_up => bail!("caxton did not end in {DEADLINE:?}"),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Starts it in the same directories, once it has ended, and does not wait for it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch_again(&mut self) -> Result<()> {
        self.child = spawn(&self.binary, self.folder.path())?;
        Ok(())
    }

    /// The host's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The watched directory.
    #[must_use]
    pub fn agents(&self) -> PathBuf {
        self.folder.path().join("agents")
    }

    /// Outside of everything that is watched, on the same file system.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the directories behind, for a person to look at; where they are.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// The end of its log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(20);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// Writes the bytes beside the watched directory and renames them into it; returns when that began.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn drop_in(&self, name: &str, bytes: &[u8]) -> Result<Instant> {
        let beside = self.folder.path().join("incoming");
        std::fs::write(&beside, bytes)?;
        let renamed = Instant::now();
        std::fs::rename(beside, self.agents().join(format!("{name}.wasm")))?;
        Ok(renamed)
    }

    /// Writes NAME.toml.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn configure(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(
            self.agents().join(format!("{name}.toml")),
            text,
        )?)
    }

    /// Asks until this version answers; returns when it did.
    ///
    /// # Errors
    /// It does not within a minute, or the gateway is not there.
    pub async fn answered_by(&self, name: &str, version: u32) -> Result<Instant> {
        let url = format!("http://{}/{name}/", self.gateway);
        self.answered(name, version, || self.client.get(&url)).await
    }

    /// The same for an agent that takes messages.
    ///
    /// # Errors
    /// It does not within a minute, or the gateway is not there.
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
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, folder: &Path) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    Command::new(binary)
        .arg("run")
        .arg(folder.join("agents"))
        .arg("--config")
        .arg(folder.join("caxton.toml"))
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("starting caxton")
}

/// The program of this name in the folder that this program stands in.
///
/// # Errors
/// It is not there.
pub fn beside_this_program(name: &str) -> Result<PathBuf> {
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
