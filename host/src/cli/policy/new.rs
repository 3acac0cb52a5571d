//! `caxton policy new`: a project for a policy of one's own.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::text::harmless;
use crate::project::{self, Created, Kind, Lang, NewError};

/// `caxton policy new`
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The policy's name, and that of the directory that is made for it
    name: String,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Lang,
    /// Where the directory is made [default: here]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(super) fn new(args: &NewArgs) -> Result<(), Failure> {
    let here = Path::new(".");
    let parent = args.into.as_deref().unwrap_or(here);
    match project::create(parent, &args.name, args.lang, Kind::Policy) {
        Ok(created) => Ok(print(&told(&created))?),
        Err(error @ NewError::Write { .. }) => Err(Failure::No(error.to_string())),
        Err(error) => Err(Failure::Usage(error.to_string())),
    }
}

/// Where it is, and what comes next.
fn told(created: &Created) -> String {
    let directory = created
        .directory
        .strip_prefix(".")
        .unwrap_or(&created.directory);
    let directory = directory.display().to_string();
    let directory = harmless(&directory);
    let commands = created.commands.join("\n    ");
    format!(
        "{directory} is there, with {} files. To build it, see whether a host takes it, and test it:\n\n    \
         cd {directory}\n    {commands}\n\nREADME.md goes on from there.\n",
        created.files.len()
    )
}
