//! What may be written on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use caxton_rollout::{AgentName, VersionNumber};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Drop a WebAssembly component into a directory and it serves; drop the next version and it takes over, watched,
/// without losing a request.
#[derive(Debug, Parser)]
#[command(
    name = "caxton",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the components in a directory
    Run(RunArgs),
    /// See it work: a real host, its own traffic, a good version and a bad one; half a minute
    Demo(DemoArgs),
    /// List the agents
    Ls(ListArgs),
    /// Show one agent
    Status(AgentArgs),
    /// Show how an agent's reloads ended, newest first
    History(AgentArgs),
    /// Show what happened
    Events(EventsArgs),
    /// Call an agent through the gateway
    Call(CallArgs),
    /// Go back: during a reload to the permanent version, otherwise to the one before it
    Rollback(RollbackArgs),
    /// Give the new version all traffic as soon as it is ready; it still bakes
    Promote(PromoteArgs),
    /// Take no step forward with the reload; judging goes on
    Pause(OrderArgs),
    /// Go on after a pause or a hold
    Resume(OrderArgs),
    /// End the reload; the permanent version serves
    Abort(OrderArgs),
    /// Let a version that was quarantined or set aside try again
    Retry(OrderArgs),
}

/// `caxton run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The directory with NAME.wasm files [default: agents]
    pub dir: Option<PathBuf>,
    /// The host's configuration [default: caxton.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where requests come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where operators come in [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<SocketAddr>,
    /// Where the host keeps what is its own [default: .caxton]
    #[arg(long, value_name = "DIR", env = "CAXTON_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The directory with policies of your own [default: policies, where there is one]
    #[arg(long, value_name = "DIR")]
    pub policies: Option<PathBuf>,
    /// Watch by listing only: for network and bind mounts, which send no events
    #[arg(long)]
    pub poll: bool,
}

/// `caxton demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the host running afterwards, to try things
    #[arg(long)]
    pub keep: bool,
    /// How new versions come in
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    pub strategy: DemoStrategy,
}

/// The strategies that the demo can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DemoStrategy {
    /// New requests go to the new version, the old one finishes what it has
    #[default]
    Graceful,
    /// The pointer is swapped; calls in flight on the old version are cut and counted
    Immediate,
}

/// How a running host is found.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The data directory of the running host [default: .caxton; env: CAXTON_DATA_DIR, or CAXTON_ADMIN with CAXTON_TOKEN]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `caxton ls`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton status` and `caxton history`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The agent's name
    #[arg(value_parser = agent_name)]
    pub agent: AgentName,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now
    #[arg(long, short)]
    pub follow: bool,
    /// Begin after the event with this number
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// As JSON, one event a line
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton call`
#[derive(Debug, Args)]
pub struct CallArgs {
    /// The agent's name
    #[arg(value_parser = agent_name)]
    pub agent: AgentName,
    /// The request's body, sent with POST; `-` takes it from the standard input. Without one it is a GET
    pub body: Option<String>,
    /// The path at the agent
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton rollback`
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// To this version, which must be one of those that `caxton status` shows as kept
    #[arg(long, value_name = "N", value_parser = version_number)]
    pub to: Option<VersionNumber>,
    /// Whom.
    #[command(flatten)]
    pub order: OrderArgs,
}

/// `caxton promote`
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// End the bake as well: permanent at once
    #[arg(long)]
    pub now: bool,
    /// Whom.
    #[command(flatten)]
    pub order: OrderArgs,
}

/// What every order needs.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// The agent's name
    #[arg(value_parser = agent_name)]
    pub agent: AgentName,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

fn agent_name(text: &str) -> Result<AgentName, String> {
    let bare = text.strip_suffix(".wasm").unwrap_or(text);
    bare.parse().map_err(|_| {
        "an agent's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit; `caxton ls` lists \
         those there are"
            .to_owned()
    })
}

fn version_number(text: &str) -> Result<VersionNumber, String> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    bare.parse()
        .ok()
        .and_then(VersionNumber::new)
        .ok_or_else(|| "versions are numbered from 1".to_owned())
}
