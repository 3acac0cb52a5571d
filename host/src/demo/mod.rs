//! `caxton demo`: a real host in this process, real traffic, a good new version and a bad one.
//!
//! Nothing in it is staged beyond the three versions of its agent: the host is the one that `caxton run` starts, files
//! are dropped as anyone drops them, the clients know nothing of the host, and it is the host's default policy that finds
//! the bad version out. It fails, with the reason, when the story does not go as told.
//!
//! With a policy of one's own nothing is promised: what that policy makes of the versions is what is told, and the demo ends
//! within a minute also where the policy does not decide.

mod clients;
mod own;
mod settings;
mod story;
mod timeline;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::artifacts;
use crate::cli::{
    DemoArgs, Failure, LogFormat, Paint, Signals, not_started, print, signals, start_logging,
    telemetry,
};
use crate::config::HostConfig;
use crate::host::Host;
use own::OwnPolicy;
use story::Story;

/// The agent's name.
const AGENT: &str = "greeter";

/// Tells the story.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    start_logging("error", LogFormat::Human, None)?;
    let mut signals = signals()?;
    let no_folder = |error: std::io::Error| {
        Failure::No(format!(
            "no temporary directory can be set up: {error}\nset TMPDIR to one that can be written"
        ))
    };
    let stage = Stage::build().map_err(no_folder)?;
    let own = match &args.policy {
        Some(policy) => Some(OwnPolicy::find(policy, &stage.data()).await?),
        None => None,
    };
    let own_name = own.as_ref().map(|own| own.name.as_str());
    stage
        .configure(&settings::written(args.strategy, own_name))
        .and_then(|()| {
            own.as_ref()
                .map_or(Ok(()), |own| own.put_into(&stage.policies()))
        })
        .map_err(no_folder)?;
    let host = Host::start(stage.host_config(), telemetry(None)?)
        .await
        .map_err(not_started)?;
    let told = tokio::select! {
        told = Story::new(&host, &stage, args.strategy, own_name, Paint::stdout()).tell() => told,
        () = signals.asked(1) => Err(Failure::No("the demo was interrupted".to_owned())),
    };
    let told = match told {
        Ok(()) if args.keep => keep(&host, &stage, &mut signals).await,
        told => told,
    };
    let asked_so_far = signals.count();
    host.stop(async move { signals.asked(asked_so_far + 1).await })
        .await;
    told
}

async fn keep(host: &Host, stage: &Stage, signals: &mut Signals) -> Result<(), Failure> {
    let program = std::env::current_exe().unwrap_or_else(|_| "caxton".into());
    let (program, folder) = (program.display(), stage.folder.path().display());
    print(&format!(
        "\nThe host runs on; Ctrl-C ends it. In another terminal:\n\
         \n  export CAXTON_DATA_DIR={folder}/data\
         \n  {program} status {AGENT}\
         \n  {program} history {AGENT}\
         \n  {program} call {AGENT}                   or: curl http://{}/{AGENT}/\
         \n  {program} rollback {AGENT}               back to version 1\
         \n  cp {folder}/versions/{AGENT}-v1.wasm {folder}/agents/{AGENT}.wasm\n",
        host.gateway(),
    ))?;
    signals.asked(1).await;
    Ok(())
}

/// The temporary directory in which the story takes place. It goes away with this value.
#[derive(Debug)]
struct Stage {
    folder: TempDir,
}

impl Stage {
    /// The three versions.
    fn build() -> std::io::Result<Self> {
        let stage = Self {
            folder: tempfile::Builder::new().prefix("caxton-demo-").tempdir()?,
        };
        std::fs::create_dir(stage.agents())?;
        std::fs::create_dir(stage.folder.path().join("versions"))?;
        for (number, component) in [artifacts::DEMO_V1, artifacts::DEMO_V2, artifacts::DEMO_V3]
            .iter()
            .enumerate()
        {
            std::fs::write(stage.version(number + 1), component)?;
        }
        Ok(stage)
    }

    /// Writes the agent's configuration, which waits for its component.
    fn configure(&self, settings: &str) -> std::io::Result<()> {
        std::fs::write(self.agents().join(format!("{AGENT}.toml")), settings)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn policies(&self) -> PathBuf {
        self.folder.path().join("policies")
    }

    fn agents(&self) -> PathBuf {
        self.folder.path().join("agents")
    }

    /// Where a version lies until it is dropped, and stays for those who want to try more.
    fn version(&self, number: usize) -> PathBuf {
        self.folder
            .path()
            .join("versions")
            .join(format!("{AGENT}-v{number}.wasm"))
    }

    /// Puts a version into the watched directory: copied beside it first, then moved into its place in one step.
    fn drop_in(&self, number: usize) -> std::io::Result<()> {
        let copy = self.folder.path().join("dropping.wasm");
        std::fs::copy(self.version(number), &copy)?;
        std::fs::rename(copy, self.agents().join(format!("{AGENT}.wasm")))
    }

    fn host_config(&self) -> HostConfig {
        let free_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        HostConfig {
            agents: self.agents(),
            data_dir: self.data(),
            policies: self.policies(),
            listen: free_port,
            admin: free_port,
            ..HostConfig::default()
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}
