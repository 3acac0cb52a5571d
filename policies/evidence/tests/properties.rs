//! What must hold for every series.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use caxton_policy::testing::{answered, latencies, window};
use caxton_policy::{
    Arm, Context, Judgement, Reload, ReloadMetrics, RollbackPolicy, Verdict, Window, component,
};
use fastrand::Rng;
use policy_evidence::{Evidence, Settings, State};

/// The judgement after each window, up to the first that goes back.
fn judgements(context: &Context, windows: &[Window]) -> Vec<Judgement> {
    let (settings, metrics) = (Settings::default(), ReloadMetrics::default());
    let mut state = State::default();
    let mut judgements = Vec::new();
    for end in 1..=windows.len() {
        let reload = Reload {
            context,
            metrics: &metrics,
            windows: &windows[..end],
        };
        judgements.push(Evidence::evaluate(&settings, &reload, &mut state));
        if goes_back(judgements.last()) {
            break;
        }
    }
    judgements
}

fn goes_back(judgement: Option<&Judgement>) -> bool {
    matches!(judgement.unwrap().verdict, Verdict::Rollback(_))
}

fn context(rng: &mut Rng) -> Context {
    let baseline = rng.bool().then(|| Window {
        stable: Some(answered(rng.u64(..200), 1_000)),
        ..Window::default()
    });
    Context {
        baseline,
        ..Context::default()
    }
}

fn calls(rng: &mut Rng, most: u64, rate: f64) -> (u64, u64) {
    let requests = rng.u64(..=most);
    let failures = (0..requests).filter(|_| rng.f64() < rate).count();
    (failures as u64, requests)
}

#[test]
fn one_more_failure_never_turns_a_rollback_into_anything_milder() {
    let mut changed = 0;
    for seed in 0..1_000 {
        let mut rng = Rng::with_seed(seed);
        let context = context(&mut rng);
        // One stable version in five is broken, up to beyond the cap.
        let worst = if seed % 5 == 0 { 1.0 } else { 0.2 };
        let (rate, stable_rate) = (rng.f64() * 0.6, rng.f64() * worst);
        let (most, stable_most) = (rng.u64(1..20), rng.u64(..40));
        let tick = |second| {
            let candidate = calls(&mut rng, most, rate);
            window(second, candidate, calls(&mut rng, stable_most, stable_rate))
        };
        let windows: Vec<Window> = (0..25).map(tick).collect();
        let before = judgements(&context, &windows);
        if !goes_back(before.last()) {
            continue;
        }
        changed += 1;
        // One that succeeded fails, or one that failed comes on top.
        for comes_on_top in [false, true] {
            let mut worse = windows.clone();
            let Some(arm) = worse[rng.usize(..before.len())].candidate.as_mut() else {
                continue;
            };
            if comes_on_top || arm.failures == arm.requests {
                arm.requests += 1;
            }
            arm.failures += 1;
            let after = judgements(&context, &worse);
            assert!(
                goes_back(after.last()) && after.len() <= before.len(),
                "seed {seed}, on top: {comes_on_top}: {before:?} became {after:?}"
            );
        }
    }
    assert!(changed > 300, "{changed}");
}

#[test]
fn an_outage_that_begins_with_more_of_the_candidates_calls_is_not_the_candidates() {
    let mut windows: Vec<Window> = (0..5).map(|n| window(n, (0, 13), (0, 25))).collect();
    // What a host saw that was held up between the counts of the one and of the other version.
    windows.push(window(5, (47, 47), (21, 24)));
    windows.push(window(6, (40, 40), (40, 40)));
    let context = Context {
        baseline: Some(Window {
            stable: Some(answered(0, 200)),
            ..Window::default()
        }),
        ..Context::default()
    };
    let judgements = judgements(&context, &windows);
    assert_eq!(judgements.len(), windows.len(), "{judgements:?}");
    assert_eq!(judgements.last().unwrap().why.code, "common-cause");
}

#[test]
fn what_the_host_merged_meanwhile_changes_no_verdict() {
    let (context, settings, metrics) = (
        Context::default(),
        Settings::default(),
        ReloadMetrics::default(),
    );
    let windows: Vec<Window> = (0..40).map(|n| window(n, (1, 10), (4, 90))).collect();
    let ask = |windows: &[Window], state: &mut State| {
        let reload = Reload {
            context: &context,
            metrics: &metrics,
            windows,
        };
        Evidence::evaluate(&settings, &reload, state)
    };
    let mut kept = State::default();
    ask(&windows[..20], &mut kept);
    let kept_verdict = ask(&windows, &mut kept);
    // All at once, from a state of another reload, and from one whose last window has become part of a longer one.
    let anew = ask(&windows, &mut State::default());
    assert_eq!(kept_verdict.why, anew.why);
    let mut later = State::default();
    ask(&[window(900, (0, 10), (0, 10))], &mut later);
    assert_eq!(ask(&windows, &mut later).why, anew.why);
    let mut torn = State::default();
    ask(&windows[..20], &mut torn);
    let mut merged = windows.clone();
    merged[19].end_ms = merged[20].end_ms;
    merged[19].candidate = Some(answered(2, 20));
    merged[19].stable = Some(answered(8, 180));
    merged.remove(20);
    assert_eq!(ask(&merged, &mut torn).verdict, anew.verdict);
}

