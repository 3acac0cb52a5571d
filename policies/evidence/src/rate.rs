//! The unit that most metrics are made of: bad ones of all, against what is tolerated, tick by tick.
//!
//! What is tolerated moves with the stable version, so the evidence is a sum of logarithms, each with the tolerance of its tick.

use caxton_policy::statistics::{cusum, log_e_value, log_ratio, wilson_upper};
use caxton_policy::{Finding, windows};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Alternatives to what is tolerated, in multiples of it; a seventh is near everything.
const MULTIPLES: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// Late onset looks for a rate so many times what is tolerated.
const LATE_MULTIPLE: f64 = 4.0;

/// From so many of its requests on, the stable version's own rate can hide what the candidate does.
const HIDING_SAMPLE: u64 = 10;

/// Nothing is usual beyond this: evidence needs room for something worse.
const USUAL_AT_MOST: f64 = 0.999;

/// Bad ones and all of them.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Tally(pub(crate) u64, pub(crate) u64);

impl Tally {
    /// `bad` of `all`, and not more than all.
    pub(crate) fn new(bad: u64, all: u64) -> Self {
        Self(bad.min(all), all)
    }

    pub(crate) fn bad(self) -> u64 {
        self.0
    }

    pub(crate) fn all(self) -> u64 {
        self.1
    }

    pub(crate) fn and(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0), self.1.saturating_add(more.1))
    }

    pub(crate) fn rate(self) -> f64 {
        windows::rate(self.0, self.1).unwrap_or(0.0)
    }

    /// Its rate with half a bad one more and so many times over: none is never surely none.
    fn times(self, factor: f64) -> f64 {
        factor * (self.0 as f64 + 0.5) / (self.1 as f64 + 1.0)
    }
}

/// What is tolerated of one metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// In any case.
    absolute: f64,
    /// So many times the stable version's rate.
    factor: f64,
    /// Of the stable version, so many are compared with.
    compare: u64,
    /// In no case more.
    cap: f64,
}

impl Limits {
    pub(crate) fn new(settings: &Settings, absolute: f64) -> Self {
        Self {
            absolute,
            factor: settings.relative_factor,
            compare: settings.compare_window_requests,
            cap: settings.tolerance_cap,
        }
    }

    /// From what the stable version did before the reload.
    pub(crate) fn before(&self, baseline: Tally) -> f64 {
        let relative = if baseline.all() > 0 {
            baseline.times(self.factor)
        } else {
            0.0
        };
        self.absolute.max(relative).min(self.cap)
    }

    /// What is tolerated of the stable version itself: from before the reload as well, and never less than what was usual then, so
    /// that one that is broken for good is no news.
    pub(crate) fn usual(&self, baseline: Tally) -> f64 {
        let usual = if baseline.all() > 0 {
            baseline.times(1.0).min(USUAL_AT_MOST)
        } else {
            0.0
        };
        self.before(baseline).max(usual)
    }

    /// Whether the stable version is itself beyond the cap: nothing worse than that can be told apart, so nothing is the candidate's.
    pub(crate) fn hides(&self, stable: Tally) -> bool {
        stable.all() >= HIDING_SAMPLE && stable.rate() >= self.cap
    }

    /// From what the stable version does meanwhile, as soon as it has enough; until then from before, and from the little it has
    /// once something is wrong with it.
    pub(crate) fn now(&self, baseline: Tally, recent: Tally, whole: Tally) -> f64 {
        let relative = if recent.all() < self.compare {
            let little = if recent.bad() > 0 {
                recent.times(self.factor)
            } else {
                0.0
            };
            self.before(baseline).max(little)
        } else if whole.all() >= self.compare {
            recent.times(self.factor).max(whole.times(self.factor))
        } else {
            recent.times(self.factor)
        };
        self.absolute.max(relative).min(self.cap)
    }
}

/// One tick of both versions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) candidate: Tally,
    pub(crate) stable: Tally,
    /// What is tolerated of the candidate in this tick.
    pub(crate) tolerated: f64,
    /// What the candidate does tells something about it. Not so in an outage of the stable version.
    pub(crate) is_telling: bool,
    /// What is tolerated of the stable version; none where there is nothing to hold it against.
    pub(crate) stable_tolerated: Option<f64>,
}

impl Default for Tick {
    /// Nothing happened, and it would have told something.
    fn default() -> Self {
        Self {
            candidate: Tally::default(),
            stable: Tally::default(),
            tolerated: 0.0,
            is_telling: true,
            stable_tolerated: None,
        }
    }
}

/// The evidence so far.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Rate {
    /// The candidate since the comparison began.
    #[serde(rename = "c")]
    pub(crate) candidate: Tally,
    /// The stable version since then.
    #[serde(rename = "s")]
    pub(crate) stable: Tally,
    /// Logarithms of the likelihood ratios, one for each alternative.
    #[serde(rename = "e")]
    logs: [f64; 7],
    /// The sum for late onset.
    #[serde(rename = "l")]
    late: f64,
    /// The same for the stable version.
    #[serde(rename = "x")]
    stable_late: f64,
    /// What was tolerated in the last tick.
    #[serde(rename = "t")]
    pub(crate) tolerated: f64,
    /// The candidate's bad ones that told nothing about it.
    #[serde(rename = "h", default)]
    hidden: u64,
    /// The last tick with requests told nothing.
    #[serde(rename = "q", default)]
    is_hidden: bool,
}

