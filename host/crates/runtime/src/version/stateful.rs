//! What a version remembers, as the host moves and keeps it.

use super::Version;
use crate::single::Single;
use crate::state::{Snapshot, StateError, StateLoss};
use std::time::Duration;

impl Version {
    /// Whether its state is kept: it has one instance, which [`Version::save`] and [`Version::load`] move.
    pub fn is_stateful(&self) -> bool {
        self.serving.spec.state.is_some()
    }

    /// From here on no call is admitted. Calls that have their place run on: [`Version::drained`] waits for them.
    pub fn close(&self) {
        self.serving.close();
    }

    /// Calls are admitted again, and find the instance as it was.
    pub fn open(&self) {
        self.serving.open();
    }

    /// Saves the state of a version that is closed, once nothing is in flight; that and the saving must fit into `timeout`.
    ///
    /// The snapshot is kept: see [`Version::saved`]. The instance stays as it was and goes on if the version is opened again, also
    /// when the agent refused. An instance whose save trapped or ran out of time is gone, and the next begins with the last
    /// checkpoint: in the middle of a save it can be neither entered nor left.
    pub async fn save(&self, timeout: Duration) -> Result<Snapshot, StateError> {
        let single = self.stateful()?;
        if !self.serving.is_closed() {
            return Err(StateError::Open);
        }
        let deadline = tokio::time::Instant::now() + timeout;
        tokio::time::timeout_at(deadline, self.serving.drained())
            .await
            .map_err(|_| StateError::InFlight { limit: timeout })?;
        single.save(deadline, timeout).await
    }

    /// Makes a new instance with this state, or with none, and lets it take the place of the present one. When it does not
    /// work, within `timeout`, the present one stays.
    pub async fn load(
        &self,
        snapshot: Option<&Snapshot>,
        timeout: Duration,
    ) -> Result<(), StateError> {
        let single = self.stateful()?;
        let deadline = tokio::time::Instant::now() + timeout;
        single.load(snapshot.cloned(), deadline, timeout).await
    }

    /// What the next instance would begin with: the state as it was last kept between two calls or at a save, until then what
    /// was loaded. None: it would begin empty.
    pub fn checkpoint(&self) -> Option<Snapshot> {
        self.stateful().ok()?.book.checkpoint()
    }

    /// The same, where it was taken after the one that is known: `known` is what came with that, 0 at first. For whoever keeps
    /// each of them once.
    #[must_use]
    pub fn checkpoint_after(&self, known: u64) -> Option<(u64, Snapshot)> {
        self.stateful().ok()?.book.checkpoint_after(known)
    }

    /// What [`Version::checkpoint_after`] takes so that only what is taken from now on is new.
    #[must_use]
    pub fn checkpoints_until_now(&self) -> u64 {
        self.stateful().map_or(0, |single| single.book.changes())
    }

    /// What the last [`Version::save`] took.
    pub fn saved(&self) -> Option<Snapshot> {
        self.stateful().ok()?.book.saved()
    }

    /// Whether its instance lives and nothing has entered it since the last [`Version::save`].
    pub fn is_as_saved(&self) -> bool {
        self.stateful().is_ok_and(Single::is_as_saved)
    }

    /// Answered calls that went with their instances since the last take.
    pub fn take_losses(&self) -> Vec<StateLoss> {
        self.stateful()
            .map(|single| single.book.take_losses())
            .unwrap_or_default()
    }

    fn stateful(&self) -> Result<&Single, StateError> {
        match &self.serving.single {
            Some(single) if self.is_stateful() => Ok(single),
            _ => Err(StateError::Stateless),
        }
    }
}
