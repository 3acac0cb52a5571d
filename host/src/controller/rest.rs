//! What agents with state leave behind when they stop, and begin with when they start.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{AgentName, VersionNumber};
use caxton_runtime::{Snapshot, Version};
use tokio::time::{Instant, timeout_at};

use super::Controller;
use super::checkpoints::StateNews;
use super::handover::save_within;
use crate::clock::Clock;
use crate::snapshots::{Cause, Kept, Snapshots, States, Unreadable, Whose};

/// A save gets at least this long, however long the calls before it took.
const LAST_SAVE: Duration = Duration::from_secs(1);

/// Calls that still run when the host ends have had the gateway's time to end already.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// A version that stops.
struct Resting {
    whose: Whose,
    version: Arc<Version>,
    states: Arc<States>,
    snapshots: Snapshots,
    clock: Clock,
    within: Duration,
}

impl Resting {
    /// Puts the version to rest: it takes no further call, ends those it has, and what it remembers is stored.
    ///
    /// What could not be saved as it is falls back to the last checkpoint; what could not be stored leaves the row as it was.
    async fn rest(self) {
        let version = &self.version;
        let agent = &self.whose.agent;
        let deadline = Instant::now() + self.within;
        version.close();
        if timeout_at(deadline, version.drained()).await.is_err() {
            tracing::warn!(%agent, calls = version.in_flight(), "stopped with calls that did not end: they are not in its saved state");
            version.cut();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let snapshot = match save_within(version, left.max(LAST_SAVE)).await {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                let checkpoint = version.checkpoint();
                let has = if checkpoint.is_some() {
                    "its last checkpoint is kept"
                } else {
                    "it had no checkpoint"
                };
                tracing::warn!(%agent, "its state could not be saved at the stop: {error}; {has}");
                checkpoint
            }
        };
        if let Some(snapshot) = snapshot {
            self.store(snapshot).await;
        }
    }

    async fn store(&self, snapshot: Snapshot) {
        let now = self.clock.now();
        let whose = self.whose.clone();
        self.states.keep_in_memory(&whose, now, snapshot.clone());
        let stored = self
            .snapshots
            .store(&self.states, whose, (Cause::Stop, now), &snapshot);
        if let Err(problem) = stored.await {
            let agent = &self.whose.agent;
            tracing::error!(%agent, "its state could not be stored, and what was stored before stands: {problem}");
        }
    }
}

/// A version that comes up while no other one of its agent serves.
pub(super) struct Waking {
    pub whose: Whose,
    pub permanent: Option<VersionNumber>,
    pub states: Arc<States>,
    pub snapshots: Snapshots,
    pub clock: Clock,
    pub within: Duration,
}

impl Waking {
    /// Gives it what was left for it, by this process or by one before; what is missing of that is news.
    ///
    /// An error is a state that is there and cannot be had: the version does not begin empty then.
    pub async fn wake(self, version: &Version) -> Result<Option<StateNews>, String> {
        // Whoever is being put to rest is done first.
        let _turn = self.states.turn().await;
        let Whose {
            number, identity, ..
        } = self.whose;
        match self.states.left_for(number, identity, self.permanent) {
            Some((from, kept)) => self.take(version, from, &kept).await,
            None => self.take_over(version).await.map(|()| None),
        }
    }

    async fn take(
        &self,
        version: &Version,
        from: VersionNumber,
        kept: &Kept,
    ) -> Result<Option<StateNews>, String> {
        let (snapshot, path) = match self.snapshots.read(kept).await {
            Ok(read) => read,
            Err(Unreadable::Damaged(error)) => return Err(error),
            Err(Unreadable::Removed(path)) => {
                return Ok(Some(self.lost(format!(
                    "its saved state {} is not there any more: it begins empty",
                    path.display()
                ))));
            }
        };
        let loaded = version.load(Some(&snapshot), self.within).await;
        loaded.map_err(|error| {
            format!(
                "it did not load the state that version {} left, format {:?}: {error}; drop a component that reads it, or remove {} to \
                 start empty, and then retry",
                snapshot.number,
                snapshot.format,
                path.display()
            )
        })?;
        if from != self.whose.number {
            self.snapshots
                .name_again(&self.states, self.whose.clone(), kept);
        }
        // A file of an earlier release is older than whatever is in the store.
        self.put_aside();
        let newest = self.states.newest();
        let on_trial = newest.filter(|(number, newest)| {
            *number != from && newest.is_of_a_stop() && newest.taken_at > kept.taken_at
        });
        Ok(on_trial.map(|(number, _)| {
            self.lost(format!(
                "the host stopped while version {number} was on trial: version {} goes on from what it had itself, and what was \
                 answered in between is not in it",
                self.whose.number
            ))
        }))
    }

