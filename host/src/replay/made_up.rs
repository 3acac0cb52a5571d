//! One more window that nobody measured: so many requests more, of which so many fail.

use caxton_rollout::{Arm, Bucket, Context, LATENCY_BOUNDS_US, MetricValue, ReloadMetrics, Window};

use crate::records::read::Question;

/// A window's length where none was recorded.
const TICK_MS: u64 = 1_000;

/// Requests of the stable version in a made-up window: at a small share of the candidate they would be very many.
const STABLE_REQUESTS_MAX: u64 = 10_000;

/// What would be asked one window later.
pub(super) struct Later {
    pub(super) context: Context,
    pub(super) metrics: ReloadMetrics,
    pub(super) windows: Vec<Window>,
}

/// The question of the next round if `requests` more came in, of which `failures` fail. All else is as it was on average:
/// the spread of latency, memory, the stable version's part. Each request is another caller's, where callers are told apart.
pub(super) fn later(question: &Question, requests: u64, failures: u64) -> Later {
    let last = question.windows.last();
    let listens = listens(question);
    let past = |window: &Window| -> Option<Arm> {
        let arm = if listens {
            &window.mirrored
        } else {
            &window.candidate
        };
        arm.clone()
    };
    let start = last.map_or(question.context.elapsed_ms, |window| window.end_ms);
    let length = last
        .map(|window| window.end_ms.saturating_sub(window.start_ms))
        .filter(|length| *length > 0)
        .unwrap_or(TICK_MS);
    let arms: Vec<Arm> = question.windows.iter().filter_map(past).collect();
    let tells_callers = tells_callers(question);
    let arm = arm(&arms, requests, failures, tells_callers);
    let stable_arms: Vec<Arm> = question
        .windows
        .iter()
        .filter_map(|window| window.stable.clone())
        .collect();
    let with_stable =
        last.is_some_and(|window| window.stable.as_ref().is_some_and(|arm| arm.requests > 0));
    let stable = with_stable.then(|| {
        beside(
            &stable_arms,
            question.context.split,
            requests,
            tells_callers,
        )
    });
    let split = question.context.split;
    let window = Window {
        start_ms: start,
        end_ms: start.saturating_add(length),
        split_wanted: split,
        split_actual: (!listens).then_some(f32::from(split)),
        warm_up: false,
        stable,
        mirrored: listens.then(|| arm.clone()),
        candidate: if listens {
            last.and_then(|window| window.candidate.as_ref())
                .map(|_| Arm::default())
        } else {
            Some(arm.clone())
        },
        mirrored_mismatches: 0,
    };
    let mut windows = question.windows.clone();
    windows.push(window);
    let mut context = question.context.clone();
    context.elapsed_ms = context.elapsed_ms.saturating_add(length);
    context.stage_elapsed_ms = context.stage_elapsed_ms.saturating_add(length);
    context.deadline_ms = context.deadline_ms.map(|left| left.saturating_sub(length));
    Later {
        context,
        metrics: metrics(&question.metrics, &arm),
        windows: series(windows),
    }
}

/// Whether the candidate gets copies and no requests yet.
pub(super) fn listens(question: &Question) -> bool {
    question.context.split == 0
        && question
            .windows
            .last()
            .is_some_and(|window| window.mirrored.is_some())
}

/// Whether the host tells callers of this agent apart: without a key for them in its configuration it counts none, and a
/// policy takes none for "not known".
fn tells_callers(question: &Question) -> bool {
    let arms = |window: &Window| {
        let all = [&window.stable, &window.candidate, &window.mirrored];
        all.into_iter().flatten().any(|arm| arm.callers > 0)
    };
    let mut windows = question.windows.iter().chain(&question.context.baseline);
    question.metrics.callers > 0 || windows.any(arms)
}

/// The windows as a policy is shown them: no more than it may be.
fn series(windows: Vec<Window>) -> Vec<Window> {
    let mut series = caxton_rollout::Series::default();
    for window in windows {
        series.push(window);
    }
    series.windows().to_vec()
}

fn arm(past: &[Arm], requests: u64, failures: u64, tells_callers: bool) -> Arm {
    let last = past.last();
    let latency = mean(past).unwrap_or(0);
    let health = last.map_or(0, |arm| arm.health_total);
    Arm {
        requests,
        failures,
        callers: if tells_callers { requests } else { 0 },
        failing_callers: if tells_callers { failures } else { 0 },
        latency_total_us: latency.saturating_mul(requests),
        latency: buckets(past, requests),
        health_passed: health,
        health_total: health,
        memory_peak: last.map_or(0, |arm| arm.memory_peak),
        memory_mean: last.map_or(0, |arm| arm.memory_mean),
        memory_limit: last.map_or(0, |arm| arm.memory_limit),
        // What an agent would report of itself in requests that never were is not known; a level is as it was.
        custom: last.map_or_else(Vec::new, |arm| {
            let level = |value: &MetricValue| matches!(value, MetricValue::Gauge(_));
            arm.custom
                .iter()
                .filter(|metric| level(&metric.value))
                .cloned()
                .collect()
        }),
        ..Arm::default()
    }
}

/// The stable version beside it: its share of the requests, failing as often as it did.
fn beside(past: &[Arm], split: u8, requests: u64, tells_callers: bool) -> Arm {
    let (all, failed) = past.iter().fold((0_u64, 0_u64), |(all, failed), arm| {
        (
            all.saturating_add(arm.requests),
            failed.saturating_add(arm.failures),
        )
    });
    let split = u64::from(split.min(100));
    let its = requests.saturating_mul(100 - split).checked_div(split);
    let its = its.unwrap_or(requests).min(STABLE_REQUESTS_MAX);
    let failures = u128::from(its) * u128::from(failed) / u128::from(all.max(1));
    let failures = u64::try_from(failures).unwrap_or(its);
    arm(past, its, failures, tells_callers)
}

