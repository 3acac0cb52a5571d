//! What can be wrong with a file or with the whole directory, one full message each.

use std::{io, path::PathBuf, time::Duration};

use crate::names::NAME_MAX;

/// Why one file is not taken. The message says what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The stem of the file is not a valid name.
    #[error(
        "{file}: this name cannot be used: a name is 1 to {NAME_MAX} of a-z 0-9 - _ and starts with a letter or digit; rename the file, for example to {suggestion}"
    )]
    Name {
        /// The file.
        file: String,
        /// A file name near it that would do.
        suggestion: String,
    },
    /// The file is larger than the limit. It was not read.
    #[error(
        "{file}: {size} bytes are more than the limit of {limit} bytes; {}",
        too_large_help(file)
    )]
    TooLarge {
        /// The file.
        file: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The component's file has no bytes, and none came for a while.
    #[error(
        "{file}: the file is empty and has been for {} s; copy the component again", .waited.as_secs()
    )]
    Empty {
        /// The file.
        file: String,
        /// How long it stood still before this was said.
        waited: Duration,
    },
    /// The component's bytes end before its structure does, and no more came for a while.
    #[error(
        "{file}: the component ends early: {size} bytes are there and nothing was added for {} s; if the copy is still running it is taken when complete, otherwise copy it again", .waited.as_secs()
    )]
    Incomplete {
        /// The file.
        file: String,
        /// How many bytes are there.
        size: u64,
        /// How long it stood still before this was said.
        waited: Duration,
    },
    /// The system does not let the host read it.
    #[error("{file}: cannot be read: {why}; check its owner and permissions")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// A directory, socket, pipe or device has the name of a component or configuration.
    #[error("{file}: this is {kind}, not a regular file; remove or rename it")]
    NotAFile {
        /// The file.
        file: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A symbolic link that leads nowhere.
    #[error("{file}: this symbolic link leads to nothing; restore its target or remove the link")]
    Dangling {
        /// The file.
        file: String,
    },
    /// The configuration is not UTF-8.
    #[error("{file}: not UTF-8 text: byte {at} is not; save the file as UTF-8")]
    NotText {
        /// The file.
        file: String,
        /// How many bytes before the first wrong one.
        at: usize,
    },
}

impl Problem {
    /// How many bytes the file has, where it is their number that is wrong.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::TooLarge { size, .. } | Self::Incomplete { size, .. } => Some(*size),
            Self::Empty { .. } => Some(0),
            _ => None,
        }
    }
}

fn too_large_help(file: &str) -> &'static str {
    if file.ends_with(".toml") {
        "check that this is the configuration that you meant"
    } else {
        "strip debug information (wasm-tools strip) or raise the limit"
    }
}

/// Why the directory as a whole is not believed. While it is lost nothing is removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It is not there.
    #[error("{} is missing; everything serves on: restore it, or create it again and copy the files back", .directory.display())]
    Missing {
        /// The watched directory.
        directory: PathBuf,
    },
    /// Something that is no directory has its place.
    #[error("{} is no directory any more; everything serves on: put the directory back", .directory.display())]
    NotADirectory {
        /// The watched directory.
        directory: PathBuf,
    },
    /// The system does not let the host list it.
    #[error("{} cannot be listed: {why}; everything serves on: check its owner, permissions and mount", .directory.display())]
    Unreadable {
        /// The watched directory.
        directory: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It is on another device than it was, and not every delivered file is there.
    #[error("{} is on another device than before and not all deployed files are there; everything serves on: mount the old one again, copy the files into the new one, or restart to accept it as it is", .directory.display())]
    OtherDevice {
        /// The watched directory.
        directory: PathBuf,
    },
    /// Every component went within one grace time, or the directory came back without any.
    #[error("all components are gone from {} ({delivered} deployed); everything serves on: put a component there to show that the directory is meant, then what is missing is removed", .directory.display())]
    AllVanished {
        /// The watched directory.
        directory: PathBuf,
        /// How many components were delivered from it.
        delivered: usize,
    },
    /// More entries than are looked at.
    #[error("{} holds more than {limit} entries; everything serves on: remove what does not belong there", .directory.display())]
    TooMany {
        /// The watched directory.
        directory: PathBuf,
        /// How many are looked at.
        limit: usize,
    },
}

/// Why watching could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be watched as it is.
    #[error("{} does not exist; create it with: mkdir -p {}", .directory.display(), .directory.display())]
    Missing {
        /// The directory that was asked for.
        directory: PathBuf,
    },
    /// The path leads to something else.
    #[error("{} is not a directory; name the directory that holds the components", .directory.display())]
    NotADirectory {
        /// The path that was asked for.
        directory: PathBuf,
    },
    /// The system does not let the host look at it.
    #[error("{} cannot be listed; check its owner and permissions", .directory.display())]
    Unreadable {
        /// The directory that was asked for.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no thread left.
    #[error("the thread that watches {} could not be started", .directory.display())]
    Thread {
        /// The directory that was asked for.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
