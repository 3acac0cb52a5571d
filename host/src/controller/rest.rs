//! What agents with state leave behind when they stop, and begin with when they start.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::AgentName;
use caxton_runtime::{Snapshot, Version};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Controller;
use super::handover::save_within;
use crate::snapshots::{Snapshots, Stored};

/// Puts a version to rest: it takes no further call, ends those it has, and what it remembers is stored.
///
/// What could not be saved as it is falls back to the last checkpoint; what could not be stored leaves the file as it was.
async fn put_to_rest(
    agent: AgentName,
    version: Arc<Version>,
    snapshots: Snapshots,
    within: Duration,
) {
    let deadline = Instant::now() + within;
    version.close();
    if timeout_at(deadline, version.drained()).await.is_err() {
        tracing::warn!(%agent, calls = version.in_flight(), "stopped with calls that did not end: they are not in its saved state");
        version.cut();
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let snapshot = match save_within(&version, left.max(LAST_SAVE)).await {
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
        store(agent, snapshot, snapshots).await;
    }
}

/// A save gets at least this long, however long the calls before it took.
const LAST_SAVE: Duration = Duration::from_secs(1);

/// Calls that still run when the host ends have had the gateway's time to end already.
const STOP_WAIT: Duration = Duration::from_secs(10);

async fn store(agent: AgentName, snapshot: Snapshot, snapshots: Snapshots) {
    let name = agent.clone();
    let stored = tokio::task::spawn_blocking(move || snapshots.store(&agent, &snapshot)).await;
    if let Ok(Err(problem)) = stored {
        tracing::error!(agent = %name, "its state could not be stored, and the file from before stands: {problem}");
    }
}

/// Gives a version that is its agent's first in this process what the last one left.
pub(super) async fn wake(
    agent: AgentName,
    version: &Version,
    snapshots: Snapshots,
    rests: Arc<Mutex<()>>,
    within: Duration,
) -> Result<(), String> {
    let _stored = rests.lock().await;
    let (name, folder) = (agent.clone(), snapshots.clone());
    let stored = tokio::task::spawn_blocking(move || folder.load(&name)).await;
    let stored = stored.map_err(|error| error.to_string())?;
    let Some(Stored {
        snapshot,
        path,
        taken,
    }) = stored.map_err(|error| error.to_string())?
    else {
        return Ok(());
    };
    let loaded = version.load(Some(&snapshot), within).await;
    loaded.map_err(|error| {
        format!(
            "it did not load the state that version {} left, format {:?}: {error}; drop a component that reads it, or remove {} to \
             start empty",
            snapshot.number,
            snapshot.format,
            path.display()
        )
    })?;
    if taken {
        tracing::warn!(%agent, "its state is the one that the start before this one began with: the host was not stopped in order, and what was answered since is not in it");
        return Ok(());
    }
    let name = agent.clone();
    let noted = tokio::task::spawn_blocking(move || snapshots.take(&name)).await;
    if let Ok(Err(problem)) = noted {
        tracing::warn!(%agent, "{} could not be noted as taken: {problem}", path.display());
    }
    Ok(())
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
        let rests = Arc::clone(&entry.rests);
        // Taken here and not in the task, so that a start that comes next waits for it.
        let at_once = Arc::clone(&rests).try_lock_owned();
        let rest = put_to_rest(agent.clone(), version, self.snapshots.clone(), within);
        self.resting.spawn(async move {
            let _storing = match at_once {
                Ok(guard) => guard,
                Err(_) => rests.lock_owned().await,
            };
            rest.await;
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
