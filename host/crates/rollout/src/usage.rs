//! What a version used: added up from every interval, and remembered once the version is neither permanent nor serves, so that
//! no tick writes.

use crate::agent::Agent;
use crate::{Measure, ResourceUsage};

/// Sums since the version's first request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Used {
    memory_peak: u64,
    fuel: Option<u64>,
    requests: u64,
    failures: u64,
    latency_us: u64,
}

impl Used {
    pub(crate) fn add(&mut self, measure: &Measure) {
        // What a listener does is no traffic, whatever it was counted as.
        if measure.mirrored.is_some() {
            return;
        }
        let arm = &measure.arm;
        self.memory_peak = self.memory_peak.max(arm.memory_peak);
        if let Some(fuel) = arm.fuel {
            self.fuel = Some(self.fuel.unwrap_or(0).saturating_add(fuel));
        }
        self.requests = self.requests.saturating_add(arm.requests);
        self.failures = self.failures.saturating_add(arm.failures);
        self.latency_us = self.latency_us.saturating_add(arm.latency_total_us);
    }

    pub(crate) fn total(&self) -> ResourceUsage {
        ResourceUsage {
            memory_peak: self.memory_peak,
            fuel: self.fuel,
            requests: self.requests,
            failures: self.failures,
            mean_response_us: self.latency_us.checked_div(self.requests),
        }
    }
}

impl From<ResourceUsage> for Used {
    fn from(usage: ResourceUsage) -> Self {
        let mean = usage.mean_response_us.unwrap_or(0);
        Self {
            memory_peak: usage.memory_peak,
            fuel: usage.fuel,
            requests: usage.requests,
            failures: usage.failures,
            latency_us: mean.saturating_mul(usage.requests),
        }
    }
}

impl Agent {
    /// Notes what those used that were permanent or served, and do so no more.
    pub(crate) fn note_usage(&mut self) {
        let now = [self.permanent, self.serving];
        let before = std::mem::replace(&mut self.in_use, now);
        for number in before.into_iter().flatten() {
            if !now.contains(&Some(number))
                && let Some(record) = self.versions.records.get_mut(&number)
            {
                record.usage = Some(record.used.total());
            }
        }
    }
}
