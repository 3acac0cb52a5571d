//! What goes into the model: what a look at the directory saw, and what came of reading.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{Content, Loss, Problem};

/// A time, counted from when watching began.
pub type Moment = Duration;

/// One look at the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its files by name, with links followed. Names whose role is ignored may be left out.
    Listed {
        /// The device that it is on, where the system has such a number.
        device: Option<u64>,
        /// What was seen under each name.
        files: BTreeMap<String, Seen>,
    },
    /// It could not be listed.
    Lost(Loss),
}

/// What one name led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A regular file.
    File(Stamp),
    /// Anything else that can be there, with its article.
    Other(&'static str),
    /// A link to nothing.
    Dangling,
    /// The system does not say.
    Unreadable(String),
}

/// What tells two states of one file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// When its content was last written.
    pub modified: Option<SystemTime>,
    /// When its content or metadata last changed; nobody can set this one back.
    pub changed: Option<SystemTime>,
    /// The device that holds it; 0 where there is none.
    pub device: u64,
    /// Its number there; 0 where there is none.
    pub inode: u64,
}

/// A pair of files to read, and how they looked when they were settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The name that both files share.
    pub name: String,
    /// `NAME.wasm`.
    pub component: Stamp,
    /// `NAME.toml`, where there is one.
    pub config: Option<Stamp>,
}

impl Take {
    /// When the newer of both files came to be as it is. The date of the change of a file's metadata comes first: a file that is
    /// moved or copied with its dates may have been written long before it was dropped.
    pub(super) fn written_at(&self) -> Option<SystemTime> {
        let written = |stamp: Stamp| stamp.changed.or(stamp.modified);
        let config = self.config.and_then(written);
        written(self.component).max(config)
    }
}

/// What came of reading a pair.
#[derive(Clone, Debug)]
pub enum Taken {
    /// Both are whole, and looked the same before and after.
    Whole {
        /// All of `NAME.wasm`.
        component: Content,
        /// All of `NAME.toml`.
        config: Option<Content>,
        /// A file was so young that it can be written again without looking any different: it is
        /// read once more after this time.
        again: Option<Duration>,
    },
    /// A file is not what it was when it was settled: wait.
    Moved,
    /// The component's bytes end too early.
    Incomplete,
    /// The component cannot be read.
    BadComponent(Problem),
    /// The configuration cannot be read or is not text.
    BadConfig(Problem),
}
