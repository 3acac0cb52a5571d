//! What an agent holds in memory, outside of it: snapshots, why there is none, and what was lost.
//!
//! What a guest saves is untrusted: this is the one place where it becomes a [`Snapshot`], and it can be refused.

use crate::bindings::state;
use crate::call::CallError;
use crate::instance::{Instance, explain};
use crate::serving::Serving;
use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of the name of an encoding, as the WIT says.
const MAX_FORMAT: usize = 128;
/// Bytes that are kept of why a guest refused: it is shown on a line, and kept in the history.
const MAX_REASON: usize = 1 << 10;
/// Bytes that a guest may hand over besides its state: the name of the encoding, or why it refused.
const SAVE_ALLOWANCE: usize = 64 << 10;
/// Losses that wait to be taken, each in its own words; further ones add to the last.
const MAX_LOSSES: usize = 64;

/// A state outside of its instance.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version that saved it.
    pub number: u64,
    /// SHA-256 of that version's component.
    pub digest: [u8; 32],
    /// Name and version of the encoding, 1 to 128 bytes.
    pub format: String,
    /// The encoded state, uninterpreted.
    pub data: Bytes,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("number", &self.number)
            .field("format", &self.format)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// Calls whose traces in memory are gone with their instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLoss {
    /// Calls that were answered and that no later instance knows of.
    pub answered: u64,
    /// What ended the instance.
    pub reason: String,
}

/// Why a state could not be saved or loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The version keeps none.
    #[error("the version keeps no state")]
    Stateless,
    /// It still takes calls: its state would change under the copy.
    #[error("the version still takes calls; close it before its state is saved")]
    Open,
    /// Calls were in flight until the time was up. The instance is as it was.
    #[error("calls were still in flight after {} ms", .limit.as_millis())]
    InFlight {
        /// The time that there was.
        limit: Duration,
    },
    /// The guest said so. The instance is as it was.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// The state is larger than it may be. The instance is as it was.
    #[error("the state has {size} bytes, more than the {limit} of state.max_size")]
    TooLarge {
        /// Bytes of the state.
        size: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The encoding has no name, or one that is too long. The instance is as it was.
    #[error("the name of the state's encoding has {0} bytes, and must have 1 to {MAX_FORMAT}")]
    BadFormat(usize),
    /// The guest trapped, and its instance is gone.
    #[error("the agent trapped: {0}")]
    Trap(String),
    /// It took too long. An instance that was in the middle of it is gone: it cannot be entered again.
    #[error("it took longer than {} ms", .limit.as_millis())]
    Deadline {
        /// The time that there was.
        limit: Duration,
    },
    /// The host has no room for another instance.
    #[error("the host has no room for another instance: {0}")]
    Busy(String),
    /// There was no instance to save from, and none could be made.
    #[error("{0}")]
    Instance(String),
}

impl StateError {
    /// A stable word for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::Open => "open",
            Self::InFlight { .. } => "in-flight",
            Self::Refused(_) => "refused",
            Self::TooLarge { .. } => "too-large",
            Self::BadFormat(_) => "bad-format",
            Self::Trap(_) => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Busy(_) => "busy",
            Self::Instance(_) => "instance",
        }
    }

    /// Whether an instance that was asked to save, or to load, may be entered again after it.
    pub(crate) fn leaves_instance(&self) -> bool {
        !matches!(self, Self::Trap(_) | Self::Deadline { .. })
    }
}

impl From<CallError> for StateError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Busy(message) => Self::Busy(message),
            CallError::Trap(message) => Self::Trap(message),
            CallError::Deadline { limit } => Self::Deadline { limit },
            other => Self::Instance(other.to_string()),
        }
    }
}

/// What is known of a version's state outside of its instance.
#[derive(Default)]
pub(crate) struct StateBook {
    // Held for as long as it takes to copy a pointer, and not on the request path.
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    checkpoint: Option<Snapshot>,
    /// How often the checkpoint changed.
    changes: u64,
    saved: Option<Snapshot>,
    losses: Vec<StateLoss>,
}

impl StateBook {
    /// What the next instance begins with. None: empty.
    pub(crate) fn checkpoint(&self) -> Option<Snapshot> {
        self.pages().checkpoint.clone()
    }

    /// The same, where it changed after so many changes, and how many there are now.
    pub(crate) fn checkpoint_after(&self, changes: u64) -> Option<(u64, Snapshot)> {
        let pages = self.pages();
        let changed = pages.changes != changes;
        let snapshot = pages.checkpoint.as_ref().filter(|_| changed)?;
        Some((pages.changes, snapshot.clone()))
    }

    pub(crate) fn changes(&self) -> u64 {
        self.pages().changes
    }

    pub(crate) fn set_checkpoint(&self, snapshot: Option<Snapshot>) {
        let mut pages = self.pages();
        pages.checkpoint = snapshot;
        pages.changes += 1;
    }

    pub(crate) fn saved(&self) -> Option<Snapshot> {
        self.pages().saved.clone()
    }

    /// What a reload took is also what an instance after this one begins with.
    pub(crate) fn set_saved(&self, snapshot: Snapshot) {
        let mut pages = self.pages();
        pages.saved = Some(snapshot.clone());
        pages.checkpoint = Some(snapshot);
        pages.changes += 1;
    }

