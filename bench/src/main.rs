//! Figures of Caxton that anyone can measure again, on their own machine, and trials of what must hold.
//!
//! Each command starts the real binary from the same target folder, drops real components and prints what it measured.
//! Times are noisy where other work runs beside them, so compare figures of one run only. `kill` and `soak` judge: they end with 1
//! where something is not as it must be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use caxton_bench::{handover, kill, many, memory, reload, serve, soak};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    about = "Measures Caxton; build it first with: cargo build --release -p caxton -p caxton-bench"
)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// From the rename of a file to the first answer of the new version.
    Reload {
        /// Reloads of each kind.
        #[arg(long, default_value_t = 30)]
        count: u32,
    },
    /// Resident memory, open files and threads over many reloads, each compiled.
    Memory {
        /// Reloads, each with its own digest.
        #[arg(long, default_value_t = 1000)]
        reloads: u32,
    },
    /// How long requests wait while an agent's state moves from version to version.
    Handover {
        /// Graceful reloads, each with its own digest.
        #[arg(long, default_value_t = 50)]
        reloads: u32,
        /// Clients, each with one connection.
        #[arg(long, default_value_t = 8)]
        clients: u32,
        /// Milliseconds between two reloads.
        #[arg(long, default_value_t = 200)]
        pause_ms: u64,
    },
    /// Requests per second and latencies beside `wasmtime serve`, on the same component. Needs wrk.
    Serve {
        /// The wasmtime command-line tool.
        #[arg(long, default_value = "wasmtime")]
        wasmtime: PathBuf,
        /// Rounds; the two servers take turns.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Seconds of each measurement.
        #[arg(long, default_value_t = 8)]
        seconds: u32,
        /// Connections.
        #[arg(long, default_value_t = 16)]
        connections: u32,
    },
    /// A host that is killed in the middle of reloads, under load, and must have forgotten nothing. Ends with 1 if it has.
    Kill {
        /// Kills.
        #[arg(long, default_value_t = 200)]
        times: u32,
        /// Of everything that is left to chance.
        #[arg(long, default_value_t = 5)]
        seed: u64,
        /// How often each status and each kind of write must be hit.
        #[arg(long, default_value_t = 5)]
        each: u32,
        /// Seconds that a start may take until every agent answers.
        #[arg(long, default_value_t = 10)]
        start_within: u64,
    },
    /// Many agents for a long time, with load, reloads and faults: nothing may be lost, nothing may grow. Ends with 1 otherwise.
    Soak {
        /// How long.
        #[arg(long, default_value_t = 10)]
        minutes: u32,
        /// Agents.
        #[arg(long, default_value_t = 50)]
        agents: u32,
        /// Milliseconds between two reloads.
        #[arg(long, default_value_t = 200)]
        every_ms: u64,
    },
    /// Starts with many agents, the first and the next one; memory, files and disk while they idle.
    Many {
        /// Agents.
        #[arg(long, default_value_t = 1000)]
        agents: u32,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Options::parse().command {
        Command::Reload { count } => reload::measure(count).await?,
        Command::Memory { reloads } => memory::measure(reloads).await?,
        Command::Handover {
            reloads,
            clients,
            pause_ms,
        } => {
            let load = handover::Load {
                reloads,
                clients,
                pause: Duration::from_millis(pause_ms),
            };
            handover::measure(load).await?;
        }
        Command::Serve {
            wasmtime,
            rounds,
            seconds,
            connections,
        } => {
            let load = serve::Load {
                seconds,
                connections,
            };
            serve::measure(&wasmtime, rounds, load).await?;
        }
        Command::Kill {
            times,
            seed,
            each,
            start_within,
        } => {
            let plan = kill::Plan {
                seed,
                each_at_least: each,
                start_within: Duration::from_secs(start_within),
                ..kill::Plan::of(kill::host_beside()?, times)
            };
            let report = kill::measure(plan).await?;
            println!("{report}");
            return Ok(ended(report.is_good()));
        }
        Command::Soak {
            minutes,
            agents,
            every_ms,
        } => {
            let plan = soak::Plan {
                time: Duration::from_secs(60 * u64::from(minutes)),
                agents,
                every: Duration::from_millis(every_ms),
            };
            return Ok(ended(soak::measure(plan).await?));
        }
        Command::Many { agents } => many::measure(agents).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn ended(is_good: bool) -> ExitCode {
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
