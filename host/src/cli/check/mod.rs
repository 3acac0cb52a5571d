//! `caxton check`: whether a host would take an agent's files, stage by stage, without a host and without deploying them.
//!
//! It asks what a host asks, in the same code: the files are looked at by [`crate::controller::files`], policies say whether they
//! take their settings, and the runtime prepares a version, which it drops again. No request is answered.

mod facts;
mod folder;
mod one;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use caxton_runtime::policy::{Policy, PolicyLimits, PolicyRuntime};
use caxton_runtime::{Runtime, RuntimeOptions};
use clap::Args;
use tokio::sync::Mutex;

use super::failure::Failure;
use super::run::DEFAULT_CONFIG;
use super::{client, print, print_json};
use crate::cli::text::Paint;
use crate::config::HostConfig;
use crate::policies::Settings;

const HELP: &str = "\
The stages are those of a host, in its order: read, size, format, validation, contract, imports,
configuration, policies, compile, link, instance.

  caxton check target/wasm32-wasip2/release/hello.wasm
  caxton check hello.wasm --config hello.toml
  caxton check agents

Exit code 1 where a host would refuse something.";

/// `caxton check`
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct CheckArgs {
    /// A component, or a directory with NAME.wasm and NAME.toml files
    path: PathBuf,
    /// The component's configuration [default: NAME.toml beside it, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The host's configuration, with the defaults of all agents [default: caxton.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    host_config: Option<PathBuf>,
    /// The directory with policies of your own [default: as the host's configuration says]
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// As JSON, for tools
    #[arg(long)]
    json: bool,
}

/// Component instances that live at once: one is tried after the other.
const INSTANCES: u32 = 8;

/// What agents are checked with.
struct Checker {
    runtime: Arc<Runtime>,
    policy_runtime: PolicyRuntime,
    /// Policies that agents have named so far, with the settings of their files.
    policies: Mutex<BTreeMap<String, (Policy, Settings)>>,
    host: HostConfig,
}

impl Checker {
    fn new(host: HostConfig) -> Result<Self, Failure> {
        let failed = |error: String| Failure::No(format!("components cannot be run here: {error}"));
        let options = RuntimeOptions {
            instances: INSTANCES,
            ..RuntimeOptions::default()
        };
        // Nothing is kept: a check leaves the machine as it was.
        Ok(Self {
            runtime: Runtime::new(options).map_err(|error| failed(error.to_string()))?,
            policy_runtime: PolicyRuntime::new(PolicyLimits::default())
                .map_err(|error| failed(error.to_string()))?,
            policies: Mutex::default(),
            host,
        })
    }
}

pub(super) async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let path = args.path.as_path();
    let is_folder = path.is_dir();
    if !path.exists() {
        let told = format!(
            "{} is not there; name a component or a directory",
            path.display()
        );
        return Err(Failure::Usage(told));
    }
    if is_folder && args.config.is_some() {
        let told = "--config goes with one component; in a directory each has its NAME.toml";
        return Err(Failure::Usage(told.to_owned()));
    }
    let checker = Checker::new(host_config(args)?)?;
    let paint = Paint::stdout();
    let accepted = if is_folder {
        let folder = folder::check(&checker, path).await?;
        if args.json {
            print_json(&folder.machine())?;
        } else {
            print(&folder.human(paint))?;
        }
        folder.is_accepted()
    } else {
        let beside = path.with_extension("toml");
        let config = args
            .config
            .clone()
            .or_else(|| beside.is_file().then_some(beside));
        let checked = one::check(&checker, path, config.as_deref()).await;
        if args.json {
            print_json(&show::machine(&checked))?;
        } else {
            print(&show::human(&checked, paint))?;
        }
        checked.is_accepted()
    };
    accepted.then_some(()).ok_or(Failure::Told)
}

/// What `caxton run` would begin with here.
fn host_config(args: &CheckArgs) -> Result<HostConfig, Failure> {
    let default = Path::new(DEFAULT_CONFIG);
    let file = args
        .host_config
        .as_deref()
        .or_else(|| default.is_file().then_some(default));
    let mut host = match file {
        Some(file) => HostConfig::load(file).map_err(|error| Failure::Usage(error.to_string()))?,
        None => HostConfig {
            data_dir: PathBuf::from(client::DEFAULT_DATA_DIR),
            ..HostConfig::default()
        },
    };
    if let Some(policies) = &args.policies {
        host.policies.clone_from(policies);
    }
    Ok(host)
}
