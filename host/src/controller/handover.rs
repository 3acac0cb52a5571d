//! Moves state from one version of an agent to another, while those who call it wait at its gate.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Event, HandOverError, HandOverStep, HandedOver, StateFrom, StateSource, Ticket,
    VersionNumber,
};
use caxton_runtime::{Snapshot, StateError, Version};
use tokio::time::{Instant, timeout, timeout_at};

use super::agent::Saved;
use super::{Controller, Done};

/// How long calls that were cut may take to end. An instance that is cut ends at its next tick.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// What came of a hand-over, with what was saved on the way.
pub(super) struct Moved {
    pub agent: AgentName,
    pub ticket: Ticket,
    pub saved: Option<(VersionNumber, Snapshot)>,
    pub result: Result<HandedOver, HandOverError>,
}

impl Controller {
    pub(super) fn hand_over(
        &mut self,
        agent: AgentName,
        ticket: Ticket,
        to: VersionNumber,
        source: StateSource,
        within: Duration,
    ) {
        let deadline = Instant::now() + within;
        let Some(entry) = self.agents.get_mut(&agent) else {
            return;
        };
        let Some(target) = entry.version(to) else {
            return self.step(not_there(agent, ticket, to));
        };
        // It may have listened: copies that still wait in its line must not reach the state that it is about to get.
        target.close();
        target.cut();
        match source {
            StateSource::Live { from, wait, cut } => {
                let Some(old) = entry.version(from) else {
                    return self.step(not_there(agent, ticket, from));
                };
                // First the gate, so that who finds the version closed finds the gate closed, too.
                entry.gate.close();
                old.close();
                self.spawn(async move {
                    let mut live = Live {
                        old,
                        deadline,
                        cut: 0,
                    };
                    let saved = live.save(wait, cut).await;
                    let (saved, result) = match saved {
                        Ok((state_from, snapshot)) => {
                            let loaded = load(&target, snapshot.as_ref(), deadline).await;
                            (snapshot, loaded.map(|()| state_from))
                        }
                        Err(error) => (None, Err(error)),
                    };
                    let cut = live.cut;
                    Done::Moved(Moved {
                        agent,
                        ticket,
                        saved: saved.map(|snapshot| (from, snapshot)),
                        result: result
                            .map(|state_from| HandedOver { state_from, cut })
                            .map_err(|error| HandOverError { cut, ..error }),
                    })
                });
            }
            StateSource::Snapshot => {
                let saved = entry.saved(to);
                self.spawn(async move {
                    let result = open_as_saved(&target, saved, deadline).await;
                    Done::Moved(Moved::without_save(agent, ticket, result))
                });
            }
            StateSource::Fresh => {
                self.spawn(async move {
                    let result = load(&target, None, deadline).await;
                    let result = result.map(|()| StateFrom::None);
                    Done::Moved(Moved::without_save(agent, ticket, result))
                });
            }
        }
    }

    pub(super) fn on_moved(&mut self, moved: Moved) {
        let Moved {
            agent,
            ticket,
            saved,
            result,
        } = moved;
        if let Some((number, snapshot)) = saved
            && let Some(entry) = self.agents.get_mut(&agent)
            && let Some(live) = entry.live.get(&number)
        {
            let identity = live.identity;
            let saved = Saved { identity, snapshot };
            // One for each content: a build that comes back again and again has new numbers each time.
            entry
                .snapshots
                .retain(|_, before| before.identity != identity);
            entry.snapshots.insert(number, saved);
        }
        self.step(Event::HandedOver {
            agent,
            ticket,
            result,
        });
    }
}

impl Moved {
    fn without_save(
        agent: AgentName,
        ticket: Ticket,
        result: Result<StateFrom, HandOverError>,
    ) -> Self {
        Self {
            agent,
            ticket,
            saved: None,
            result: result.map(|state_from| HandedOver { state_from, cut: 0 }),
        }
    }
}

/// The version that serves until now, closed.
struct Live {
    old: Arc<Version>,
    deadline: Instant,
    /// Calls that were ended for the hand-over.
    cut: u64,
}

