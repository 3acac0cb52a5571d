//! What `caxton policy new` and `caxton new agent` write: a complete project, which builds with the usual commands of its language.
//!
//! A policy is one of `policies/examples`, under another name; an agent is made of the templates beside this file. What is built
//! and tested in `tests/languages` is what is written here. Nothing is downloaded, and nothing is left of a project that could
//! not be written whole.

mod agent;
mod policy;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The language that something is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Rust
    Rust,
    /// Python, with componentize-py
    Python,
    /// JavaScript, with componentize-js
    Js,
}

/// What a project is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A rollback policy.
    Policy,
    /// An agent that exports `caxton:agent/handler`.
    Agent,
    /// An agent that exports `wasi:http/incoming-handler` 0.2.
    HttpAgent,
}

/// A project was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its directory: the parent and its name.
    pub directory: PathBuf,
    /// Its files, relative to the directory.
    pub files: Vec<PathBuf>,
    /// What to run in the directory, in order. A policy: build, check, test. An agent: build, and what serves it.
    pub commands: Vec<String>,
}

/// Why no project was written. Nothing of it is there.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be that of what is written.
    #[error(
        "{name:?} cannot be {whose} name: 1 to {max} of a-z 0-9 - _, and the first of them a letter or a digit",
        max = caxton_watch::NAME_MAX
    )]
    Name {
        /// The name.
        name: String,
        /// A policy's or an agent's.
        whose: &'static str,
    },
    /// An agent's project in Rust is a package of its name.
    #[error("{0} cannot be the name of a package in Rust: let it begin with a letter")]
    Package(String),
    /// A policy in the binary has the name.
    #[error(
        "{0} is the name of a policy in this binary, and a file of that name is never used: choose another"
    )]
    Taken(String),
    /// Something is in the way.
    #[error("{path} is there already: choose another name, or remove it", path = .0.display())]
    Exists(PathBuf),
    /// The directory to write into is none.
    #[error("{path} is no directory: run `mkdir -p {path}` first", path = .0.display())]
    NoParent(PathBuf),
    /// The file system refused.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// One file of a project.
struct File {
    /// Relative to the project.
    path: PathBuf,
    /// All of it.
    text: String,
}

/// A file as it is embedded: its path in the project, and its text.
type Embedded = (&'static str, &'static str);

/// Writes the project `name` into a new directory of that name in `parent`.
///
/// # Errors
/// The name cannot be used, something of that name is there, or the file system refuses. Nothing is left behind then.
pub fn create(parent: &Path, name: &str, lang: Lang, kind: Kind) -> Result<Created, NewError> {
    check_name(name, lang, kind)?;
    if !parent.is_dir() {
        return Err(NewError::NoParent(parent.to_owned()));
    }
    let directory = parent.join(name);
    if directory.symlink_metadata().is_ok() {
        return Err(NewError::Exists(directory));
    }
    let (files, commands) = match kind {
        Kind::Policy => (policy::of(lang, name), policy::commands(lang, name)),
        Kind::Agent => (agent::of(lang, name, false), agent::commands(lang, name)),
        Kind::HttpAgent => (agent::of(lang, name, true), agent::commands(lang, name)),
    };
    place(parent, &directory, &files)?;
    Ok(Created {
        directory,
        files: files.into_iter().map(|file| file.path).collect(),
        commands,
    })
}

fn check_name(name: &str, lang: Lang, kind: Kind) -> Result<(), NewError> {
    if !caxton_watch::is_name(name) {
        return Err(NewError::Name {
            name: name.to_owned(),
            whose: match kind {
                Kind::Policy => "a policy's",
                Kind::Agent | Kind::HttpAgent => "an agent's",
            },
        });
    }
    let taken = |policy: &str| kind == Kind::Policy && policy == name;
    if crate::policies::embedded().any(|(policy, _)| taken(policy)) {
        return Err(NewError::Taken(name.to_owned()));
    }
    let is_package = kind == Kind::Policy || name.starts_with(|c: char| c.is_ascii_lowercase());
    if lang == Lang::Rust && !is_package {
        return Err(NewError::Package(name.to_owned()));
    }
    Ok(())
}

/// Writes everything beside the place where it belongs, and puts it there at once.
fn place(parent: &Path, directory: &Path, files: &[File]) -> Result<(), NewError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| NewError::Write { path, source }
    };
    let aside = tempfile::Builder::new()
        .prefix(".caxton-new-")
        .tempdir_in(parent)
        .map_err(failed(directory))?;
    // A directory of its own inside: the temporary one is nobody else's to read, and a project's is as all directories are.
    let whole = aside.path().join("project");
    for file in files {
        let path = whole.join(&file.path);
        let shown = directory.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed(&shown))?;
        }
        fs::write(&path, &file.text).map_err(failed(&shown))?;
    }
    // Renaming replaces an empty directory that has come meanwhile, and fails where anything else has.
    fs::rename(&whole, directory).map_err(failed(directory))
}
