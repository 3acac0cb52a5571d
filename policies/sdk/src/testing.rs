//! For tests of a policy, natively: windows with little writing, and scenario files.

#[path = "scenarios.rs"]
mod scenarios;

pub use scenarios::{Difference, run};

use crate::{Arm, Bucket, Window};

/// The bounds that the host counts latencies by, in microseconds; the last has none.
const BOUNDS_US: [u64; 25] = [
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

/// A version with so many failures of so many requests, each of which took a millisecond.
#[must_use]
pub fn answered(failures: u64, requests: u64) -> Arm {
    Arm {
        requests,
        failures,
        latency_total_us: requests.saturating_mul(1_000),
        ..Arm::default()
    }
}

/// Second `second` of a reload in which both versions have half of the traffic, each with (failures, requests); without requests a
/// stable version is none.
#[must_use]
pub fn window(second: u64, candidate: (u64, u64), stable: (u64, u64)) -> Window {
    Window {
        start_ms: second.saturating_mul(1_000),
        end_ms: second.saturating_add(1).saturating_mul(1_000),
        split_wanted: 50,
        stable: (stable.1 > 0).then(|| answered(stable.0, stable.1)),
        candidate: Some(answered(candidate.0, candidate.1)),
        ..Window::default()
    }
}

/// Buckets of calls, given as (milliseconds, calls).
#[must_use]
pub fn latencies(calls: &[(u64, u64)]) -> Vec<Bucket> {
    let within = |bound: u64| {
        let took = |ms: u64| ms.saturating_mul(1_000) <= bound;
        calls
            .iter()
            .filter(|(ms, _)| took(*ms))
            .map(|(_, calls)| calls)
            .sum()
    };
    let bucket = |up_to_us| Bucket {
        up_to_us,
        count: within(up_to_us),
    };
    BOUNDS_US.map(bucket).to_vec()
}
