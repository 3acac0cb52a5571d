//! What a version did, as atomics: added to on the request path, taken away by the control path at each tick.
//!
//! Nothing here is exact to the call at the edge of a window: a call that settles while a window is taken falls into one of
//! the two, never into both and never into none.

use crate::limits::MemoryUse;
use crate::metrics::{CustomMetric, CustomMetrics};
use caxton_rollout::LATENCY_BOUNDS_US;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits for distinct callers: linear counting stays within a few per cent up to some ten thousand callers in a window.
const CALLER_BITS: usize = 1 << 14;

/// How a call ended, as the counts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer that is nobody's fault.
    Answered,
    /// The caller's fault: 4xx or `invalid`.
    Rejected,
    /// Not now: 503 or `unavailable`.
    Unavailable,
    /// 5xx, `internal`, no answer, or an answer that was not finished.
    Failed,
    /// The guest trapped.
    Trapped,
    /// The guest took too long.
    TooLate,
    /// Shed, cancelled by the caller, or a host's error.
    NotCounted,
    /// Ended by the host because of a reload.
    Cut,
}

impl Outcome {
    /// What a status code says about a version.
    pub(crate) fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            503 => Self::Unavailable,
            // An interim status is no answer, and the gateway sends none.
            100..=199 | 500..=599 => Self::Failed,
            400..=499 => Self::Rejected,
            _ => Self::Answered,
        }
    }

    fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Trapped | Self::TooLate)
    }

    pub(crate) fn to_u8(self) -> u8 {
        match self {
            Self::Answered => 0,
            Self::Rejected => 1,
            Self::Unavailable => 2,
            Self::Failed => 3,
            Self::Trapped => 4,
            Self::TooLate => 5,
            Self::NotCounted => 6,
            Self::Cut => 7,
        }
    }

    pub(crate) fn from_u8(byte: u8) -> Self {
        match byte {
            0 => Self::Answered,
            1 => Self::Rejected,
            2 => Self::Unavailable,
            3 => Self::Failed,
            4 => Self::Trapped,
            5 => Self::TooLate,
            7 => Self::Cut,
            _ => Self::NotCounted,
        }
    }
}

/// Calls that took at most `up_to_us` microseconds, faster ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Upper bound in microseconds, inclusive.
    pub up_to_us: u64,
    /// How many calls.
    pub count: u64,
}

/// What one version did since the last take. Increases, not running totals; the words are those of `caxton:policy`'s `arm`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmCounts {
    /// Finished calls that the version answers for.
    pub requests: u64,
    /// Of those, its own fault.
    pub failures: u64,
    /// Of the failures, traps.
    pub traps: u64,
    /// Of the failures, deadlines.
    pub deadlines: u64,
    /// Of the requests, the caller's fault.
    pub rejected: u64,
    /// Of the requests, an honest "not now".
    pub unavailable: u64,
    /// Shed, cancelled by the caller, cut by a reload, or a host's error; not among the requests.
    pub not_counted: u64,
    /// Of the not counted, those that a reload cut.
    pub cut: u64,
    /// Distinct affinity keys, estimated.
    pub callers: u64,
    /// Distinct affinity keys with at least one failure, estimated.
    pub failing_callers: u64,
    /// Distinct affinity keys since the version began to take calls, estimated.
    pub callers_so_far: u64,
    /// Of those, keys with at least one failure.
    pub failing_callers_so_far: u64,
    /// Calls in flight at the take.
    pub in_flight: u32,
    /// Sum over the requests: to the head for HTTP, to the end of the reply for handlers.
    pub latency_total_us: u64,
    /// Cumulative, one per bound of [`LATENCY_BOUNDS_US`].
    pub latency: Vec<Bucket>,
    /// The largest memory of any instance that worked in the window, in bytes.
    pub memory_peak: u64,
    /// Mean memory of instances at the end of each call, in bytes.
    pub memory_mean: u64,
    /// The limit, in bytes.
    pub memory_limit: u64,
    /// Fuel that calls used, where it is metered.
    pub fuel: Option<u64>,
    /// What the agent reported.
    pub custom: Vec<CustomMetric>,
    /// Reports that were dropped: bad names, too many names, bad values.
    pub custom_dropped: u64,
}

