//! Windows summed up: what the candidate did since it got traffic, and what the stable version did meanwhile.

use caxton_policy::{Counts, CustomMetric, MetricValue, Window, windows};

/// What the windows come to.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// The candidate, callers' requests and copies alike.
    pub(crate) candidate: Counts,
    /// The candidate in windows in which the stable version had traffic too.
    pub(crate) candidate_beside_stable: Counts,
    /// The stable version in windows in which the candidate had traffic too.
    pub(crate) stable: Counts,
    pub(crate) health_passed: u64,
    pub(crate) health_total: u64,
    /// The largest memory of an instance, in bytes; none before an instance lived.
    pub(crate) memory_peak: Option<u64>,
    custom: Vec<Reported>,
}

/// A metric that the candidate reports.
#[derive(Debug)]
struct Reported {
    name: String,
    value: Value,
    windows: u64,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Ratio(u64, u64),
}

/// What a reported metric comes to over all windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// A counter's sum, a gauge's last value, a ratio's bad ones in per cent.
    pub(crate) observed: f64,
    /// A ratio's total; for the others the number of windows with a report.
    pub(crate) sample: u64,
    /// True for a ratio, which says little from a small sample. Sums and levels are facts from the first report on.
    pub(crate) is_rate: bool,
}

impl Evidence {
    /// Sums up the windows from the first one with traffic for the candidate on, without its warm-up.
    pub(crate) fn from_windows(windows: &[Window]) -> Self {
        let mut evidence = Self::default();
        for window in windows::judged(windows) {
            evidence.add(window);
        }
        evidence
    }

    fn add(&mut self, window: &Window) {
        let here = windows::candidate([window]);
        if let Some(arm) = &window.candidate {
            self.health_passed = self.health_passed.saturating_add(arm.health_passed.into());
            self.health_total = self.health_total.saturating_add(arm.health_total.into());
            if arm.memory_peak > 0 {
                self.memory_peak = self.memory_peak.max(Some(arm.memory_peak));
            }
            for metric in &arm.custom {
                self.report(metric);
            }
        }
        self.candidate = self.candidate.and(here);
        if let Some(stable) = window.stable.as_ref().filter(|arm| arm.requests > 0)
            && here.requests > 0
        {
            self.stable = self.stable.and(stable.into());
            self.candidate_beside_stable = self.candidate_beside_stable.and(here);
        }
    }

    fn report(&mut self, metric: &CustomMetric) {
        let value = match metric.value {
            MetricValue::Counter(increase) => Value::Counter(increase),
            MetricValue::Gauge(level) if level.is_finite() => Value::Gauge(level),
            MetricValue::Ratio((bad, total)) => Value::Ratio(bad, total),
            MetricValue::Gauge(_) | MetricValue::Missing(_) => return,
        };
        match self
            .custom
            .iter_mut()
            .find(|known| known.name == metric.name)
        {
            Some(known) => {
                known.value = known.value.then(value);
                known.windows = known.windows.saturating_add(1);
            }
            None => self.custom.push(Reported {
                name: metric.name.clone(),
                value,
                windows: 1,
            }),
        }
    }

    /// What the metric `name` comes to; none when the candidate has not reported it.
    pub(crate) fn custom(&self, name: &str) -> Option<Figure> {
        let reported = self.custom.iter().find(|known| known.name == name)?;
        match reported.value {
            Value::Counter(sum) => Some(Figure {
                observed: sum as f64,
                sample: reported.windows,
                is_rate: false,
            }),
            Value::Gauge(level) => Some(Figure {
                observed: level,
                sample: reported.windows,
                is_rate: false,
            }),
            Value::Ratio(bad, total) => Some(Figure {
                observed: per_cent(bad, total)?,
                sample: total,
                is_rate: true,
            }),
        }
    }
}

impl Value {
    /// This value and, after it, a newer one of the same metric.
    fn then(self, newer: Self) -> Self {
        match (self, newer) {
            (Self::Counter(before), Self::Counter(more)) => {
                Self::Counter(before.saturating_add(more))
            }
            (Self::Ratio(bad, total), Self::Ratio(more_bad, more)) => {
                Self::Ratio(bad.saturating_add(more_bad), total.saturating_add(more))
            }
            _ => newer,
        }
    }
}

/// Failed requests in per cent; none without requests.
pub(crate) fn error_rate(calls: &Counts) -> Option<f64> {
    per_cent(calls.failures, calls.requests)
}

/// `part` of `whole` in per cent; none of nothing.
pub(crate) fn per_cent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}
