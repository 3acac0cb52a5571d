//! What agents print: the newest lines of each agent in memory, and a way to follow them.
//!
//! Lines come from the runtime one after the other, on a thread of their own, and go on to the log, or in dev mode to the
//! screen. Each agent has a memory of its own, so that one that prints without end forgets its own lines and nobody else's. Where
//! all memories together are too large, the largest gives way.
//!
//! A follower is a position in an agent's memory and nothing else: what it did not read in time is forgotten, and it is told how
//! much that was. This is no journal: it ends with the process.
//!
//! What must hold: keeping a line waits for no reader, and the memory stays within [`MAX_LINES`], [`MAX_BYTES`] and
//! [`MAX_ALL_BYTES`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caxton_rollout::{AgentName, Moment};
use caxton_runtime::{LogLine, LogSink, LogStream, TracingSink};
use serde::Serialize;
use tokio::sync::watch;

use crate::clock::moment;
use crate::ring::{Bounds, Ring};

/// Lines that are remembered of one agent: some screens of what it said last.
pub const MAX_LINES: usize = 1_000;

/// Bytes that are remembered of one agent: the same for lines of usual length.
pub const MAX_BYTES: usize = 256 * 1024;

/// Bytes that are remembered of all agents: as much as 64 of them have at most.
pub const MAX_ALL_BYTES: usize = 64 * MAX_BYTES;

const BOUNDS: Bounds = Bounds {
    most: MAX_LINES,
    bytes: MAX_BYTES,
};

/// What a line costs beside its text.
const LINE_BYTES: usize = 128;

/// How long lines of an agent are kept of which nothing runs: whoever asks why it failed may come late.
pub const KEPT_WHEN_GONE: Duration = Duration::from_secs(60 * 60);

/// Lines that a follower is handed at once, so that it copies little while the memory is locked.
const BATCH: usize = 256;

/// One line that an agent printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its place in the agent's lines: it rises by one with each.
    pub seq: u64,
    /// When it was printed.
    pub at: Moment,
    /// By which version.
    pub version: u64,
    /// Where: `stdout` or `stderr`.
    pub stream: &'static str,
    /// Without its end.
    pub text: String,
    /// Lines of this version before this one that came too fast to be taken.
    pub dropped_before: u64,
}

/// What a reader finds.
pub type Found = crate::ring::Found<Line>;

/// The memory of what agents print. One for each host; shared.
pub struct AgentLogs {
    book: Mutex<Book>,
    /// Tells followers that there is something new, for whomever.
    newest: watch::Sender<()>,
    /// Where each line goes as well.
    onward: Arc<dyn LogSink>,
}

#[derive(Debug, Default)]
struct Book {
    agents: BTreeMap<Arc<str>, Ring<Line>>,
    bytes: usize,
    /// Lines of all agents so far: an agent that is forgotten and comes back begins beyond every number that it had.
    so_far: u64,
}

impl fmt::Debug for AgentLogs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentLogs")
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}

impl Default for AgentLogs {
    fn default() -> Self {
        Self::and_to(Arc::new(TracingSink))
    }
}

impl LogSink for AgentLogs {
    fn line(&self, line: LogLine) {
        self.keep(&line);
        self.onward.line(line);
    }
}

impl AgentLogs {
    /// A memory whose lines go to `onward` as well.
    #[must_use]
    pub fn and_to(onward: Arc<dyn LogSink>) -> Self {
        Self {
            book: Mutex::default(),
            newest: watch::Sender::new(()),
            onward,
        }
    }

    fn keep(&self, line: &LogLine) {
        let kept = Line {
            seq: 0,
            at: moment(line.at).unwrap_or_default(),
            version: line.version,
            stream: match line.stream {
                LogStream::Stdout => "stdout",
                LogStream::Stderr => "stderr",
            },
            text: line.text.clone(),
            dropped_before: line.dropped_before,
        };
        self.lock().keep(&line.agent, kept);
        self.newest.send_replace(());
    }

    /// What the agent printed after `position`, at most 256 lines; 0 for the oldest remembered.
    #[must_use]
    pub fn since(&self, agent: &AgentName, position: u64) -> Found {
        self.after(agent, position, BATCH)
    }

    /// All that is remembered of what the agent printed after `position`.
    #[must_use]
    pub fn remembered(&self, agent: &AgentName, position: u64) -> Found {
        self.after(agent, position, MAX_LINES)
    }

    fn after(&self, agent: &AgentName, position: u64, most: usize) -> Found {
        let book = self.lock();
        let Some(ring) = book.agents.get(agent.as_ref()) else {
            return Found::nothing(position);
        };
        let mut found = ring.since(position, most);
        if position == 0 || found.elsewhere {
            // Numbers before the first line were other agents' as well. Who asks for what there is misses nothing.
            found.missed = 0;
        }
        found
    }

    /// Whether anything is remembered of the agent.
    #[must_use]
    pub fn knows(&self, agent: &AgentName) -> bool {
        self.lock().agents.contains_key(agent.as_ref())
    }

    /// A follower of the agent's lines after `position`.
    #[must_use]
    pub fn follow(self: &Arc<Self>, agent: AgentName, position: u64) -> Follower {
        Follower {
            newest: self.newest.subscribe(),
            logs: Arc::clone(self),
            agent,
            position,
        }
    }

    /// Forgets the lines of agents of which nothing runs any more, once they are old.
    pub(crate) fn tidy(&self, now: Moment, runs: impl Fn(&str) -> bool) {
        let mut book = self.lock();
        let mut freed = 0;
        book.agents.retain(|agent, ring| {
            let newest_at = ring.newest().map_or(Moment::default(), |line| line.at);
            let stays = now.since(newest_at) < KEPT_WHEN_GONE || runs(agent);
            if !stays {
                freed += ring.bytes();
            }
            stays
        });
        book.bytes = book.bytes.saturating_sub(freed);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Nothing inside can leave the book half changed in a way that harms, so a poisoned lock is as good as any.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn keep(&mut self, agent: &Arc<str>, line: Line) {
        let so_far = self.so_far;
        self.so_far = so_far.saturating_add(1);
        let ring = self
            .agents
            .entry(Arc::clone(agent))
            .or_insert_with(|| Ring::after(so_far, BOUNDS));
        let before = ring.bytes();
        ring.keep(line.text.len() + LINE_BYTES, |seq| Line { seq, ..line });
        self.bytes = self.bytes.saturating_sub(before) + ring.bytes();
        while self.bytes > MAX_ALL_BYTES {
            let Some(largest) = self.agents.values_mut().max_by_key(|ring| ring.bytes()) else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(largest.forget_oldest());
        }
    }
}

/// A position in an agent's lines that moves on as they are read.
#[derive(Debug)]
pub struct Follower {
    logs: Arc<AgentLogs>,
    newest: watch::Receiver<()>,
    agent: AgentName,
    position: u64,
}

impl Follower {
    /// What comes next, at least one line; waits until there is one. Safe to cancel.
    pub async fn next(&mut self) -> Found {
        loop {
            // Marked as seen before the look, so that a line that is kept after the look wakes the wait.
            self.newest.borrow_and_update();
            let found = self.logs.since(&self.agent, self.position);
            if !found.items.is_empty() {
                self.position = found.position;
                return found;
            }
            if self.newest.changed().await.is_err() {
                // The sender lives in the memory that this follower holds; waiting is the truth if it were gone.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
