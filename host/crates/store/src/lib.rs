//! What the host keeps on disk: contents by digest, and a journal of what became of them.
//!
//! The journal is one SQLite file that a person can open: agents, versions, pointers, reloads, endings, operators' acts,
//! decision records. Bytes stand beside it as files that are named by their SHA-256, written whole before the journal names them.
//! One thread writes, in the order in which things are handed over; whoever hands over never waits for the disk.

mod blobs;
mod journal;

pub use blobs::{BlobError, BlobKind, Blobs, Found, make_private};
pub use journal::{
    Act, BackedUp, Collected, EventRow, Journal, Limits, Pin, Position, Reader, RecordBatch,
    RecordsOf, Reply, SnapshotRow, Trouble, Written, restore_backup,
};

use std::collections::BTreeMap;
use std::path::Path;

use caxton_rollout::{AgentName, Digest, HotReloadId, Identity, Memory, Moment};

/// The store of one data directory.
#[derive(Debug, Clone)]
pub struct Store {
    /// Bytes by digest.
    pub blobs: Blobs,
    /// What became of them.
    pub journal: Journal,
}

/// What was found when a store was opened.
#[derive(Debug, Default)]
pub struct Opened {
    /// Every agent that is remembered, by name.
    pub agents: Vec<StoredAgent>,
    /// What could not be read, what was done about it, and what that means: one sentence each, for the log and for `attention`.
    pub damage: Vec<String>,
}

/// One agent as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAgent {
    /// What the core remembers.
    pub memory: Memory,
    /// What each of its versions is made of.
    pub contents: Vec<Content>,
    /// The policies that its reloads began with.
    pub pins: BTreeMap<HotReloadId, Vec<Pin>>,
    /// States that were saved, the newest of each version.
    pub snapshots: Vec<SnapshotRow>,
}

/// A component with its configuration, as an agent's files once had them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Whose.
    pub agent: AgentName,
    /// What makes it a version.
    pub identity: Identity,
    /// The configuration whole: a blob of the kind [`BlobKind::Config`]. It may hold secrets, and so is no text in the journal.
    pub config: Digest,
    /// The same for people, values of granted variables left out.
    pub shown: String,
    /// Bytes of the component.
    pub size: u64,
    /// When it was first taken.
    pub taken_at: Moment,
}

/// Why a store cannot be opened: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer host has written it.
    #[error(
        "{path} was written by a newer release (its layout is {found}, this release knows {known}): run that release, or choose another \
         directory with --data-dir"
    )]
    TooNew {
        /// The journal.
        path: String,
        /// Its layout.
        found: i64,
        /// The newest one that is known here.
        known: i64,
    },
    /// The folder or a file in it cannot be used.
    #[error("{path} cannot be used: {problem}; {help}")]
    Unusable {
        /// What.
        path: String,
        /// What the system or SQLite said.
        problem: String,
        /// What to do.
        help: String,
    },
}

impl Store {
    /// Opens the store in a data directory, and makes it where there is none. It takes as long as the disk does.
    ///
    /// Nobody else may be at the directory: what somebody was writing there is taken for a dead host's and removed. What is
    /// damaged is set aside and what can be read is taken over: see [`Opened::damage`].
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing was changed then.
    pub fn open(data: &Path, limits: Limits) -> Result<(Self, Opened), OpenError> {
        let blobs = Blobs::within(data);
        let (journal, opened) = Journal::open(data, &blobs, limits)?;
        blobs.clear();
        Ok((Self { blobs, journal }, opened))
    }
}
