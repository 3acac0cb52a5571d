//! What can be configured, and what a schema cannot say about it.

use caxton_policy::Problems;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings. Rates and probabilities are parts of one, not per cent.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Share of requests that may fail: a version at or below it is not rolled back.
    #[schemars(range(min = 0.0001, max = 0.9))]
    pub max_failure_rate: f64,
    /// How many times worse than the stable version is tolerated.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub relative_factor: f64,
    /// The chance of ever rolling back a version that is within tolerance, for each metric.
    #[schemars(range(min = 0.000001, max = 0.5))]
    pub false_rollback_probability: f64,
    /// Fewer failures than this never roll back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_failures: u64,
    /// Failures of fewer different callers than this (but not of none: callers without a key are not known) never roll back, where at
    /// least 5 callers are active.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_failing_callers: u64,
    /// How many requests pass on average before a healthy version seems to have become worse.
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub late_onset_run_length: u64,
    /// So many of the stable version's latest requests are compared with.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub compare_window_requests: u64,
    /// The most that is tolerated, however bad the stable version is. While it is itself at or beyond this, nothing is the candidate's.
    #[schemars(range(min = 0.0001, max = 0.9))]
    pub tolerance_cap: f64,
    /// A version is fit where its failure rate is surely not above this, or not above what is tolerated.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub promote_upper_bound: f64,
    /// A version with fewer requests than this is never fit.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub promote_min_requests: u64,
    /// The first ticks with requests for the candidate, so many, are left out; anew after it listened.
    #[schemars(range(min = 0, max = 10_000))]
    pub warm_up_ticks: u64,
    /// Share of copies that may be answered differently from the stable version, while the candidate listens.
    #[schemars(range(min = 0.0001, max = 0.9))]
    pub max_mismatch_rate: f64,
    /// Milliseconds below which no call is slow.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub latency_floor: u64,
    /// What refusing too many requests (4xx, 503) leads to.
    pub judge_rejections: JudgeRejections,
    /// Whether memory that keeps rising towards its limit leads back. It is told in any case.
    pub judge_memory: bool,
    /// How long the agent's bake is, which memory is projected over. A policy is not told: write here what `bake` says.
    #[schemars(range(min = 1, max = 86_400))]
    pub bake_seconds: u64,
}

/// What refusing too many requests leads to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeRejections {
    /// The reload is held: whoever calls may be wrong.
    Hold,
    /// Back to the stable version.
    Rollback,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_failure_rate: 0.05,
            relative_factor: 2.0,
            false_rollback_probability: 0.01,
            min_failures: 3,
            min_failing_callers: 2,
            late_onset_run_length: 100_000,
            compare_window_requests: 50,
            tolerance_cap: 0.6,
            promote_upper_bound: 0.10,
            promote_min_requests: 25,
            warm_up_ticks: 0,
            max_mismatch_rate: 0.01,
            latency_floor: 25,
            judge_rejections: JudgeRejections::Hold,
            judge_memory: false,
            bake_seconds: 300,
        }
    }
}

impl Settings {
    /// How much the logarithm of the e-value has to reach.
    pub(crate) fn log_e_limit(&self) -> f64 {
        -self.false_rollback_probability.ln()
    }

    /// How much the sum for late onset has to reach.
    pub(crate) fn late_limit(&self) -> f64 {
        (self.late_onset_run_length as f64).ln()
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        for (name, rate) in [
            ("max_failure_rate", self.max_failure_rate),
            ("max_mismatch_rate", self.max_mismatch_rate),
        ] {
            if rate > self.tolerance_cap {
                problems.add(
                    format!("/{name}"),
                    format!(
                        "is {rate} and must not be above tolerance_cap, which is {}",
                        self.tolerance_cap
                    ),
                );
            }
        }
    }
}
