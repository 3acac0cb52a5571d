//! What a policy is told: the domain's facts as the contract's types.
//!
//! Nothing is judged here. What the contract promises is made true: a figure that is not finite is given as missing, so that
//! no policy has to think of NaN.

use std::time::Duration;

use caxton_rollout as domain;

use super::bindings::caxton::policy::types as wit;
use super::bindings::exports::caxton::policy::strategy;

/// Earlier reloads that a policy is told of, as the contract says.
const HISTORY_MAX: usize = 16;

pub(super) fn context(context: &domain::Context) -> wit::Context {
    wit::Context {
        reload_id: context.reload_id.clone(),
        deadline_ms: context.deadline_ms,
        paused: context.paused,
        agent: context.agent.clone(),
        stable: context.stable.as_ref().map(version),
        candidate: version(&context.candidate),
        stateful: context.stateful,
        phase: match context.phase {
            domain::Phase::Preparing => wit::Phase::Preparing,
            domain::Phase::Starting => wit::Phase::Starting,
            domain::Phase::InProgress => wit::Phase::InProgress,
            domain::Phase::Baking => wit::Phase::Baking,
        },
        stage: context.stage,
        stages: context.stages,
        stage_elapsed_ms: context.stage_elapsed_ms,
        elapsed_ms: context.elapsed_ms,
        split: context.split,
        baseline: context.baseline.as_ref().map(window),
        history: context
            .history
            .iter()
            .take(HISTORY_MAX)
            .map(attempt)
            .collect(),
        seed: context.seed,
    }
}

fn version(version: &domain::Version) -> wit::Version {
    wit::Version {
        number: version.number.get(),
        digest: version.digest.to_string(),
        config_digest: version.config_digest.to_string(),
        size: version.size,
        state_format: None,
    }
}

fn attempt(attempt: &domain::Attempt) -> wit::Attempt {
    wit::Attempt {
        version: version(&attempt.version),
        outcome: match attempt.outcome {
            domain::Outcome::Completed => wit::Outcome::Completed,
            domain::Outcome::Failed => wit::Outcome::Failed,
            domain::Outcome::Cancelled => wit::Outcome::Cancelled,
            domain::Outcome::RolledBack => wit::Outcome::RolledBack,
            domain::Outcome::Superseded => wit::Outcome::Superseded,
        },
        reason: attempt.reason.clone(),
        ended_ms_ago: attempt.ended_ms_ago,
    }
}

pub(super) fn windows(windows: &[domain::Window]) -> Vec<wit::Window> {
    windows.iter().map(window).collect()
}

fn window(window: &domain::Window) -> wit::Window {
    wit::Window {
        start_ms: window.start_ms,
        end_ms: window.end_ms,
        split_wanted: window.split_wanted,
        split_actual: finite(window.split_actual),
        warm_up: window.warm_up,
        stable: window.stable.as_ref().map(arm),
        candidate: window.candidate.as_ref().map(arm),
        mirrored: window.mirrored.as_ref().map(arm),
        mirrored_mismatches: window.mirrored_mismatches,
    }
}

fn arm(arm: &domain::Arm) -> wit::Arm {
    let bucket = |bucket: &domain::Bucket| wit::Bucket {
        up_to_us: bucket.up_to_us,
        count: bucket.count,
    };
    wit::Arm {
        requests: arm.requests,
        failures: arm.failures,
        traps: arm.traps,
        deadlines: arm.deadlines,
        rejected: arm.rejected,
        unavailable: arm.unavailable,
        not_counted: arm.not_counted,
        callers: arm.callers,
        failing_callers: arm.failing_callers,
        in_flight: arm.in_flight,
        latency_total_us: arm.latency_total_us,
        latency: arm.latency.iter().map(bucket).collect(),
        health_passed: arm.health_passed,
        health_total: arm.health_total,
        memory_peak: arm.memory_peak,
        memory_mean: arm.memory_mean,
        memory_limit: arm.memory_limit,
        fuel: arm.fuel,
        custom: arm.custom.iter().map(custom).collect(),
    }
}