/// Mean time per request, in microseconds.
fn mean(past: &[Arm]) -> Option<u64> {
    let (requests, total) = past.iter().fold((0_u64, 0_u64), |(requests, total), arm| {
        (
            requests.saturating_add(arm.requests),
            total.saturating_add(arm.latency_total_us),
        )
    });
    total.checked_div(requests)
}

/// The past requests' buckets, scaled to so many requests: a heavy tail stays one. Where there are none, all are as fast as
/// can be.
fn buckets(past: &[Arm], requests: u64) -> Vec<Bucket> {
    if requests == 0 {
        return Vec::new();
    }
    let timed = |arm: &&Arm| !arm.latency.is_empty();
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.map(u128::from).sum::<u128>();
    let all = sum(&mut past.iter().filter(timed).map(|arm| arm.requests));
    let bucket = |up_to_us: u64| {
        let mut counts = past.iter().flat_map(|arm| &arm.latency);
        let mut counts = counts
            .by_ref()
            .filter(|bucket| bucket.up_to_us == up_to_us)
            .map(|bucket| bucket.count);
        // To the nearest: buckets that grow stay so.
        let count = match all {
            0 => requests,
            all => {
                let scaled = (sum(&mut counts) * u128::from(requests) + all / 2) / all;
                u64::try_from(scaled).unwrap_or(u64::MAX).min(requests)
            }
        };
        Bucket { up_to_us, count }
    };
    LATENCY_BOUNDS_US.into_iter().map(bucket).collect()
}

fn metrics(so_far: &ReloadMetrics, arm: &Arm) -> ReloadMetrics {
    let processed = so_far.requests_processed.saturating_add(arm.requests);
    let failed = so_far.requests_failed.saturating_add(arm.failures);
    let total_ms = so_far.average_response_time_ms.unwrap_or(0.0)
        * so_far.requests_processed as f64
        + arm.latency_total_us as f64 / 1_000.0;
    ReloadMetrics {
        requests_processed: processed,
        requests_failed: failed,
        error_rate_percentage: (processed > 0)
            .then(|| (failed as f64 * 100.0 / processed as f64) as f32),
        average_response_time_ms: (processed > 0).then(|| total_ms / processed as f64),
        callers: so_far.callers.saturating_add(arm.callers),
        failing_callers: so_far.failing_callers.saturating_add(arm.failing_callers),
        ..so_far.clone()
    }
}

#[cfg(test)]
mod tests {
    use caxton_rollout::Moment;

    use super::*;
    use crate::replay::recorded::{self, taken_back};

    /// 200 requests of the candidate, each twentieth in the last bucket or beyond it.
    async fn question(callers: u64) -> Question {
        let recording = taken_back(1).await;
        let context = recording.lines.iter().find_map(|record| match record {
            crate::records::Record::Facts(facts) => Some(facts.context.clone()),
            _ => None,
        });
        let last = LATENCY_BOUNDS_US.last().copied().unwrap();
        let bucket = |up_to_us| Bucket {
            up_to_us,
            count: if up_to_us == last { 196 } else { 190 },
        };
        let arm = Arm {
            requests: 200,
            callers,
            latency_total_us: 200 * 50_000,
            latency: LATENCY_BOUNDS_US.into_iter().map(bucket).collect(),
            ..Arm::default()
        };
        Question {
            tick: 1,
            at: Moment(recorded::BEGAN),
            context: context.unwrap(),
            metrics: ReloadMetrics {
                callers,
                requests_processed: 200,
                ..ReloadMetrics::default()
            },
            windows: vec![Window {
                end_ms: 1_000,
                split_wanted: 50,
                candidate: Some(arm),
                ..Window::default()
            }],
            fit: true,
        }
    }

    fn made_up(question: &Question, requests: u64) -> (Arm, ReloadMetrics) {
        let later = later(question, requests, 2);
        let arm = later.windows.last().unwrap().candidate.clone().unwrap();
        (arm, later.metrics)
    }

    #[tokio::test]
    async fn a_heavy_tail_stays_as_it_is() {
        let (arm, _) = made_up(&question(0).await, 100);
        let counts: Vec<u64> = arm.latency.iter().map(|bucket| bucket.count).collect();
        let (last, others) = counts.split_last().unwrap();
        assert_eq!(*last, 98, "2 of 100 are beyond all bounds");
        assert!(others.iter().all(|count| *count == 95), "{counts:?}");
        assert_eq!(arm.latency_total_us, 100 * 50_000);
        let mut nothing = question(0).await;
        nothing.windows.clear();
        let (arm, _) = made_up(&nothing, 3);
        assert!(arm.latency.iter().all(|bucket| bucket.count == 3));
    }

    #[tokio::test]
    async fn callers_that_are_not_told_apart_stay_none() {
        let (arm, metrics) = made_up(&question(0).await, 20);
        let callers = (arm.callers, arm.failing_callers, metrics.callers);
        assert_eq!(callers, (0, 0, 0));
        let (arm, metrics) = made_up(&question(7).await, 20);
        let callers = (arm.callers, arm.failing_callers, metrics.callers);
        assert_eq!(callers, (20, 2, 27));
    }
}
