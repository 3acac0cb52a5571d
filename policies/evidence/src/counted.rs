//! A window that counts, and the comparison of both versions in it.

use caxton_policy::{Arm, Bucket, MetricValue, Window, windows};

use crate::rate::{Limits, Rate, Tally, Tick};
use crate::settings::Settings;

/// A call is slow where it takes longer than this part of the stable version's.
const SLOW_BEYOND: f64 = 0.95;

/// How a metric is judged.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Tolerated in any case.
    pub(crate) absolute: f64,
    pub(crate) common_cause: CommonCause,
}

/// Whether the stable version is held against what it was.
#[derive(Clone, Copy)]
pub(crate) enum CommonCause {
    /// Against the baseline, or what is tolerated in any case.
    Always,
    /// Only where the baseline has it: what is usual for a figure of the agent's own is not known otherwise.
    WithBaseline,
    Never,
}

/// A window that counts, and what it is compared with.
pub(crate) struct Counted<'a> {
    /// All windows up to this one.
    pub(crate) windows: &'a [Window],
    pub(crate) window: &'a Window,
    /// Earlier windows do not count.
    pub(crate) from_ms: u64,
    /// The candidate, or its answers to copies.
    pub(crate) subject: Option<&'a Arm>,
    pub(crate) stable: Option<&'a Arm>,
    /// The stable version before the reload.
    pub(crate) baseline: Option<&'a Arm>,
    pub(crate) settings: &'a Settings,
}

impl Counted<'_> {
    /// Adds this window to `rate`; `tally` takes from an arm what is counted.
    pub(crate) fn rate(&self, rate: &mut Rate, kind: Kind, tally: impl Fn(&Arm) -> Tally) {
        let limits = Limits::new(self.settings, kind.absolute);
        let of = |arm: Option<&Arm>| arm.map(&tally).unwrap_or_default();
        let (baseline, stable) = (of(self.baseline), of(self.stable));
        let recent = self.recent(&tally);
        let is_judged = match kind.common_cause {
            CommonCause::Always => true,
            CommonCause::WithBaseline => baseline.all() > 0,
            CommonCause::Never => false,
        };
        let tick = Tick {
            candidate: of(self.subject),
            stable,
            tolerated: limits.now(baseline, recent, rate.stable.and(stable)),
            // An outage that has just begun is not much yet of the latest requests, but all of this window.
            is_telling: self.is_alone() || !(limits.hides(recent) || limits.hides(stable)),
            stable_tolerated: is_judged.then(|| limits.usual(baseline)),
        };
        rate.add(&tick, self.settings);
    }

    /// The candidate has all traffic: there is nothing beside it any more that could hide what it does.
    pub(crate) fn is_alone(&self) -> bool {
        self.window.split_wanted >= 100 && requests(self.subject) > 0 && requests(self.stable) == 0
    }

    /// The stable version over the latest ticks that hold as many as are compared with; over all there are, where they hold fewer.
    fn recent(&self, tally: impl Fn(&Arm) -> Tally) -> Tally {
        let mut recent = Tally::default();
        for arm in self.stable_arms() {
            recent = recent.and(tally(arm));
            if recent.all() >= self.settings.compare_window_requests {
                break;
            }
        }
        recent
    }

    /// The stable version in the windows that count, the latest first. Where the host merged one that was left out with one that
    /// counts, both are in: they cannot be parted, and the stable version was warm in both.
    fn stable_arms(&self) -> impl Iterator<Item = &Arm> {
        self.windows
            .iter()
            .rev()
            .take_while(|window| window.end_ms > self.from_ms)
            .filter(|window| !window.warm_up)
            .filter_map(|window| window.stable.as_ref())
    }

    /// What a call is slow beyond, by the same ticks of the stable version that rates are compared with; none while those are too few,
    /// because a percentile of a few calls is chance.
    pub(crate) fn slow_beyond_us(&self) -> Option<u64> {
        let mut buckets: Vec<Bucket> = Vec::new();
        let calls = |buckets: &[Bucket]| buckets.last().map_or(0, |bucket| bucket.count);
        for arm in self.stable_arms() {
            windows::add_latency(&mut buckets, &arm.latency);
            if calls(&buckets) >= self.settings.compare_window_requests {
                let floor = self.settings.latency_floor.saturating_mul(1_000);
                return windows::quantile_us(&buckets, SLOW_BEYOND).map(|us| us.max(floor));
            }
        }
        None
    }
}

pub(crate) fn requests(arm: Option<&Arm>) -> u64 {
    arm.map_or(0, |arm| arm.requests)
}

pub(crate) fn ratio(arm: &Arm, name: &str) -> Tally {
    let metric = arm.custom.iter().find(|metric| metric.name == name);
    match metric.map(|metric| metric.value) {
        Some(MetricValue::Ratio((bad, all))) => Tally::new(bad, all),
        _ => Tally::default(),
    }
}
