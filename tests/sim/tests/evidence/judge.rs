//! The policies `evidence` and `standard`, called natively: the core's types become those that policies are written with, and its answer comes back.

use caxton_policy as told;
use caxton_rollout as core;
use policy_evidence::Evidence;
use policy_standard::Standard;

/// One call of the policy with what the core wants it to be told.
pub(crate) fn evaluate(
    context: &core::Context,
    metrics: &core::ReloadMetrics,
    windows: &[core::Window],
    call: &core::PolicyCall,
) -> Result<core::RollbackAnswer, core::Fault> {
    let windows: Vec<told::Window> = windows.iter().map(window).collect();
    let answer = told::component::evaluate::<Evidence>(
        &call.settings,
        &self::context(context),
        &self::metrics(metrics),
        &windows,
        &call.state,
    );
    match answer {
        Ok(answer) => Ok(core::RollbackAnswer {
            verdict: verdict(answer.verdict),
            why: explanation(answer.why),
            state: answer.state,
        }),
        Err(message) => Err(core::Fault {
            policy: call.name.clone(),
            kind: core::FaultKind::Error,
            message,
        }),
    }
}

/// The next step of the strategy policy.
pub(crate) fn next(
    context: &core::Context,
    metrics: &core::ReloadMetrics,
    windows: &[core::Window],
    fit: bool,
) -> core::StrategyAnswer {
    let windows: Vec<told::Window> = windows.iter().map(window).collect();
    let (context, metrics) = (self::context(context), self::metrics(metrics));
    let reload = told::Reload {
        context: &context,
        metrics: &metrics,
        windows: &windows,
    };
    let answer = told::component::next::<Standard>("{}", &reload, fit, &[]).unwrap();
    core::StrategyAnswer {
        step: match answer.step {
            told::Step::Wait => core::Step::Wait,
            told::Step::Advance => core::Step::Advance,
            told::Step::SetSplit(percent) => core::Step::SetSplit(percent),
            told::Step::Promote => core::Step::Promote,
            told::Step::Hold(text) => core::Step::Hold(text),
        },
        why: explanation(answer.why),
        next_check: answer.next_check_ms.map(std::time::Duration::from_millis),
        state: answer.state,
    }
}

fn verdict(verdict: told::Verdict) -> core::Verdict {
    match verdict {
        told::Verdict::Proceed => core::Verdict::Proceed,
        told::Verdict::Undecided => core::Verdict::Undecided,
        told::Verdict::Hold => core::Verdict::Hold,
        told::Verdict::Rollback(blame) => core::Verdict::Rollback(match blame {
            told::Blame::Candidate => core::Blame::Candidate,
            told::Blame::Environment => core::Blame::Environment,
            told::Blame::Unknown => core::Blame::Unknown,
        }),
    }
}

fn explanation(why: told::Explanation) -> core::Explanation {
    let finding = |finding: told::Finding| core::Finding {
        metric: finding.metric,
        observed: finding.observed,
        limit: finding.limit,
        sample: finding.sample,
        statistic: finding.statistic,
        value: finding.value,
        breached: finding.breached,
    };
    core::Explanation {
        code: why.code,
        summary: why.summary,
        findings: why.findings.into_iter().map(finding).collect(),
    }
}

fn context(context: &core::Context) -> told::Context {
    let attempt = |attempt: &core::Attempt| told::Attempt {
        version: version(&attempt.version),
        outcome: match attempt.outcome {
            core::Outcome::Completed => told::Outcome::Completed,
            core::Outcome::Failed => told::Outcome::Failed,
            core::Outcome::Cancelled => told::Outcome::Cancelled,
            core::Outcome::RolledBack => told::Outcome::RolledBack,
            core::Outcome::Superseded => told::Outcome::Superseded,
        },
        reason: attempt.reason.clone(),
        ended_ms_ago: attempt.ended_ms_ago,
    };
    told::Context {
        reload_id: context.reload_id.clone(),
        deadline_ms: context.deadline_ms,
        paused: context.paused,
        agent: context.agent.clone(),
        stable: context.stable.as_ref().map(version),
        candidate: version(&context.candidate),
        stateful: context.stateful,
        phase: match context.phase {
            core::Phase::Preparing => told::Phase::Preparing,
            core::Phase::Starting => told::Phase::Starting,
            core::Phase::InProgress => told::Phase::InProgress,
            core::Phase::Baking => told::Phase::Baking,
        },
        stage: context.stage,
        stages: context.stages,
        stage_elapsed_ms: context.stage_elapsed_ms,
        elapsed_ms: context.elapsed_ms,
        split: context.split,
        baseline: context.baseline.as_ref().map(window),
        history: context.history.iter().map(attempt).collect(),
        seed: context.seed,
    }
}

fn version(version: &core::Version) -> told::Version {
    told::Version {
        number: version.number.get(),
        digest: version.digest.to_string(),
        config_digest: version.config_digest.to_string(),
        size: version.size,
        state_format: None,
    }
}

fn metrics(metrics: &core::ReloadMetrics) -> told::ReloadMetrics {
    told::ReloadMetrics {
        requests_processed: metrics.requests_processed,
        requests_failed: metrics.requests_failed,
        error_rate_percentage: metrics.error_rate_percentage,
        average_response_time_ms: metrics.average_response_time_ms,
        performance_degradation_percentage: metrics.performance_degradation_percentage,
        memory_usage_peak: metrics.memory_usage_peak,
        memory_usage_average: metrics.memory_usage_average,
        health_check_success_rate: metrics.health_check_success_rate,
        traffic_split_actual: metrics.traffic_split_actual,
        callers: metrics.callers,
        failing_callers: metrics.failing_callers,
    }
}

fn window(window: &core::Window) -> told::Window {
    told::Window {
        start_ms: window.start_ms,
        end_ms: window.end_ms,
        split_wanted: window.split_wanted,
        split_actual: window.split_actual,
        warm_up: window.warm_up,
        stable: window.stable.as_ref().map(arm),
        candidate: window.candidate.as_ref().map(arm),
        mirrored: window.mirrored.as_ref().map(arm),
        mirrored_mismatches: window.mirrored_mismatches,
    }
}

fn arm(arm: &core::Arm) -> told::Arm {
    let bucket = |bucket: &core::Bucket| told::Bucket {
        up_to_us: bucket.up_to_us,
        count: bucket.count,
    };
    let custom = |metric: &core::CustomMetric| told::CustomMetric {
        name: metric.name.clone(),
        value: value(metric.value),
    };
    told::Arm {
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

fn value(value: core::MetricValue) -> told::MetricValue {
    match value {
        core::MetricValue::Counter(increase) => told::MetricValue::Counter(increase),
        core::MetricValue::Gauge(last) => told::MetricValue::Gauge(last),
        core::MetricValue::Ratio(bad, all) => told::MetricValue::Ratio((bad, all)),
        core::MetricValue::Missing(absence) => told::MetricValue::Missing(match absence {
            core::Absence::NoTraffic => told::Absence::NoTraffic,
            core::Absence::NotYet => told::Absence::NotYet,
            core::Absence::NotReported => told::Absence::NotReported,
            core::Absence::Stale(ms) => told::Absence::Stale(ms),
        }),
    }
}