/// The atomics behind [`ArmCounts`].
pub(crate) struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    traps: AtomicU64,
    deadlines: AtomicU64,
    rejected: AtomicU64,
    unavailable: AtomicU64,
    not_counted: AtomicU64,
    cut: AtomicU64,
    latency_total_us: AtomicU64,
    latency: [AtomicU64; LATENCY_BOUNDS_US.len()],
    callers: CallerSet,
    failing_callers: CallerSet,
    pub(crate) memory: Arc<MemoryUse>,
    pub(crate) fuel: AtomicU64,
    pub(crate) custom: Arc<CustomMetrics>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            deadlines: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
            not_counted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            latency_total_us: AtomicU64::new(0),
            latency: std::array::from_fn(|_| AtomicU64::new(0)),
            callers: CallerSet::new(),
            failing_callers: CallerSet::new(),
            memory: Arc::default(),
            fuel: AtomicU64::new(0),
            custom: Arc::default(),
        }
    }
}

impl Counts {
    /// Counts one call, once.
    pub(crate) fn record(&self, outcome: Outcome, latency_us: u64, affinity: Option<u64>) {
        if matches!(outcome, Outcome::NotCounted | Outcome::Cut) {
            self.not_counted.fetch_add(1, Relaxed);
            if outcome == Outcome::Cut {
                self.cut.fetch_add(1, Relaxed);
            }
            return;
        }
        self.requests.fetch_add(1, Relaxed);
        self.latency_total_us.fetch_add(latency_us, Relaxed);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < latency_us);
        if let Some(bucket) = self.latency.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        if let Some(key) = affinity {
            self.callers.insert(key);
        }
        if outcome.is_failure() {
            self.failures.fetch_add(1, Relaxed);
            if let Some(key) = affinity {
                self.failing_callers.insert(key);
            }
        }
        match outcome {
            Outcome::Trapped => &self.traps,
            Outcome::TooLate => &self.deadlines,
            Outcome::Rejected => &self.rejected,
            Outcome::Unavailable => &self.unavailable,
            _ => return,
        }
        .fetch_add(1, Relaxed);
    }

    /// The increases since the last take; `in_flight` and what comes from the version's limits are the caller's to fill in.
    pub(crate) fn take(&self) -> ArmCounts {
        let (memory_peak, memory_mean) = self.memory.take();
        let (custom, custom_dropped) = self.custom.take();
        let mut below = 0;
        let latency = LATENCY_BOUNDS_US
            .iter()
            .zip(&self.latency)
            .map(|(bound, count)| {
                below += count.swap(0, Relaxed);
                Bucket {
                    up_to_us: *bound,
                    count: below,
                }
            })
            .collect();
        let (callers, callers_so_far) = self.callers.take();
        let (failing_callers, failing_callers_so_far) = self.failing_callers.take();
        ArmCounts {
            requests: self.requests.swap(0, Relaxed),
            failures: self.failures.swap(0, Relaxed),
            traps: self.traps.swap(0, Relaxed),
            deadlines: self.deadlines.swap(0, Relaxed),
            rejected: self.rejected.swap(0, Relaxed),
            unavailable: self.unavailable.swap(0, Relaxed),
            not_counted: self.not_counted.swap(0, Relaxed),
            cut: self.cut.swap(0, Relaxed),
            callers,
            failing_callers,
            callers_so_far,
            failing_callers_so_far,
            in_flight: 0,
            latency_total_us: self.latency_total_us.swap(0, Relaxed),
            latency,
            memory_peak,
            memory_mean,
            memory_limit: 0,
            fuel: None,
            custom,
            custom_dropped,
        }
    }
}

/// A set of hashes of fixed size that knows about how many it holds.
struct CallerSet {
    words: Vec<AtomicU64>,
    /// All that was ever taken away; only [`CallerSet::take`] touches it.
    so_far: Vec<AtomicU64>,
}

impl CallerSet {
    fn new() -> Self {
        let words = || (0..CALLER_BITS / 64).map(|_| AtomicU64::new(0)).collect();
        Self {
            words: words(),
            so_far: words(),
        }
    }

