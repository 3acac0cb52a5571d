//! The candidate over the whole reload in a few figures, kept as sums so that merging windows loses nothing.

use crate::{Arm, ReloadMetrics};

/// Sums over the windows of one reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    requests: u64,
    failures: u64,
    latency_us: u64,
    /// Requests and time of both versions, in windows in which both had traffic.
    paired: Paired,
    memory_peak: u64,
    memory_sum: u128,
    memory_windows: u32,
    health_passed: u64,
    health_total: u64,
    /// Requests of both versions since the candidate got its present share, and those of them that it answered.
    routed: u64,
    answered: u64,
    callers: u64,
    failing_callers: u64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Paired {
    candidate_requests: u64,
    candidate_us: u64,
    stable_requests: u64,
    stable_us: u64,
}

impl Figures {
    /// Adds one window; `split` says whether the candidate was meant to have traffic in it.
    pub fn add(&mut self, stable: Option<&Arm>, candidate: &Arm, split: u8) {
        self.requests = self.requests.saturating_add(candidate.requests);
        self.failures = self.failures.saturating_add(candidate.failures);
        self.latency_us = self.latency_us.saturating_add(candidate.latency_total_us);
        self.memory_peak = self.memory_peak.max(candidate.memory_peak);
        if candidate.memory_mean > 0 {
            self.memory_sum = self.memory_sum.saturating_add(candidate.memory_mean.into());
            self.memory_windows = self.memory_windows.saturating_add(1);
        }
        self.health_passed = self
            .health_passed
            .saturating_add(candidate.health_passed.into());
        self.health_total = self
            .health_total
            .saturating_add(candidate.health_total.into());
        let stable_requests = stable.map_or(0, |arm| arm.requests);
        if split > 0 {
            let both = stable_requests.saturating_add(candidate.requests);
            self.routed = self.routed.saturating_add(both);
            self.answered = self.answered.saturating_add(candidate.requests);
        }
        if let Some(stable) = stable.filter(|arm| arm.requests > 0 && candidate.requests > 0) {
            let paired = &mut self.paired;
            paired.candidate_requests =
                paired.candidate_requests.saturating_add(candidate.requests);
            paired.candidate_us = paired
                .candidate_us
                .saturating_add(candidate.latency_total_us);
            paired.stable_requests = paired.stable_requests.saturating_add(stable.requests);
            paired.stable_us = paired.stable_us.saturating_add(stable.latency_total_us);
        }
    }

    /// Whether the candidate has answered any request that counts.
    pub(crate) fn has_requests(&self) -> bool {
        self.requests > 0
    }

    /// The candidate has another share from now on: how much of it arrives is measured anew.
    pub fn begin_share(&mut self) {
        (self.routed, self.answered) = (0, 0);
    }

    /// Distinct callers do not add up over windows: they come as totals.
    pub fn set_callers(&mut self, callers: u64, failing: u64) {
        self.callers = callers;
        self.failing_callers = failing;
    }

    /// The figures of everything that was added.
    #[must_use]
    pub fn metrics(&self) -> ReloadMetrics {
        ReloadMetrics {
            requests_processed: self.requests,
            requests_failed: self.failures,
            error_rate_percentage: percentage(self.failures, self.requests),
            average_response_time_ms: mean(self.latency_us, self.requests).map(|us| us / 1_000.0),
            performance_degradation_percentage: self.paired.degradation(),
            memory_usage_peak: self.memory_peak,
            memory_usage_average: self
                .memory_sum
                .checked_div(self.memory_windows.into())
                .and_then(|mean| u64::try_from(mean).ok())
                .unwrap_or(0),
            health_check_success_rate: percentage(self.health_passed, self.health_total),
            traffic_split_actual: percentage(self.answered, self.routed),
            callers: self.callers,
            failing_callers: self.failing_callers,
        }
    }
}

impl Paired {
    fn degradation(&self) -> Option<f32> {
        let candidate = mean(self.candidate_us, self.candidate_requests)?;
        let stable = mean(self.stable_us, self.stable_requests).filter(|mean| *mean > 0.0)?;
        Some(((candidate / stable - 1.0) * 100.0) as f32)
    }
}

fn percentage(part: u64, whole: u64) -> Option<f32> {
    mean(part, whole).map(|share| (share * 100.0) as f32)
}

fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(requests: u64, failures: u64, latency_ms: u64) -> Arm {
        let latency_total_us = requests * latency_ms * 1_000;
        Arm {
            requests,
            failures,
            latency_total_us,
            ..Arm::default()
        }
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        let metrics = Figures::default().metrics();
        assert_eq!(metrics, ReloadMetrics::default());
        assert_eq!(metrics.error_rate_percentage, None);
    }

    #[test]
    fn degradation_is_taken_from_windows_in_which_both_had_traffic() {
        let mut figures = Figures::default();
        figures.add(Some(&arm(10, 0, 10)), &arm(10, 1, 15), 50);
        // A slow time in which only one of them was asked says nothing about the other.
        figures.add(Some(&arm(0, 0, 0)), &arm(80, 8, 500), 100);
        let metrics = figures.metrics();
        assert_eq!(metrics.performance_degradation_percentage, Some(50.0));
        assert_eq!(metrics.error_rate_percentage, Some(10.0));
        assert_eq!(metrics.traffic_split_actual, Some(90.0));
    }
}
