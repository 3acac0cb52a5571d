//! The default policy through the whole core, in virtual time: what becomes of versions that people will really drop.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod judge;
mod life;

use std::time::Duration;

use caxton_rollout::{
    Blame, ErrorKind, Evidence, HotReloadStatus, Judgement, OnInconclusive, Strategy,
};

use crate::life::{Fails, Life, number};

const STRATEGIES: [Strategy; 4] = [
    Strategy::Graceful,
    Strategy::Immediate,
    Strategy::Parallel,
    Strategy::TrafficSplitting,
];

const HOUR: u64 = 3_600;

/// A reload that begins after ten minutes.
fn begun(seed: u64, strategy: Strategy, load: u64, fails: Fails) -> Life {
    let mut life = Life::new(seed, strategy, load, fails);
    life.drop_file(2);
    life
}

#[test]
fn a_version_that_fails_three_in_ten_goes_back_after_some_tens_of_its_requests() {
    for strategy in STRATEGIES {
        let mut needed = Vec::new();
        for seed in 0..10 {
            let fails = |version, _| if version == 2 { 30 } else { 0 };
            let mut life = begun(seed, strategy, 10, fails);
            life.until_over(HOUR);
            let result = life.history().remove(0);
            assert_eq!(
                (life.serving(), result.status, result.error_kind),
                (
                    1,
                    HotReloadStatus::RolledBack,
                    Some(ErrorKind::AutomaticRollback)
                ),
                "{strategy:?}, seed {seed}"
            );
            if strategy == Strategy::Parallel {
                assert_eq!(life.answered, 0, "no caller saw any of it");
            }
            needed.push(life.answered + life.copies);
        }
        let mean = needed.iter().sum::<u64>() / needed.len() as u64;
        assert!((10..=45).contains(&mean), "{strategy:?}: {needed:?}");
        assert!(needed.iter().all(|n| *n <= 120), "{strategy:?}: {needed:?}");
    }
}

#[test]
fn who_is_to_blame_depends_on_whether_there_was_something_to_compare_with() {
    for (strategy, blame) in [
        (Strategy::Graceful, Blame::Unknown),
        (Strategy::Immediate, Blame::Unknown),
        (Strategy::Parallel, Blame::Candidate),
        (Strategy::TrafficSplitting, Blame::Candidate),
    ] {
        let mut life = begun(
            1,
            strategy,
            20,
            |version, _| if version == 2 { 60 } else { 0 },
        );
        life.until_over(HOUR);
        let decided = life.world.decided.clone().unwrap();
        assert!(
            matches!(decided.judgement, Judgement::Rollback { blame: said, .. } if said == blame),
            "{strategy:?}: {decided:?}"
        );
    }
}

#[test]
fn a_version_that_fails_one_in_a_hundred_completes_as_proven() {
    for strategy in STRATEGIES {
        for seed in 0..3 {
            let mut life = begun(seed, strategy, 10, |_, _| 1);
            let seconds = life.until_over(HOUR);
            let result = life.history().remove(0);
            assert_eq!(
                (life.serving(), result.status, result.evidence),
                (2, HotReloadStatus::Completed, Evidence::Sufficient),
                "{strategy:?}, seed {seed}: {:?} {:?}",
                result.rollback_reason,
                result.error
            );
            assert!(seconds >= 300, "the bake lasts as long as it is to");
        }
    }
}

/// Everything fails for four minutes, in the middle of the stages.
#[test]
fn an_outage_that_hits_both_versions_holds_and_then_completes() {
    for seed in 0..3 {
        let fails = |_, second| {
            if (660..900).contains(&second) { 70 } else { 0 }
        };
        let mut life = begun(seed, Strategy::TrafficSplitting, 20, fails);
        let mut held = 0;
        for _ in 0..2 * HOUR {
            life.pass(1);
            if life.is_over() {
                break;
            }
            let shared =
                |(kind, text): &(&str, String)| *kind == "held" && text.contains("what hits both");
            held += u64::from(life.attention().iter().any(shared));
        }
        let result = life.history().remove(0);
        assert_eq!(
            (life.serving(), result.status, result.evidence),
            (2, HotReloadStatus::Completed, Evidence::Sufficient),
            "seed {seed}: {:?} {:?}",
            result.rollback_reason,
            result.error
        );
        assert!(held >= 200, "seed {seed}: held for {held} s");
    }
}

