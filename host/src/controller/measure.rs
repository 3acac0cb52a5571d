//! Once per tick: what each version did, handed to the core.

use std::collections::BTreeMap;

use caxton_rollout::{
    Arm, Bucket, CustomMetric, Event, Measure, MetricValue, Moment, VersionNumber,
};
use caxton_runtime::ArmCounts;

use super::Controller;
use super::agent::{Agent, Live};

impl Controller {
    pub(super) fn measure(&mut self) {
        let end = self.clock.now();
        let start = std::mem::replace(&mut self.measured_until, end);
        let names: Vec<_> = self
            .agents
            .iter()
            .filter(|(_, entry)| !entry.live.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for agent in names {
            let Some(entry) = self.agents.get_mut(&agent) else {
                continue;
            };
            let versions = measures(entry);
            self.step(Event::Measured {
                agent,
                start,
                end: Moment(end.0.max(start.0)),
                versions,
            });
        }
    }
}

fn measures(entry: &mut Agent) -> Vec<Measure> {
    let live: &mut BTreeMap<VersionNumber, Live> = &mut entry.live;
    live.iter_mut()
        .map(|(number, live)| {
            let arm = arm(live.version.take_window());
            live.callers.0 = live.callers.0.max(arm.callers);
            live.callers.1 = live.callers.1.max(arm.failing_callers);
            Measure {
                number: *number,
                callers: live.callers.0,
                failing_callers: live.callers.1,
                mirrored: None,
                arm,
            }
        })
        .collect()
}

fn arm(counts: ArmCounts) -> Arm {
    Arm {
        requests: counts.requests,
        failures: counts.failures,
        traps: counts.traps,
        deadlines: counts.deadlines,
        rejected: counts.rejected,
        unavailable: counts.unavailable,
        not_counted: counts.not_counted,
        callers: counts.callers,
        failing_callers: counts.failing_callers,
        in_flight: counts.in_flight,
        latency_total_us: counts.latency_total_us,
        latency: counts
            .latency
            .iter()
            .map(|bucket| Bucket {
                up_to_us: bucket.up_to_us,
                count: bucket.count,
            })
            .collect(),
        health_passed: 0,
        health_total: 0,
        memory_peak: counts.memory_peak,
        memory_mean: counts.memory_mean,
        memory_limit: counts.memory_limit,
        fuel: None,
        custom: counts.custom.into_iter().map(custom).collect(),
    }
}

fn custom(metric: caxton_runtime::CustomMetric) -> CustomMetric {
    let value = match metric.value {
        caxton_runtime::MetricValue::Counter(increase) => MetricValue::Counter(increase),
        caxton_runtime::MetricValue::Gauge(value) => MetricValue::Gauge(value),
        caxton_runtime::MetricValue::Ratio { bad, total } => MetricValue::Ratio(bad, total),
    };
    CustomMetric {
        name: metric.name,
        value,
    }
}
