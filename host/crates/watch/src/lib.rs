//! A directory as a stream of settled contents.
//!
//! [`Watcher`] looks at one directory in which `NAME.wasm` is a component and `NAME.toml`, when it
//! is there, configures it, and delivers a [`Change`] each time the two together say something
//! that they did not say before. Only whole files are delivered, and a content is compared with
//! the last one delivered by its digest: new dates or a new inode alone are nothing.
//!
//! The crate has two halves. [`folder`] is a pure model: looks at the directory and the time go
//! in, changes and the next moment to look come out. The thin edge around it is the only code
//! that knows `notify` and the file system; it runs on one thread of its own.
//!
//! What it does not do: it does not parse components or configurations, it keeps no content (only
//! digests), it follows no subdirectories, and it never writes into the directory.
//!
//! What must hold:
//! - The listing is the truth and events are hints: losing any of them delays and never loses.
//! - Nothing is removed because the directory as a whole is in doubt ([`Loss`]).
//! - A receiver that is slow holds the watcher up; when it comes back it gets the newest state.
//!   At most [`CHANGES_WAITING`] changes wait for it.

pub mod folder;
mod hints;
mod listing;
mod names;
mod problem;
#[cfg(test)]
mod tests;
mod watcher;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

pub use names::{NAME_MAX, Role, is_name, role};
pub use problem::{Loss, Problem, StartError};
pub use watcher::Watcher;

/// How many changes may wait for the receiver. Each can hold a component of
/// [`Options::max_component`], so this is also what bounds the watcher's memory.
pub const CHANGES_WAITING: usize = 2;

/// Largest component that is read unless configured otherwise.
pub const MAX_COMPONENT: u64 = 100 * 1024 * 1024;

/// Largest configuration that is read unless configured otherwise: a hundred times what every key
/// together with its comments takes, and small enough that reading it is never noticed.
pub const MAX_CONFIG: u64 = 64 * 1024;

/// How a directory is watched.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long size and dates of a file must stand still where nothing says that its writer is
    /// done. Default 200 ms.
    pub settle: Duration,
    /// How often the directory is listed although nothing was heard. Default 2 s.
    pub rescan: Duration,
    /// How long a delivered file must be gone before that is believed. Default 5 s.
    pub remove_grace: Duration,
    /// List only and listen to no events: for network and bind mounts, which send none.
    pub poll: bool,
    /// Largest `NAME.wasm` in bytes; a larger one is refused unread. Default [`MAX_COMPONENT`].
    pub max_component: u64,
    /// Largest `NAME.toml` in bytes; a larger one is refused unread. Default [`MAX_CONFIG`].
    pub max_config: u64,
    /// Whether a component's bytes end before their own structure does, so that the rest is
    /// probably still on its way. Default: never.
    pub incomplete: fn(&[u8]) -> bool,
    /// Deliver a content that was delivered already when its files are written again. Default: never.
    pub repeats: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(200),
            rescan: Duration::from_secs(2),
            remove_grace: Duration::from_secs(5),
            poll: false,
            max_component: MAX_COMPONENT,
            max_config: MAX_CONFIG,
            incomplete: |_| false,
            repeats: false,
        }
    }
}

/// A whole file's bytes, with their identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Everything that stood in the file.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of `bytes`.
    pub digest: [u8; 32],
}

impl Content {
    /// Takes bytes and computes their digest.
    #[must_use]
    pub fn new(bytes: Arc<[u8]>) -> Self {
        let digest = Sha256::digest(&bytes).into();
        Self { bytes, digest }
    }
}

/// Shows length and the first bytes of the digest: contents are large and may hold secrets.
impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Content({} bytes, sha256:", self.bytes.len())?;
        for byte in self.digest.iter().take(4) {
            write!(out, "{byte:02x}")?;
        }
        write!(out, "…)")
    }
}

/// What the directory says now and did not say before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The directory asks for this component with this configuration.
    Wanted {
        /// The file stem, always a valid name.
        name: String,
        /// The whole `NAME.wasm`.
        component: Content,
        /// The whole `NAME.toml`, UTF-8, where there is one.
        config: Option<Content>,
        /// When the newer of the two files was written or moved to where it is, where the file system knows that.
        written_at: Option<SystemTime>,
    },
    /// A delivered component's file has been gone for the whole grace time.
    Gone {
        /// The name under which it was delivered.
        name: String,
    },
    /// A file cannot be taken as it is. What was delivered before stands.
    Refused {
        /// The file's name inside the directory.
        file: String,
        /// The name that it would have, where that is a valid one.
        name: Option<String>,
        /// What is wrong, where, and what to do.
        problem: Problem,
    },
    /// A refused file is gone or fine now.
    Cleared {
        /// The file's name inside the directory.
        file: String,
        /// As in [`Change::Refused`].
        name: Option<String>,
    },
    /// The directory as a whole cannot be believed: nothing is delivered and nothing is removed
    /// until it is found again. Sent again when the reason changes.
    DirectoryLost {
        /// Why, and what to do.
        why: Loss,
    },
    /// The directory is back. What it no longer holds gets a fresh grace time.
    DirectoryFound,
    /// Events cannot be had; changes are found by the rescan alone, or later
    /// than they should be. Sent once.
    Polling {
        /// What the system said, and what to do.
        why: String,
    },
}