fn custom(metric: &domain::CustomMetric) -> wit::CustomMetric {
    use domain::{Absence, MetricValue};
    let missing = wit::MetricValue::Missing;
    let value = match metric.value {
        MetricValue::Counter(increase) => wit::MetricValue::Counter(increase),
        MetricValue::Gauge(value) if value.is_finite() => wit::MetricValue::Gauge(value),
        MetricValue::Gauge(_) => missing(wit::Absence::NotReported),
        MetricValue::Ratio(bad, total) => wit::MetricValue::Ratio((bad, total)),
        MetricValue::Missing(Absence::NoTraffic) => missing(wit::Absence::NoTraffic),
        MetricValue::Missing(Absence::NotYet) => missing(wit::Absence::NotYet),
        MetricValue::Missing(Absence::NotReported) => missing(wit::Absence::NotReported),
        MetricValue::Missing(Absence::Stale(ms)) => missing(wit::Absence::Stale(ms)),
    };
    wit::CustomMetric {
        name: metric.name.clone(),
        value,
    }
}

pub(super) fn metrics(metrics: &domain::ReloadMetrics) -> wit::ReloadMetrics {
    wit::ReloadMetrics {
        requests_processed: metrics.requests_processed,
        requests_failed: metrics.requests_failed,
        error_rate_percentage: finite(metrics.error_rate_percentage),
        average_response_time_ms: metrics.average_response_time_ms.filter(|ms| ms.is_finite()),
        performance_degradation_percentage: finite(metrics.performance_degradation_percentage),
        memory_usage_peak: metrics.memory_usage_peak,
        memory_usage_average: metrics.memory_usage_average,
        health_check_success_rate: finite(metrics.health_check_success_rate),
        traffic_split_actual: finite(metrics.traffic_split_actual),
        callers: metrics.callers,
        failing_callers: metrics.failing_callers,
    }
}

fn finite(figure: Option<f32>) -> Option<f32> {
    figure.filter(|figure| figure.is_finite())
}

pub(super) fn plan(plan: &domain::Plan) -> strategy::Plan {
    strategy::Plan {
        strategy: match plan.strategy {
            domain::Strategy::Graceful => wit::Strategy::Graceful,
            domain::Strategy::Immediate => wit::Strategy::Immediate,
            domain::Strategy::Parallel => wit::Strategy::Parallel,
            domain::Strategy::TrafficSplitting => wit::Strategy::TrafficSplitting,
        },
        warm_up_ms: milliseconds(plan.warm_up),
        drain_ms: milliseconds(plan.drain),
        stages: plan
            .stages
            .iter()
            .map(|stage| strategy::Stage {
                split: stage.split,
                at_least_ms: milliseconds(stage.at_least),
                at_least_requests: stage.at_least_requests,
                needs_operator: stage.needs_operator,
            })
            .collect(),
        bake_ms: milliseconds(plan.bake),
        keep_previous_ms: milliseconds(plan.keep_previous),
        preserve_state: plan.preserve_state,
        why: wit::Explanation {
            code: plan.why.code.clone(),
            summary: plan.why.summary.clone(),
            findings: plan.why.findings.iter().map(finding).collect(),
        },
    }
}

fn finding(finding: &domain::Finding) -> wit::Finding {
    wit::Finding {
        metric: finding.metric.clone(),
        observed: finding.observed,
        limit: finding.limit,
        sample: finding.sample,
        statistic: finding.statistic.clone(),
        value: finding.value,
        breached: finding.breached,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_not_finite_is_missing() {
        let metrics = metrics(&domain::ReloadMetrics {
            error_rate_percentage: Some(f32::NAN),
            average_response_time_ms: Some(f64::INFINITY),
            health_check_success_rate: Some(50.0),
            ..Default::default()
        });
        assert_eq!(metrics.error_rate_percentage, None);
        assert_eq!(metrics.average_response_time_ms, None);
        assert_eq!(metrics.health_check_success_rate, Some(50.0));

        let gauge = custom(&domain::CustomMetric {
            name: "queue".to_owned(),
            value: domain::MetricValue::Gauge(f64::NEG_INFINITY),
        });
        let missing = wit::MetricValue::Missing(wit::Absence::NotReported);
        assert_eq!(format!("{:?}", gauge.value), format!("{missing:?}"));
    }
}