    pub(crate) fn lose(&self, answered: u64, reason: String) {
        if answered == 0 {
            return;
        }
        let losses = &mut self.pages().losses;
        let full = losses.len() >= MAX_LOSSES;
        match losses.last_mut() {
            Some(last) if full => last.answered += answered,
            _ => losses.push(StateLoss { answered, reason }),
        }
    }

    pub(crate) fn take_losses(&self) -> Vec<StateLoss> {
        std::mem::take(&mut self.pages().losses)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// Calls the export `save`, until `deadline` at most.
    pub(crate) async fn save(
        &mut self,
        serving: &Serving,
        deadline: Instant,
        limit: Duration,
    ) -> Result<Snapshot, StateError> {
        let (Some(indices), Some(spec)) = (
            serving.slot.code().and_then(|code| code.state.as_ref()),
            serving.spec.state,
        ) else {
            return Err(StateError::Stateless);
        };
        self.enter();
        // A guest cannot hand over more than it has: what is too large is told, and the instance lives on.
        let most = usize::try_from(serving.spec.limits.memory).unwrap_or(usize::MAX);
        let usual = self.store.hostcall_fuel();
        self.store
            .set_hostcall_fuel(most.saturating_add(SAVE_ALLOWANCE));
        let answer = match indices.load(&mut self.store, &self.exports) {
            Ok(guest) => {
                let save = self.turn.during(guest.call_save(&mut self.store));
                tokio::time::timeout_at(deadline, save).await
            }
            Err(error) => Ok(Err(error)),
        };
        self.store.set_hostcall_fuel(usual);
        match answer {
            Err(_) => Err(StateError::Deadline { limit }),
            Ok(Err(trap)) => Err(StateError::Trap(explain(&trap, self.store.data()))),
            Ok(Ok(Err(reason))) => Err(StateError::Refused(capped(reason))),
            Ok(Ok(Ok(snapshot))) => taken(serving, snapshot, spec.max_size),
        }
    }

    /// Calls the export `load`, until `deadline` at most. An instance that could not load is good for nothing.
    pub(crate) async fn load(
        &mut self,
        serving: &Serving,
        snapshot: &Snapshot,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), StateError> {
        let Some(indices) = serving.slot.code().and_then(|code| code.state.as_ref()) else {
            return Err(StateError::Stateless);
        };
        let snapshot = state::Snapshot {
            format: snapshot.format.clone(),
            data: snapshot.data.to_vec(),
        };
        self.enter();
        let answer = match indices.load(&mut self.store, &self.exports) {
            Ok(guest) => {
                let load = self
                    .turn
                    .during(guest.call_load(&mut self.store, &snapshot));
                tokio::time::timeout_at(deadline, load).await
            }
            Err(error) => Ok(Err(error)),
        };
        match answer {
            Err(_) => Err(StateError::Deadline { limit }),
            Ok(Err(trap)) => Err(StateError::Trap(explain(&trap, self.store.data()))),
            Ok(Ok(Err(reason))) => Err(StateError::Refused(capped(reason))),
            Ok(Ok(Ok(()))) => Ok(()),
        }
    }
}

/// The one place where what a guest saved is believed.
fn taken(serving: &Serving, snapshot: state::Snapshot, limit: u64) -> Result<Snapshot, StateError> {
    let size = snapshot.data.len() as u64;
    if size > limit {
        return Err(StateError::TooLarge { size, limit });
    }
    let length = snapshot.format.len();
    if !(1..=MAX_FORMAT).contains(&length) {
        return Err(StateError::BadFormat(length));
    }
    Ok(Snapshot {
        number: serving.spec.number,
        digest: serving.digest,
        format: snapshot.format,
        data: snapshot.data.into(),
    })
}

fn capped(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_of_the_checkpoint_is_seen_once() {
        let snapshot = |byte: u8| Snapshot {
            number: 1,
            digest: [0; 32],
            format: "count/1".into(),
            data: vec![byte].into(),
        };
        let book = StateBook::default();
        assert_eq!(book.checkpoint_after(0), None);
        book.set_checkpoint(Some(snapshot(1)));
        book.set_saved(snapshot(2));
        let (seen, newest) = book.checkpoint_after(0).unwrap();
        assert_eq!((seen, newest), (book.changes(), snapshot(2)));
        assert_eq!(book.checkpoint_after(seen), None);
        // One that is there no more is nothing to keep.
        book.set_checkpoint(None);
        assert_eq!(book.checkpoint_after(seen), None);
        book.set_checkpoint(Some(snapshot(2)));
        assert!(book.checkpoint_after(seen).is_some());
    }

    #[test]
    fn losses_are_bounded_and_none_is_forgotten() {
        let book = StateBook::default();
        book.lose(0, "nothing".into());
        assert_eq!(book.take_losses(), []);
        for _ in 0..MAX_LOSSES + 5 {
            book.lose(2, "a trap".into());
        }
        let losses = book.take_losses();
        assert_eq!(losses.len(), MAX_LOSSES);
        let all: u64 = losses.iter().map(|loss| loss.answered).sum();
        assert_eq!(all, 2 * (MAX_LOSSES as u64 + 5));
        assert_eq!(book.take_losses(), []);
    }
}
