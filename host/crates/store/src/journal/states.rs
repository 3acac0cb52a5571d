//! Removes what agents saved of their states once something newer has taken its place: checkpoints come every few seconds.
//!
//! Bytes that a row named since the journal was opened go when no row has named them for a minute, and when they were put longer
//! ago than that: whoever has read the row before may be about to read them, and whoever has put the same once more may be about
//! to name them. Everything else waits for a collection, which is slow to remove: bytes that nobody has named yet, and those of
//! a journal that was lost or damaged, which people may bring back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use caxton_rollout::Digest;
use rusqlite::Connection;

use super::collect::named;
use super::queue::{Backlog, Item};
use super::types::Limits;
use crate::{BlobKind, Blobs};

/// How long a state stays that nothing names.
const GRACE: Duration = Duration::from_secs(60);

/// How often it is looked for such, at the most.
const OFTEN: Duration = Duration::from_millis(10);

/// What the thread that writes knows of states.
#[derive(Debug, Default)]
pub(super) struct States {
    /// What rows have named since it was opened.
    named: BTreeSet<Digest>,
    /// What of it none names any more, and since when.
    unnamed: BTreeMap<Digest, Instant>,
    /// When it is looked again; none where nothing has changed.
    look_at: Option<Instant>,
}

impl States {
    /// The journal was opened, and maybe it is another one than before.
    pub(super) fn opened(&mut self, connection: &Connection) {
        // What cannot be read now is named by nobody here, and stays longer.
        self.named = named(connection, BlobKind::State).unwrap_or_default();
        self.unnamed.clear();
    }

    /// This is on the disk now.
    pub(super) fn written(&mut self, pending: &Backlog, limits: &Limits) {
        for item in &pending.items {
            match item {
                Item::Snapshot(row) => {
                    self.unnamed.remove(&row.blob);
                    self.named.insert(row.blob);
                }
                Item::Forget(_) => {}
                _ => continue,
            }
            let next = Instant::now() + often(limits);
            self.look_at.get_or_insert(next);
        }
    }

    /// When something is left to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.look_at
    }

    /// Removes what has been without a name for long enough.
    ///
    /// # Errors
    /// The journal cannot be read; nothing was removed.
    pub(super) fn sweep(
        &mut self,
        connection: &Connection,
        blobs: &Blobs,
        limits: &Limits,
        files: &Mutex<()>,
        now: Instant,
    ) -> rusqlite::Result<()> {
        if self.look_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.look_at = Some(now + often(limits));
        let _guard = match files.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(()),
            guard => guard,
        };
        let named = named(connection, BlobKind::State)?;
        let replaced: Vec<_> = self.named.difference(&named).copied().collect();
        self.unnamed.retain(|digest, _| !named.contains(digest));
        for digest in replaced {
            let since = *self.unnamed.entry(digest).or_insert(now);
            if now.saturating_duration_since(since) < grace(limits) {
                continue;
            }
            match blobs.remove_old(BlobKind::State, digest, grace(limits)) {
                Ok(true) => {
                    self.named.remove(&digest);
                    self.unnamed.remove(&digest);
                }
                Ok(false) => {}
                Err(error) => tracing::warn!("a state that nothing names stays: {error}"),
            }
        }
        if self.unnamed.is_empty() {
            self.look_at = None;
        }
        Ok(())
    }
}

fn grace(limits: &Limits) -> Duration {
    limits.grace.min(GRACE)
}

fn often(limits: &Limits) -> Duration {
    (grace(limits) / 6).max(OFTEN)
}

#[cfg(test)]
mod tests;
