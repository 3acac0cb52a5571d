//! What was configured for judging versions. A change of it is no new version and applies from the next reload.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Stage;

/// How a new version comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// New requests go to the new version, the old one finishes what it has.
    #[default]
    Graceful,
    /// The pointer is swapped; calls in flight on the old version are cancelled and counted.
    Immediate,
    /// The new version hears copies first; then as graceful.
    Parallel,
    /// The new version gets a growing share.
    TrafficSplitting,
}

/// What happens when there is not enough evidence before full traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// Stop the reload without blame.
    #[default]
    Abort,
    /// Wait for an operator.
    Hold,
    /// Go on.
    Promote,
}

/// What happens when there is not enough evidence at the end of the bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnproven {
    /// Complete with insufficient evidence, and go on judging for a while.
    #[default]
    Keep,
    /// Wait for an operator.
    Hold,
    /// Go back without blame.
    Abort,
}

/// The `[reload]` table as it is meant: every key has its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReloadSettings {
    /// How a new version comes in.
    pub strategy: Strategy,
    /// The strategy policy by name.
    pub policy: String,
    /// Its settings, a JSON object.
    pub policy_settings: String,
    /// Per cent for the candidate where traffic-splitting is not progressive, 1 to 99.
    pub split: u8,
    /// Whether traffic-splitting goes in stages, or stays at `split` until an operator acts.
    pub progressive: bool,
    /// The stages of progressive traffic-splitting, rising; never empty.
    pub stages: Vec<Stage>,
    /// What `parallel` copies, and for how long.
    pub mirror: MirrorSettings,
    /// Whether state moves from version to version, where there is any.
    pub preserve_state: bool,
    /// How long a stateful agent's requests may wait at the gate: draining, `save` and `load` have to fit into it.
    pub gate_timeout: Duration,
    /// With `immediate`, how long the running call of a stateful agent may take to end before it is cut.
    pub immediate_grace: Duration,
    /// How long the old version may finish what it has after a swap.
    pub drain_timeout: Duration,
    /// How long health checks must pass before any traffic.
    ///
    /// `None` is "not written": ten seconds for an agent with a health check, none for one without.
    pub warm_up: Option<Duration>,
    /// How long a version with all traffic is judged before it is permanent.
    pub bake: Duration,
    /// How long the old version stays compiled after that.
    pub keep_previous: Duration,
    /// Without progress, before `on_inconclusive` decides.
    pub deadline: Duration,
    /// Before full traffic.
    pub on_inconclusive: OnInconclusive,
    /// After it.
    pub on_unproven: OnUnproven,
}

impl Default for ReloadSettings {
    fn default() -> Self {
        Self {
            strategy: Strategy::Graceful,
            policy: "standard".to_owned(),
            policy_settings: "{}".to_owned(),
            split: 10,
            progressive: true,
            stages: DEFAULT_SHARES.map(Stage::of).to_vec(),
            mirror: MirrorSettings::default(),
            preserve_state: true,
            gate_timeout: Duration::from_secs(30),
            immediate_grace: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(60),
            warm_up: None,
            bake: Duration::from_secs(5 * 60),
            keep_previous: Duration::from_secs(15 * 60),
            deadline: Duration::from_secs(60 * 60),
            on_inconclusive: OnInconclusive::default(),
            on_unproven: OnUnproven::default(),
        }
    }
}

/// Shares of progressive traffic-splitting where none are written; after the last comes all traffic.
const DEFAULT_SHARES: [u8; 5] = [5, 10, 25, 50, 75];

/// How long a stage lasts at least where nothing is written.
const STAGE_LASTS: Duration = Duration::from_secs(30);

impl Stage {
    /// A stage with this share, as long as stages are unless something else is written.
    #[must_use]
    pub fn of(split: u8) -> Self {
        Self {
            split,
            at_least: STAGE_LASTS,
            at_least_requests: 0,
            needs_operator: false,
        }
    }
}

/// `mirror` in the `[reload]` table as it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MirrorSettings {
    /// Which requests are copied.
    pub requests: MirrorRequests,
    /// How long the candidate listens at least.
    pub at_least: Duration,
    /// How many copies it has answered at least.
    pub at_least_requests: u64,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        Self {
            requests: MirrorRequests::default(),
            at_least: Duration::from_secs(60),
            at_least_requests: 25,
        }
    }
}

/// Which requests `parallel` copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MirrorRequests {
    /// Those that change nothing by their method: GET, HEAD, OPTIONS.
    #[default]
    Safe,
    /// All of them, messages to handlers among them.
    All,
}

/// Whether a policy's verdicts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyMode {
    /// It is not asked.
    Off,
    /// It is asked after the decision, and changes nothing.
    Monitor,
    /// It decides.
    #[default]
    Enforce,
}

/// A rollback policy as an agent's configuration names it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyRef {
    /// An embedded policy's name.
    pub name: String,
    /// Whether it decides.
    pub mode: PolicyMode,
    /// Its settings, a JSON object.
    pub settings: String,
}

/// The `[rollback]` table as it is meant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackSettings {
    /// Without it there is no judging and no bake.
    pub enabled: bool,
    /// How many versions that were permanent are kept beside the present one.
    pub preserve_versions: u8,
    /// How long a return may take before it counts as failed.
    pub timeout: Duration,
    /// The rollback policies, in the order they were written.
    pub policies: Vec<PolicyRef>,
    /// When no further version comes in by itself.
    pub breaker: Breaker,
    /// What happens when the permanent version's instances trap again and again.
    pub on_crash_loop: OnCrashLoop,
    /// Whether what ended badly stays out when it is dropped again. Without it each drop is a new try, whatever became of the one
    /// before.
    pub quarantine: bool,
}

/// After so many rollbacks by policies within the time no version comes in until an operator says so, or the time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// How many; 0: any number.
    pub count: u32,
    /// Within this time.
    pub window: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            count: 3,
            window: Duration::from_secs(60 * 60),
        }
    }
}

/// What happens when the permanent version's instances trap again and again outside of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCrashLoop {
    /// It is told, and serves on as it can.
    #[default]
    Tell,
    /// The newest kept version takes over.
    Rollback,
}

impl Default for RollbackSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            preserve_versions: 3,
            timeout: Duration::from_secs(60),
            policies: vec![PolicyRef {
                name: "evidence".to_owned(),
                mode: PolicyMode::Enforce,
                settings: "{}".to_owned(),
            }],
            breaker: Breaker::default(),
            on_crash_loop: OnCrashLoop::default(),
            quarantine: true,
        }
    }
}

/// The `[health]` table as it is meant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthSettings {
    /// Between two checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
        }
    }
}
