//! The decision: every trigger is measured, the first that fires names the reason, and without one the sample decides.

use caxton_policy::{Blame, Counts, Finding, Judgement, Window, words};

use crate::evidence::{self, Evidence};
use crate::settings::{Settings, Trigger};

/// A version whose health checks pass less often than this, in per cent, is not healthy.
const HEALTHY_FROM: f64 = 50.0;

/// What one trigger saw.
struct Measured {
    finding: Finding,
    /// The reason in words, where the trigger fires.
    fires: Option<Fires>,
}

struct Fires {
    code: &'static str,
    summary: String,
    /// The stable version was beyond the same limit at the same time.
    stable_too: bool,
}

/// The verdict on the candidate and why. `baseline` is the stable version before the reload.
pub(crate) fn decide(
    settings: &Settings,
    baseline: Option<&Window>,
    windows: &[Window],
) -> Judgement {
    let evidence = Evidence::from_windows(windows);
    let mut findings = Vec::new();
    let mut first_reason = None;
    let mut missing = None;
    for trigger in &settings.triggers {
        match measure(trigger, settings, &evidence) {
            Some(measured) => {
                findings.push(measured.finding);
                first_reason = first_reason.or(measured.fires);
            }
            None => missing = missing.or(unreported(trigger)),
        }
        if matches!(trigger, Trigger::PerformanceDegradation { .. }) {
            findings.extend(beside_baseline(trigger, baseline, &evidence));
        }
    }
    if let Some(reason) = first_reason {
        let blame = blame(&reason, &evidence);
        return Judgement::rollback(blame, reason.code, reason.summary).with(findings);
    }
    let requests = evidence.candidate.requests;
    let minimum = settings.minimum_sample;
    if requests < minimum {
        let summary = format!("{requests} of at least {minimum} requests were finished");
        return Judgement::undecided("below-minimum-sample", summary).with(findings);
    }
    if let Some(name) = missing {
        let summary =
            format!("the agent has not reported the metric {name}, which a trigger watches");
        return Judgement::undecided("metric-not-reported", summary).with(findings);
    }
    let summary = format!("no trigger fired in {requests} requests");
    Judgement::proceed("within-thresholds", summary).with(findings)
}

/// With the stable version in the same windows it can be told whose fault it is, and without it cannot.
fn blame(reason: &Fires, evidence: &Evidence) -> Blame {
    if reason.stable_too {
        Blame::Environment
    } else if evidence.stable.requests > 0 {
        Blame::Candidate
    } else {
        Blame::Unknown
    }
}

/// None when there is nothing to measure yet.
fn measure(trigger: &Trigger, settings: &Settings, evidence: &Evidence) -> Option<Measured> {
    match trigger {
        Trigger::HealthCheckFailure => health(settings, evidence),
        Trigger::ErrorRate { threshold } => error_rate(*threshold, settings, evidence),
        Trigger::PerformanceDegradation { threshold } => {
            degradation(*threshold, settings, evidence)
        }
        Trigger::Memory { threshold } => memory(*threshold, evidence),
        Trigger::CustomMetric { name, threshold } => custom(name, *threshold, settings, evidence),
    }
}

fn health(settings: &Settings, evidence: &Evidence) -> Option<Measured> {
    let (passed, total) = (evidence.health_passed, evidence.health_total);
    let rate = evidence::per_cent(passed, total)?;
    let fires = total >= settings.minimum_health_checks && rate < HEALTHY_FROM;
    Some(Measured {
        finding: finding("health-check-success-rate", rate, HEALTHY_FROM, total, fires),
        fires: fires.then(|| Fires {
            code: "health-check-failure",
            summary: format!(
                "health check success rate {} is below {HEALTHY_FROM} % ({passed} of {total} checks passed)",
                words::per_cent(rate)
            ),
            stable_too: false,
        }),
    })
}

