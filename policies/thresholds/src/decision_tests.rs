//! Series of windows and the verdicts that they must give.

use super::*;
use caxton_policy::{Absence, Arm, CustomMetric, MetricValue, Verdict};

fn arm(requests: u64, failures: u64) -> Arm {
    caxton_policy::testing::answered(failures, requests)
}

fn window(stable: Option<Arm>, candidate: Arm) -> Window {
    Window {
        split_wanted: 50,
        stable,
        candidate: Some(candidate),
        ..Window::default()
    }
}

fn reporting(value: MetricValue) -> Window {
    let mut arm = arm(20, 0);
    arm.custom.push(CustomMetric {
        name: "queue".to_owned(),
        value,
    });
    window(None, arm)
}

/// The verdict in a word, its code and its summary.
fn verdict(settings: &Settings, windows: &[Window]) -> (&'static str, String, String) {
    let Judgement { verdict, why } = decide(settings, None, windows);
    let word = match verdict {
        Verdict::Proceed => "proceed",
        Verdict::Undecided => "undecided",
        Verdict::Hold => "hold",
        Verdict::Rollback(Blame::Candidate) => "rollback, candidate",
        Verdict::Rollback(Blame::Environment) => "rollback, environment",
        Verdict::Rollback(Blame::Unknown) => "rollback, unknown",
    };
    (word, why.code, why.summary)
}

fn by_default(windows: &[Window]) -> (&'static str, String, String) {
    verdict(&Settings::default(), windows)
}

fn with(trigger: Trigger) -> Settings {
    Settings {
        triggers: vec![trigger],
        ..Settings::default()
    }
}

fn is(expected: (&'static str, &str, &str), found: (&'static str, String, String)) {
    assert_eq!(expected, (found.0, found.1.as_str(), found.2.as_str()));
}

#[test]
fn a_failing_candidate_is_rolled_back_with_the_figures_in_the_reason() {
    is(
        (
            "rollback, unknown",
            "error-rate",
            "error rate 31.8 % is above 5 % (35 of 110 requests failed)",
        ),
        by_default(&[window(None, arm(50, 15)), window(None, arm(60, 20))]),
    );
}

#[test]
fn the_candidate_is_blamed_where_the_stable_version_did_better_meanwhile() {
    let found = by_default(&[window(Some(arm(50, 0)), arm(50, 15))]);
    assert_eq!(found.0, "rollback, candidate");
}

#[test]
fn nobody_is_blamed_for_what_hits_both() {
    let found = by_default(&[window(Some(arm(50, 20)), arm(50, 20))]);
    assert_eq!(found.0, "rollback, environment");
}

#[test]
fn one_failure_of_one_request_decides_nothing() {
    is(
        (
            "undecided",
            "below-minimum-sample",
            "1 of at least 20 requests were finished",
        ),
        by_default(&[window(None, arm(1, 1))]),
    );
    let last_below = by_default(&[window(None, arm(19, 19))]);
    assert_eq!(last_below.0, "undecided");
    let first_enough = by_default(&[window(None, arm(20, 20))]);
    assert_eq!(first_enough.0, "rollback, unknown");
}

#[test]
fn a_rate_at_its_limit_is_within_it() {
    is(
        (
            "proceed",
            "within-thresholds",
            "no trigger fired in 20 requests",
        ),
        by_default(&[window(None, arm(20, 1))]),
    );
}

#[test]
fn warm_up_and_what_came_before_traffic_are_not_judged() {
    let mut warming = window(None, arm(50, 50));
    warming.warm_up = true;
    let mut before = window(None, arm(0, 0));
    before.split_wanted = 0;
    if let Some(candidate) = &mut before.candidate {
        candidate.health_total = 10;
    }
    let found = by_default(&[before, warming, window(None, arm(30, 0))]);
    assert_eq!(found.0, "proceed");
}

#[test]
fn answers_to_copies_are_evidence_too() {
    let mut listening = window(Some(arm(100, 0)), arm(0, 0));
    listening.split_wanted = 0;
    listening.mirrored = Some(arm(40, 12));
    let found = by_default(&[listening]);
    assert_eq!(
        (found.0, found.1.as_str()),
        ("rollback, candidate", "error-rate")
    );
}

#[test]
fn failing_health_needs_its_own_sample_and_no_requests() {
    let checked = |passed, total| {
        let mut arm = arm(0, 0);
        (arm.health_passed, arm.health_total) = (passed, total);
        by_default(&[window(None, arm)])
    };
    assert_eq!(checked(0, 2).0, "undecided");
    is(
        (
            "rollback, unknown",
            "health-check-failure",
            "health check success rate 33.3 % is below 50 % (1 of 3 checks passed)",
        ),
        checked(1, 3),
    );
    assert_eq!(checked(2, 4).0, "undecided", "half is not below half");
}

