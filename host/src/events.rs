//! What happened, in order: a bounded memory of events, and a way to follow them.
//!
//! An event is one JSON object: `{seq, at, agent, reload, kind, ...}`. `seq` counts from 1 and rises by one with each
//! event of this host process; `at` is in milliseconds since the Unix epoch, like every moment that the host shows;
//! `agent` and `reload` are null where there is none. The rest depends on `kind`.
//!
//! A follower is a position in the memory and nothing else, so a slow one costs nobody anything: what it did not read
//! in time is forgotten, and it is told so by an event of the kind [`MISSED`]. This is no journal: it ends with the
//! process, and nothing that must be known later may rest on it alone.
//!
//! What must hold: [`EventLog::push`] waits for nobody, and the memory stays within [`MAX_EVENTS`] and [`MAX_BYTES`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caxton_rollout::{AgentName, HotReloadId, Moment};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::ring::{Bounds, Ring};

/// Events that are remembered: some hours of a quiet host, some minutes of a busy one.
pub const MAX_EVENTS: usize = 4_096;

/// Bytes of remembered events, as JSON: a few long texts must not cost more than many short ones.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of one event as JSON; the fields of a longer one are dropped, and it says so.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Events that a follower is handed at once, so that it copies little while the memory is locked.
const BATCH: usize = 256;

/// The kind of the event that stands where others were forgotten before they were read.
///
/// Its `seq` is that of the last one forgotten, and `missed` says how many they were.
pub const MISSED: &str = "missed";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Its place in the order, from 1.
    pub seq: u64,
    /// When.
    pub at: Moment,
    /// Whom it is about.
    pub agent: Option<AgentName>,
    /// Which reload it is part of.
    pub reload: Option<HotReloadId>,
    /// A short word in kebab-case.
    pub kind: String,
    /// What there is to say about it.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Event {
    /// The event as one line of JSON, without the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        // Only strings, numbers and maps with text keys are in it, so writing it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The memory of what happened. One for each host; shared.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<Ring<Event>>,
    /// Tells followers the newest `seq`.
    newest: watch::Sender<u64>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLog {
    /// An empty memory; its first event gets the `seq` 1.
    #[must_use]
    pub fn new() -> Self {
        let bounds = Bounds {
            most: MAX_EVENTS,
            bytes: MAX_BYTES,
        };
        Self {
            ring: Mutex::new(Ring::after(0, bounds)),
            newest: watch::Sender::new(0),
        }
    }

    /// Remembers an event and wakes the followers. Never waits for one.
    ///
    /// `fields` is an object; any other value but null is kept under the key `value`. Keys that every event has are
    /// not taken from it.
    pub fn push(
        &self,
        at: Moment,
        agent: Option<AgentName>,
        reload: Option<HotReloadId>,
        kind: &str,
        fields: Value,
    ) -> Arc<Event> {
        let mut event = Event {
            seq: 0,
            at,
            agent,
            reload,
            kind: kind.to_owned(),
            fields: own_fields(fields),
        };
        let mut size = event.line().len();
        if size > MAX_EVENT_BYTES {
            event.fields = Map::from_iter([("fields_dropped_bytes".to_owned(), size.into())]);
            size = event.line().len();
        }
        let event = self.lock().keep(size, |seq| Event { seq, ..event });
        // Two pushes at once may come here in the other order: the newest is the larger.
        self.newest.send_modify(|seq| *seq = event.seq.max(*seq));
        event
    }

    /// Remembered events after `seq`, at most 256, oldest first; the first may be one of the kind [`MISSED`].
    ///
    /// A `seq` that this process has not reached yet comes from an earlier one: everything remembered follows, and
    /// that is told as missed, too.
    #[must_use]
    pub fn since(&self, seq: u64) -> Vec<Arc<Event>> {
        let found = self.lock().since(seq, BATCH);
        let gap = found.items.first().zip(found.gap());
        let gap = gap.map(|(oldest, why)| Arc::new(missed(oldest, found.missed, why)));
        gap.into_iter().chain(found.items).collect()
    }

    /// The `seq` of the newest event; 0 before the first.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.lock().last()
    }

    /// A follower that begins after `seq`: 0 for everything remembered.
    #[must_use]
    pub fn follow(self: &Arc<Self>, seq: u64) -> Follower {
        Follower {
            newest: self.newest.subscribe(),
            log: Arc::clone(self),
            position: seq,
        }
    }

    /// A follower of what happens from now on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>) -> Follower {
        self.follow(self.last_seq())
    }

    fn lock(&self) -> MutexGuard<'_, Ring<Event>> {
        // Nothing inside can leave the ring half changed, so a poisoned lock is as good as any.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A position in the memory that moves on as events are read.
#[derive(Debug)]
pub struct Follower {
    log: Arc<EventLog>,
    newest: watch::Receiver<u64>,
    position: u64,
}

