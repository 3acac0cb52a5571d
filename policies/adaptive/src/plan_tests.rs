use super::*;
use crate::settings::Share;
use caxton_policy::{Arm, Phase};

fn context(baseline: Option<(u64, u64)>) -> Context {
    let baseline = baseline.map(|(requests, over_ms)| Window {
        end_ms: over_ms,
        stable: Some(Arm {
            requests,
            ..Arm::default()
        }),
        ..Window::default()
    });
    Context {
        phase: Phase::Preparing,
        split: 0,
        baseline,
        ..Context::default()
    }
}

fn configured() -> Plan {
    Plan {
        strategy: Strategy::Immediate,
        warm_up_ms: 10_000,
        drain_ms: 60_000,
        stages: Vec::new(),
        bake_ms: 300_000,
        keep_previous_ms: 900_000,
        preserve_state: true,
        why: because("configured", ""),
    }
}

fn planned(baseline: Option<(u64, u64)>) -> Plan {
    plan(&Settings::default(), &context(baseline), configured())
}

/// Share, seconds and requests of each stage, at so many requests per minute.
fn staged(per_minute: u64, settings: &Settings) -> Vec<(u8, u64, u64)> {
    let context = context(Some((per_minute * 10, 600_000)));
    let plan = plan(settings, &context, configured());
    assert_eq!(plan.strategy, Strategy::TrafficSplitting);
    let stage = |stage: &Stage| {
        (
            stage.split,
            stage.at_least_ms / 1_000,
            stage.at_least_requests,
        )
    };
    plan.stages.iter().map(stage).collect()
}

#[test]
fn state_comes_in_gracefully_however_much_traffic_there_is() {
    let context = Context {
        stateful: true,
        ..context(Some((60_000, 60_000)))
    };
    let plan = plan(&Settings::default(), &context, configured());
    assert_eq!(plan.strategy, Strategy::Graceful);
    assert_eq!(plan.why.code, "stateful");
    assert_eq!(plan.warm_up_ms, 10_000);
    assert!(plan.stages.is_empty());
}

#[test]
fn without_traffic_nothing_is_waited_for() {
    let mut no_arm = context(Some((0, 60_000)));
    if let Some(baseline) = &mut no_arm.baseline {
        baseline.stable = None;
    }
    let plans = [
        planned(None),
        planned(Some((0, 600_000))),
        planned(Some((5, 0))),
        plan(&Settings::default(), &no_arm, configured()),
    ];
    for plan in plans {
        assert_eq!(plan.strategy, Strategy::Graceful);
        assert_eq!(plan.why.code, "no-traffic");
        assert_eq!(plan.warm_up_ms, 0);
        assert!(plan.stages.is_empty());
    }
}

#[test]
fn what_is_not_its_business_stays_as_configured() {
    for plan in [planned(None), planned(Some((600, 60_000)))] {
        assert_eq!((plan.drain_ms, plan.bake_ms), (60_000, 300_000));
        assert_eq!(plan.keep_previous_ms, 900_000);
        assert!(plan.preserve_state);
    }
    assert_eq!(planned(Some((600, 60_000))).warm_up_ms, 10_000);
}

#[test]
fn more_traffic_makes_more_and_shorter_stages() {
    let defaults = Settings::default();
    // A thousand a second: every share shows enough in the shortest time.
    let busy = staged(60_000, &defaults);
    let shares: Vec<Share> = busy.iter().map(|(share, ..)| Share(*share)).collect();
    assert_eq!(shares, defaults.shares);
    assert!(
        busy.iter()
            .all(|(_, seconds, requests)| (*seconds, *requests) == (10, 50))
    );
    // Two a second.
    assert_eq!(
        staged(120, &defaults),
        [(10, 250, 50), (25, 100, 50), (50, 50, 50), (75, 33, 50)]
    );
    // One in three seconds.
    assert_eq!(staged(20, &defaults), [(50, 300, 50), (75, 200, 50)]);
    // One in six seconds: no share sees 50 in five minutes, so it is the largest, and what can be expected of it.
    assert_eq!(staged(10, &defaults), [(75, 300, 37)]);
    assert_eq!(staged(1, &defaults), [(75, 300, 3)]);
}

#[test]
fn stages_rise_and_last_no_less_and_no_longer_than_is_said() {
    let settings = Settings {
        requests_per_stage: 7,
        shortest_stage_seconds: 3,
        longest_stage_seconds: 20,
        shares: (1..=32).map(|n| Share(n * 3)).collect(),
    };
    for per_minute in [1, 2, 5, 10, 50, 100, 1_000, 1_000_000, u64::MAX / 10] {
        let context = context(Some((per_minute.saturating_mul(10), 600_000)));
        let stages = plan(&settings, &context, configured()).stages;
        assert!((1..=32).contains(&stages.len()), "{per_minute}");
        assert!(stages.is_sorted_by(|a, b| a.split < b.split));
        assert!(
            stages
                .iter()
                .all(|stage| (3_000..=20_000).contains(&stage.at_least_ms) && !stage.needs_operator)
        );
        assert!(stages.iter().all(|stage| stage.at_least_requests <= 7));
    }
}

#[test]
fn figures_at_their_ends_are_no_trouble() {
    for baseline in [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 1)] {
        let plan = planned(Some(baseline));
        assert!(!plan.stages.is_empty());
        assert!(
            plan.why
                .findings
                .iter()
                .all(|finding| finding.observed.is_finite()
                    && finding.limit.is_finite()
                    && finding.value.is_finite())
        );
    }
}

#[test]
fn the_reason_says_what_the_plan_rests_on() {
    let why = planned(Some((1_200, 600_000))).why;
    assert_eq!(
        why.summary,
        "traffic-splitting at 10, 25, 50, 75 %: with 2.0 requests per second a stage sees 50 requests in 34 to 250 s"
    );
    assert_eq!(why.code, "by-traffic");
    let [finding] = why.findings.as_slice() else {
        panic!("{:?}", why.findings);
    };
    assert_eq!((finding.sample, finding.breached), (1_200, false));
    // At 16.7 requests per second one per cent comes to 50 in five minutes.
    assert!((finding.limit - 50.0 / 3.0).abs() < 1e-9);
}
