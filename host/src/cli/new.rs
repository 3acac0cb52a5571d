//! `caxton new`: a project for an agent of one's own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::print;
use super::text::harmless;
use crate::project::{self, Created, Kind, Lang, NewError};

/// `caxton new`
#[derive(Debug, Args)]
pub struct NewArgs {
    /// What is made.
    #[command(subcommand)]
    pub command: NewCommand,
}

/// What can be made.
#[derive(Debug, Subcommand)]
pub enum NewCommand {
    /// Make a project for an agent, which builds, and which `caxton dev` serves
    Agent(AgentArgs),
}

/// `caxton new agent`
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// The agent's name, and that of the directory that is made for it
    name: String,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Lang,
    /// It answers HTTP requests (wasi:http/incoming-handler 0.2) instead of messages (caxton:agent/handler)
    #[arg(long)]
    http: bool,
    /// Where the directory is made [default: here]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(super) fn new(args: &NewArgs) -> Result<(), Failure> {
    let NewCommand::Agent(args) = &args.command;
    let parent = args.into.as_deref().unwrap_or(Path::new("."));
    let kind = if args.http {
        Kind::HttpAgent
    } else {
        Kind::Agent
    };
    match project::create(parent, &args.name, args.lang, kind) {
        Ok(created) => Ok(print(&told(&created))?),
        Err(error @ NewError::Write { .. }) => Err(Failure::No(error.to_string())),
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

/// Where it is, and what comes next.
fn told(created: &Created) -> String {
    let directory = &created.directory;
    let directory = directory.strip_prefix(".").unwrap_or(directory);
    let directory = directory.display().to_string();
    let directory = harmless(&directory);
    format!(
        "{directory} is there, with {} files. To build and serve it, and to do so again with each save:\n\n    \
         cd {directory}\n    caxton dev\n\nREADME.md goes on from there.\n",
        created.files.len()
    )
}
