//! What may be written on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use caxton_rollout::{AgentName, VersionNumber};
use clap::{Args, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue};

use crate::config::SchemaKind;

use super::backup::{BackupArgs, RestoreArgs};
use super::check::CheckArgs;
use super::dev::DevArgs;
use super::explain::ExplainArgs;
use super::gc::GcArgs;
use super::logs::LogsArgs;
use super::new::NewArgs;
use super::policy::PolicyArgs;
use super::records::RecordsArgs;
use super::wait::WaitArgs;
use super::wit::WitArgs;

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
    /// Make a project for an agent of your own
    New(NewArgs),
    /// Build and serve a project, again with each save
    Dev(DevArgs),
    /// See it work: a real host, its own traffic, a good version and a bad one; half a minute
    Demo(DemoArgs),
    /// List the agents
    Ls(ListArgs),
    /// Show one agent
    Status(AgentArgs),
    /// Watch all agents live, and the one that is selected in detail; wants a terminal
    Top(TopArgs),
    /// Show how an agent's reloads ended, newest first
    History(HistoryArgs),
    /// Show what happened
    Events(EventsArgs),
    /// Show what an agent's instances printed
    ///
    /// The newest 1,000 lines of each agent, and at most 256 KiB of them, are remembered as long as the host runs; an hour after
    /// the last line of an agent of which nothing runs any more they are forgotten. They go to the host's own log as well.
    Logs(LogsArgs),
    /// Wait until an agent serves, or until a file that was dropped does: for scripts
    ///
    /// Ends with 0 when that is reached; with 1 when it ended otherwise (it says how, why, and what shows more) or when the time
    /// is over; with 3 when no host is there.
    Wait(WaitArgs),
    /// Call an agent through the gateway, or with --candidate its version on trial
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
    Abort(AbortArgs),
    /// Give the new version this share of the requests until told otherwise (traffic-splitting)
    SetSplit(SetSplitArgs),
    /// Let a version that was quarantined or set aside try again
    Retry(OrderArgs),
    /// Show a reload line by line: what was seen, what the policies said, what was done, what would have changed it
    Explain(ExplainArgs),
    /// Write out decision records, as `explain`, `policy replay` and `policy backtest` read them
    Records(RecordsArgs),
    /// Remove what is beyond the limits and what nothing names; the host serves on
    Gc(GcArgs),
    /// Write everything that a start needs into one file; the host serves on
    Backup(BackupArgs),
    /// Make a data directory of a backup
    Restore(RestoreArgs),
    /// Print the contract that agents or policies are written against, or write it into a directory
    Wit(WitArgs),
    /// Look at an agent's files as a host would before running them, without deploying them
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration files, for editors
    Schema(SchemaArgs),
    /// Policies: look at them, check them, test them, measure them, ask them again over recorded reloads
    Policy(PolicyArgs),
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
    /// For work on agents: each save serves at once, in one line, and what agents print is shown
    ///
    /// Warm-up, bake, stages, policies and rollback of configurations are not used, and the same bytes may come in again. A
    /// missing agents directory is made.
    #[arg(long)]
    pub dev: bool,
    /// How the log is written
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "CAXTON_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Human,
    /// One JSON object a line, for collectors of logs
    Json,
}

/// `caxton schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// One of both files [default: both, as definitions of one schema]
    #[arg(value_enum)]
    pub file: Option<SchemaKind>,
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
    /// Who judges the versions: a rollback policy of your own, or the name of one in this binary
    ///
    /// It judges alone, with the settings in the file NAME.toml beside it. What it makes of both versions is told, whatever that
    /// is; where it does not decide, the demo goes on after 20 seconds.
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
}

/// The strategies that the demo can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DemoStrategy {
    /// New requests go to the new version, the old one finishes what it has
    #[default]
    Graceful,
    /// The pointer is swapped; calls in flight on the old version are cut and counted
    Immediate,
    /// The new version hears copies first; when it is fit, it takes over like graceful
    Parallel,
    /// Both versions serve, the new one a share that grows in stages
    TrafficSplitting,
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

/// `caxton top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Begin with this agent selected
    #[arg(value_parser = agent_name)]
    pub agent: Option<AgentName>,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// `caxton history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What operators ordered instead, and whether it was taken
    #[arg(long)]
    pub acts: bool,
    /// Whose.
    #[command(flatten)]
    pub agent: AgentArgs,
}

/// `caxton status`
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
    /// The version on trial, whatever share it has; the call counts for and against nobody
    #[arg(long)]
    pub candidate: bool,
    /// A header of the request; may be given several times
    #[arg(long, short = 'H', value_name = "NAME:VALUE", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
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
    /// What state it begins with.
    #[command(flatten)]
    pub state: StateArgs,
    /// Whom.
    #[command(flatten)]
    pub order: OrderArgs,
}

/// `caxton abort`
#[derive(Debug, Args)]
pub struct AbortArgs {
    /// What state the permanent version goes on with.
    #[command(flatten)]
    pub state: StateArgs,
    /// Whom.
    #[command(flatten)]
    pub order: OrderArgs,
}

/// What an agent that keeps state goes back with.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// For agents that keep state: what the version that is gone back to begins with [default: carry]
    #[arg(long, value_enum, value_name = "CHOICE")]
    pub state: Option<StateArg>,
}

/// The choices of `--state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    /// The state of the version that serves: saved there, loaded into the other; where that fails, nothing changes
    Carry,
    /// What that version itself saved last; what was done since is gone
    Snapshot,
    /// None: it begins empty
    Fresh,
}

impl StateArg {
    /// The word for it on the admin surface.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Carry => "carry",
            Self::Snapshot => "snapshot",
            Self::Fresh => "fresh",
        }
    }
}

/// `caxton set-split`
#[derive(Debug, Args)]
pub struct SetSplitArgs {
    /// Whom.
    #[command(flatten)]
    pub order: OrderArgs,
    /// Per cent of the requests for the new version, 1 to 99
    #[arg(value_parser = share)]
    pub percent: u8,
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

pub(super) fn agent_name(text: &str) -> Result<AgentName, String> {
    let bare = text.strip_suffix(".wasm").unwrap_or(text);
    bare.parse().map_err(|_| {
        "an agent's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or a digit; `caxton ls` lists \
         those there are"
            .to_owned()
    })
}

pub(super) fn version_number(text: &str) -> Result<VersionNumber, String> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    bare.parse()
        .ok()
        .and_then(VersionNumber::new)
        .ok_or_else(|| "versions are numbered from 1".to_owned())
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let told = || format!("{text:?} is no header: write NAME:VALUE");
    let (name, value) = text.split_once(':').ok_or_else(told)?;
    let name = name.trim().parse().map_err(|_| told())?;
    let value = value.trim().parse().map_err(|_| told())?;
    Ok((name, value))
}

/// A time as people write it: `30s`, `10m`, `2h`.
pub(super) fn span(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text)
        .map_err(|problem| format!("{problem}; 30s, 10m and 2h are right"))
}

fn share(text: &str) -> Result<u8, String> {
    let bare = text.strip_suffix('%').unwrap_or(text);
    bare.trim_end()
        .parse()
        .ok()
        .filter(|share| (1..=99).contains(share))
        .ok_or_else(|| {
            "a share goes from 1 to 99 per cent; `caxton promote` gives a version all traffic, and `caxton abort` none"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_argument_of_a_command_is_in_anothers_way() {
        Cli::command().debug_assert();
    }
}