    fn insert(&self, key: u64) {
        let bit = usize::try_from(mix(key)).unwrap_or(usize::MAX) % CALLER_BITS;
        if let Some(word) = self.words.get(bit / 64) {
            word.fetch_or(1 << (bit % 64), Relaxed);
        }
    }

    /// About how many keys there were since the last take, and how many since the first insertion.
    fn take(&self) -> (u64, u64) {
        let (mut fresh, mut all) = (0, 0);
        for (word, so_far) in self.words.iter().zip(&self.so_far) {
            let taken = word.swap(0, Relaxed);
            fresh += taken.count_ones();
            all += (so_far.fetch_or(taken, Relaxed) | taken).count_ones();
        }
        (estimate(fresh), estimate(all))
    }
}

/// Linear counting: from the share of bits still zero, how many keys were thrown at them.
fn estimate(set: u32) -> u64 {
    let all = CALLER_BITS as f64;
    let zero = (all - f64::from(set)).max(1.0);
    (all * (all / zero).ln()).round() as u64
}

/// Spreads neighbouring keys over all bits (the finaliser of SplitMix64).
fn mix(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_column() {
        let counts = Counts::default();
        for outcome in [
            Outcome::Answered,
            Outcome::Rejected,
            Outcome::Unavailable,
            Outcome::Failed,
            Outcome::Trapped,
            Outcome::TooLate,
            Outcome::NotCounted,
            Outcome::Cut,
        ] {
            assert_eq!(Outcome::from_u8(outcome.to_u8()), outcome);
            counts.record(outcome, 700, Some(1));
        }
        let arm = counts.take();
        assert_eq!(
            [
                arm.requests,
                arm.failures,
                arm.traps,
                arm.deadlines,
                arm.rejected,
                arm.unavailable,
                arm.not_counted,
                arm.cut,
            ],
            [6, 3, 1, 1, 1, 1, 2, 1]
        );
        assert_eq!(arm.latency_total_us, 6 * 700);
        assert_eq!((arm.callers, arm.failing_callers), (1, 1));
        assert_eq!(counts.take().requests, 0, "taken is gone");
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_everything() {
        let counts = Counts::default();
        for latency in [250, 251, 90_000_000] {
            counts.record(Outcome::Answered, latency, None);
        }
        let arm = counts.take();
        assert_eq!(arm.latency[0].count, 1);
        assert_eq!(arm.latency[1].count, 2);
        let last = arm.latency.last().unwrap();
        assert_eq!((last.up_to_us, last.count), (u64::MAX, 3));
    }

    #[test]
    fn distinct_callers_are_counted_within_a_few_per_cent() {
        for callers in [1u64, 10, 1_000, 10_000] {
            let set = CallerSet::new();
            for key in 0..callers {
                set.insert(key);
                set.insert(key);
            }
            let (estimate, _) = set.take();
            let error = estimate.abs_diff(callers);
            assert!(error * 20 <= callers, "{callers} callers: {estimate}");
        }
    }

    #[test]
    fn callers_that_come_back_are_counted_once_over_all_windows() {
        let counts = Counts::default();
        let window = |keys: std::ops::Range<u64>, outcome| {
            for key in keys {
                counts.record(outcome, 1, Some(key));
            }
            let arm = counts.take();
            [
                arm.callers,
                arm.failing_callers,
                arm.callers_so_far,
                arm.failing_callers_so_far,
            ]
        };
        assert_eq!(window(0..10, Outcome::Answered), [10, 0, 10, 0]);
        assert_eq!(window(5..15, Outcome::Failed), [10, 10, 15, 10]);
        assert_eq!(window(0..15, Outcome::Answered), [15, 0, 15, 10]);
        assert_eq!(window(0..0, Outcome::Answered), [0, 0, 15, 10]);
    }

    #[test]
    fn status_codes_blame_whom_they_should() {
        let outcome = |code| Outcome::of_status(http::StatusCode::from_u16(code).unwrap());
        assert_eq!(outcome(204), Outcome::Answered);
        assert_eq!(outcome(404), Outcome::Rejected);
        assert_eq!(outcome(503), Outcome::Unavailable);
        assert_eq!(outcome(500), Outcome::Failed);
        assert_eq!(outcome(504), Outcome::Failed);
        assert_eq!(outcome(103), Outcome::Failed);
    }
}
