//! What agents report about themselves: a fixed table of named atomics per version.
//!
//! A report costs a search among at most 64 names and an atomic add. A name takes its place once and keeps it; there is no
//! lock that the control path could hold.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Names that one version may report under, as the WIT says.
pub const MAX_NAMES: usize = 64;
/// Bytes of one name, as the WIT says.
pub const MAX_NAME_LENGTH: usize = 64;

/// What a policy sees of one name in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricValue {
    /// Increase inside the window.
    Counter(u64),
    /// The last value set in the window.
    Gauge(f64),
    /// Bad things out of all things in the window.
    Ratio {
        /// Of `total`.
        bad: u64,
        /// All.
        total: u64,
    },
}

/// One name and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomMetric {
    /// As the agent reported it.
    pub name: String,
    /// Its value in the window.
    pub value: MetricValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Ratio,
}

#[derive(Default)]
struct Slot {
    name: OnceLock<(String, Kind)>,
    first: AtomicU64,
    second: AtomicU64,
    reported: AtomicBool,
}

/// The reports of one version.
pub(crate) struct CustomMetrics {
    slots: Vec<Slot>,
    dropped: AtomicU64,
    told: AtomicBool,
}

impl Default for CustomMetrics {
    fn default() -> Self {
        Self {
            slots: (0..MAX_NAMES).map(|_| Slot::default()).collect(),
            dropped: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }
}

impl CustomMetrics {
    /// Adds to a counter. False: the report was dropped, and nobody has been told yet.
    pub(crate) fn add(&self, name: &str, increase: u64) -> bool {
        self.report(name, Kind::Counter, |slot| {
            slot.first.fetch_add(increase, Relaxed);
        })
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, name: &str, value: f64) -> bool {
        if !value.is_finite() {
            return self.drop_report();
        }
        self.report(name, Kind::Gauge, |slot| {
            slot.first.store(value.to_bits(), Relaxed);
        })
    }

    /// Adds to a ratio.
    pub(crate) fn ratio(&self, name: &str, bad: u64, total: u64) -> bool {
        if bad > total {
            return self.drop_report();
        }
        self.report(name, Kind::Ratio, |slot| {
            slot.first.fetch_add(bad, Relaxed);
            slot.second.fetch_add(total, Relaxed);
        })
    }

    fn report(&self, name: &str, kind: Kind, apply: impl FnOnce(&Slot)) -> bool {
        if !is_name(name) {
            return self.drop_report();
        }
        for slot in &self.slots {
            let (taken, its_kind) = slot.name.get_or_init(|| (name.to_owned(), kind));
            if taken == name {
                if *its_kind != kind {
                    return self.drop_report();
                }
                apply(slot);
                slot.reported.store(true, Relaxed);
                return true;
            }
        }
        self.drop_report()
    }

    /// Answers false exactly once, for the one line in the agent's log.
    fn drop_report(&self) -> bool {
        self.dropped.fetch_add(1, Relaxed);
        self.told.swap(true, Relaxed)
    }

    /// What was reported since the last take, in the order in which the names first came, and how many reports were dropped.
    pub(crate) fn take(&self) -> (Vec<CustomMetric>, u64) {
        let mut all = Vec::new();
        for slot in &self.slots {
            let Some((name, kind)) = slot.name.get() else {
                break;
            };
            if !slot.reported.swap(false, Relaxed) {
                continue;
            }
            let value = match kind {
                Kind::Counter => MetricValue::Counter(slot.first.swap(0, Relaxed)),
                Kind::Gauge => MetricValue::Gauge(f64::from_bits(slot.first.load(Relaxed))),
                Kind::Ratio => {
                    let bad = slot.first.swap(0, Relaxed);
                    // The two halves are added one after the other: never show more bad than all.
                    let total = slot.second.swap(0, Relaxed).max(bad);
                    MetricValue::Ratio { bad, total }
                }
            };
            all.push(CustomMetric {
                name: name.clone(),
                value,
            });
        }
        (all, self.dropped.swap(0, Relaxed))
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_LENGTH
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: MetricValue) -> CustomMetric {
        CustomMetric {
            name: name.into(),
            value,
        }
    }

    #[test]
    fn a_window_holds_what_was_reported_in_it() {
        let metrics = CustomMetrics::default();
        assert!(metrics.add("orders", 2));
        assert!(metrics.add("orders", 3));
        assert!(metrics.set("queue", 7.5));
        assert!(metrics.ratio("wrong", 1, 10));
        let (first, dropped) = metrics.take();
        assert_eq!(dropped, 0);
        assert_eq!(
            first,
            [
                one("orders", MetricValue::Counter(5)),
                one("queue", MetricValue::Gauge(7.5)),
                one("wrong", MetricValue::Ratio { bad: 1, total: 10 }),
            ]
        );
        assert!(metrics.add("orders", 1));
        assert_eq!(metrics.take().0, [one("orders", MetricValue::Counter(1))]);
    }

    #[test]
    fn bad_reports_are_dropped_counted_and_told_once() {
        let metrics = CustomMetrics::default();
        assert!(metrics.add("a", 1));
        assert!(!metrics.set("a", 1.0), "another kind, told");
        assert!(metrics.set("b", f64::NAN), "dropped, told before");
        assert!(metrics.ratio("c", 2, 1));
        assert!(metrics.add("Upper", 1));
        assert!(metrics.add("1a", 1));
        assert!(metrics.add("", 1));
        assert!(metrics.add(&"x".repeat(MAX_NAME_LENGTH + 1), 1));
        assert_eq!(metrics.take(), (vec![one("a", MetricValue::Counter(1))], 7));
    }

    #[test]
    fn the_sixty_fifth_name_is_dropped() {
        let metrics = CustomMetrics::default();
        for n in 0..MAX_NAMES {
            assert!(metrics.add(&format!("n{n}"), 1));
        }
        assert!(!metrics.add("one-more", 1));
        let (all, dropped) = metrics.take();
        assert_eq!((all.len(), dropped), (MAX_NAMES, 1));
    }
}
