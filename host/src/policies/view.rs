//! Policies as they are shown.

use caxton_rollout::{AgentName, Digest, Moment};
use caxton_runtime::policy::{PolicyKind, Stage};
use serde::Serialize;

/// One policy, as `caxton policy ls` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// As configurations write it.
    pub name: String,
    /// What it decides; none where that is not known.
    pub kind: Option<PolicyKind>,
    /// Where it comes from.
    pub origin: Origin,
    /// Of the component that the next reload would get.
    pub digest: Option<Digest>,
    /// Bytes of that component.
    pub size: Option<u64>,
    /// What it says of itself.
    pub version: Option<String>,
    /// What it says that it does.
    pub about: Option<String>,
    /// Whether reloads can have it.
    pub state: PolicyState,
    /// What is wrong with its newest file. One that is `ready` all the same is the file before that.
    pub error: Option<String>,
    /// At which stage that was found.
    pub stage: Option<Stage>,
    /// Since when it is as it is; of those in the binary, none.
    pub since: Option<Moment>,
    /// Agents whose configuration names it, and those with a reload that holds it.
    pub used_by: Vec<AgentName>,
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The binary.
    Embedded,
    /// The policies directory.
    File,
}

/// Whether reloads can have a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyState {
    /// They can.
    Ready,
    /// Its first file is being looked into.
    Compiling,
    /// Its file was refused, and there is none before it.
    Refused,
}
