//! Figures of Caxton that anyone can measure again, on their own machine.
//!
//! Each command starts the real binary from the same target folder, drops real components and prints what it measured;
//! none of it judges. Times are noisy where other work runs beside them, so compare figures of one run only.

mod handover;
mod host;
mod memory;
mod reload;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        Command::Reload { count } => reload::measure(count).await,
        Command::Memory { reloads } => memory::measure(reloads).await,
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
            handover::measure(load).await
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
            serve::measure(&wasmtime, rounds, load).await
        }
    }
}
