//! The command line: `run` and `demo` hold a host, everything else is a client of a running host's admin surface or works on
//! files.
//!
//! What must hold: exit code 0 is done, 1 is "the answer is no", 2 is wrong usage or configuration, 3 is a host that
//! cannot be reached. Every failure says what is wrong, where, and what to do. Text that comes from agents, files or
//! policies cannot act on the terminal. A reader that goes away ends the command and is no failure.

mod acts;
mod args;
mod backup;
mod call;
mod check;
mod client;
mod dev;
mod explain;
mod failure;
mod follow;
mod gc;
mod lines;
mod logging;
mod logs;
mod new;
mod orders;
mod phase;
pub(crate) mod policy;
mod records;
mod run;
mod sentences;
mod show;
mod signals;
mod start;
mod status;
mod table;
mod text;
mod time;
mod top;
mod views;
mod wait;
mod wit;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

pub use args::{
    AbortArgs, AgentArgs, CallArgs, Cli, Command, Connection, DemoArgs, DemoStrategy, EventsArgs,
    HistoryArgs, ListArgs, LogFormat, OrderArgs, PromoteArgs, RollbackArgs, RunArgs, SchemaArgs,
    SetSplitArgs, StateArg, StateArgs, TopArgs,
};
use client::Client;
pub use failure::Failure;
pub(crate) use logging::start as start_logging;
pub(crate) use sentences::sentence;
pub(crate) use signals::Signals;
pub(crate) use start::{Running, not_started, signals, start, telemetry};
pub(crate) use text::{Paint, Tone, coloured_lines, harmless};
pub(crate) use time::{now_ms, span};

/// Does what the process's command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // For collectors with TLS, and every HTTP client here asks who would do it. One that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // One more than cores: guests may compute on all cores, and sockets are still looked at.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores + 1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return report(&Failure::No(format!(
                "this machine gives no threads to work with: {error}"
            )));
        }
    };
    let ended = runtime.block_on(obey(cli.command));
    // What still runs then, such as a wait for the standard input, has no say in when the process ends.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    if !failure.is_silent() {
        let mark = Paint::stderr().tone(Tone::Bad, "error:");
        let _ = writeln!(
            io::stderr(),
            "{mark} {}",
            text::harmless_lines(&failure.to_string())
        );
    }
    failure.exit_code().into()
}

async fn obey(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Dev(args) => dev::dev(args).await,
        Command::New(args) => new::new(&args),
        Command::Demo(args) => crate::demo::run(&args).await,
        Command::Ls(args) => list(&args).await,
        Command::Status(args) => show_status(&args).await,
        Command::History(args) => history(&args).await,
        Command::Events(args) => follow::events(&args).await,
        Command::Logs(args) => logs::logs(&args).await,
        Command::Wait(args) => wait::wait(&args).await,
        Command::Call(args) => call::call(&args).await,
        Command::Top(args) => top::top(&args).await,
        Command::Rollback(args) => orders::rollback(&args).await,
        Command::Promote(args) => orders::promote(&args).await,
        Command::Pause(args) => orders::plain(&args, "pause").await,
        Command::Resume(args) => orders::plain(&args, "resume").await,
        Command::Abort(args) => orders::abort(&args).await,
        Command::SetSplit(args) => orders::set_split(&args).await,
        Command::Retry(args) => orders::plain(&args, "retry").await,
        Command::Explain(args) => explain::explain(&args).await,
        Command::Records(args) => records::records(&args).await,
        Command::Gc(args) => gc::gc(&args).await,
        Command::Backup(args) => backup::backup(&args).await,
        Command::Restore(args) => backup::restore(&args).await,
        Command::Wit(args) => wit::wit(&args),
        Command::Check(args) => check::check(&args).await,
        Command::Schema(args) => print_json(&crate::config::schema(args.file)),
        Command::Policy(args) => policy::obey(args.command).await,
    }
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let agents = client.get("agents").await?;
    if args.json {
        return print_json(&agents);
    }
    let agents: Vec<views::Agent> = client.read(agents)?;
    let host: views::HostAttention = client.read(client.get("host").await?)?;
    if agents.is_empty() && host.attention.is_empty() && Paint::stdout().terminal() {
        return print("no agents yet: copy a component into the agents directory as NAME.wasm\n");
    }
    print(&show::agents(
        &agents,
        &host.attention,
        now_ms(),
        Paint::stdout(),
    ))
}

async fn show_status(args: &AgentArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let agent = client.get(&format!("agents/{}", args.agent)).await?;
    if args.json {
        return print_json(&agent);
    }
    let agent: views::Agent = client.read(agent)?;
    print(&status::status(&agent, now_ms(), Paint::stdout()))
}

async fn history(args: &HistoryArgs) -> Result<(), Failure> {
    let HistoryArgs { acts, agent: args } = args;
    if *acts {
        return acts::acts(args).await;
    }
    let client = Client::find(&args.connection)?;
    let results = client
        .get(&format!("agents/{}/history", args.agent))
        .await?;
    if args.json {
        return print_json(&results);
    }
    let results: Vec<views::Ended> = client.read(results)?;
    if results.is_empty() && Paint::stdout().terminal() {
        return print("no reload has ended yet\n");
    }
    print(&show::history(&results, now_ms(), Paint::stdout()))
}

/// Writes to the standard output, at once.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn print_json(value: &Value) -> Result<(), Failure> {
    // A tree of values with text keys: writing it cannot fail.
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    print(&format!("{}\n", text::harmless_json(&json)))
}
