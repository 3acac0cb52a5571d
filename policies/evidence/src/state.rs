//! What the windows come to: sums that the host keeps from one call to the next, and that can be made anew from the windows.

use std::collections::BTreeMap;

use caxton_policy::{Context, MetricValue, Window, windows};
use serde::{Deserialize, Serialize};

use crate::counted::{CommonCause, Counted, Kind, ratio, requests};
use crate::health::Health;
use crate::memory::Memory;
use crate::rate::{Rate, Tally, Tick};
use crate::settings::Settings;

/// So many slow calls are tolerated in any case: one in twenty is slow by definition.
const SLOW_TOLERATED: f64 = 0.10;

/// So many refused calls are tolerated in any case: callers send nonsense, too.
const REFUSED_TOLERATED: f64 = 0.20;

/// The most custom metrics that an agent may report.
const CUSTOM: usize = 64;

/// The sums so far.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct State {
    /// Where the last window ended that was added.
    seen_ms: u64,
    /// Where the first window began that counts; none before there was one.
    from_ms: Option<u64>,
    /// Ticks left out because of `warm_up_ticks`.
    skipped: u64,
    /// The candidate hears copies and has no traffic of its own.
    pub(crate) listening: bool,
    /// The stable version has traffic in the same windows.
    pub(crate) control: bool,
    pub(crate) failures: Rate,
    pub(crate) mismatches: Rate,
    pub(crate) slow: Rate,
    /// What a call is slow beyond, in microseconds, since the stable version has enough traffic to tell.
    pub(crate) slow_beyond_us: Option<u64>,
    pub(crate) rejected: Rate,
    pub(crate) unavailable: Rate,
    pub(crate) custom: BTreeMap<String, Rate>,
    pub(crate) health: Health,
    pub(crate) memory: Memory,
}

impl State {
    /// Adds what is new. Where that cannot be told from what was seen (the host merged windows meanwhile, or they are of another
    /// reload), everything is added anew.
    pub(crate) fn update(&mut self, windows: &[Window], context: &Context, settings: &Settings) {
        let ends = windows.last().map_or(0, |window| window.end_ms);
        let new = |seen_ms| windows::since(windows, seen_ms);
        let is_torn = new(self.seen_ms)
            .first()
            .is_some_and(|window| window.start_ms < self.seen_ms);
        if ends < self.seen_ms || is_torn {
            *self = Self::default();
        }
        let new = new(self.seen_ms).len();
        for end in windows.len().saturating_sub(new)..windows.len() {
            if let Some(seen) = windows.get(..=end) {
                self.tick(seen, context, settings);
            }
        }
        self.seen_ms = ends;
    }

    /// Adds the last of these windows; those before it were added before.
    fn tick(&mut self, windows: &[Window], context: &Context, settings: &Settings) {
        let Some(window) = windows.last() else {
            return;
        };
        if window.warm_up {
            return;
        }
        self.health.add(
            [window.candidate.as_ref(), window.mirrored.as_ref()]
                .into_iter()
                .flatten(),
            window.stable.as_ref(),
        );
        if self.from_ms.is_none() && !windows::has_traffic(window) {
            return;
        }
        self.listen_or_swap(window);
        let subject = if self.listening {
            window.mirrored.as_ref()
        } else {
            window.candidate.as_ref()
        };
        if requests(subject) > 0 && self.skipped < settings.warm_up_ticks {
            self.skipped = self.skipped.saturating_add(1);
            self.from_ms = None;
            return;
        }
        let from_ms = *self.from_ms.get_or_insert(window.start_ms);
        let counted = Counted {
            windows,
            window,
            from_ms,
            subject,
            stable: window.stable.as_ref(),
            baseline: context
                .baseline
                .as_ref()
                .and_then(|window| window.stable.as_ref()),
            settings,
        };
        self.add(&counted);
    }

    /// Answers to copies stand for the candidate until it serves, and say nothing about answers to callers.
    fn listen_or_swap(&mut self, window: &Window) {
        let serves = requests(window.candidate.as_ref()) > 0 || window.split_wanted > 0;
        if self.listening && serves {
            *self = Self {
                health: std::mem::take(&mut self.health),
                ..Self::default()
            };
        } else if window.mirrored.is_some() && !serves && self.failures.candidate.all() == 0 {
            self.listening = true;
        }
    }

    fn add(&mut self, counted: &Counted<'_>) {
        let settings = counted.settings;
        if counted.is_alone() {
            self.control = false;
            self.forget_common_cause();
        } else if requests(counted.subject) > 0 && requests(counted.stable) > 0 {
            self.control = true;
        }
        let failures = Kind {
            absolute: settings.max_failure_rate,
            common_cause: CommonCause::Always,
        };
        counted.rate(&mut self.failures, failures, |arm| {
            Tally::new(arm.failures, arm.requests)
        });
        let refused = Kind {
            absolute: REFUSED_TOLERATED,
            common_cause: CommonCause::Never,
        };
        counted.rate(&mut self.rejected, refused, |arm| {
            Tally::new(arm.rejected, arm.requests)
        });
        counted.rate(&mut self.unavailable, refused, |arm| {
            Tally::new(arm.unavailable, arm.requests)
        });
        if self.listening {
            let copies = requests(counted.window.mirrored.as_ref());
            let tick = Tick {
                candidate: Tally::new(counted.window.mirrored_mismatches, copies),
                tolerated: settings.max_mismatch_rate,
                ..Tick::default()
            };
            self.mismatches.add(&tick, settings);
        }
        self.add_latency(counted);
        self.add_custom(counted);
        if let Some(arm) = counted.subject {
            let after = counted.window.end_ms.saturating_sub(counted.from_ms);
            self.memory.add(arm, after, settings);
        }
    }

    /// Slow calls of the candidate, in ticks in which both versions had traffic.
    fn add_latency(&mut self, counted: &Counted<'_>) {
        let (Some(subject), Some(stable)) = (counted.subject, counted.stable) else {
            return;
        };
        if subject.requests == 0 || stable.requests == 0 {
            return;
        }
        let Some(beyond) = counted.slow_beyond_us() else {
            return;
        };
        self.slow_beyond_us = Some(beyond);
        let slow = Kind {
            absolute: SLOW_TOLERATED,
            common_cause: CommonCause::Never,
        };
        counted.rate(&mut self.slow, slow, |arm| {
            let calls = arm.latency.last().map_or(0, |bucket| bucket.count);
            Tally::new(windows::calls_above(&arm.latency, beyond), calls)
        });
    }

    /// The ratios that the candidate reports. One that is missing is neither good nor bad.
    fn add_custom(&mut self, counted: &Counted<'_>) {
        let reported = counted.subject.map_or(&[][..], |arm| &arm.custom);
        for metric in reported {
            if !matches!(metric.value, MetricValue::Ratio(_)) {
                continue;
            }
            if !self.custom.contains_key(&metric.name) && self.custom.len() >= CUSTOM {
                continue;
            }
            let rate = self.custom.entry(metric.name.clone()).or_default();
            let kind = Kind {
                absolute: counted.settings.max_failure_rate,
                common_cause: CommonCause::WithBaseline,
            };
            counted.rate(rate, kind, |arm| ratio(arm, &metric.name));
        }
    }

    fn forget_common_cause(&mut self) {
        self.failures.forget_common_cause();
        self.health.forget_common_cause();
        for rate in self.custom.values_mut() {
            rate.forget_common_cause();
        }
    }
}
