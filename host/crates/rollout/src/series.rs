//! Windows over time: how two become one, how many are kept, and what the stable version did before a reload.

use std::collections::VecDeque;

use crate::{Absence, Arm, Bucket, CustomMetric, MetricValue, Moment, Window};

/// How many windows a policy sees at most: two minutes at the usual tick, and a bounded argument for its call.
pub const MAX_WINDOWS: usize = 120;

/// How many figures of its own an arm carries at most, as the contract says.
const MAX_CUSTOM: usize = 64;

/// The baseline is collected in slots of at least this many milliseconds: ten arms to hold per agent, not hundreds.
const SLOT_MS: u64 = 60_000;

/// How many slots are held: ten minutes are recent enough to compare with, and long enough for quiet agents.
const SLOTS: usize = 10;

/// The windows of one reload, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    windows: Vec<Window>,
}

impl Series {
    /// Adds the newest; beyond [`MAX_WINDOWS`] the oldest neighbours that are alike become one.
    ///
    /// The newest stays as it is: a policy that remembers up to where it has seen finds what is new on its own.
    pub fn push(&mut self, window: Window) {
        self.windows.push(window);
        if self.windows.len() <= MAX_WINDOWS {
            return;
        }
        let at = self
            .first_pair(MAX_WINDOWS / 2, |a, b| {
                are_alike(a, b) && is_paired(a) == is_paired(b)
            })
            .or_else(|| self.first_pair(MAX_WINDOWS, are_alike))
            // A share that somebody changes with every tick: then the oldest have to do.
            .unwrap_or(0);
        let later = self.windows.remove(at + 1);
        if let Some(earlier) = self.windows.get_mut(at) {
            *earlier = merge_windows(earlier, &later);
        }
    }

    /// The oldest neighbours, within so many windows, of which this is true.
    fn first_pair(&self, within: usize, is: impl Fn(&Window, &Window) -> bool) -> Option<usize> {
        let older = self.windows.get(..within)?;
        older.windows(2).position(|pair| match pair {
            [a, b] => is(a, b),
            _ => false,
        })
    }

    /// What was pushed last: it is never part of a larger one.
    #[must_use]
    pub fn newest(&self) -> Option<&Window> {
        self.windows.last()
    }

    /// Oldest first, at most [`MAX_WINDOWS`].
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }
}

/// Whether two windows may become one, as the contract says; and whether there was something to compare with does not change
/// either.
fn are_alike(a: &Window, b: &Window) -> bool {
    let compared = |window: &Window| window.stable.is_some();
    a.split_wanted == b.split_wanted && a.warm_up == b.warm_up && compared(a) == compared(b)
}

/// Whether both versions had traffic. A merge of one that is and one that is not would compare more than was there, and is avoided
/// among the older half, as long as that leaves something to merge.
fn is_paired(window: &Window) -> bool {
    let busy = |arm: &Option<Arm>| arm.as_ref().is_some_and(|arm| arm.requests > 0);
    busy(&window.stable) && busy(&window.candidate)
}

/// The recent traffic of the permanent version, for the baseline of the next reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recent {
    slots: VecDeque<(Moment, Moment, Arm)>,
}

