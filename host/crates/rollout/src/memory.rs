//! What of an agent outlives the process: plain values, which the journal keeps and a start begins with.
//!
//! Everything else of an agent is found out anew: what the directory asks for, what is prepared, and what policies say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AgentName, Content, HotReloadId, HotReloadResult, HotReloadStatus, Identity, Moment, Outcome,
    Settings, Strategy, Version, VersionNumber,
};

/// What is remembered of one agent. Where everything but `removed_at` is as for a new one, the agent was forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    /// Whose it is.
    pub agent: AgentName,
    /// The number of the next version; none at the end of the range.
    pub next: Option<VersionNumber>,
    /// What the directory asks for; none where the agent's file is gone or says that it is not to run.
    pub wanted: Option<Identity>,
    /// Who gets new requests.
    pub serving: Option<VersionNumber>,
    /// What a start serves and a rollback returns to.
    pub permanent: Option<VersionNumber>,
    /// Versions that were permanent and can be gone back to, the last one first.
    pub kept: Vec<VersionNumber>,
    /// Every version that a pointer, `kept` or the reload names, by number.
    pub versions: Vec<VersionMemory>,
    /// The reload that goes on.
    pub reload: Option<ReloadMemory>,
    /// Contents that do not come in, or did not once.
    pub endings: Vec<EndingMemory>,
    /// Earlier reloads, newest first, at most 50.
    pub history: Vec<Arc<Past>>,
    /// When the file went, where it is gone.
    pub removed_at: Option<Moment>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When reloads were rolled back by policies, oldest first, as far back as the breaker looks.
    pub rollbacks: Vec<Moment>,
}

/// A version that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionMemory {
    /// Its number.
    pub number: VersionNumber,
    /// What it is made of.
    pub content: Content,
    /// The reload that brought it in.
    pub reload: HotReloadId,
    /// When that began.
    pub created_at: Moment,
    /// What it used while it was permanent; none until it is so no more.
    pub usage: Option<ResourceUsage>,
}

/// What a version used from its first request until it was permanent no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ResourceUsage {
    /// The most memory that one instance took, in bytes.
    pub memory_peak: u64,
    /// Fuel, where it is metered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, how many failed.
    pub failures: u64,
    /// Mean time to an answer in microseconds; none where nothing was answered.
    pub mean_response_us: Option<u64>,
}

/// A reload that goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReloadMemory {
    /// Which.
    pub id: HotReloadId,
    /// The candidate.
    pub number: VersionNumber,
    /// The permanent version when it began.
    pub stable: Option<VersionNumber>,
    /// Where it stands.
    pub status: HotReloadStatus,
    /// How the version comes in.
    pub strategy: Strategy,
    /// The present stage, from 0; none outside of stages.
    pub stage: Option<u32>,
    /// Per cent of new requests that are meant for the candidate.
    pub split: u8,
    /// When it began.
    pub started_at: Moment,
    /// Where it goes back to and what will be said of the candidate, once it does.
    pub returning: Option<ReturnMemory>,
}

/// A way back that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReturnMemory {
    /// To whom.
    pub target: VersionNumber,
    /// What becomes of the candidate's content; none where it may come in again at once.
    pub aside: Option<Aside>,
    /// Why.
    pub reason: String,
}

/// How a content was put out of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// Blamed: only an operator or other bytes help.
    Quarantined,
    /// Without blame: it comes back by itself a few times.
    Blameless,
    /// It failed before any traffic, or an operator ended it: only an operator or other bytes help.
    Ended,
    /// The host could not do its part: it comes back by itself.
    HostsFault,
}

/// One content that does not come in, or did not once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EndingMemory {
    /// What it is made of.
    pub identity: Identity,
    /// How it was put out of the way.
    pub aside: Aside,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Moment,
    /// When it is tried again by itself.
    pub again_at: Option<Moment>,
    /// False while it is being tried again: what remains is how often it was.
    pub blocks: bool,
    /// How often it ended so.
    pub tries: u32,
}

/// An earlier reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Past {
    /// What became of it.
    pub result: HotReloadResult,
    /// The candidate.
    pub version: Version,
    /// The same in the words that policies know.
    pub outcome: Outcome,
}

/// What a start begins with: what is remembered, and how the permanent version was configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// What is remembered.
    pub memory: Memory,
    /// Of the permanent version; none where there is none.
    pub settings: Option<Arc<Settings>>,
}
