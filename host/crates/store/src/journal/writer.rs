//! The thread that writes: takes what waits, writes it in one transaction, and says how far it is.
//!
//! Where that fails nothing is forgotten that has room: who waits for an answer gets one at once, the rest stays in a bounded
//! backlog, and it is tried again every second until it works. A panic is such a failure, too.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use caxton_rollout::{AgentName, Moment};
use rusqlite::{Connection, TransactionBehavior};

use super::collect::Collection;
use super::fault::{Fault, What};
use super::fill::{Filled, Refused, fill};
use super::open::{self, Place};
use super::queue::{Backlog, Event, Item, Shared, now};
use super::records::Recordings;
use super::rows::Known;
use super::states::States;
use super::types::{Limits, Position, Trouble};
use crate::Blobs;

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a thread that nobody needs any more goes on trying to write what waits.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// How often what is too much or too old is removed by itself.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);

/// See the module's documentation.
pub(super) struct Writer {
    place: Place,
    blobs: Blobs,
    limits: Limits,
    shared: Arc<Shared>,
    /// None where it has to be opened anew.
    connection: Option<Connection>,
    known: BTreeMap<AgentName, Known>,
    recordings: Recordings,
    states: States,
    /// What was taken and is not written.
    pending: Backlog,
    pending_to: Position,
    trouble: Option<Failed>,
    collection: Option<Collection>,
    collect_at: Instant,
    /// When it gives up, once nobody needs it any more.
    last_try: Option<Instant>,
}

/// Why it could not be written, and when that is tried again.
struct Failed {
    since: Moment,
    sentence: String,
    again: Instant,
}

impl Writer {
    pub(super) fn new(
        place: Place,
        blobs: Blobs,
        limits: Limits,
        shared: Arc<Shared>,
        connection: Connection,
        known: BTreeMap<AgentName, Known>,
    ) -> Self {
        let mut states = States::default();
        states.opened(&connection);
        Self {
            states,
            place,
            blobs,
            limits,
            shared,
            connection: Some(connection),
            known,
            recordings: Recordings::default(),
            pending: Backlog::default(),
            pending_to: 0,
            trouble: None,
            collection: None,
            collect_at: Instant::now(),
            last_try: None,
        }
    }

    /// It can be read and not written: it is opened anew until it can.
    pub(super) fn begin_in_trouble(&mut self, fault: &Fault) {
        self.connection = None;
        self.failed(fault);
    }

