//! `caxton wit`: the contracts that components are written against.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::print;
use super::text::harmless;
use crate::wit;

/// `caxton wit`
#[derive(Debug, Args)]
pub struct WitArgs {
    /// Which contract
    #[arg(value_enum)]
    pub contract: Contract,
    /// Write it into this directory, as bindings generators read it; files that are there stay, and must be the same
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The contracts. Each is a package of its own that needs no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Contract {
    /// What an agent exports and may import
    Agent,
    /// What a policy exports and may import
    Policy,
}

impl Contract {
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Agent => ("agent.wit", wit::AGENT),
            Self::Policy => ("policy.wit", wit::POLICY),
        }
    }
}

pub(super) fn wit(args: &WitArgs) -> Result<(), Failure> {
    let (name, text) = args.contract.file();
    let Some(dir) = &args.out else {
        return print(text);
    };
    let path = dir.join(name);
    let shown = path.display().to_string();
    let shown = harmless(&shown);
    match write(dir, &path, text) {
        Ok(true) => print(&format!("{shown} is written\n")),
        Ok(false) => print(&format!("{shown} is there already, and the same\n")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::No(format!(
            "{shown} is there already and says something else: remove it, or name another directory with --out"
        ))),
        Err(error) => Err(Failure::No(format!("cannot write {shown}: {error}"))),
    }
}

/// Whether it was not there yet.
fn write(dir: &Path, path: &Path, text: &str) -> io::Result<bool> {
    std::fs::create_dir_all(dir)?;
    let mut file = match std::fs::File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let same = std::fs::read(path).is_ok_and(|there| there == text.as_bytes());
            return if same { Ok(false) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(true)
}
