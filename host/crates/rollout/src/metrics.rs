//! What was measured: paired counts of the stable and the candidate version over the same intervals.
//!
//! The shapes are those of `wit/policy`; a policy sees just what stands here.

use serde::{Deserialize, Serialize};

/// Upper bounds of the latency buckets, in microseconds; the last holds everything.
///
/// Two to three for each power of two up to a tenth of a second, where people look, and coarser above.
pub const LATENCY_BOUNDS_US: [u64; 25] = [
    250,
    500,
    1_000,
    1_500,
    2_000,
    3_000,
    5_000,
    7_500,
    10_000,
    15_000,
    20_000,
    30_000,
    50_000,
    75_000,
    100_000,
    150_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    u64::MAX,
];

/// Why a value is not there. Missing is never zero and never a hundred per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// Nothing was asked of the version.
    NoTraffic,
    /// It is too early.
    NotYet,
    /// The agent did not say.
    NotReported,
    /// The last value is this many milliseconds old.
    Stale(u64),
}

/// The value of a custom metric inside one window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricValue {
    /// The increase inside the window.
    Counter(u64),
    /// The last value set.
    Gauge(f64),
    /// Bad out of total.
    Ratio(u64, u64),
    /// No value, and why.
    Missing(Absence),
}

/// What an agent reports about itself through `caxton:agent/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomMetric {
    /// The agent's name for it.
    pub name: String,
    /// Its value inside the window.
    pub value: MetricValue,
}

/// A cumulative count of calls that took at most `up_to_us` microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bucket {
    /// One of [`LATENCY_BOUNDS_US`].
    pub up_to_us: u64,
    /// Calls that took at most that.
    pub count: u64,
}

/// One version inside one window: increases, not running totals.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Arm {
    /// Finished calls that this version is answerable for.
    pub requests: u64,
    /// Of those, its own fault: internal failure, trap, deadline, HTTP 5xx except 503.
    pub failures: u64,
    /// Of the failures, calls that ended in a trap.
    pub traps: u64,
    /// Of the failures, calls that ran into their deadline.
    pub deadlines: u64,
    /// Of the requests: HTTP 4xx, or the failure `invalid`; not among the failures.
    pub rejected: u64,
    /// Of the requests: HTTP 503, or the failure `unavailable`; not among the failures.
    pub unavailable: u64,
    /// Shed by the host, cancelled by the caller or by the host; not among the requests.
    pub not_counted: u64,
    /// Distinct affinity keys in this window; a merged window holds the largest of its parts.
    pub callers: u64,
    /// Of those, keys with at least one failure.
    pub failing_callers: u64,
    /// Calls running at the end of the window.
    pub in_flight: u32,
    /// Sum of the latencies of the counted calls, in microseconds.
    pub latency_total_us: u64,
    /// Cumulative counts at [`LATENCY_BOUNDS_US`]; empty when nothing was counted.
    pub latency: Vec<Bucket>,
    /// Health checks that passed.
    pub health_passed: u32,
    /// Health checks that ended.
    pub health_total: u32,
    /// Bytes: the largest linear memory of any instance that took calls in the window.
    pub memory_peak: u64,
    /// Bytes: mean over the calls' instances.
    pub memory_mean: u64,
    /// Bytes that an instance may use.
    pub memory_limit: u64,
    /// Fuel used, where it is metered.
    pub fuel: Option<u64>,
    /// What the agent reported about itself, ordered by name.
    pub custom: Vec<CustomMetric>,
}

/// Both versions over the same interval: the pairing makes a shared outage visible.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Window {
    /// Milliseconds since the reload began.
    pub start_ms: u64,
    /// Milliseconds since the reload began.
    pub end_ms: u64,
    /// Per cent of traffic meant for the candidate.
    pub split_wanted: u8,
    /// Per cent measured; none without traffic.
    pub split_actual: Option<f32>,
    /// Not to be judged.
    pub warm_up: bool,
    /// The permanent version, where it had a part.
    pub stable: Option<Arm>,
    /// The version that is being judged, where it had a part.
    pub candidate: Option<Arm>,
    /// The candidate's answers to copies that nobody waits for.
    pub mirrored: Option<Arm>,
    /// Of those, answers that differ from the stable version's.
    pub mirrored_mismatches: u64,
}

/// Running figures over the whole reload, for policies that need no more.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReloadMetrics {
    /// Requests that the candidate answered.
    pub requests_processed: u64,
    /// Of those, its failures.
    pub requests_failed: u64,
    /// Per cent; none until something was processed.
    pub error_rate_percentage: Option<f32>,
    /// Milliseconds; none until something was processed.
    pub average_response_time_ms: Option<f64>,
    /// Per cent that the candidate's mean is above the stable version's in the same windows.
    pub performance_degradation_percentage: Option<f32>,
    /// Bytes.
    pub memory_usage_peak: u64,
    /// Bytes.
    pub memory_usage_average: u64,
    /// Per cent of health checks passed; none without one.
    pub health_check_success_rate: Option<f32>,
    /// Per cent measured; none before any traffic.
    pub traffic_split_actual: Option<f32>,
    /// Distinct affinity keys that the candidate answered since it got traffic.
    pub callers: u64,
    /// Of those, keys with at least one failure.
    pub failing_callers: u64,
}
