//! When a version is fit, and what would change the verdict.

use caxton_policy::statistics::wilson_upper;

use crate::rate::Rate;
use crate::settings::Settings;

/// The outlook is over so many requests.
const AHEAD: u64 = 20;

/// More clean requests than this are not asked for in words: it takes another look first.
const CLEAN: u64 = 1_000_000;

/// A rate up to which a version is fit.
pub(crate) fn fit_limit(failures: &Rate, settings: &Settings) -> f64 {
    settings.promote_upper_bound.max(failures.tolerated)
}

/// Whether enough speaks for the candidate.
pub(crate) fn is_fit(failures: &Rate, settings: &Settings) -> bool {
    is_fit_after(0, failures, settings)
}

fn is_fit_after(clean: u64, failures: &Rate, settings: &Settings) -> bool {
    let (bad, all) = (failures.candidate.bad(), failures.candidate.all());
    let all = all.saturating_add(clean);
    all >= settings.promote_min_requests && wilson_upper(bad, all) <= fit_limit(failures, settings)
}

/// How few failures among the next requests would lead back, as the end of a sentence; nothing where all of them would not, or
/// where it cannot be known, because the stable version is itself beyond the cap.
pub(crate) fn failures_that_lead_back(failures: &Rate, settings: &Settings) -> String {
    if failures.is_hidden() {
        return String::new();
    }
    let leads_back = |bad| failures.after(bad, AHEAD, settings).fires(settings);
    match least(AHEAD, leads_back) {
        Some(0 | 1) => format!("; 1 more failure in the next {AHEAD} requests would roll back"),
        Some(bad) => format!("; {bad} more failures in the next {AHEAD} requests would roll back"),
        None => String::new(),
    }
}

/// How many requests without a failure would make the candidate fit, as the end of a sentence.
pub(crate) fn clean_requests_to_go_on(failures: &Rate, settings: &Settings) -> String {
    match least(CLEAN, |clean| is_fit_after(clean, failures, settings)) {
        Some(1) => "; 1 clean request would allow the next stage".to_owned(),
        Some(clean) => format!("; {clean} clean requests would allow the next stage"),
        None => String::new(),
    }
}

/// The least number up to `most` that is enough, where every larger one is, too.
fn least(most: u64, is_enough: impl Fn(u64) -> bool) -> Option<u64> {
    if !is_enough(most) {
        return None;
    }
    let (mut below, mut enough) = (0, most);
    while below < enough {
        let between = u64::midpoint(below, enough);
        if is_enough(between) {
            enough = between;
        } else {
            below = between.saturating_add(1);
        }
    }
    Some(enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::{Tally, Tick};

    fn after(bad: u64, all: u64) -> (Rate, Settings) {
        let settings = Settings::default();
        let mut failures = Rate::default();
        let tick = Tick {
            candidate: Tally::new(bad, all),
            tolerated: 0.05,
            ..Tick::default()
        };
        failures.add(&tick, &settings);
        (failures, settings)
    }

    #[test]
    fn what_would_change_the_verdict_does_and_one_less_does_not() {
        for (bad, all) in [(0, 3), (1, 3), (2, 40), (0, 500)] {
            let (failures, settings) = after(bad, all);
            let words = failures_that_lead_back(&failures, &settings);
            let needed: u64 = words.split(' ').nth(1).unwrap().parse().unwrap();
            assert!(failures.after(needed, AHEAD, &settings).fires(&settings));
            assert!(
                !failures
                    .after(needed - 1, AHEAD, &settings)
                    .fires(&settings)
            );
        }
    }

    #[test]
    fn clean_requests_are_counted_to_the_one() {
        let (failures, settings) = after(0, 3);
        let words = clean_requests_to_go_on(&failures, &settings);
        assert_eq!(words, "; 22 clean requests would allow the next stage");
        let (failures, settings) = after(3, 20);
        let words = clean_requests_to_go_on(&failures, &settings);
        let needed: u64 = words.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(is_fit_after(needed, &failures, &settings));
        assert!(!is_fit_after(needed - 1, &failures, &settings));
    }
}
