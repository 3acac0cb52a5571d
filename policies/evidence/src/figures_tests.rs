//! The figures that the policy is known by, measured by simulation with fixed seeds.
//!
//! The sums and the decision to go back are those of the policy; only the sentences around them are left out, which would take most of
//! the time.

use caxton_policy::testing::{answered, window};
use caxton_policy::{Context, Window};
use fastrand::Rng;

use crate::rate::{Limits, Rate, Tally, Tick};
use crate::settings::Settings;
use crate::state::State;

/// How many windows are handed over: enough for 50 requests of the stable version at one a tick.
const WINDOWS: usize = 60;

fn failures(rng: &mut Rng, rate: f64, requests: u64) -> u64 {
    (0..requests).filter(|_| rng.f64() < rate).count() as u64
}

/// Ticks until a version is rolled back; none where it is not within `ticks`.
fn rolled_back(context: &Context, ticks: u64, mut tick: impl FnMut(u64) -> Window) -> Option<u64> {
    let settings = Settings::default();
    let (mut state, mut windows) = (State::default(), Vec::new());
    for second in 0..ticks {
        windows.push(tick(second));
        let from = windows.len().saturating_sub(WINDOWS);
        state.update(&windows[from..], context, &settings);
        if state.failures.fires(&settings) {
            return Some(second + 1);
        }
    }
    None
}

/// Requests until a version without a stable one beside it is rolled back, ten a tick, in each of 2,000 runs.
///
/// Of such a version the failures are all there is, so nothing else is added up here.
fn alone(rate: f64, requests: u64) -> Vec<Option<u64>> {
    let settings = Settings::default();
    let nothing = Tally::default();
    let limits = Limits::new(&settings, settings.max_failure_rate);
    let run = |seed| {
        let (mut rng, mut sums) = (Rng::with_seed(seed), Rate::default());
        let first = (1..=requests / 10).find(|_| {
            let tick = Tick {
                candidate: Tally::new(failures(&mut rng, rate, 10), 10),
                tolerated: limits.now(nothing, nothing, nothing),
                ..Tick::default()
            };
            sums.add(&tick, &settings);
            sums.fires(&settings)
        });
        first.map(|ticks| ticks * 10)
    };
    (0..2_000).map(run).collect()
}

fn share(runs: &[Option<u64>], within: u64) -> f64 {
    let hit = runs
        .iter()
        .flatten()
        .filter(|requests| **requests <= within);
    hit.count() as f64 / runs.len() as f64
}

fn mean(runs: &[Option<u64>]) -> f64 {
    let all: Vec<u64> = runs.iter().map(|run| run.expect("found")).collect();
    all.iter().sum::<u64>() as f64 / all.len() as f64
}

fn told(what: &str, value: f64) -> f64 {
    eprintln!("{what}: {value}");
    value
}

#[test]
fn a_version_at_tolerance_is_hardly_ever_rolled_back() {
    let runs = alone(0.05, 5_000);
    assert!(told("5 %: rolled back within 1,000", share(&runs, 1_000)) <= 0.015);
    assert!(told("5 %: rolled back within 5,000", share(&runs, 5_000)) <= 0.015);
}

#[test]
fn a_version_within_tolerance_is_never_rolled_back_to_speak_of() {
    let runs = alone(0.025, 1_000);
    assert!(told("2.5 %: rolled back within 1,000", share(&runs, 1_000)) <= 0.001);
}

#[test]
fn thirty_per_cent_are_found_in_some_tens_of_requests() {
    let runs = alone(0.30, 1_000);
    assert!(told("30 %: rolled back within 60", share(&runs, 60)) >= 0.95);
    let mean = told("30 %: mean requests", mean(&runs));
    assert!((24.0..=28.0).contains(&mean));
}

#[test]
fn twenty_and_ten_per_cent_take_longer() {
    let twenty = told("20 %: mean requests", mean(&alone(0.20, 5_000)));
    assert!((50.0..=58.0).contains(&twenty));
    let ten = told("10 %: mean requests", mean(&alone(0.10, 20_000)));
    assert!((295.0..=330.0).contains(&ten));
}

#[test]
fn an_outage_of_both_from_the_first_tick_is_mostly_not_the_candidates() {
    let context = Context {
        baseline: Some(Window {
            stable: Some(answered(10, 1_000)),
            ..Window::default()
        }),
        ..Context::default()
    };
    for (rate, at_most) in [
        (0.20, 0.08),
        (0.30, 0.08),
        (0.50, 0.08),
        (0.65, 0.09),
        (0.80, 0.08),
        (1.0, 0.0),
    ] {
        let hits = (0..1_000).filter(|seed| {
            let mut rng = Rng::with_seed(*seed);
            let tick = |second| {
                let candidate = failures(&mut rng, rate, 1);
                window(second, (candidate, 1), (failures(&mut rng, rate, 1), 1))
            };
            rolled_back(&context, 200, tick).is_some()
        });
        let share = hits.count() as f64 / 1_000.0;
        assert!(told(&format!("both at {rate}: rolled back"), share) <= at_most);
    }
}
