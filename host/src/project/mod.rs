//! What `caxton policy new` writes: a complete project for a rollback policy, which builds with the usual commands of its language
//! and passes its own scenario file.
//!
//! The policies are those of `policies/examples`, under another name: what is built and tested there is what is written here.
//! Nothing is downloaded, and nothing is left of a project that could not be written whole.

mod files;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use files::File;

/// The language that a policy is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Rust, with the crate `caxton-policy`
    Rust,
    /// Python, with componentize-py
    Python,
    /// JavaScript, with componentize-js
    Js,
}

/// A project was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its directory: the parent and the policy's name.
    pub directory: PathBuf,
    /// Its files, relative to the directory.
    pub files: Vec<PathBuf>,
    /// What to run in the directory, in order: build, check, test.
    pub commands: [String; 3],
}

/// Why no project was written. Nothing of it is there.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name cannot be a policy's.
    #[error(
        "{0:?} cannot be a policy's name: 1 to {max} of a-z 0-9 - _, and the first of them a letter or a digit",
        max = caxton_watch::NAME_MAX
    )]
    Name(String),
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

/// Writes the project for the policy `name` into a new directory of that name in `parent`.
///
/// # Errors
/// The name cannot be used, something of that name is there, or the file system refuses. Nothing is left behind then.
pub fn create(parent: &Path, name: &str, lang: Lang) -> Result<Created, NewError> {
    if !caxton_watch::is_name(name) {
        return Err(NewError::Name(name.to_owned()));
    }
    for policy in crate::policies::embedded() {
        if policy.0 == name {
            return Err(NewError::Taken(name.to_owned()));
        }
    }
    if !parent.is_dir() {
        return Err(NewError::NoParent(parent.to_owned()));
    }
    let directory = parent.join(name);
    if directory.symlink_metadata().is_ok() {
        return Err(NewError::Exists(directory));
    }
    let files = files::of(lang, name);
    place(parent, &directory, &files)?;
    Ok(Created {
        directory,
        files: files.into_iter().map(|file| file.path).collect(),
        commands: files::commands(lang, name),
    })
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
