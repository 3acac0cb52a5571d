//! The way from those who hand over to the thread that writes: bounded, in order, and nobody waits for it.
//!
//! Of what waits, only the newest memory of each agent counts, so that memories cannot pile up. Everything that waits is
//! written in one transaction, and a transaction is whole or not there: what stands in it needs no order of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use caxton_rollout::{AgentName, HotReloadId, Memory, Moment};
use tokio::sync::{oneshot, watch};

use super::health::Health;
use super::types::{Act, Collected, Pin, Position, RecordBatch, Reply, SnapshotRow, Written};
use crate::Content;

/// Events, acts and the like that wait for the disk: some minutes of a host on which everything moves at once.
pub(super) const ITEMS_WAITING: usize = 10_000;

/// How many sentences about what was dropped are kept.
const MISSING_MAX: usize = 20;

/// Bytes of decision records that wait for the disk: what a policy says may be long, and a disk may hang.
pub(super) const RECORD_BYTES_WAITING: usize = 32 * 1024 * 1024;

/// One thing to write that is no memory.
#[derive(Debug)]
pub(super) enum Item {
    Content(Content),
    Event(Event),
    Act(Act),
    Pins(AgentName, HotReloadId, Vec<Pin>),
    Snapshot(SnapshotRow),
    Records(RecordBatch),
    /// The reload's records may go when room is needed.
    Over(HotReloadId),
    /// What was handed over of the agent before this goes, its memory aside.
    Forget(AgentName),
    /// Makes the thread panic, which nothing else does on purpose.
    #[cfg(test)]
    Panic,
}

impl Item {
    /// What it means that it is missing in the journal; none where nothing rests on it.
    pub(super) fn missed(&self) -> Option<String> {
        Some(match self {
            Self::Content(content) => format!(
                "the configuration of a version of {} could not be recorded: a start does not bring that version up",
                content.agent
            ),
            Self::Pins(agent, reload, _) => format!(
                "the policies of the reload {reload} of {agent} could not be recorded: after a start it begins with the present ones"
            ),
            Self::Snapshot(row) => format!(
                "a state that {} saved could not be recorded: a start begins with an older one or none",
                row.agent
            ),
            _ => return None,
        })
    }
}

/// Something that happened.
#[derive(Debug)]
pub(super) struct Event {
    pub at: Moment,
    pub agent: Option<AgentName>,
    pub reload: Option<HotReloadId>,
    pub kind: String,
    pub detail: String,
}

/// What waits to be written of one agent's memory.
#[derive(Default)]
pub(super) struct Waiting {
    /// What was remembered of the agent before this goes.
    pub is_forgotten: bool,
    /// The newest that nobody waits for.
    plain: Option<Memory>,
    /// The newest of all, where somebody waits for it. Where it cannot be written it is as if it had never been.
    asked: Option<Memory>,
    replies: Vec<Reply>,
}

impl Waiting {
    /// What is to be written.
    pub(super) fn memory(&self) -> Option<&Memory> {
        self.asked.as_ref().or(self.plain.as_ref())
    }

    fn add(&mut self, memory: Memory, reply: Option<Reply>) {
        match reply {
            Some(reply) => {
                self.asked = Some(memory);
                self.replies.push(reply);
            }
            None => {
                self.plain = Some(memory);
                self.asked = None;
            }
        }
    }

    /// Whoever waits for what was remembered before is answered like one whose memory a newer one has overtaken.
    fn forget(&mut self) {
        self.is_forgotten = true;
        self.plain = None;
        self.asked = None;
    }

    fn absorb(&mut self, newer: Self) {
        if newer.is_forgotten {
            self.forget();
        }
        if newer.plain.is_some() {
            self.plain = newer.plain;
            self.asked = None;
        }
        if newer.asked.is_some() {
            self.asked = newer.asked;
        }
        self.replies.extend(newer.replies);
    }
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct Backlog {
    pub memories: BTreeMap<AgentName, Waiting>,
    pub items: VecDeque<Item>,
    /// Items that are not records, whose bound is another.
    others: usize,
    /// Items that were dropped for want of room.
    pub dropped: u64,
    /// What it means that some of them are missing.
    pub missing: Vec<String>,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.memories.is_empty() && self.items.is_empty()
    }

    pub(super) fn remember(&mut self, memory: Memory, reply: Option<Reply>) {
        let waiting = self.memories.entry(memory.agent.clone()).or_default();
        waiting.add(memory, reply);
    }

    pub(super) fn forget(&mut self, agent: AgentName) {
        self.memories.entry(agent.clone()).or_default().forget();
        self.push(Item::Forget(agent));
    }

    pub(super) fn push(&mut self, item: Item) {
        if !matches!(item, Item::Records(_)) {
            self.others += 1;
        }
        self.items.push_back(item);
        while self.others > ITEMS_WAITING {
            // Events can be done without most easily, then acts, the oldest first; versions, reloads and states rest on the others.
            let is_event = |item: &Item| matches!(item, Item::Event(_));
            let is_act = |item: &Item| matches!(item, Item::Act(_));
            let is_other = |item: &Item| !matches!(item, Item::Records(_));
            let place = self.items.iter().position(is_event);
            let place = place.or_else(|| self.items.iter().position(is_act));
            let place = place.or_else(|| self.items.iter().position(is_other));
            let Some(place) = place else { return };
            let item = self.items.remove(place);
            self.missing.extend(item.and_then(|item| item.missed()));
            self.missing.truncate(MISSING_MAX);
            self.others -= 1;
            self.dropped += 1;
        }
    }

