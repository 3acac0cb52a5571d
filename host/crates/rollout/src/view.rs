//! An agent as `status` and `ls` show it: a copy, nothing to hold on to.

use serde::Serialize;

use crate::{
    AgentName, Digest, Explanation, HotReloadId, HotReloadStatus, Moment, ResourceUsage, Strategy,
    Verdict, VersionNumber,
};

/// What an agent is doing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// A version answers requests.
    Serving,
    /// No version answers yet; one is on its way.
    Starting,
    /// No version answers, and none will without a change.
    Failed,
    /// Its file is gone, or says that it is not to run.
    Stopped,
}

/// One agent at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentView {
    /// Its name.
    pub agent: AgentName,
    /// What it is doing.
    pub state: AgentState,
    /// The permanent version; none during a first deployment.
    pub stable: Option<VersionView>,
    /// The version that is coming in.
    pub candidate: Option<VersionView>,
    /// Per cent of traffic meant for the candidate.
    pub split: u8,
    /// Per cent of the requests that it answered since it has its present share; none without any.
    pub split_actual: Option<f32>,
    /// The reload that is going on.
    pub reload: Option<ReloadView>,
    /// Identities that do not come in by themselves.
    pub quarantined: Vec<QuarantineView>,
    /// What waits for a person.
    pub attention: Vec<Attention>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// What the directory asks for.
    pub wanted: Option<WantedView>,
    /// Why what is wanted does not serve; none where it does or is on its way.
    pub diverged: Option<String>,
    /// Who gets new requests.
    pub serving: Option<VersionNumber>,
    /// What a rollback returns to.
    pub permanent: Option<VersionNumber>,
    /// Versions that can be gone back to, newest first.
    pub kept: Vec<VersionView>,
    /// What each policy of the present reload said last.
    pub verdicts: Vec<VerdictView>,
}

/// A version in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VersionView {
    /// Its number.
    pub number: VersionNumber,
    /// Of its component.
    pub digest: Digest,
    /// Of its configuration.
    pub config_digest: Digest,
    /// What it used while it was permanent; left out until it is so no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ResourceUsage>,
}

/// What the directory asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WantedView {
    /// Of the component.
    pub digest: Digest,
    /// Of the configuration.
    pub config_digest: Digest,
}

/// A reload in a view.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReloadView {
    /// Which.
    pub id: HotReloadId,
    /// Where it stands.
    pub status: HotReloadStatus,
    /// How the version comes in.
    pub strategy: Strategy,
    /// The present stage, from 0.
    pub stage: u32,
    /// How many there are.
    pub stages: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at: Moment,
    /// Stopped by an operator.
    pub paused: bool,
    /// What it waits for that is not its own doing, or why it goes back.
    pub reason: Option<String>,
    /// When its present stage or status began, in milliseconds since the Unix epoch.
    pub since: Moment,
    /// How many milliseconds the stage, or listening, lasts at least; none elsewhere.
    pub at_least_ms: Option<u64>,
    /// How many requests, or copies, the candidate has to answer in it.
    pub at_least_requests: Option<u64>,
    /// How many it has answered.
    pub requests: Option<u64>,
    /// What it waits for now, as a sentence.
    pub waits_for: Option<String>,
}

/// An identity that does not come in by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuarantineView {
    /// Of its component.
    pub digest: Digest,
    /// Of its configuration.
    pub config_digest: Digest,
    /// Why.
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub since: Moment,
    /// Blamed; otherwise only set aside.
    pub blamed: bool,
    /// When it is tried again by itself.
    pub again_at: Option<Moment>,
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attention {
    /// A word for machines, for example `quarantined`.
    pub kind: &'static str,
    /// Milliseconds since the Unix epoch.
    pub since: Moment,
    /// A sentence for people.
    pub text: String,
    /// What helps.
    pub command: String,
}

/// What a policy said last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictView {
    /// The policy.
    pub policy: String,
    /// Whether it decides.
    pub enforcing: bool,
    /// What it said; none if it was at fault or was not asked yet.
    pub verdict: Option<Verdict>,
    /// Why, or what was wrong.
    pub why: Explanation,
    /// Faults in a row.
    pub faults: u32,
    /// When it said so.
    pub at: Moment,
}
