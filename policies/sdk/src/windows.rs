//! Windows added up: counts, rates and latencies of one version over time.

use crate::{Arm, Bucket, Window};

/// Finished calls of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that the version is answerable for.
    pub requests: u64,
    /// Of them, those that failed by its own fault.
    pub failures: u64,
    /// Of them, those that it refused.
    pub rejected: u64,
    /// Of them, those that it answered with "not now".
    pub unavailable: u64,
    /// The time that all of them took, in microseconds.
    pub latency_total_us: u64,
}

impl Counts {
    /// The same with these added.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(more.requests),
            failures: self.failures.saturating_add(more.failures),
            rejected: self.rejected.saturating_add(more.rejected),
            unavailable: self.unavailable.saturating_add(more.unavailable),
            latency_total_us: self.latency_total_us.saturating_add(more.latency_total_us),
        }
    }

    /// Failures per request, 0 to 1; none without requests.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        rate(self.failures, self.requests)
    }

    /// Mean time per request, in microseconds; none without requests.
    #[must_use]
    pub fn mean_us(&self) -> Option<f64> {
        rate(self.latency_total_us, self.requests)
    }
}

impl From<&Arm> for Counts {
    fn from(arm: &Arm) -> Self {
        Self {
            requests: arm.requests,
            failures: arm.failures,
            rejected: arm.rejected,
            unavailable: arm.unavailable,
            latency_total_us: arm.latency_total_us,
        }
    }
}

/// `part` of `whole`; none of nothing.
#[must_use]
pub fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Whether the candidate was meant to have traffic in the window, or had some, or heard copies.
#[must_use]
pub fn has_traffic(window: &Window) -> bool {
    let answered = window
        .candidate
        .as_ref()
        .is_some_and(|arm| arm.requests > 0);
    answered || window.split_wanted > 0 || window.mirrored.is_some()
}

/// The windows that a policy should judge by: from the first in which the candidate has traffic, without warm-up.
pub fn judged(windows: &[Window]) -> impl Iterator<Item = &Window> {
    windows
        .iter()
        .skip_while(|window| !has_traffic(window))
        .filter(|window| !window.warm_up)
}

/// The windows that end after `seen_ms`: what is new since a call whose last window ended then.
pub fn since(windows: &[Window], seen_ms: u64) -> &[Window] {
    let new = windows
        .iter()
        .rev()
        .take_while(|window| window.end_ms > seen_ms)
        .count();
    windows
        .get(windows.len().saturating_sub(new)..)
        .unwrap_or(&[])
}

/// What the candidate did in these windows: calls of callers and answers to copies alike.
pub fn candidate<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Counts {
    sum(windows, |window| {
        [window.candidate.as_ref(), window.mirrored.as_ref()]
    })
}

/// What the stable version did in these windows.
pub fn stable<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Counts {
    sum(windows, |window| [window.stable.as_ref(), None])
}

fn sum<'a>(
    windows: impl IntoIterator<Item = &'a Window>,
    arms: fn(&'a Window) -> [Option<&'a Arm>; 2],
) -> Counts {
    windows
        .into_iter()
        .flat_map(arms)
        .flatten()
        .fold(Counts::default(), |sum, arm| sum.and(arm.into()))
}

/// The bound, in microseconds, under which this part of the calls stayed (`0.95` for the 95th percentile): the upper bound of its
/// bucket, so not less than the true one. None without calls, and none where it lies beyond the last finite bound.
#[must_use]
pub fn quantile_us(buckets: &[Bucket], part: f64) -> Option<u64> {
    let all = buckets.last()?.count;
    if all == 0 {
        return None;
    }
    let wanted = part * all as f64;
    let bucket = buckets
        .iter()
        .find(|bucket| bucket.count as f64 >= wanted)?;
    (bucket.up_to_us < u64::MAX).then_some(bucket.up_to_us)
}

/// How many calls took longer than `limit_us`, counted from the first bucket that reaches so far: not more than there are.
#[must_use]
pub fn calls_above(buckets: &[Bucket], limit_us: u64) -> u64 {
    let all = buckets.last().map_or(0, |bucket| bucket.count);
    let within = buckets
        .iter()
        .find(|bucket| bucket.up_to_us >= limit_us)
        .map_or(all, |bucket| bucket.count);
    all.saturating_sub(within)
}

/// Adds the counts of `more` to `sum`, which may be empty; both have the contract's bounds.
pub fn add_latency(sum: &mut Vec<Bucket>, more: &[Bucket]) {
    if sum.is_empty() {
        sum.extend_from_slice(more);
        return;
    }
    for (into, from) in sum.iter_mut().zip(more) {
        into.count = into.count.saturating_add(from.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{answered, latencies, window};

    #[test]
    fn windows_before_traffic_and_in_warm_up_are_not_judged() {
        let before = Window::default();
        let warming = Window {
            warm_up: true,
            ..window(1, (9, 9), (0, 0))
        };
        let windows = [before, warming, window(2, (1, 10), (0, 20))];
        assert_eq!(candidate(judged(&windows)).failures, 1);
        assert_eq!(stable(judged(&windows)).requests, 20);
        assert_eq!(candidate(&windows).failure_rate(), Some(10.0 / 19.0));
    }

    #[test]
    fn only_what_ends_later_is_new() {
        let windows: Vec<Window> = (0..5).map(|n| window(n, (0, 1), (0, 1))).collect();
        assert_eq!(since(&windows, 0).len(), 5);
        assert_eq!(since(&windows, 3_000).len(), 2);
        assert_eq!(since(&windows, 9_000).len(), 0);
    }

    #[test]
    fn copies_count_as_answers() {
        let copies = Window {
            mirrored: Some(answered(2, 5)),
            ..Window::default()
        };
        assert_eq!(candidate([&copies]).failures, 2);
    }

    #[test]
    fn quantiles_and_counts_come_from_buckets() {
        let buckets = latencies(&[(10, 90), (50, 8), (2_000, 2)]);
        assert_eq!(quantile_us(&buckets, 0.5), Some(10_000));
        assert_eq!(quantile_us(&buckets, 0.95), Some(50_000));
        assert_eq!(calls_above(&buckets, 10_000), 10);
        assert_eq!(calls_above(&buckets, 50_000), 2);
        assert_eq!(calls_above(&buckets, u64::MAX), 0);
        assert_eq!(quantile_us(&[], 0.5), None);
        let mut sum = Vec::new();
        add_latency(&mut sum, &buckets);
        add_latency(&mut sum, &buckets);
        assert_eq!(calls_above(&sum, 10_000), 20);
    }
}