impl Rate {
    pub(crate) fn add(&mut self, tick: &Tick, settings: &Settings) {
        let (k, n, p0) = (tick.candidate.bad(), tick.candidate.all(), tick.tolerated);
        self.candidate = self.candidate.and(tick.candidate);
        self.stable = self.stable.and(tick.stable);
        self.tolerated = p0;
        if n > 0 {
            self.is_hidden = !tick.is_telling;
        }
        if !tick.is_telling {
            self.hidden = self.hidden.saturating_add(k);
        } else if n > 0 {
            let top = top(p0);
            let alternatives = MULTIPLES.map(|multiple| (p0 * multiple).min(top));
            for (log, alternative) in self
                .logs
                .iter_mut()
                .zip(alternatives.into_iter().chain([top]))
            {
                *log += log_ratio(k, n, alternative, p0);
            }
            self.late = cusum(self.late, log_ratio(k, n, late_alternative(p0), p0));
        }
        if let Some(p0) = tick.stable_tolerated.filter(|_| tick.stable.all() > 0) {
            let step = log_ratio(
                tick.stable.bad(),
                tick.stable.all(),
                late_alternative(p0),
                p0,
            );
            // Not without end, so that it is over soon after what it tells is over.
            self.stable_late = cusum(self.stable_late, step).min(2.0 * settings.late_limit());
        }
    }

    /// There is no stable version beside the candidate any more: what it did is over.
    pub(crate) fn forget_common_cause(&mut self) {
        self.stable_late = 0.0;
    }

    pub(crate) fn log_e(&self) -> f64 {
        log_e_value(&self.logs)
    }

    /// Whether there is enough against the candidate.
    pub(crate) fn fires(&self, settings: &Settings) -> bool {
        self.candidate.bad().saturating_sub(self.hidden) >= settings.min_failures
            && (self.log_e() >= settings.log_e_limit() || self.late >= settings.late_limit())
    }

    /// What the candidate does tells nothing at the moment, because the stable version is itself beyond the cap.
    pub(crate) fn is_hidden(&self) -> bool {
        self.is_hidden
    }

    /// Whether the stable version is worse than it was.
    pub(crate) fn common_cause(&self, settings: &Settings) -> bool {
        self.stable_late >= settings.late_limit()
    }

    /// A rate that the candidate is surely not above.
    pub(crate) fn upper_bound(&self) -> f64 {
        wilson_upper(self.candidate.bad(), self.candidate.all())
    }

    /// The evidence as it would be after these.
    pub(crate) fn after(&self, bad: u64, all: u64, settings: &Settings) -> Self {
        let mut after = self.clone();
        let tick = Tick {
            candidate: Tally::new(bad, all),
            tolerated: self.tolerated,
            ..Tick::default()
        };
        after.add(&tick, settings);
        after
    }

    /// What was looked at.
    pub(crate) fn finding(&self, metric: &str, settings: &Settings) -> Finding {
        self.observed(metric)
            .by("e-value", self.log_e().exp())
            .breached(self.fires(settings))
    }

    fn observed(&self, metric: &str) -> Finding {
        let candidate = self.candidate;
        Finding::new(metric, candidate.rate(), self.tolerated, candidate.all())
    }

    /// The sums of the candidate and of the stable version, which tell what began later than the reload.
    pub(crate) fn late_findings(&self, settings: &Settings) -> [Finding; 2] {
        let limit = settings.late_limit();
        [
            ("late-onset", self.late, self.candidate.all()),
            ("common-cause", self.stable_late, self.stable.all()),
        ]
        .map(|(metric, sum, sample)| {
            Finding::new(metric, sum, limit, sample)
                .by("cusum", sum)
                .breached(metric == "late-onset" && sum >= limit)
        })
    }

    /// Why it fires, in a sentence; `what` says what is bad about them.
    pub(crate) fn told(&self, what: &str, settings: &Settings) -> String {
        use caxton_policy::words::per_cent;
        let Tally(bad, all) = self.candidate;
        let statistic = if self.log_e() >= settings.log_e_limit() {
            let e = self.log_e().min(690.0).exp();
            format!("e-value {e:.3e}, limit {:.0}", settings.log_e_limit().exp())
        } else {
            let (sum, limit) = (self.late, settings.late_limit());
            format!("late onset: sum {sum:.1}, limit {limit:.1}")
        };
        format!(
            "{bad} of {all} {what} ({}); {} are tolerated ({statistic})",
            per_cent(self.candidate.rate() * 100.0),
            per_cent(self.tolerated * 100.0),
        )
    }
}

fn top(p0: f64) -> f64 {
    f64::midpoint(1.0, p0).max(0.9)
}

fn late_alternative(p0: f64) -> f64 {
    let alternative = LATE_MULTIPLE * p0;
    if alternative >= 0.9 {
        top(p0)
    } else {
        alternative
    }
}
