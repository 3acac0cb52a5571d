//! What versions with state keep between calls is stored, so that a host that is killed goes on from there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use caxton_rollout::{AgentName, Attention, Moment, VersionNumber};
use caxton_runtime::{Snapshot, Version};
use serde_json::{Value, json};

use super::{Controller, Done};
use crate::snapshots::{Cause, States, Turn, Whose};

/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Which checkpoints of a version are on disk.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// What came with the newest that is.
    known: u64,
    /// Not before this moment.
    again_at: Moment,
    /// Why one could not be stored, and since when; told when it began.
    trouble: Option<(String, Moment)>,
}

impl Checkpoints {
    /// All that there were until now.
    pub fn known(version: &Version) -> Self {
        Self {
            known: version.checkpoints_until_now(),
            ..Self::default()
        }
    }
}

impl Checkpoints {
    /// What an operator must know while what the version remembers is on no disk.
    pub fn attention(&self, number: VersionNumber, data: &Path) -> Option<Attention> {
        let (problem, since) = self.trouble.as_ref()?;
        Some(Attention {
            kind: "state-not-stored",
            since: *since,
            text: format!(
                "the state of version {number} cannot be stored, and a host that ended now would go on from an older one: {problem}"
            ),
            command: format!("look at the disk under {}", data.display()),
        })
    }
}

/// What became of a state.
pub(super) enum StateNews {
    /// A checkpoint is on disk, or is not.
    Stored {
        agent: AgentName,
        number: VersionNumber,
        known: u64,
        result: Result<(), String>,
    },
    /// A version began without what it should have remembered.
    Lost {
        agent: AgentName,
        number: VersionNumber,
        reason: String,
    },
}

/// A checkpoint that is to be stored.
struct Due {
    whose: Whose,
    known: u64,
    snapshot: Snapshot,
    states: Arc<States>,
    turn: Turn,
}

impl Controller {
    /// Stores, beside everything else, the newest checkpoint of each version that serves, once.
    pub(super) fn store_checkpoints(&mut self) {
        let now = self.clock.now();
        let due = self.agents.iter().filter_map(|(agent, entry)| {
            let number = entry.serving()?;
            let live = entry.live.get(&number)?;
            if now < live.checkpoints.again_at {
                return None;
            }
            let (known, snapshot) = live.version.checkpoint_after(live.checkpoints.known)?;
            Some(Due {
                whose: Whose {
                    agent: agent.clone(),
                    number,
                    identity: live.identity,
                },
                known,
                snapshot,
                // Whoever stores now stores something as new, or an older checkpoint: then it is this one's turn at the next tick.
                turn: entry.states.turn_now()?,
                states: Arc::clone(&entry.states),
            })
        });
        for due in due.collect::<Vec<_>>() {
            let snapshots = self.snapshots.clone();
            self.spawn(async move {
                let Due {
                    whose,
                    known,
                    snapshot,
                    states,
                    turn,
                } = due;
                let (agent, number) = (whose.agent.clone(), whose.number);
                let why = (Cause::Checkpoint, now);
                let result = snapshots.store(&states, whose, why, &snapshot).await;
                drop(turn);
                Done::State(StateNews::Stored {
                    agent,
                    number,
                    known,
                    result,
                })
            });
        }
    }

    pub(super) fn on_state_news(&mut self, news: StateNews) {
        match news {
            StateNews::Stored {
                agent,
                number,
                known,
                result: Ok(()),
            } => {
                if let Some(live) = self.live(&agent, number) {
                    live.checkpoints = Checkpoints {
                        known,
                        ..Checkpoints::default()
                    };
                    self.changed.insert(agent);
                }
            }
            StateNews::Stored {
                agent,
                number,
                result: Err(problem),
                ..
            } => self.not_stored(agent, number, problem),
            StateNews::Lost {
                agent,
                number,
                reason,
            } => {
                tracing::warn!(%agent, "version {number}: {reason}");
                // How many calls that were, nobody knows.
                let fields = json!({ "number": number, "calls": Value::Null, "reason": reason });
                self.tell("state-lost", Some(agent), fields);
            }
        }
    }

    /// The state of a version is not on disk: it is told once until it is.
    pub(super) fn not_stored(&mut self, agent: AgentName, number: VersionNumber, problem: String) {
        let now = self.clock.now();
        let told = self.live(&agent, number).is_some_and(|live| {
            live.checkpoints.again_at = now.after(AGAIN);
            let before = live.checkpoints.trouble.take();
            let since = before.as_ref().map_or(now, |(_, since)| *since);
            live.checkpoints.trouble = Some((problem.clone(), since));
            before.is_some()
        });
        self.changed.insert(agent.clone());
        if told {
            return;
        }
        tracing::error!(%agent, "the state of version {number} cannot be stored, and what was stored before stands: {problem}");
        let fields = json!({ "number": number, "reason": problem });
        self.tell("state-not-stored", Some(agent), fields);
    }

    /// What the version has now is on disk.
    pub(super) fn is_stored(&mut self, agent: &AgentName, number: VersionNumber) {
        if let Some(live) = self.live(agent, number) {
            live.checkpoints = Checkpoints::known(&live.version);
            self.changed.insert(agent.clone());
        }
    }
}