#[test]
fn a_left_out_window_that_was_merged_with_one_that_counts_still_compares() {
    let (context, metrics) = (Context::default(), ReloadMetrics::default());
    let settings = Settings {
        warm_up_ticks: 1,
        ..Settings::default()
    };
    let tolerated = |windows: &[Window], state: &mut State| {
        let reload = Reload {
            context: &context,
            metrics: &metrics,
            windows,
        };
        Evidence::evaluate(&settings, &reload, state).why.findings[0].limit
    };
    let windows = [(1, 10), (4, 40), (1, 10)];
    let windows: Vec<Window> = (0..)
        .zip(windows)
        .map(|(second, stable)| window(second, (0, 1), stable))
        .collect();
    let mut state = State::default();
    tolerated(&windows[..2], &mut state);
    let apart = tolerated(&windows, &mut state.clone());
    let mut merged = window(0, (0, 2), (5, 50));
    merged.end_ms = windows[1].end_ms;
    let together = tolerated(&[merged, windows[2].clone()], &mut state);
    assert!((apart - 0.2157).abs() < 1e-3, "{apart}");
    assert_eq!(together, apart);
}

/// The summary after the last of these windows, with so many (callers, failing callers) over the whole.
fn summary(windows: &[Window], (callers, failing_callers): (u64, u64)) -> String {
    let metrics = ReloadMetrics {
        callers,
        failing_callers,
        ..ReloadMetrics::default()
    };
    let reload = Reload {
        context: &Context::default(),
        metrics: &metrics,
        windows,
    };
    let judgement = Evidence::evaluate(&Settings::default(), &reload, &mut State::default());
    assert!(!goes_back(Some(&judgement)), "{judgement:?}");
    judgement.why.summary
}

#[test]
fn what_would_change_the_verdict_is_only_told_where_it_would() {
    let few = summary(&[window(0, (1, 10), (0, 90))], (20, 1));
    assert!(few.contains("more failures in the next 20"), "{few}");
    let one_caller = summary(&[window(0, (10, 20), (0, 90))], (20, 1));
    assert!(!one_caller.contains("more failure"), "{one_caller}");
    assert!(
        one_caller.contains("failures of 2 different callers would roll back"),
        "{one_caller}"
    );
    // Beyond the cap as it was before: no failure counts.
    let usual = Context {
        baseline: Some(Window {
            stable: Some(answered(780, 1_000)),
            ..Window::default()
        }),
        ..Context::default()
    };
    let hidden = judgements(&usual, &[window(0, (0, 30), (78, 100))]);
    let hidden = &hidden[0].why.summary;
    assert!(!hidden.contains("roll back"), "{hidden}");
}

#[test]
fn every_answer_is_one_that_the_host_takes() {
    let metrics = ReloadMetrics::default();
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let context = context(&mut rng);
        let mut state = b"\xff corrupt".to_vec();
        let mut windows = Vec::new();
        for second in 0..20 {
            let mut next = window(second, calls(&mut rng, 50, 0.3), calls(&mut rng, 50, 0.3));
            if rng.u8(..) < 40 {
                next.candidate = Some(Arm {
                    requests: u64::MAX,
                    failures: rng.u64(..),
                    rejected: u64::MAX,
                    memory_peak: u64::MAX,
                    health_total: u32::MAX,
                    latency: latencies(&[(90_000, u64::MAX)]),
                    ..Arm::default()
                });
            }
            windows.push(next);
            let answer =
                component::evaluate::<Evidence>("{}", &context, &metrics, &windows, &state)
                    .unwrap();
            assert!(answer.state.len() < 4_096, "{}", answer.state.len());
            assert!(answer.why.summary.len() <= 1_024);
            assert!(answer.why.findings.len() <= 64);
            assert!(answer.why.findings.iter().all(|finding| {
                finding.observed.is_finite()
                    && finding.limit.is_finite()
                    && finding.value.is_finite()
            }));
            serde_json::from_slice::<State>(&answer.state).unwrap();
            state = answer.state;
        }
    }
}

/// Both versions take the same times: how often is the candidate found slow?
#[test]
fn equal_latencies_are_hardly_ever_a_reason() {
    let mut rolled_back = 0;
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut served = |requests: u64| {
            let calls: Vec<(u64, u64)> = (0..requests).map(|_| (took(&mut rng), 1)).collect();
            Arm {
                latency: latencies(&calls),
                ..answered(0, requests)
            }
        };
        let windows: Vec<Window> = (0..100)
            .map(|second| Window {
                candidate: Some(served(5)),
                stable: Some(served(5)),
                ..window(second, (0, 0), (0, 0))
            })
            .collect();
        rolled_back += usize::from(goes_back(judgements(&Context::default(), &windows).last()));
    }
    eprintln!("equal latencies: rolled back {rolled_back} of 200");
    assert!(rolled_back <= 4, "{rolled_back}");
}

/// Milliseconds: mostly some tens, and a long tail.
fn took(rng: &mut Rng) -> u64 {
    (20.0 / (1.0 - rng.f64()).powf(0.7)) as u64
}