impl Follower {
    /// The next events, at least one and at most 256; waits until there is one. Safe to cancel.
    pub async fn next(&mut self) -> Vec<Arc<Event>> {
        loop {
            // Marked as seen before the look, so that an event pushed after the look wakes the wait.
            self.newest.borrow_and_update();
            let events = self.log.since(self.position);
            if let Some(last) = events.last() {
                self.position = last.seq;
                return events;
            }
            if self.newest.changed().await.is_err() {
                // The sender lives in the log that this follower holds; waiting is the truth if it were gone.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn missed(oldest: &Event, missed: u64, why: &str) -> Event {
    Event {
        seq: oldest.seq.saturating_sub(1),
        at: oldest.at,
        agent: None,
        reload: None,
        kind: MISSED.to_owned(),
        fields: Map::from_iter([
            (MISSED.to_owned(), missed.into()),
            ("why".to_owned(), why.into()),
        ]),
    }
}

fn own_fields(fields: Value) -> Map<String, Value> {
    let mut fields = match fields {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    for key in ["seq", "at", "agent", "reload", "kind"] {
        fields.remove(key);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn push(log: &EventLog, kind: &str) -> u64 {
        log.push(Moment(1_000), None, None, kind, Value::Null).seq
    }

    fn kinds(events: &[Arc<Event>]) -> Vec<String> {
        events
            .iter()
            .map(|event| format!("{} {}", event.seq, event.kind))
            .collect()
    }

    #[test]
    fn an_event_is_one_line_with_the_fields_that_tools_rely_on() {
        let log = EventLog::new();
        let agent: AgentName = "hello".parse().unwrap();
        let reload = HotReloadId::from_random_bits(7);
        let fields = json!({"to": 2, "seq": "not mine to set"});
        let event = log.push(Moment(12), Some(agent), Some(reload), "swapped", fields);
        assert_eq!(
            event.line(),
            r#"{"seq":1,"at":12,"agent":"hello","reload":"00000000-0000-4000-8000-000000000007","kind":"swapped","to":2}"#
        );
        let bare = log.push(Moment(13), None, None, "started", Value::Null);
        assert_eq!(
            bare.line(),
            r#"{"seq":2,"at":13,"agent":null,"reload":null,"kind":"started"}"#
        );
    }

    #[test]
    fn since_goes_on_where_the_reader_stopped() {
        let log = EventLog::new();
        assert!(log.since(0).is_empty());
        push(&log, "a");
        push(&log, "b");
        assert_eq!(kinds(&log.since(0)), ["1 a", "2 b"]);
        assert_eq!(kinds(&log.since(1)), ["2 b"]);
        assert!(log.since(2).is_empty());
    }

    #[test]
    fn what_was_forgotten_is_told() {
        let log = EventLog::new();
        for _ in 0..MAX_EVENTS + 10 {
            push(&log, "x");
        }
        let remembered = log.lock().since(0, usize::MAX).items;
        assert_eq!(remembered.len(), MAX_EVENTS);
        let read = log.since(4);
        assert_eq!(kinds(&read[..2]), ["10 missed", "11 x"]);
        assert_eq!(read[0].fields["missed"], 6);
        // The position in that event leads on without a gap and without telling it again.
        assert_eq!(kinds(&log.since(10)[..1]), ["11 x"]);
    }

    #[test]
    fn a_position_of_an_earlier_process_starts_over() {
        let log = EventLog::new();
        push(&log, "a");
        assert_eq!(kinds(&log.since(500)), ["0 missed", "1 a"]);
    }

    #[test]
    fn long_events_and_many_long_events_stay_within_bounds() {
        let log = EventLog::new();
        let text = |size: usize| json!({"text": "x".repeat(size)});
        let huge = log.push(Moment(0), None, None, "huge", text(MAX_EVENT_BYTES));
        assert!(huge.fields.contains_key("fields_dropped_bytes") && huge.line().len() < 200);
        for _ in 0..400 {
            log.push(Moment(0), None, None, "long", text(MAX_EVENT_BYTES / 2));
        }
        let ring = log.lock();
        let read = ring.since(0, usize::MAX).items;
        let size: usize = read.iter().map(|event| event.line().len()).sum();
        assert!(size <= MAX_BYTES && ring.bytes() <= MAX_BYTES && read.len() < 400);
    }

    #[tokio::test]
    async fn a_follower_waits_and_misses_nothing_between_two_reads() {
        let log = Arc::new(EventLog::new());
        push(&log, "before");
        let mut follower = log.subscribe();
        let pusher = Arc::clone(&log);
        let pushing = tokio::spawn(async move {
            for _ in 0..2_000 {
                push(&pusher, "x");
                tokio::task::yield_now().await;
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 2_000 {
            seen.extend(follower.next().await.iter().map(|event| event.seq));
        }
        pushing.await.unwrap();
        assert_eq!(seen, (2..=2_001).collect::<Vec<_>>());
    }
}
