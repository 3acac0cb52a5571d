//! Once per tick: what each version did, handed to the core.

use std::collections::BTreeMap;

use caxton_rollout::{
    Arm, Bucket, CustomMetric, Event, Measure, MetricValue, Mirrored, Moment, VersionNumber,
};
use caxton_runtime::{ArmCounts, StateLoss};
use serde_json::json;

use super::Controller;
use super::agent::{Agent, Live};
use crate::published::{Copies, Rates};

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
            let seconds = end.since(start).as_secs_f64();
            let waited = entry.gate.take_longest_wait();
            if !waited.is_zero() {
                entry.longest_wait = waited;
            }
            let versions = measures(entry, seconds, |counts| {
                self.telemetry.called(&agent, counts)
            });
            let peak = versions.iter().map(|version| version.arm.memory_peak).max();
            self.telemetry.memory(&agent, peak.unwrap_or_default());
            let losses = losses(entry);
            let crashed = crash_loop(entry);
            for (number, loss) in losses {
                let answered = loss.answered;
                tracing::warn!(%agent, "version {number} lost the state of {answered} answered calls: {}", loss.reason);
                let fields = json!({ "number": number, "calls": answered, "reason": loss.reason });
                self.tell("state-lost", Some(agent.clone()), fields);
            }
            if let Some((number, reason)) = crashed {
                self.step(Event::CrashLoop {
                    agent: agent.clone(),
                    number,
                    reason,
                });
            }
            self.step(Event::Measured {
                agent,
                start,
                end: Moment(end.0.max(start.0)),
                versions,
            });
        }
        self.store_checkpoints();
    }
}

/// That instances of the version that serves trap again and again. What others did is taken and said nowhere: who is on trial is
/// judged, and copies are nobody's calls.
fn crash_loop(entry: &Agent) -> Option<(VersionNumber, String)> {
    let serving = entry.serving();
    let taken = entry.live.iter().filter_map(|(number, live)| {
        let told = live.version.take_crash_loop()?;
        Some((*number, told.to_string()))
    });
    let taken: Vec<_> = taken.collect();
    taken
        .into_iter()
        .find(|(number, _)| Some(*number) == serving)
}

/// State that instances took with them when they ended.
fn losses(entry: &Agent) -> Vec<(VersionNumber, StateLoss)> {
    let of = |(number, live): (&VersionNumber, &Live)| {
        let number = *number;
        let losses = live.version.take_losses().into_iter();
        losses.map(move |loss| (number, loss))
    };
    entry.live.iter().flat_map(of).collect()
}

fn measures(entry: &mut Agent, seconds: f64, count: impl Fn(&ArmCounts)) -> Vec<Measure> {
    let listener = entry.traffic.and_then(|traffic| traffic.listener);
    // All of them before anything else is done: where this thread is held up in between, what one version did in that time would
    // be held against the other.
    let windows: Vec<_> = entry
        .live
        .values()
        .map(|live| live.version.take_window())
        .collect();
    let live: &mut BTreeMap<VersionNumber, Live> = &mut entry.live;
    live.iter_mut()
        .zip(windows)
        .map(|((number, live), counts)| {
            count(&counts);
            let (callers, failing_callers) = (counts.callers_so_far, counts.failing_callers_so_far);
            let arm = arm(counts);
            let (mismatches, skipped) = live.mirror.take();
            let copies = self::arm(live.version.take_mirrored());
            let mirrored = (listener == Some(*number)).then_some(Mirrored {
                arm: copies,
                mismatches,
                skipped,
            });
            live.copies.count(mirrored.as_ref());
            let seen = mirrored.as_ref().map_or(&arm, |mirrored| &mirrored.arm);
            live.rates = Rates::of(seen, seconds);
            Measure {
                number: *number,
                callers,
                failing_callers,
                mirrored,
                arm,
            }
        })
        .collect()
}

impl Copies {
    fn count(&mut self, mirrored: Option<&Mirrored>) {
        if let Some(mirrored) = mirrored {
            self.copies = self.copies.saturating_add(mirrored.arm.requests);
            self.mismatches = self.mismatches.saturating_add(mirrored.mismatches);
            self.skipped = self.skipped.saturating_add(mirrored.skipped);
        }
    }
}

impl Rates {
    fn of(arm: &Arm, seconds: f64) -> Self {
        let per_second = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Self {
            requests_per_second: per_second(arm.requests),
            failures_per_second: per_second(arm.failures),
            p50_ms: quantile(arm, 50),
            p99_ms: quantile(arm, 99),
        }
    }
}

/// The bound, in milliseconds, of the bucket that the given per cent of calls did not go beyond. None where there were no calls,
/// and where that bucket is the last one, which has no bound.
fn quantile(arm: &Arm, per_cent: u64) -> Option<f64> {
    let all = arm.latency.last()?.count;
    let wanted = (all.saturating_mul(per_cent)).div_ceil(100);
    let bucket = arm.latency.iter().find(|bucket| bucket.count >= wanted)?;
    (all > 0 && bucket.up_to_us < u64::MAX).then(|| bucket.up_to_us as f64 / 1_000.0)
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
        fuel: counts.fuel,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_beyond_the_last_bound_is_none() {
        let bucket = |up_to_us, count| Bucket { up_to_us, count };
        let arm = Arm {
            latency: vec![bucket(1_000, 50), bucket(5_000, 98), bucket(u64::MAX, 100)],
            ..Arm::default()
        };
        assert_eq!(quantile(&arm, 50), Some(1.0));
        assert_eq!(quantile(&arm, 98), Some(5.0));
        assert_eq!(quantile(&arm, 99), None);
        let none = Arm {
            latency: vec![bucket(1_000, 0), bucket(u64::MAX, 0)],
            ..Arm::default()
        };
        assert_eq!(quantile(&none, 50), None);
    }
}
