//! What the controller shows: a copy that anyone may read without asking, replaced after each step.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use caxton_rollout::{
    AgentName, AgentState, AgentView, Attention, Digest, HotReloadResult, Moment, VersionNumber,
};
use caxton_runtime::Version;
use serde::Serialize;
use serde::ser::SerializeMap;

use crate::gate::Gate;

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
    /// False where its configuration says so: it does not run for as long as it does.
    pub enabled: bool,
    /// Its versions as they run, and its gate.
    #[serde(flatten)]
    pub live: Live,
    /// Its files that were refused.
    pub refused: Vec<RefusedFile>,
    /// How reloads ended, newest first.
    #[serde(skip)]
    pub history: Arc<[HotReloadResult]>,
}

/// A file that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedFile {
    /// Its name.
    pub file: String,
    /// Of the component that it is, or goes with; none where the file could not be read at all.
    pub digest: Option<Digest>,
    /// How many bytes it has, where it was not read because of that: it is too large, or ends early.
    pub size: Option<u64>,
    /// What is wrong with it.
    pub error: String,
    /// Since when.
    pub since: Moment,
}

/// What runs of an agent; what changes by the moment is read when it is shown.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// Versions that are up.
    pub versions: Vec<LiveVersion>,
    /// Of agents that keep state.
    pub gate: Option<Arc<Gate>>,
    /// The longest that a request waited there, in the last interval in which any did.
    pub longest_wait: Duration,
}

/// A version that is up, for as long as it lives.
#[derive(Debug, Clone)]
pub struct LiveVersion {
    pub(crate) number: VersionNumber,
    pub(crate) version: Weak<Version>,
    pub(crate) listening: bool,
    /// Whether two versions of its agent may run side by side.
    pub(crate) isolated: bool,
    pub(crate) copies: Option<Copies>,
    pub(crate) rates: Rates,
}

/// What a listener has heard since it listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// Copies that it answered.
    pub copies: u64,
    /// Of those, answers that differed from the one that the caller got.
    pub mismatches: u64,
    /// Requests of which it got no copy: it was full, or the body was too large.
    pub skipped: u64,
}

/// What a version did in the last full interval; a listener: with copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Finished calls that it answers for.
    pub requests_per_second: f64,
    /// Of those, its own fault.
    pub failures_per_second: f64,
    /// Half of them took at most so long; none where there were none.
    pub p50_ms: Option<f64>,
    /// All but one in a hundred took at most so long.
    pub p99_ms: Option<f64>,
}

/// A live version at one moment.
#[derive(Serialize)]
struct LiveView {
    number: VersionNumber,
    in_flight: u32,
    /// What it is called through.
    contract: &'static str,
    /// Older contracts that its component exports too, and that nobody calls it through.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<&'static str>,
    stateful: bool,
    listening: bool,
    #[serde(flatten)]
    copies: Option<Copies>,
    #[serde(flatten)]
    rates: Rates,
}

#[derive(Serialize)]
struct GateView {
    closed: bool,
    waiting: usize,
    longest_wait_ms: u64,
}

impl Live {
    fn in_flight(&self) -> u64 {
        let living = self
            .versions
            .iter()
            .filter_map(|live| live.version.upgrade());
        living.map(|version| u64::from(version.in_flight())).sum()
    }
}

impl Live {
    /// Calls that run now, of each version that is up.
    pub(crate) fn in_flight_of_each(&self) -> impl Iterator<Item = (VersionNumber, u32)> {
        let of = |live: &LiveVersion| Some((live.number, live.version.upgrade()?.in_flight()));
        self.versions.iter().filter_map(of)
    }
}

impl Serialize for Live {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let view = |live: &LiveVersion| {
            let version = live.version.upgrade()?;
            let inspection = version.inspection();
            let passed_over = inspection.passed_over.iter().map(|other| other.as_str());
            Some(LiveView {
                number: live.number,
                in_flight: version.in_flight(),
                contract: inspection.contract.as_str(),
                passed_over: passed_over.collect(),
                stateful: version.is_stateful(),
                listening: live.listening,
                copies: live.copies,
                rates: live.rates,
            })
        };
        let versions: Vec<LiveView> = self.versions.iter().filter_map(view).collect();
        let gate = self.gate.as_ref().map(|gate| GateView {
            closed: gate.is_closed(),
            waiting: gate.waiting(),
            longest_wait_ms: u64::try_from(self.longest_wait.as_millis()).unwrap_or(u64::MAX),
        });
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("in_flight", &self.in_flight())?;
        map.serialize_entry("live", &versions)?;
        map.serialize_entry("gate", &gate)?;
        map.end()
    }
}

impl AgentStatus {
    /// Calls that are running now, on all versions of the agent.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.live.in_flight()
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
            enabled: true,
            live: Live::default(),
            refused: Vec::new(),
            history: Arc::new([]),
        }
    }
}