impl Live {
    /// What the version remembers once its calls have ended, and how complete that is.
    async fn save(
        &mut self,
        wait: Duration,
        cut: bool,
    ) -> Result<(StateFrom, Option<Snapshot>), HandOverError> {
        let now = Instant::now();
        // What is left of the time is for `save` and `load`.
        let reserve = self.deadline.saturating_duration_since(now) / 4;
        let until = (now + wait).min(self.deadline - reserve);
        if timeout_at(until, self.old.drained()).await.is_ok() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match save_within(&self.old, left).await {
                Ok(snapshot) => return Ok((StateFrom::Live, Some(snapshot))),
                // A call that no caller waits for may run on; it is cut as the others are.
                Err(StateError::Deadline { .. }) if cut => {}
                Err(error) => {
                    let number = self.old.number();
                    let message = format!("version {number} did not save its state: {error}");
                    return Err(failed(HandOverStep::Save, message));
                }
            }
        }
        if !cut {
            let (calls, number) = (self.old.in_flight(), self.old.number());
            let message = format!(
                "{calls} calls of version {number} did not end within {} ms, and a call that is cut cannot be saved: let it end \
                 sooner, or raise [reload] drain_timeout and gate_timeout",
                until.saturating_duration_since(now).as_millis()
            );
            return Err(failed(HandOverStep::Drain, message));
        }
        let before = self.old.calls_cut();
        self.old.cut();
        let _ = timeout(CUT_PATIENCE, self.old.drained()).await;
        self.cut = self.old.calls_cut().saturating_sub(before);
        Ok(match self.old.checkpoint() {
            Some(checkpoint) => (StateFrom::Checkpoint, Some(checkpoint)),
            None => (StateFrom::None, None),
        })
    }
}

/// Saves within the time, whatever else the instance is busy with.
pub(super) async fn save_within(
    version: &Version,
    within: Duration,
) -> Result<Snapshot, StateError> {
    let saved = timeout(within, version.save(within)).await;
    saved.unwrap_or(Err(StateError::Deadline { limit: within }))
}

fn not_there(agent: AgentName, ticket: Ticket, number: VersionNumber) -> Event {
    let message = format!("version {number} is not there any more");
    Event::HandedOver {
        agent,
        ticket,
        result: Err(failed(HandOverStep::Load, message)),
    }
}

async fn load(
    target: &Version,
    snapshot: Option<&Snapshot>,
    deadline: Instant,
) -> Result<(), HandOverError> {
    // Copies that were cut as the hand-over began.
    let _ = timeout(CUT_PATIENCE, target.drained()).await;
    let left = deadline.saturating_duration_since(Instant::now());
    let loaded = timeout(left, target.load(snapshot, left)).await;
    let loaded = loaded.unwrap_or(Err(StateError::Deadline { limit: left }));
    loaded.map_err(|error| {
        let number = target.number();
        let message = match snapshot {
            Some(snapshot) => format!(
                "version {number} did not load the state of version {}, format {:?}: {error}",
                snapshot.number, snapshot.format
            ),
            None => format!("version {number} did not begin empty: {error}"),
        };
        failed(HandOverStep::Load, message)
    })
}

/// The version as it was at its last save: its instance, if that was not touched since, or a new one that loads what was saved.
async fn open_as_saved(
    target: &Version,
    saved: Option<Snapshot>,
    deadline: Instant,
) -> Result<StateFrom, HandOverError> {
    if target.is_as_saved() {
        return Ok(StateFrom::Snapshot);
    }
    let Some(saved) = saved.or_else(|| target.saved()) else {
        let number = target.number();
        let message = format!(
            "version {number} never saved its state: take --state fresh to let it begin empty, or leave --state out to carry \
             the present state over"
        );
        return Err(failed(HandOverStep::Load, message));
    };
    load(target, Some(&saved), deadline).await?;
    Ok(StateFrom::Snapshot)
}

fn failed(step: HandOverStep, message: String) -> HandOverError {
    HandOverError {
        step,
        message,
        cut: 0,
    }
}
