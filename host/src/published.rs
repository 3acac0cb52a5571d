//! What the controller shows: a copy that anyone may read without asking, replaced after each step.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use caxton_rollout::{AgentName, AgentState, AgentView, Attention, HotReloadResult};
use caxton_runtime::Version;
use serde::Serialize;

/// Everything that can be asked about the agents and the directory.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// Each agent that has a file, had one lately, or has one that is refused.
    pub agents: BTreeMap<AgentName, Arc<AgentStatus>>,
    /// What waits for a person and belongs to no agent: files whose names cannot be agents, a lost directory.
    pub attention: Vec<Attention>,
}

/// One agent as `ls` and `status` show it.
#[derive(Debug, Clone, Serialize)]
pub struct AgentStatus {
    /// What the core knows.
    #[serde(flatten)]
    pub view: AgentView,
    /// Calls that are running now, on all versions.
    #[serde(rename = "in_flight", serialize_with = "in_flight")]
    pub live: Vec<LiveVersion>,
    /// How reloads ended, newest first.
    #[serde(skip)]
    pub history: Arc<[HotReloadResult]>,
}

/// A version whose running calls can be counted as long as it lives.
#[derive(Clone)]
pub struct LiveVersion(Weak<Version>);

impl LiveVersion {
    pub(crate) fn new(version: &Arc<Version>) -> Self {
        Self(Arc::downgrade(version))
    }
}

impl std::fmt::Debug for LiveVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LiveVersion")
    }
}

impl AgentStatus {
    /// Calls that are running now, on all versions of the agent.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        count(&self.live)
    }

    /// An agent that the core never heard of, because no file of its name was ever accepted.
    pub(crate) fn refused(agent: AgentName, error: String, attention: Vec<Attention>) -> Self {
        Self {
            view: AgentView {
                agent,
                state: AgentState::Failed,
                stable: None,
                candidate: None,
                split: 0,
                split_actual: None,
                reload: None,
                quarantined: Vec::new(),
                attention,
                last_error: Some(error),
                wanted: None,
                diverged: None,
                serving: None,
                permanent: None,
                kept: Vec::new(),
                verdicts: Vec::new(),
            },
            live: Vec::new(),
            history: Arc::new([]),
        }
    }
}

fn count(live: &[LiveVersion]) -> u64 {
    live.iter()
        .filter_map(|version| version.0.upgrade())
        .map(|version| u64::from(version.in_flight()))
        .sum()
}

#[expect(clippy::ptr_arg, reason = "serde hands over the field by reference")]
fn in_flight<S: serde::Serializer>(live: &Vec<LiveVersion>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(count(live))
}
