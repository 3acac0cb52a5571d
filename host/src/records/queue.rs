//! The way from those who record to the thread that writes: bounded, and nobody waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caxton_rollout::{AgentName, Attention, HotReloadId, Moment};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait for the disk: some seconds of a host on which a thousand reloads are judged at once.
const BATCHES_WAITING: usize = 8_192;

/// Bytes that wait for the disk: what a policy says may be long, and a disk may hang.
const BYTES_WAITING: usize = 32 * 1024 * 1024;

/// Lines of one reload that belong together.
#[derive(Debug)]
pub(super) struct Batch {
    pub agent: AgentName,
    pub reload: HotReloadId,
    pub at: Moment,
    /// Whole lines, each with its end.
    pub bytes: Vec<u8>,
    /// How many they are.
    pub lines: u64,
    /// The reload's first: they make its file.
    pub begins: bool,
    /// They hold a result: kept even where lines before them were lost.
    pub ends: bool,
}

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Job {
    Write(Batch),
    /// The reload is over: its file may go when room is needed.
    Close(HotReloadId),
    /// Say when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// One end for those who record, and clones of it for those who read.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    health: Arc<Health>,
}

/// What both ends know of each other.
#[derive(Debug, Default)]
pub(super) struct Health {
    waiting: AtomicUsize,
    lost: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
    warned: AtomicBool,
}

#[derive(Debug, Clone)]
struct Trouble {
    since: Moment,
    text: String,
    /// What helps.
    command: String,
}

impl Queue {
    pub(super) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (jobs, taken) = mpsc::channel(BATCHES_WAITING);
        let health = Arc::default();
        (Self { jobs, health }, taken)
    }

    pub(super) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Hands lines over; false where there is no room for them.
    pub(super) fn write(&self, batch: Batch) -> bool {
        let (size, lines, at) = (batch.bytes.len(), batch.lines, batch.at);
        let before = self.health.waiting.fetch_add(size, Ordering::Relaxed);
        let fits = before.saturating_add(size) <= BYTES_WAITING;
        if fits && self.jobs.try_send(Job::Write(batch)).is_ok() {
            return true;
        }
        self.health.waiting.fetch_sub(size, Ordering::Relaxed);
        let text = "the disk under the data directory takes them more slowly than they come";
        self.health.lose(
            at,
            lines,
            text.to_owned(),
            "look at the disk's load".to_owned(),
        );
        false
    }

    /// Says that a reload is over. Where there is no room for that, its file stays until the host is started again.
    pub(super) fn close(&self, reload: HotReloadId) {
        let _ = self.jobs.try_send(Job::Close(reload));
    }

    /// Returns once everything is written that was handed over before; false where nothing writes any more.
    pub(super) async fn flush(&self) -> bool {
        let (done, written) = oneshot::channel();
        self.jobs.send(Job::Flush(done)).await.is_ok() && written.await.is_ok()
    }
}

impl Health {
    pub(super) fn taken(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts lines that will not be kept, and warns of the first.
    pub(super) fn lose(&self, at: Moment, lines: u64, text: String, command: String) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("decision records are being lost: {text}; {command}");
        }
        let mut trouble = self.trouble();
        let since = trouble.as_ref().map_or(at, |trouble| trouble.since);
        *trouble = Some(Trouble {
            since,
            text,
            command,
        });
    }

    /// Counts lines of a reload that lost some before.
    pub(super) fn count(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// A reload that began after the trouble is recorded: it is over.
    pub(super) fn is_well(&self) {
        if self.trouble().take().is_some() {
            self.warned.store(false, Ordering::Relaxed);
            let lost = self.lost.swap(0, Ordering::Relaxed);
            tracing::info!(
                lost,
                "decision records are kept again, of reloads that begin now"
            );
        }
    }

    pub(super) fn attention(&self) -> Option<Attention> {
        let trouble = self.trouble().clone()?;
        let lost = self.lost.load(Ordering::Relaxed);
        Some(Attention {
            kind: "records-lost",
            since: trouble.since,
            text: format!(
                "decision records are not kept, {lost} lines so far: {}; agents serve on and are judged as before, and reloads \
                 that begin once this is mended are recorded again",
                trouble.text
            ),
            command: trouble.command,
        })
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        // Nothing inside can leave it half changed.
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
