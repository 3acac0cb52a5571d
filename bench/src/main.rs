//! Figures of Caxton that anyone can measure again, on their own machine.
//!
//! Each command starts the real binary from the same target folder, drops real components and prints what it measured;
//! none of it judges. Times are noisy where other work runs beside them, so compare figures of one run only.

mod host;
mod memory;
mod reload;
mod serve;

use std::path::PathBuf;

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
