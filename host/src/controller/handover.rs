//! Moves state from one version of an agent to another, while those who call it wait at its gate.

use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{
    AgentName, Event, HandOverError, HandOverStep, HandedOver, StateFrom, StateSource, Ticket,
    VersionNumber,
};
use caxton_runtime::{Snapshot, StateError, Version};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Controller, Done};
use crate::clock::Clock;
use crate::snapshots::{Cause, Snapshots, States, Unreadable, Whose};

/// How long calls that were cut may take to end. An instance that is cut ends at its next tick.
const CUT_PATIENCE: Duration = Duration::from_secs(2);

/// What came of a hand-over.
pub(super) struct Moved {
    pub agent: AgentName,
    pub ticket: Ticket,
    /// Versions whose state is on disk as it is now.
    pub stored: Vec<VersionNumber>,
    /// A version whose state is not, and why.
    pub unstored: Option<(VersionNumber, String)>,
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
            return self.tell_core_later(not_there(agent, ticket, to));
        };
        // It may have listened: copies that still wait in its line must not reach the state that it is about to get.
        target.close();
        target.cut();
        let whose = |number| {
            let identity = entry.live.get(&number)?.identity;
            let agent = agent.clone();
            Some(Whose {
                agent,
                number,
                identity,
            })
        };
        let Some(heir) = whose(to) else {
            return self.tell_core_later(not_there(agent, ticket, to));
        };
        let taking = Taking {
            target,
            deadline,
            heir,
            states: Arc::clone(&entry.states),
            snapshots: self.snapshots.clone(),
            clock: self.clock,
            stored: Vec::new(),
            unstored: None,
        };
        match source {
            StateSource::Live { from, wait, cut } => {
                let (Some(old), Some(giver)) = (entry.version(from), whose(from)) else {
                    return self.tell_core_later(not_there(agent, ticket, from));
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
                    let mut taking = taking;
                    let result = match live.save(wait, cut).await {
                        Ok((state_from, Some(snapshot))) => {
                            let taken = taking.take(giver, &snapshot).await;
                            taken.map(|()| state_from)
                        }
                        Ok((state_from, None)) => taking.begin_empty().await.map(|()| state_from),
                        Err(error) => Err(error),
                    };
                    taking.moved(agent, ticket, result, live.cut)
                });
            }
            StateSource::Snapshot => {
                self.spawn(async move {
                    let mut taking = taking;
                    let result = taking.open_as_saved().await;
                    taking.moved(agent, ticket, result, 0)
                });
            }
            StateSource::Fresh => {
                self.spawn(async move {
                    let mut taking = taking;
                    let result = taking.begin_empty().await;
                    taking.moved(agent, ticket, result.map(|()| StateFrom::None), 0)
                });
            }
        }
    }

    pub(super) fn on_moved(&mut self, moved: Moved) {
        let Moved {
            agent,
            ticket,
            stored,
            unstored,
            result,
        } = moved;
        for number in stored {
            self.is_stored(&agent, number);
        }
        if let Some((number, problem)) = unstored {
            self.not_stored(agent.clone(), number, problem);
        }
        self.step(Event::HandedOver {
            agent,
            ticket,
            result,
        });
    }
}

/// The version that gets a state, and where the state is kept for a start after this process.
///
/// What is stored here is handed to the journal before the core hears of the hand-over: a version that becomes permanent has its
/// state there before that.
struct Taking {
    target: Arc<Version>,
    deadline: Instant,
    heir: Whose,
    states: Arc<States>,
    snapshots: Snapshots,
    clock: Clock,
    stored: Vec<VersionNumber>,
    unstored: Option<(VersionNumber, String)>,
}

impl Taking {
    fn moved(
        self,
        agent: AgentName,
        ticket: Ticket,
        result: Result<StateFrom, HandOverError>,
        cut: u64,
    ) -> Done {
        Done::Moved(Moved {
            agent,
            ticket,
            stored: self.stored,
            unstored: self.unstored,
            result: result
                .map(|state_from| HandedOver { state_from, cut })
                .map_err(|error| HandOverError { cut, ..error }),
        })
    }