fn error_rate(limit: f64, settings: &Settings, evidence: &Evidence) -> Option<Measured> {
    let calls = evidence.candidate;
    let rate = evidence::error_rate(&calls)?;
    let fires = calls.requests >= settings.minimum_sample && rate > limit;
    let stable = evidence.stable;
    let stable_too = stable.requests >= settings.minimum_sample
        && evidence::error_rate(&stable).is_some_and(|stable_rate| stable_rate > limit);
    Some(Measured {
        finding: finding("error-rate", rate, limit, calls.requests, fires),
        fires: fires.then(|| Fires {
            code: "error-rate",
            summary: format!(
                "error rate {} is above {limit} % ({} of {} requests failed)",
                words::per_cent(rate),
                calls.failures,
                calls.requests
            ),
            stable_too,
        }),
    })
}

/// Only beside the stable version in the same windows: at another time, the load was another.
fn degradation(limit: f64, settings: &Settings, evidence: &Evidence) -> Option<Measured> {
    let (candidate, stable) = (evidence.candidate_beside_stable, evidence.stable);
    let (mean, stable_mean) = (candidate.mean_us()?, stable.mean_us()?);
    let slower = slower_by(mean, stable_mean)?;
    let sample = candidate.requests.min(stable.requests);
    let noticed = mean > settings.latency_floor_ms.saturating_mul(1_000) as f64;
    let fires = sample >= settings.minimum_sample && slower > limit && noticed;
    Some(Measured {
        finding: finding("performance-degradation", slower, limit, sample, fires),
        fires: fires.then(|| Fires {
            code: "performance-degradation",
            summary: format!(
                "performance degradation {} is above {limit} % (mean {} over {} requests, the stable version {} over {})",
                words::per_cent(slower),
                words::milliseconds(mean),
                candidate.requests,
                words::milliseconds(stable_mean),
                stable.requests
            ),
            stable_too: false,
        }),
    })
}

/// The same comparison with the stable version before the reload: told, and never a reason.
fn beside_baseline(
    trigger: &Trigger,
    baseline: Option<&Window>,
    evidence: &Evidence,
) -> Option<Finding> {
    let Trigger::PerformanceDegradation { threshold: limit } = trigger else {
        return None;
    };
    let before = Counts::from(baseline?.stable.as_ref()?);
    let slower = slower_by(evidence.candidate.mean_us()?, before.mean_us()?)?;
    Some(Finding {
        statistic: "baseline".to_owned(),
        ..finding(
            "performance-degradation",
            slower,
            *limit,
            evidence.candidate.requests,
            false,
        )
    })
}

fn memory(limit: u64, evidence: &Evidence) -> Option<Measured> {
    let peak = evidence.memory_peak?;
    let fires = peak > limit;
    let requests = evidence.candidate.requests;
    Some(Measured {
        finding: finding("memory", peak as f64, limit as f64, requests, fires),
        fires: fires.then(|| Fires {
            code: "memory",
            summary: format!(
                "memory peak {} is above {} ({peak} bytes, after {requests} requests)",
                words::bytes(peak),
                words::bytes(limit)
            ),
            stable_too: false,
        }),
    })
}

fn custom(name: &str, limit: f64, settings: &Settings, evidence: &Evidence) -> Option<Measured> {
    let figure = evidence.custom(name)?;
    let enough = !figure.is_rate || figure.sample >= settings.minimum_sample;
    let fires = enough && figure.observed > limit;
    let (observed, limit_in_words, what) = if figure.is_rate {
        (
            words::per_cent(figure.observed),
            format!("{limit} %"),
            "observations",
        )
    } else {
        (
            figure.observed.to_string(),
            limit.to_string(),
            "windows with a report",
        )
    };
    Some(Measured {
        finding: finding(name, figure.observed, limit, figure.sample, fires),
        fires: fires.then(|| Fires {
            code: "custom-metric",
            summary: format!(
                "metric {name} at {observed} is above {limit_in_words} ({} {what})",
                figure.sample
            ),
            stable_too: false,
        }),
    })
}

/// The metric that a trigger waits for; none for triggers whose figures come from the host.
fn unreported(trigger: &Trigger) -> Option<&str> {
    match trigger {
        Trigger::CustomMetric { name, .. } => Some(name),
        _ => None,
    }
}

/// How much longer `mean` is than `other`, in per cent of `other`; none when that took no time.
fn slower_by(mean: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| (mean - other) * 100.0 / other)
}

fn finding(metric: &str, observed: f64, limit: f64, sample: u64, breached: bool) -> Finding {
    Finding::new(metric, observed, limit, sample).breached(breached)
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
