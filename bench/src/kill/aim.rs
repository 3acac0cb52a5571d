//! When to kill: at once after something that was hit least so far.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use super::wal::{JOURNAL, Log, Owners};

/// Between two looks at the journal's index.
const LOOK: Duration = Duration::from_micros(300);

/// Folders of the data directory in which bytes stand by their digest.
pub const BLOBS: [&str; 3] = ["artifacts", "policies", "state"];

/// What the kill waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// Any moment.
    Chance,
    /// An observer learns that a reload has this status.
    Status(&'static str),
    /// The journal has a new transaction that wrote to this table.
    Write(String),
    /// Bytes were put into one of the folders by digest.
    Blob,
}

/// Whether what is aimed at has happened. Clones are the same trigger.
#[derive(Debug, Clone, Default)]
pub struct Trigger(Arc<Pulled>);

#[derive(Debug, Default)]
struct Pulled {
    armed: AtomicBool,
    pulled: AtomicBool,
    ended: AtomicBool,
    notify: Notify,
}

impl Trigger {
    /// From now on it can be pulled.
    pub fn arm(&self) {
        self.0.armed.store(true, Ordering::SeqCst);
    }

    /// What is aimed at has happened.
    pub fn pull(&self) {
        if self.0.armed.load(Ordering::SeqCst) {
            self.0.pulled.store(true, Ordering::SeqCst);
            self.0.notify.notify_one();
        }
    }

    /// Returns once it was pulled.
    pub async fn pulled(&self) {
        while !self.0.pulled.load(Ordering::SeqCst) {
            self.0.notify.notified().await;
        }
    }

    /// Whoever watches for it stops.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }

    fn is_ended(&self) -> bool {
        self.0.ended.load(Ordering::SeqCst)
    }
}

/// Watches the data directory, until the trigger is pulled or ended. Blocks.
pub fn watch(aim: &Aim, data: &Path, trigger: &Trigger) {
    match aim {
        Aim::Write(table) => watch_journal(table, &data.join(JOURNAL), trigger),
        Aim::Blob => watch_blobs(data, trigger),
        Aim::Chance | Aim::Status(_) => {}
    }
}

fn watch_journal(table: &str, journal: &Path, trigger: &Trigger) {
    let (mut log, mut change, mut owners) = (None, 0, Owners::default());
    while !trigger.is_ended() {
        std::thread::sleep(LOOK);
        // It is there from the host's first write on.
        let Some(log) = log.as_ref() else {
            log = Log::beside(journal).ok();
            continue;
        };
        let log: &Log = log;
        if log.change() == change {
            continue;
        }
        let last = log.last();
        change = last.change;
        if owners.tables(&last).contains(table) {
            trigger.pull();
        } else if !owners.know(&last) {
            // The moment is over once this is read; the next one will do.
            owners = Owners::of(journal).unwrap_or_default();
        }
    }
}

fn watch_blobs(data: &Path, trigger: &Trigger) {
    let folders: Vec<PathBuf> = BLOBS.iter().map(|folder| data.join(folder)).collect();
    let changed = || -> Vec<Option<SystemTime>> {
        let changed = |folder: &PathBuf| std::fs::metadata(folder).ok()?.modified().ok();
        folders.iter().map(changed).collect()
    };
    let mut before = changed();
    while !trigger.is_ended() {
        std::thread::sleep(LOOK);
        let now = changed();
        if now != before {
            trigger.pull();
            before = now;
        }
    }
}
