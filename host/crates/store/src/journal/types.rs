//! What is handed to the journal and what comes back: plain values.

use std::path::PathBuf;
use std::time::Duration;

use caxton_rollout::{AgentName, Digest, HotReloadId, Identity, Moment, PolicyMode, VersionNumber};

/// How much is kept. The oldest goes first; nothing goes that an agent, a reload that goes on or a quarantine names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all decision records together.
    pub records_bytes: u64,
    /// Age of decision records of reloads that are over.
    pub records_age: Duration,
    /// Events that are kept of all agents together, and as many acts of operators.
    pub events: u64,
    /// Their age.
    pub events_age: Duration,
    /// How long a file stays that nothing names: whoever has just put it is about to name it.
    /// A state that a newer one has replaced goes after a minute already.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self {
            // Hundreds of reloads that were judged for a quarter of an hour under traffic.
            records_bytes: 1 << 30,
            records_age: days(90),
            events: 100_000,
            events_age: days(90),
            grace: Duration::from_secs(60 * 60),
        }
    }
}

/// An answer of the journal to whoever wants to know: it is on the disk, or why it is not.
pub type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

/// How much was handed over before; the first one is 1.
pub type Position = u64;

/// How far the thread that writes is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// Everything up to here is on the disk.
    pub up_to: Position,
    /// Why nothing can be written now.
    pub trouble: Option<Trouble>,
}

/// What keeps the journal from being written.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    /// Since when.
    pub since: Moment,
    /// What is wrong, where.
    pub text: String,
    /// What helps.
    pub command: String,
}

/// A policy that a reload began with.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin {
    /// Its name.
    pub policy: String,
    /// `strategy-policy` or `rollback-policy`.
    pub kind: String,
    /// Whether its answers count.
    pub mode: PolicyMode,
    /// Of its component, a blob of the kind [`crate::BlobKind::Policy`].
    pub digest: Digest,
    /// What it is handed as settings: a JSON object.
    pub settings: String,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// When.
    pub at: Moment,
    /// To which agent.
    pub agent: AgentName,
    /// In the words of the command line: `rollback --to 3`.
    pub order: String,
    /// Why it was not taken; none where it was.
    pub refused: Option<String>,
}

/// Something that happened, as the event stream told it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its place among all events.
    pub seq: u64,
    /// When.
    pub at: Moment,
    /// To whom; none where it is about the journal.
    pub agent: Option<AgentName>,
    /// During which reload.
    pub reload: Option<HotReloadId>,
    /// What it was: a word.
    pub kind: String,
    /// The rest: a JSON object.
    pub detail: String,
}

/// A state that was saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotRow {
    /// Whose.
    pub agent: AgentName,
    /// The version that can load it: the one that saved it, or the one that began with it.
    pub number: VersionNumber,
    /// What that version is made of.
    pub identity: Identity,
    /// When.
    pub taken_at: Moment,
    /// Why it was saved: `checkpoint`, `hand-over`, `stop`.
    pub cause: String,
    /// What the agent calls its format.
    pub format: String,
    /// Of the component that saved it.
    pub saved_by: Digest,
    /// The number of the version that saved it.
    pub saved_by_number: VersionNumber,
    /// The bytes: a blob of the kind [`crate::BlobKind::State`].
    pub blob: Digest,
    /// How many they are.
    pub size: u64,
}

/// Lines of one reload's decision records that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordBatch {
    /// The agent.
    pub agent: AgentName,
    /// The reload.
    pub reload: HotReloadId,
    /// When.
    pub at: Moment,
    /// Whole JSON lines, without their ends.
    pub lines: Vec<String>,
    /// The reload's first: without these none of it is kept.
    pub begins: bool,
    /// They hold a result: kept even where lines before them were lost.
    pub ends: bool,
}

impl RecordBatch {
    /// Bytes of its lines.
    pub(super) fn bytes(&self) -> usize {
        self.lines.iter().map(String::len).sum()
    }
}

/// The decision records of one reload, as a listing has them.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsOf {
    /// The agent.
    pub agent: AgentName,
    /// The reload.
    pub reload: HotReloadId,
    /// When the first line came.
    pub began: Moment,
    /// When the last line came.
    pub changed: Moment,
    /// How many lines there are.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Files of components, configurations, policies and states that nothing names.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Reloads whose decision records went.
    pub records: u64,
    /// Events and acts that went.
    pub events: u64,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Files beside the journal that it holds.
    pub files: u64,
    /// Files that the journal names and that could not be put into it: one sentence each.
    pub missing: Vec<String>,
}