#[test]
fn a_slow_candidate_is_compared_with_the_stable_version_in_the_same_windows_only() {
    let took = |ms: u64| {
        let mut arm = arm(40, 0);
        arm.latency_total_us = 40 * ms * 1_000;
        arm
    };
    let slow = || took(60);
    is(
        (
            "rollback, candidate",
            "performance-degradation",
            "performance degradation 100.0 % is above 50 % (mean 60.00 ms over 40 requests, the stable version 30.00 ms over 40)",
        ),
        by_default(&[window(Some(took(30)), slow())]),
    );
    let apart = [window(Some(took(30)), arm(0, 0)), window(None, slow())];
    assert_eq!(by_default(&apart).0, "proceed");
    let fast = by_default(&[window(Some(took(5)), took(25))]);
    assert_eq!(fast.0, "proceed", "five times as slow, and nobody minds");
    assert_eq!(
        by_default(&[window(Some(took(5)), took(26))]).0,
        "rollback, candidate"
    );
}

#[test]
fn the_baseline_is_told_and_never_a_reason() {
    let mut slow = arm(40, 0);
    slow.latency_total_us = 400_000;
    let baseline = window(Some(arm(100, 0)), arm(0, 0));
    let Judgement { verdict, why } =
        decide(&Settings::default(), Some(&baseline), &[window(None, slow)]);
    assert!(matches!(verdict, Verdict::Proceed));
    let told = why
        .findings
        .iter()
        .find(|finding| finding.statistic == "baseline")
        .unwrap();
    assert_eq!(
        (told.observed, told.sample, told.breached),
        (900.0, 40, false)
    );
}

#[test]
fn memory_beyond_its_limit_needs_no_sample() {
    let mut arm = arm(1, 0);
    arm.memory_peak = 33 << 20;
    is(
        (
            "rollback, unknown",
            "memory",
            "memory peak 33.0 MiB is above 32.0 MiB (34603008 bytes, after 1 requests)",
        ),
        verdict(
            &with(Trigger::Memory {
                threshold: 32 << 20,
            }),
            &[window(None, arm)],
        ),
    );
}

#[test]
fn a_reported_metric_is_held_against_its_limit_in_its_own_way() {
    let settings = with(Trigger::CustomMetric {
        name: "queue".to_owned(),
        threshold: 10.0,
    });
    let series = |values: Vec<MetricValue>| {
        let windows: Vec<Window> = values.into_iter().map(reporting).collect();
        verdict(&settings, &windows)
    };
    is(
        (
            "rollback, unknown",
            "custom-metric",
            "metric queue at 12 is above 10 (2 windows with a report)",
        ),
        series(vec![MetricValue::Counter(6), MetricValue::Counter(6)]),
    );
    let fallen = series(vec![MetricValue::Gauge(50.0), MetricValue::Gauge(3.0)]);
    assert_eq!(fallen.0, "proceed");
    let small = series(vec![MetricValue::Ratio((1, 1))]);
    assert_eq!(small.0, "proceed", "one of one is no rate");
    let grown = series(vec![
        MetricValue::Ratio((1, 1)),
        MetricValue::Ratio((9, 29)),
    ]);
    assert_eq!(
        grown.2,
        "metric queue at 33.3 % is above 10 % (30 observations)"
    );
}

#[test]
fn a_metric_that_is_not_reported_is_neither_good_nor_bad() {
    let settings = with(Trigger::CustomMetric {
        name: "queue".to_owned(),
        threshold: 10.0,
    });
    let found = verdict(
        &settings,
        &[reporting(MetricValue::Missing(Absence::NotYet))],
    );
    assert_eq!(
        (found.0, found.1.as_str()),
        ("undecided", "metric-not-reported")
    );
}

#[test]
fn the_first_trigger_that_fires_is_the_reason_and_all_are_told() {
    let mut arm = arm(40, 20);
    (arm.health_passed, arm.health_total) = (0, 5);
    let Judgement { why, .. } = decide(&Settings::default(), None, &[window(None, arm)]);
    assert_eq!(why.code, "health-check-failure");
    let breached: Vec<&str> = why
        .findings
        .iter()
        .filter(|finding| finding.breached)
        .map(|finding| finding.metric.as_str())
        .collect();
    assert_eq!(breached, ["health-check-success-rate", "error-rate"]);
}