#[test]
fn a_candidate_that_mends_a_broken_stable_version_gets_through() {
    for strategy in STRATEGIES {
        for seed in 0..3 {
            let fails = |version, _| if version == 1 { 40 } else { 2 };
            let mut life = begun(seed, strategy, 10, fails);
            life.until_over(HOUR);
            let result = life.history().remove(0);
            assert_eq!(
                (life.serving(), result.status),
                (2, HotReloadStatus::Completed),
                "{strategy:?}, seed {seed}: {:?} {:?}",
                result.rollback_reason,
                result.error
            );
        }
    }
}

/// The stable version breaks only while the reload goes on, which looks like an outage for as long as nothing else can be told.
#[test]
fn a_candidate_that_is_well_beside_a_stable_version_that_breaks_is_held_and_not_blamed() {
    let fails = |version, second| {
        if version == 1 && second >= 660 { 50 } else { 0 }
    };
    let mut life = begun(3, Strategy::TrafficSplitting, 20, fails);
    life.pass(600);
    assert_eq!(life.serving(), 1);
    let attention = life.attention();
    assert_eq!(attention[0].0, "held", "{attention:?}");
    life.world
        .order(
            &life.view().agent,
            caxton_rollout::Order::Promote { now: false },
        )
        .unwrap()
        .unwrap();
    life.until_over(HOUR);
    assert_eq!(life.serving(), 2);
}

#[test]
fn without_traffic_no_traffic_moves_and_the_deadline_decides() {
    for strategy in [Strategy::Parallel, Strategy::TrafficSplitting] {
        for (inconclusive, serving, status) in [
            (OnInconclusive::Abort, 1, Some(HotReloadStatus::Cancelled)),
            (OnInconclusive::Hold, 1, None),
            (OnInconclusive::Promote, 2, Some(HotReloadStatus::Completed)),
        ] {
            let mut life = Life::new(1, strategy, 10, |_, _| 0);
            life.load = 0;
            life.settings.reload.on_inconclusive = inconclusive;
            life.drop_file(2);
            life.pass(HOUR - 60);
            assert_eq!(life.serving(), 1, "{strategy:?}");
            let share = life.view().split;
            let first = if strategy == Strategy::Parallel { 0 } else { 5 };
            assert_eq!(share, first, "{strategy:?} stays in its first stage");
            // One that is put aside without blame would come back after five minutes.
            let bakes = inconclusive == OnInconclusive::Promote;
            life.pass(if bakes { 420 } else { 120 });
            assert_eq!(life.serving(), serving, "{strategy:?}, {inconclusive:?}");
            let ended = life.is_over().then(|| life.history().remove(0).status);
            assert_eq!(ended, status, "{strategy:?}, {inconclusive:?}");
        }
    }
}

#[test]
fn a_version_with_all_traffic_and_no_requests_completes_as_unproven_and_is_watched_on() {
    for strategy in [Strategy::Graceful, Strategy::Immediate] {
        let mut life = Life::new(
            1,
            strategy,
            10,
            |version, _| if version == 2 { 100 } else { 0 },
        );
        life.load = 0;
        life.drop_file(2);
        assert_eq!(
            life.until_over(HOUR),
            300,
            "{strategy:?}: its bake is not prolonged"
        );
        let result = life.history().remove(0);
        assert_eq!(
            (life.serving(), result.status, result.evidence),
            (2, HotReloadStatus::Completed, Evidence::Insufficient)
        );
        assert_eq!(life.attention()[0].0, "unproven");
        life.pass(HOUR);
        assert_eq!(life.serving(), 2);
        // The first requests, one a second, all of which fail.
        life.load = 1;
        life.pass(2);
        assert_eq!(life.serving(), 2, "two failures are not enough");
        life.pass(1);
        assert_eq!((life.serving(), life.answered), (1, 3));
        let result = life.history().remove(0);
        assert_eq!(result.status, HotReloadStatus::RolledBack);
        assert_eq!((result.from, result.to), (Some(number(2)), Some(number(1))));
    }
}

/// As many good requests as one likes buy no immunity.
#[test]
fn what_begins_late_in_the_bake_goes_back() {
    let fails = |version, second| {
        if version == 2 && second >= 2_000 {
            30
        } else {
            0
        }
    };
    let mut life = Life::new(2, Strategy::Graceful, 20, fails);
    life.settings.reload.bake = Duration::from_secs(HOUR);
    life.drop_file(2);
    life.pass(1_399);
    assert_eq!(life.serving(), 2);
    let before = life.answered;
    life.until_over(120);
    assert_eq!(life.history()[0].status, HotReloadStatus::RolledBack);
    let needed = life.answered - before;
    assert!(needed <= 150, "{needed} requests until it goes back");
}
