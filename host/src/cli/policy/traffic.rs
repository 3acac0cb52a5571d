//! Made-up traffic for measuring: the same in every process, and busy in every field that a policy may look at.

use caxton_rollout::{
    Arm, Bucket, Context, CustomMetric, Figures, LATENCY_BOUNDS_US, MetricValue, ReloadMetrics,
    Series, Window,
};

use crate::scenarios;

/// Length of a window.
const WINDOW_MS: u64 = 1_000;

/// What one call is told.
pub(super) struct Told {
    pub context: Context,
    pub metrics: ReloadMetrics,
    pub windows: Vec<Window>,
}

/// Made-up facts of call number `call`, with so many windows. From call to call the candidate fails more or less often.
pub(super) fn told(windows: usize, call: u64) -> Told {
    let mut random = Random(call.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ windows as u64);
    // In per cent; a policy that decides by failures then gives all of its answers.
    let rates = [0, 1, 3, 8, 30];
    let rate = rates
        .get(usize::try_from(random.below(rates.len() as u64)).unwrap_or(0))
        .copied()
        .unwrap_or(0);
    let mut series = Series::default();
    let mut figures = Figures::default();
    for second in 0..windows as u64 {
        let stable = arm(&mut random, 1);
        let candidate = arm(&mut random, rate);
        figures.add(Some(&stable), &candidate, 50);
        figures.set_callers(candidate.callers, candidate.failing_callers);
        series.push(Window {
            start_ms: second * WINDOW_MS,
            end_ms: (second + 1) * WINDOW_MS,
            split_wanted: 50,
            split_actual: Some(50.0),
            stable: Some(stable),
            candidate: Some(candidate),
            ..Window::default()
        });
    }
    let elapsed = windows as u64 * WINDOW_MS;
    let context = Context {
        elapsed_ms: elapsed,
        stage_elapsed_ms: elapsed,
        baseline: Some(Window {
            end_ms: 600_000,
            stable: Some(arm(&mut random, 1)),
            ..Window::default()
        }),
        ..scenarios::context(caxton_rollout::Phase::InProgress, 50, 1)
    };
    Told {
        context,
        metrics: figures.metrics(),
        windows: series.windows().to_vec(),
    }
}

/// Some twenty requests, of which `rate` per cent fail.
fn arm(random: &mut Random, rate: u64) -> Arm {
    let requests = 15 + random.below(10);
    let failures = (0..requests).filter(|_| random.below(100) < rate).count() as u64;
    let mut arm = Arm {
        requests,
        failures,
        callers: 10,
        failing_callers: failures.min(10),
        health_passed: 1,
        health_total: 1,
        memory_peak: 8_000_000 + random.below(100_000),
        memory_mean: 7_000_000,
        memory_limit: 64 * 1024 * 1024,
        ..Arm::default()
    };
    let mut latencies: Vec<u64> = (0..requests).map(|_| 400 + random.below(30_000)).collect();
    latencies.sort_unstable();
    arm.latency_total_us = latencies.iter().sum();
    arm.latency = LATENCY_BOUNDS_US
        .map(|up_to_us| Bucket {
            up_to_us,
            count: latencies.iter().filter(|us| **us <= up_to_us).count() as u64,
        })
        .to_vec();
    let custom = |name: &str, value| CustomMetric {
        name: name.to_owned(),
        value,
    };
    arm.custom = vec![
        custom(
            "answers.empty",
            MetricValue::Ratio(random.below(2), requests),
        ),
        custom(
            "queue.depth",
            MetricValue::Gauge(random.below(50) as f64 / 4.0),
        ),
        custom("retries", MetricValue::Counter(random.below(5))),
    ];
    arm
}

/// SplitMix64: no more is needed, and it is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).checked_rem(limit).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_the_same_each_time_and_differs_from_call_to_call() {
        let (first, again, other) = (told(60, 1), told(60, 1), told(60, 2));
        assert_eq!(first.windows, again.windows);
        assert_eq!(first.metrics, again.metrics);
        assert_ne!(first.windows, other.windows);
        assert_eq!((told(1, 0).windows.len(), first.windows.len()), (1, 60));
        let shares: std::collections::BTreeSet<u64> = (0..50)
            .map(|call| {
                let metrics = told(60, call).metrics;
                metrics.requests_failed * 10 / metrics.requests_processed
            })
            .collect();
        assert!(shares.len() > 1, "candidates good and bad: {shares:?}");
    }
}