    /// Writes until nobody is left who could hand anything over.
    pub(super) fn run(mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) => {
                    self.collection = None;
                    self.failed(&Fault::panic(&*panic));
                }
            }
        }
        // Closed, everything is in one file; whoever waits for the end may copy it.
        self.connection = None;
        self.shared.end();
    }

    /// One round; false where it was the last.
    fn turn(&mut self) -> bool {
        // Something may be left to do also where a collection has just ended and was too early for it.
        let is_busy = self.collection.is_some()
            || !self.pending.is_empty()
            || self.recordings.are_too_much(&self.limits);
        let deadline = match &self.trouble {
            Some(failed) => failed.again,
            None if is_busy => Instant::now(),
            None => self
                .collect_at
                .min(self.states.due().unwrap_or(self.collect_at)),
        };
        let inbox = self.shared.take(deadline);
        self.pending.absorb(inbox.backlog);
        self.pending_to = inbox.last;
        let asked = !inbox.askers.is_empty();
        if asked {
            self.collect(inbox.askers);
        }
        if inbox.closed {
            let last = *self
                .last_try
                .get_or_insert_with(|| Instant::now() + LAST_TRIES);
            // Nothing is asked for any more: the wait that `take` does not do is done here.
            if let Some(failed) = &self.trouble {
                let wait = failed.again.saturating_duration_since(Instant::now());
                std::thread::sleep(wait.min(last.saturating_duration_since(Instant::now())));
            }
            if Instant::now() >= last {
                let place = self.place.journal.display();
                tracing::error!(
                    "{place} could not be written before the end: what was decided last is lost"
                );
                self.pending.refuse("the host ends");
                return false;
            }
        }
        self.write();
        if inbox.closed {
            return self.trouble.is_some();
        }
        self.keep_in_bounds();
        true
    }

    fn write(&mut self) {
        if let Some(failed) = &self.trouble
            && Instant::now() < failed.again
        {
            self.pending.refuse(&failed.sentence);
            let health = &mut *self.shared.health();
            health.dropped = self.pending.dropped;
            return;
        }
        if self.pending.is_empty() && self.trouble.is_none() {
            return;
        }
        match self.transaction() {
            Ok(refused) => self.written(&refused),
            Err(fault) => {
                let fault = fault.explained(&self.place.journal);
                self.failed(&fault);
            }
        }
    }

    fn written(&mut self, refused: &Refused) {
        let dropped = self.pending.dropped;
        self.shared.release(self.pending.record_bytes());
        if self.trouble.take().is_some() {
            tracing::info!("{} is written again", self.place.journal.display());
            self.shared.health().dropped = 0;
        }
        let up_to = self.pending_to;
        // Before the answers: whoever gets one finds the position there.
        self.shared.written.send_modify(|written| {
            written.up_to = up_to;
            written.trouble = None;
        });
        for sentence in self.pending.missing.drain(..) {
            self.shared.health().damaged(now(), sentence);
        }
        self.pending.done(refused);
        if dropped > 0 {
            let detail = serde_json::json!({ "count": dropped });
            self.pending.push(Item::Event(Event {
                at: now(),
                agent: None,
                reload: None,
                kind: "events-lost".to_owned(),
                detail: detail.to_string(),
            }));
        }
    }

    fn failed(&mut self, fault: &Fault) {
        let place = self.place.journal.display();
        let text = format!("{place} cannot be written: {}", fault.problem);
        let sentence = format!("{text}; {}", fault.help);
        if self.trouble.is_none() {
            tracing::error!("{sentence}; it is tried again every second");
        }
        let since = self
            .trouble
            .as_ref()
            .map_or_else(now, |failed| failed.since);
        // Whether the last transaction is on the disk after all is not known.
        for agent in self.pending.memories.keys() {
            if let Some(known) = self.known.get_mut(agent) {
                known.sure = false;
            }
        }
        self.recordings.forget();
        if fault.what == What::Damage || !self.is_in_place() {
            self.connection = None;
        }
        self.shared.health().dropped = self.pending.dropped;
        let trouble = Trouble {
            since,
            text,
            command: fault.help.clone(),
        };
        // Before the answers: whoever gets one finds the trouble there.
        self.shared.written.send_modify(|written| {
            written.trouble = Some(trouble);
        });
        self.pending.refuse(&sentence);
        self.trouble = Some(Failed {
            since,
            sentence,
            again: Instant::now() + AGAIN,
        });
    }

    /// Writes everything that waits.
    fn transaction(&mut self) -> Result<Refused, Fault> {
        let now = now();
        let path = self.place.journal.clone();
        let fault = |error: rusqlite::Error| Fault::of(&error, &path);
        if self.connection.is_some() && !self.is_in_place() {
            self.connection = None;
            return Err(Fault::world(
                "it was removed or replaced while the host runs",
                "leave the data directory to the host; it makes the journal anew from what it remembers",
            ));
        }
        if self.connection.is_none() {
            self.open_again()?;
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(Fault::world("it is closed", "start the host again"));
        };
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault)?;
        let filled = fill(
            &transaction,
            &self.known,
            &self.pending,
            &mut self.recordings,
            now,
        );
        let filled = filled.map_err(fault)?;
        if self.trouble.is_some() {
            // Whether it can be written is only known once something was.
            transaction
                .execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES ('in_trouble_until', datetime('now'))",
                    [],
                )
                .map_err(fault)?;
        }
        transaction.commit().map_err(fault)?;
        let Filled {
            forgotten,
            done,
            refused,
            lost,
        } = filled;
        for (item, error) in lost {
            Recordings::lost(item, &fault(error), &self.shared);
        }
        for agent in forgotten {
            self.shared.health().writable(agent);
            self.known.remove(agent);
        }
        self.states.written(&self.pending, &self.limits);
        self.committed(done, &refused, now);
        Ok(refused)
    }

    fn committed(&mut self, done: Vec<Known>, refused: &Refused, now: Moment) {
        let mut health = self.shared.health();
        for known in done {
            health.writable(&known.memory.agent);
            self.known.insert(known.memory.agent.clone(), known);
        }
        for (agent, why) in refused {
            health.unwritable(agent, now, why.clone());
        }
        if self.recordings.committed() {
            health.records_again();
        }
    }

    /// Whether the file that is open is the one that stands in its place.
    fn is_in_place(&mut self) -> bool {
        self.place.look()
    }

    /// Opens the journal once more: as it stands there, as far as it can be read, or a new one. What is remembered of agents
    /// is written into it anew.
    fn open_again(&mut self) -> Result<(), Fault> {
        let opened = open::again(&self.place)?;
        for sentence in opened.damage {
            self.shared.health().damaged(now(), sentence);
        }
        self.place = opened.place;
        self.states.opened(&opened.connection);
        self.connection = Some(opened.connection);
        for known in self.known.values_mut() {
            known.sure = false;
        }
        Ok(())
    }

    fn collect(&mut self, askers: Vec<super::queue::Asker>) {
        if let Some(failed) = &self.trouble {
            for asker in askers {
                let _ = asker.send(Err(failed.sentence.clone()));
            }
            return;
        }
        match &mut self.collection {
            // It is looked through from the beginning again: what it has passed may have changed.
            Some(collection) => collection.again(askers),
            None => self.collection = Some(Collection::new(askers)),
        }
    }

    /// Removes a little of what is too much, where there is anything.
    fn keep_in_bounds(&mut self) {
        let due = Instant::now() >= self.collect_at || self.recordings.are_too_much(&self.limits);
        if self.trouble.is_some() || !self.pending.is_empty() {
            return;
        }
        if let Some(connection) = &self.connection
            && let Err(error) = self.states.sweep(
                connection,
                &self.blobs,
                &self.limits,
                &self.shared.files,
                Instant::now(),
            )
        {
            return self.failed(&Fault::of(&error, &self.place.journal));
        }
        if due && self.collection.is_none() {
            self.collection = Some(Collection::new(Vec::new()));
        }
        let (Some(mut collection), Some(connection)) =
            (self.collection.take(), self.connection.as_mut())
        else {
            return;
        };
        self.collect_at = Instant::now() + COLLECT_EVERY;
        let files = &self.shared.files;
        let step = collection.step(connection, &self.blobs, &self.limits, files);
        if let Some(bytes) = collection.counted() {
            self.recordings.counted(bytes, &self.limits);
        }
        match step {
            Ok(true) => self.collection = Some(collection),
            Ok(false) => collection.answer(),
            Err(error) => {
                let fault = Fault::of(&error, &self.place.journal);
                collection.refuse(&fault.sentence(&self.place.journal.display().to_string()));
                self.failed(&fault);
            }
        }
    }
}