impl Recent {
    pub(crate) fn push(&mut self, start: Moment, end: Moment, arm: &Arm) {
        match self.slots.back_mut() {
            Some((first, last, sum)) if last.0.saturating_sub(first.0) < SLOT_MS => {
                *sum = merge_arms(sum, arm);
                *last = end.max(*last);
            }
            _ => self.slots.push_back((start, end, arm.clone())),
        }
        while self.slots.len() > SLOTS {
            self.slots.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Everything held, as one window from zero; none where nothing was measured.
    pub(crate) fn baseline(&self) -> Option<Window> {
        let mut arms = self.slots.iter().map(|(_, _, arm)| arm);
        let first = arms.next()?.clone();
        let stable = arms.fold(first, |sum, arm| merge_arms(&sum, arm));
        let length = self
            .slots
            .iter()
            .map(|(start, end, _)| end.0.saturating_sub(start.0))
            .sum();
        Some(Window {
            end_ms: length,
            stable: Some(stable),
            ..Window::default()
        })
    }
}

fn merge_windows(a: &Window, b: &Window) -> Window {
    let stable = merge_optional(a.stable.as_ref(), b.stable.as_ref());
    let candidate = merge_optional(a.candidate.as_ref(), b.candidate.as_ref());
    Window {
        start_ms: a.start_ms,
        end_ms: b.end_ms,
        split_wanted: b.split_wanted,
        split_actual: share(stable.as_ref(), candidate.as_ref()),
        warm_up: b.warm_up,
        mirrored: merge_optional(a.mirrored.as_ref(), b.mirrored.as_ref()),
        mirrored_mismatches: a.mirrored_mismatches.saturating_add(b.mirrored_mismatches),
        stable,
        candidate,
    }
}

/// Per cent of the counted requests that the candidate answered; none where nothing was answered.
pub(crate) fn share(stable: Option<&Arm>, candidate: Option<&Arm>) -> Option<f32> {
    let (stable, candidate) = (
        stable.map_or(0, |arm| arm.requests),
        candidate.map_or(0, |arm| arm.requests),
    );
    let all = stable.saturating_add(candidate);
    (all > 0).then(|| (candidate as f64 * 100.0 / all as f64) as f32)
}

fn merge_optional(a: Option<&Arm>, b: Option<&Arm>) -> Option<Arm> {
    match (a, b) {
        (Some(a), Some(b)) => Some(merge_arms(a, b)),
        (one, other) => one.or(other).cloned(),
    }
}

/// Two intervals of one version as one, `b` being the later.
pub(crate) fn merge_arms(a: &Arm, b: &Arm) -> Arm {
    Arm {
        requests: a.requests.saturating_add(b.requests),
        failures: a.failures.saturating_add(b.failures),
        traps: a.traps.saturating_add(b.traps),
        deadlines: a.deadlines.saturating_add(b.deadlines),
        rejected: a.rejected.saturating_add(b.rejected),
        unavailable: a.unavailable.saturating_add(b.unavailable),
        not_counted: a.not_counted.saturating_add(b.not_counted),
        callers: a.callers.max(b.callers),
        failing_callers: a.failing_callers.max(b.failing_callers),
        in_flight: b.in_flight,
        latency_total_us: a.latency_total_us.saturating_add(b.latency_total_us),
        latency: merge_latency(&a.latency, &b.latency),
        health_passed: a.health_passed.saturating_add(b.health_passed),
        health_total: a.health_total.saturating_add(b.health_total),
        memory_peak: a.memory_peak.max(b.memory_peak),
        memory_mean: mean_memory(a, b),
        memory_limit: a.memory_limit.max(b.memory_limit),
        fuel: match (a.fuel, b.fuel) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (one, other) => one.or(other),
        },
        custom: merge_custom(&a.custom, &b.custom),
    }
}

/// Weighted by requests, because instances live with them; a part without any memory says nothing.
fn mean_memory(a: &Arm, b: &Arm) -> u64 {
    let weigh = |arm: &Arm| match arm.memory_mean {
        0 => 0,
        _ => u128::from(arm.requests.max(1)),
    };
    let (wa, wb) = (weigh(a), weigh(b));
    let sum = wa * u128::from(a.memory_mean) + wb * u128::from(b.memory_mean);
    sum.checked_div(wa + wb)
        .and_then(|mean| u64::try_from(mean).ok())
        .unwrap_or(0)
}

fn merge_latency(a: &[Bucket], b: &[Bucket]) -> Vec<Bucket> {
    if a.len() != b.len() {
        // One of them is empty: every list that is not has the same bounds.
        return if a.is_empty() { b.to_vec() } else { a.to_vec() };
    }
    let add = |(a, b): (&Bucket, &Bucket)| Bucket {
        up_to_us: b.up_to_us,
        count: a.count.saturating_add(b.count),
    };
    a.iter().zip(b).map(add).collect()
}

fn merge_custom(a: &[CustomMetric], b: &[CustomMetric]) -> Vec<CustomMetric> {
    let mut merged = a.to_vec();
    for later in b {
        match merged.iter_mut().find(|metric| metric.name == later.name) {
            Some(metric) => metric.value = merge_values(metric.value, later.value),
            None => merged.push(later.clone()),
        }
    }
    merged.sort_by(|a, b| a.name.cmp(&b.name));
    merged.truncate(MAX_CUSTOM);
    merged
}

fn merge_values(a: MetricValue, b: MetricValue) -> MetricValue {
    use MetricValue::{Counter, Missing, Ratio};
    match (a, b) {
        (Counter(a), Counter(b)) => Counter(a.saturating_add(b)),
        (Ratio(bad_a, all_a), Ratio(bad_b, all_b)) => {
            Ratio(bad_a.saturating_add(bad_b), all_a.saturating_add(all_b))
        }
        (known, Missing(Absence::NoTraffic | Absence::NotYet | Absence::NotReported)) => known,
        (_, later) => later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(second: u64, split: u8, requests: u64) -> Window {
        let arm = Arm {
            requests,
            memory_peak: requests,
            ..Arm::default()
        };
        let (start_ms, end_ms) = (second * 1_000, second * 1_000 + 1_000);
        Window {
            start_ms,
            end_ms,
            split_wanted: split,
            candidate: Some(arm),
            ..Window::default()
        }
    }

    #[test]
    fn a_long_series_keeps_every_count_and_the_newest_windows() {
        let mut series = Series::default();
        for second in 0..1_000 {
            series.push(window(second, u8::from(second >= 10) * 100, 3));
        }
        let windows = series.windows();
        assert_eq!(windows.len(), MAX_WINDOWS);
        let sum: u64 = windows
            .iter()
            .flat_map(|w| &w.candidate)
            .map(|arm| arm.requests)
            .sum();
        assert_eq!(sum, 3_000);
        assert!(
            windows
                .windows(2)
                .all(|pair| pair[0].end_ms == pair[1].start_ms)
        );
        assert_eq!(windows[MAX_WINDOWS - 1], window(999, 100, 3));
        assert_eq!(
            (windows[0].end_ms, windows[0].split_wanted),
            (10_000, 0),
            "splits stay apart"
        );
    }

    #[test]
    fn the_baseline_covers_ten_minutes_and_no_more() {
        let mut recent = Recent::default();
        assert_eq!(recent.baseline(), None);
        for second in 0..3_600 {
            let arm = Arm {
                requests: 1,
                ..Arm::default()
            };
            recent.push(Moment(second * 1_000), Moment(second * 1_000 + 1_000), &arm);
        }
        let baseline = recent.baseline().unwrap();
        let requests = baseline.stable.unwrap().requests;
        assert_eq!(requests * 1_000, baseline.end_ms);
        assert!((540..=600).contains(&requests), "{requests}");
    }

    #[test]
    fn merged_metrics_add_up_or_give_way_to_the_later() {
        let custom = |name: &str, value| CustomMetric {
            name: name.to_owned(),
            value,
        };
        let a = [
            custom("a", MetricValue::Counter(2)),
            custom("c", MetricValue::Gauge(1.0)),
        ];
        let b = [
            custom("a", MetricValue::Counter(3)),
            custom("b", MetricValue::Ratio(1, 4)),
            custom("c", MetricValue::Missing(Absence::NoTraffic)),
        ];
        let expected = [
            custom("a", MetricValue::Counter(5)),
            custom("b", MetricValue::Ratio(1, 4)),
            custom("c", MetricValue::Gauge(1.0)),
        ];
        assert_eq!(merge_custom(&a, &b), expected);
    }

    #[test]
    fn a_merge_makes_no_pair_of_versions_that_had_no_traffic_together() {
        let mut series = Series::default();
        let mut paired = window(0, 100, 30);
        paired.stable = Some(Arm {
            requests: 30,
            ..Arm::default()
        });
        series.push(paired.clone());
        for second in 1..=MAX_WINDOWS as u64 + 5 {
            series.push(window(second, 100, 30));
        }
        assert_eq!(series.windows().len(), MAX_WINDOWS);
        assert_eq!(series.windows().first(), Some(&paired));
    }

    /// Both have traffic in every second window only: no two neighbours are alike in that, and the splits stay apart all the same.
    #[test]
    fn sparse_traffic_is_merged_from_the_oldest_on() {
        let mut series = Series::default();
        for second in 0..2_000_u64 {
            let mut next = window(second, u8::from(second >= 10) * 5, second % 2);
            next.warm_up = second < 10;
            next.stable = Some(Arm {
                requests: 3,
                ..Arm::default()
            });
            series.push(next);
            let windows = series.windows();
            let newest = &windows[windows.len() - 1];
            assert_eq!(
                newest.start_ms,
                second * 1_000,
                "the newest is never merged"
            );
        }
        let windows = series.windows();
        assert_eq!(windows.len(), MAX_WINDOWS);
        let warm = windows.iter().filter(|window| window.warm_up);
        assert_eq!(warm.map(|window| window.end_ms).max(), Some(10_000));
        let recent = &windows[MAX_WINDOWS / 2..];
        assert!(recent.iter().all(|w| w.end_ms - w.start_ms == 1_000));
    }

    #[test]
    fn a_share_that_changes_with_every_tick_costs_the_oldest() {
        let mut series = Series::default();
        for second in 0..1_000_u64 {
            series.push(window(second, (second % 2) as u8 * 10, 1));
        }
        let windows = series.windows();
        assert_eq!(windows.len(), MAX_WINDOWS);
        assert!(windows[1..].iter().all(|w| w.end_ms - w.start_ms == 1_000));
    }
}