    /// Takes what came later.
    pub(super) fn absorb(&mut self, newer: Self) {
        for (agent, waiting) in newer.memories {
            self.memories.entry(agent).or_default().absorb(waiting);
        }
        for item in newer.items {
            self.push(item);
        }
        self.dropped += newer.dropped;
        self.missing.extend(newer.missing);
        self.missing.truncate(MISSING_MAX);
    }

    /// Tells all who wait that it cannot be written now, and forgets what they waited for.
    pub(super) fn refuse(&mut self, why: &str) {
        for waiting in self.memories.values_mut() {
            waiting.asked = None;
            for reply in waiting.replies.drain(..) {
                reply(Err(why.to_owned()));
            }
        }
        self.memories
            .retain(|_, waiting| waiting.plain.is_some() || waiting.is_forgotten);
    }

    /// It is written: tells all who wait, but those of `refused` agents, whose memory could not be.
    pub(super) fn done(&mut self, refused: &BTreeMap<AgentName, String>) {
        for (agent, waiting) in std::mem::take(&mut self.memories) {
            let answer = refused.get(&agent);
            for reply in waiting.replies {
                reply(answer.map_or(Ok(()), |why| Err(why.clone())));
            }
        }
        self.items.clear();
        self.others = 0;
        self.dropped = 0;
    }

    /// Bytes of decision records in it.
    pub(super) fn record_bytes(&self) -> usize {
        let bytes = |item: &Item| match item {
            Item::Records(batch) => batch.bytes(),
            _ => 0,
        };
        self.items.iter().map(bytes).sum()
    }
}

/// What asks for a collection.
pub(super) type Asker = oneshot::Sender<Result<Collected, String>>;

/// What the thread takes all at once.
#[derive(Default)]
pub(super) struct Inbox {
    pub backlog: Backlog,
    /// The position of what was handed over last.
    pub last: Position,
    pub askers: Vec<Asker>,
    /// Nobody is left who could hand anything over.
    pub closed: bool,
    /// Nothing takes anything any more.
    pub ended: bool,
}

/// What those who hand over and the thread share.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    ready: Condvar,
    /// Bytes of records that wait, here and in the thread.
    record_bytes: AtomicUsize,
    pub health: Mutex<Health>,
    pub written: watch::Sender<Written>,
    /// Held while files are read that a collection could remove.
    pub files: Mutex<()>,
    /// Whether the thread has ended.
    end: watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inbox: Mutex::default(),
            ready: Condvar::new(),
            record_bytes: AtomicUsize::new(0),
            health: Mutex::default(),
            written: watch::Sender::new(Written::default()),
            files: Mutex::default(),
            end: watch::Sender::new(false),
        })
    }

    /// Nothing inside can be left half changed.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn position(&self) -> Position {
        self.inbox().last
    }

    /// Hands something over; false where nothing takes it any more.
    pub(super) fn hand_over(&self, put: impl FnOnce(&mut Backlog)) -> bool {
        let mut inbox = self.inbox();
        if inbox.closed || inbox.ended {
            return false;
        }
        inbox.last += 1;
        put(&mut inbox.backlog);
        drop(inbox);
        self.ready.notify_one();
        true
    }

    /// Room for records: false where there is none.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let before = self.record_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= RECORD_BYTES_WAITING;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    pub(super) fn release(&self, bytes: usize) {
        self.record_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Asks for a collection; false where nothing would do it.
    pub(super) fn ask(&self, asker: Asker) -> bool {
        let mut inbox = self.inbox();
        if inbox.closed || inbox.ended {
            return false;
        }
        inbox.askers.push(asker);
        drop(inbox);
        self.ready.notify_one();
        true
    }

    pub(super) fn close(&self) {
        self.inbox().closed = true;
        self.ready.notify_one();
    }

    /// Everything that was handed over since the last time; waits for something until `deadline`.
    pub(super) fn take(&self, deadline: Instant) -> Inbox {
        let mut inbox = self.inbox();
        while inbox.backlog.is_empty() && inbox.askers.is_empty() && !inbox.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.ready.wait_timeout(inbox, left);
            (inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Inbox {
            backlog: std::mem::take(&mut inbox.backlog),
            last: inbox.last,
            askers: std::mem::take(&mut inbox.askers),
            closed: inbox.closed,
            ended: inbox.ended,
        }
    }

    /// The thread ends: who still waits is told so.
    pub(super) fn end(&self) {
        let mut inbox = self.inbox();
        inbox.ended = true;
        let mut left = std::mem::take(&mut inbox.backlog);
        inbox.askers.clear();
        drop(inbox);
        left.refuse("the journal is closed");
        self.end.send_replace(true);
    }

    /// Returns when the thread has ended.
    pub(super) async fn ended(&self) {
        // The sender is here: it cannot have gone.
        let _ = self.end.subscribe().wait_for(|ended| *ended).await;
    }
}

/// The time of day, which is what is written.
pub(super) fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment::default().after(since.unwrap_or_default())
}

#[cfg(test)]
mod tests;
