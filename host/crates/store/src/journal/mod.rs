//! The journal: see the crate's documentation. Here is what it is handed and asked; each part of it has a file of its own.

mod backup;
mod check;
mod collect;
mod fault;
mod fields;
mod fill;
mod health;
mod load;
mod migrate;
mod open;
mod parse;
mod queue;
mod reader;
mod records;
mod reloads;
mod rows;
mod salvage;
mod states;
mod types;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{AgentName, Attention, HotReloadId, Memory, Moment, Notice};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

pub use self::backup::restore_backup;
pub(crate) use self::fault::io_help;
pub use self::reader::Reader;
pub use self::types::{
    Act, BackedUp, Collected, EventRow, Limits, Pin, Position, RecordBatch, RecordsOf, Reply,
    SnapshotRow, Trouble, Written,
};

use self::fault::{Fault, What};
use self::open::Refusal;
use self::queue::{Event, Item, Shared};
use self::writer::Writer;
use crate::{Blobs, Content, OpenError, Opened};

/// How long [`Journal::stop`] waits: longer than the thread goes on trying.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// The way to the thread that writes. Clones lead to the same one; when the last is dropped, the thread writes what waits and
/// ends.
#[derive(Debug, Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    journal: PathBuf,
    blobs: Blobs,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Journal {
    pub(crate) fn open(
        data: &Path,
        blobs: &Blobs,
        limits: Limits,
    ) -> Result<(Self, Opened), OpenError> {
        let journal = data.join(open::NAME);
        let refused = |refusal: Refusal| refuse(&journal, refusal);
        let mut opened = open::open(&journal).map_err(refused)?;
        let mut loaded = load::load(&opened.connection);
        if let Err(error) = &loaded {
            let fault = Fault::of(error, &journal);
            if fault.what == What::World {
                return Err(refused(fault.into()));
            }
            // What a check of the whole does not find: it is read as far as it goes, once.
            drop(opened.connection);
            let damage = salvage::salvage(&journal, &fault.problem)
                .map_err(|fault| refused(fault.into()))?;
            opened.damage.extend(damage);
            let again = open::open(&journal).map_err(refused)?;
            opened.connection = again.connection;
            opened.unwritable = again.unwritable;
            opened.place = again.place;
            opened.damage.extend(again.damage);
            loaded = load::load(&opened.connection);
        }
        let loaded = loaded.map_err(|error| refused(Fault::of(&error, &journal).into()))?;
        if opened.unwritable.is_none()
            && let Err(error) = records::end_all(&opened.connection)
        {
            tracing::warn!("decision records of reloads that ended long ago stay: {error}");
        }
        let shared = Shared::new();
        let mut writer = Writer::new(
            opened.place,
            blobs.clone(),
            limits,
            Arc::clone(&shared),
            opened.connection,
            loaded.known,
        );
        if let Some(fault) = opened.unwritable {
            writer.begin_in_trouble(&fault);
        }
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| {
                refused(Fault::world(error.to_string(), "let the host have more threads").into())
            })?;
        let mut damage = opened.damage;
        damage.extend(loaded.damage);
        let handle = Handle {
            shared,
            journal,
            blobs: blobs.clone(),
        };
        let journal = Self {
            handle: Arc::new(handle),
        };
        Ok((
            journal,
            Opened {
                agents: loaded.agents,
                damage,
            },
        ))
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    fn push(&self, item: Item) {
        // After the end nobody is there to tell.
        let _ = self.shared().hand_over(|backlog| backlog.push(item));
    }

    /// The agent is remembered so from now on, whole. Where it cannot be written now it is kept, the newest of each agent.
    ///
    /// `reply` is called once, from the thread that writes: `Ok` when it is on the disk, `Err` at once where it cannot be written
    /// now; then it is as if it had not been handed over.
    pub fn remember(&self, memory: Memory, reply: Option<Reply>) {
        let mut reply = reply;
        let taken = self
            .shared()
            .hand_over(|backlog| backlog.remember(memory, reply.take()));
        if let (false, Some(reply)) = (taken, reply) {
            reply(Err("the journal is closed".to_owned()));
        }
    }

    /// A version can be made of this; its blobs are on the disk already.
    pub fn taken(&self, content: Content) {
        self.push(Item::Content(content));
    }

    /// Something happened.
    pub fn told(&self, at: Moment, notice: &Notice) {
        let mut detail = match serde_json::to_value(notice) {
            Ok(Value::Object(detail)) => detail,
            _ => serde_json::Map::new(),
        };
        detail.remove("agent");
        detail.remove("reload");
        let kind = detail.remove("kind");
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default();
        self.push(Item::Event(Event {
            at,
            agent: Some(notice.agent.clone()),
            reload: notice.reload,
            kind: kind.to_owned(),
            detail: Value::Object(detail).to_string(),
        }));
    }

    /// An operator did something.
    pub fn acted(&self, act: Act) {
        self.push(Item::Act(act));
    }

    /// A reload has these policies; their blobs are on the disk already.
    pub fn pinned(&self, agent: &AgentName, reload: HotReloadId, pins: Vec<Pin>) {
        self.push(Item::Pins(agent.clone(), reload, pins));
    }

    /// A state was saved; its blob is on the disk already. The one before it of the same version is forgotten, and its blob goes
    /// once no row has named it for a minute. So whoever names it again does so within a minute after putting the same bytes or
    /// reading the row.
    pub fn saved(&self, snapshot: SnapshotRow) {
        self.push(Item::Snapshot(snapshot));
    }

    /// Nothing of the agent is remembered any more: what was handed over of it before is gone once this is written, and what is
    /// handed over of it later is a new agent's. What it did stays until it is too old or too much: events, acts, decision
    /// records; the latter are over.
    pub fn forget(&self, agent: &AgentName) {
        let _ = self
            .shared()
            .hand_over(|backlog| backlog.forget(agent.clone()));
    }

    /// Lines of decision records; false where there is no room for them, and they are lost.
    pub fn record(&self, batch: RecordBatch) -> bool {
        let bytes = batch.bytes();
        let (at, lines) = (batch.at, batch.lines.len() as u64);
        let shared = self.shared();
        if !shared.reserve(bytes) {
            let trouble = shared.written.borrow().trouble.clone();
            let (text, command) = trouble.map_or_else(
                || {
                    (
                        "the disk under the data directory takes them more slowly than they come"
                            .to_owned(),
                        "look at the disk's load".to_owned(),
                    )
                },
                |trouble| (trouble.text, trouble.command),
            );
            shared.health().lose(at, lines, &text, &command);
            return false;
        }
        let taken = shared.hand_over(|backlog| backlog.push(Item::Records(batch)));
        if !taken {
            shared.release(bytes);
        }
        taken
    }

    /// The reload's records may go when room is needed.
    pub fn records_over(&self, reload: HotReloadId) {
        self.push(Item::Over(reload));
    }

    /// How much was handed over until now.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared().position()
    }

    /// How far the thread that writes is, and every change of that.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<Written> {
        self.shared().written.subscribe()
    }

    /// What an operator must know of it.
    #[must_use]
    pub fn attention(&self) -> Vec<Attention> {
        let shared = self.shared();
        let trouble = shared.written.borrow().trouble.clone();
        shared.health().attention(trouble.as_ref())
    }

    /// Returns once everything is on the disk that was handed over before; false where it cannot be written now.
    pub async fn flush(&self) -> bool {
        let mut written = self.written();
        let position = self.position();
        let done = written
            .wait_for(|written| written.up_to >= position || written.trouble.is_some())
            .await;
        done.is_ok_and(|written| written.up_to >= position)
    }

    /// Writes what waits and ends the thread, whoever else holds a clone; false where not everything could be written. What is
    /// handed over later is not taken.
    pub async fn stop(self) -> bool {
        let mut written = self.written();
        let position = self.position();
        self.shared().close();
        let in_time = tokio::time::timeout(STOP_WAIT, self.shared().ended())
            .await
            .is_ok();
        in_time && written.borrow_and_update().up_to >= position
    }

    /// A reader with a connection of its own: it sees what is on the disk.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn reader(&self) -> Result<Reader, OpenError> {
        let journal = &self.handle.journal;
        Reader::open(journal).map_err(|fault| refuse(journal, fault.into()))
    }

    /// Removes what is beyond the limits and what nothing names; the host goes on meanwhile.
    ///
    /// # Errors
    /// One sentence: what is wrong, where, and what to do.
    pub async fn collect(&self) -> Result<Collected, String> {
        let (asker, answer) = oneshot::channel();
        if !self.shared().ask(asker) {
            return Err("the journal is closed: the host is stopping".to_owned());
        }
        let failed = "the collection was not finished; ask again, and look at the host's log";
        answer.await.unwrap_or_else(|_| Err(failed.to_owned()))
    }

    /// Writes everything that a start needs into one new file, only for this user; the host goes on meanwhile.
    ///
    /// # Errors
    /// One sentence: what is wrong, where, and what to do.
    pub async fn backup(&self, to: PathBuf) -> Result<BackedUp, String> {
        if !self.flush().await {
            let trouble = self.written().borrow().trouble.clone();
            let text = trouble.map_or_else(
                || "the journal is closed: the host is stopping".to_owned(),
                |trouble| format!("{}; {}", trouble.text, trouble.command),
            );
            return Err(format!("a backup would not be complete: {text}"));
        }
        let handle = Arc::clone(&self.handle);
        let work = tokio::task::spawn_blocking(move || {
            backup::backup(&handle.journal, &handle.blobs, &to, &handle.shared.files)
        });
        work.await
            .unwrap_or_else(|error| Err(format!("the backup was not finished: {error}")))
    }
}

fn refuse(journal: &Path, refusal: Refusal) -> OpenError {
    let path = journal.display().to_string();
    match refusal.too_new {
        Some(found) => OpenError::TooNew {
            path,
            found,
            known: migrate::LAYOUT,
        },
        None => OpenError::Unusable {
            path,
            problem: refusal.fault.problem,
            help: refusal.fault.help,
        },
    }
}

#[cfg(test)]
mod tests;