    /// Loads what `giver` saved, and keeps it for both: the one can be gone back to, and the other may become permanent.
    async fn take(&mut self, giver: Whose, snapshot: &Snapshot) -> Result<(), HandOverError> {
        let why = (Cause::HandOver, self.clock.now());
        let before = self.states.of_version(giver.number);
        self.states.keep_in_memory(&giver, why.1, snapshot.clone());
        let put = async {
            let turn = self.states.turn().await;
            (turn, self.snapshots.put(snapshot).await)
        };
        // The disk and the guest work at the same time: callers wait at the gate for the slower of the two.
        let (loaded, put) = tokio::join!(
            load(&self.target, Some(snapshot), self.deadline),
            timeout_at(self.deadline, put)
        );
        let put = put.map_err(|_| "the disk took too long".to_owned());
        match put.and_then(|(turn, blob)| Ok((turn, blob?))) {
            Ok((_turn, blob)) => {
                let heir = loaded.is_ok().then(|| self.heir.clone());
                for whose in [Some(giver), heir].into_iter().flatten() {
                    self.stored.push(whose.number);
                    self.snapshots
                        .name(&self.states, whose, why, snapshot, blob);
                }
            }
            Err(problem) => {
                // Whoever begins with it after a kill finds at least what was stored before.
                if let Some(before) = before.filter(|_| loaded.is_ok()) {
                    self.snapshots
                        .name_again(&self.states, self.heir.clone(), &before);
                }
                self.unstored = Some((self.heir.number, problem));
            }
        }
        loaded
    }

    /// The version as it was at its last save: its instance, if that was not touched since, or a new one that loads what was saved.
    async fn open_as_saved(&mut self) -> Result<StateFrom, HandOverError> {
        if self.target.is_as_saved() {
            return Ok(StateFrom::Snapshot);
        }
        let number = self.heir.number;
        let stored = match self.states.of_version(number) {
            Some(kept) => Some(self.snapshots.read(&kept).await),
            None => None,
        };
        let saved = match (stored, self.target.saved()) {
            (Some(Ok((snapshot, _))), _) | (None | Some(Err(_)), Some(snapshot)) => snapshot,
            (Some(Err(unreadable)), None) => {
                let why = match unreadable {
                    Unreadable::Damaged(why) => why,
                    Unreadable::Removed(path) => {
                        format!("its saved state {} is not there any more", path.display())
                    }
                };
                let message = format!("version {number}: {why}; or take --state fresh");
                return Err(failed(HandOverStep::Load, message));
            }
            (None, None) => {
                let message = format!(
                    "version {number} never saved its state: take --state fresh to let it begin empty, or leave --state out to \
                     carry the present state over"
                );
                return Err(failed(HandOverStep::Load, message));
            }
        };
        load(&self.target, Some(&saved), self.deadline).await?;
        self.stored.push(number);
        Ok(StateFrom::Snapshot)
    }

    /// Begins empty. Where something older is kept of the version, that it is empty now is kept in its place: a start must not
    /// bring back what an operator did away with.
    async fn begin_empty(&mut self) -> Result<(), HandOverError> {
        load(&self.target, None, self.deadline).await?;
        let number = self.heir.number;
        if self.states.of_version(number).is_none() {
            return Ok(());
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let why = (Cause::HandOver, self.clock.now());
        let stored = match save_within(&self.target, left).await {
            Ok(snapshot) => {
                let _turn = self.states.turn().await;
                let heir = self.heir.clone();
                self.snapshots
                    .store(&self.states, heir, why, &snapshot)
                    .await
            }
            Err(error) => Err(error.to_string()),
        };
        match stored {
            Ok(()) => self.stored.push(number),
            Err(problem) => self.unstored = Some((number, problem)),
        }
        Ok(())
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

fn failed(step: HandOverStep, message: String) -> HandOverError {
    HandOverError {
        step,
        message,
        cut: 0,
    }
}