    /// What an earlier release stored in a file of its own is loaded, and is in the store from then on.
    async fn take_over(&self, version: &Version) -> Result<(), String> {
        let old = self.snapshots.old(&self.whose.agent);
        let read = tokio::task::spawn_blocking(move || old.read()).await;
        let Some((snapshot, path)) = read.map_err(|error| error.to_string())?? else {
            return Ok(());
        };
        let loaded = version.load(Some(&snapshot), self.within).await;
        loaded.map_err(|error| {
            format!(
                "it did not load the state that version {} left, format {:?}: {error}; drop a component that reads it, or remove {} to \
                 start empty, and then retry",
                snapshot.number,
                snapshot.format,
                path.display()
            )
        })?;
        let why = (Cause::Stop, self.clock.now());
        let stored = self
            .snapshots
            .store(&self.states, self.whose.clone(), why, &snapshot);
        let agent = &self.whose.agent;
        match stored.await {
            Ok(()) if self.snapshots.flush().await => self.put_aside(),
            Ok(()) => {
                tracing::warn!(%agent, "{} stays until the journal can be written", path.display());
            }
            Err(problem) => {
                tracing::warn!(%agent, "{} stays, because it cannot be taken over: {problem}", path.display());
            }
        }
        Ok(())
    }

    /// Renames what an earlier release left.
    fn put_aside(&self) {
        let agent = &self.whose.agent;
        if let Err(problem) = self.snapshots.old(agent).put_aside() {
            tracing::warn!(%agent, "the file that an earlier release left stays: {problem}");
        }
    }

    fn lost(&self, reason: String) -> StateNews {
        StateNews::Lost {
            agent: self.whose.agent.clone(),
            number: self.whose.number,
            reason,
        }
    }
}

impl Controller {
    /// Saves and stores what a version remembers that serves no more, beside everything else.
    pub(super) fn put_to_rest(
        &mut self,
        agent: &AgentName,
        version: Arc<Version>,
        within: Duration,
    ) {
        let Some(entry) = self.agents.get(agent) else {
            return;
        };
        let number = VersionNumber::new(version.number());
        let Some((number, live)) = number.and_then(|n| Some((n, entry.live.get(&n)?))) else {
            return;
        };
        let resting = Resting {
            whose: Whose {
                agent: agent.clone(),
                number,
                identity: live.identity,
            },
            version,
            states: Arc::clone(&entry.states),
            snapshots: self.snapshots.clone(),
            clock: self.clock,
            within,
        };
        // Taken here and not in the task, so that a start that comes next waits for it.
        let at_once = entry.states.turn_now();
        self.resting.spawn(async move {
            let _turn = match at_once {
                Some(turn) => turn,
                None => resting.states.turn().await,
            };
            resting.rest().await;
        });
    }

    /// Saves every agent with state that serves, and waits for those that are being saved.
    pub(super) async fn put_all_to_rest(&mut self) {
        let serving = self.agents.iter().filter_map(|(agent, entry)| {
            let live = entry.live.get(&entry.serving()?)?;
            let within = live.material.config.reload.gate_timeout;
            let stateful = live.version.is_stateful();
            let within = within.min(STOP_WAIT);
            stateful.then(|| (agent.clone(), Arc::clone(&live.version), within))
        });
        for (agent, version, within) in serving.collect::<Vec<_>>() {
            self.put_to_rest(&agent, version, within);
        }
        while let Some(rested) = self.resting.join_next().await {
            if let Err(error) = rested {
                tracing::error!("an agent's state was not saved: {error}");
            }
        }
    }
}
