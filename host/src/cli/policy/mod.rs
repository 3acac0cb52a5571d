//! `caxton policy`: tools for those who write and choose policies. All but `ls` work on files, without a host.
//!
//! POLICY is a file or the name of a policy in this binary, everywhere ([`find`]). What a tool finds wrong with a policy or
//! with records is exit code 1. What is wrong with the command line or a file beside the policy is 2: a policy that is not
//! there, scenario files, settings that cannot be read or that the policy refuses. Only `check`, which is asked just that,
//! says 1 where the policy refuses its own NAME.toml.

mod again;
mod backtest;
mod bench;
mod check;
pub(crate) mod find;
mod inspect;
pub(crate) mod kit;
mod ls;
mod new;
mod replay;
pub(crate) mod settings;
mod test;
mod traffic;

use clap::{Args, Subcommand};

use super::args::ListArgs;
use super::failure::Failure;

/// `caxton policy`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The commands under `caxton policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Begin a policy of your own: a project that builds, with its tests
    New(new::NewArgs),
    /// List the policies that a running host knows
    Ls(ListArgs),
    /// Show what a policy is: its kind, what it exports and imports, the settings it takes
    Inspect(inspect::InspectArgs),
    /// Say whether a host takes a policy, stage by stage, and why not
    Check(check::CheckArgs),
    /// Run scenario files: courses of events, each with the verdict that is right
    Test(test::TestArgs),
    /// Measure what a call costs: time, fuel and memory by number of windows
    Bench(bench::BenchArgs),
    /// Ask a policy again what it was asked in recorded reloads, and show where it differs
    Replay(replay::ReplayArgs),
    /// Two policies side by side over recorded reloads
    Backtest(backtest::BacktestArgs),
}

pub(super) async fn obey(command: PolicyCommand) -> Result<(), Failure> {
    // That compiled code cannot be kept is worth a line, and nothing else is.
    super::start_logging("warn", super::LogFormat::Human, None)?;
    match command {
        PolicyCommand::New(args) => new::new(&args),
        PolicyCommand::Ls(args) => ls::ls(&args).await,
        PolicyCommand::Inspect(args) => inspect::inspect(&args).await,
        PolicyCommand::Check(args) => check::check(&args).await,
        PolicyCommand::Test(args) => test::test(&args).await,
        PolicyCommand::Bench(args) => bench::bench(&args).await,
        PolicyCommand::Replay(args) => replay::run(&args).await,
        PolicyCommand::Backtest(args) => backtest::run(&args).await,
    }
}
