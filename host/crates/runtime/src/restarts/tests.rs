//! Traps at made-up moments, against what is promised about any of them.

use super::*;
use proptest::prelude::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits of so many replacements, each of which traps in the moment in which it may be made.
fn waits(restarts: &mut Restarts, from: Duration, replacements: usize) -> Vec<Duration> {
    let mut now = from;
    let mut waits = Vec::new();
    for _ in 0..replacements {
        restarts.trapped(now, "a trap");
        waits.push(restarts.ready_at() - now);
        now = restarts.ready_at();
    }
    waits
}

#[test]
fn the_first_replacement_comes_at_once_and_then_each_waits_about_twice_as_long() {
    let mut restarts = Restarts::new(7);
    let waits = waits(&mut restarts, ms(5), 12);
    let wholes = [
        0, 50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000,
    ];
    for (wait, whole) in waits.iter().zip(wholes) {
        let whole = ms(whole);
        assert!((whole / 2..=whole).contains(wait), "{wait:?} of {whole:?}");
    }
}

#[test]
fn after_a_minute_without_a_trap_it_begins_again() {
    let mut restarts = Restarts::new(7);
    let last: Duration = waits(&mut restarts, ms(0), 8).iter().take(7).sum();
    restarts.trapped(last + CALM - ms(1), "a trap");
    assert!(
        restarts.ready_at() > last + CALM + ms(1_000),
        "it goes on a moment before that"
    );
    let mut restarts = Restarts::new(7);
    waits(&mut restarts, ms(0), 8);
    restarts.trapped(last + CALM, "a trap");
    assert_eq!(restarts.ready_at(), last + CALM);
}

#[test]
fn instances_that_trap_together_count_as_one_replacement() {
    let mut restarts = Restarts::new(7);
    for n in 0..100 {
        restarts.trapped(ms(1_000) + Duration::from_micros(n), "a trap");
    }
    assert!(restarts.ready_at() <= ms(1_051), "{restarts:?}");
}

#[test]
fn five_traps_in_a_minute_are_a_crash_loop_and_four_are_none() {
    let mut restarts = Restarts::new(7);
    for n in 0..4 {
        assert_eq!(restarts.trapped(ms(n * 15_000), "a trap"), None);
    }
    let told = restarts.trapped(ms(60_000), "the last one").unwrap();
    assert_eq!((told.traps, told.within), (5, ms(60_000)));
    assert_eq!(
        told.to_string(),
        "its instances trapped 5 times within 60 s, the last time: the last one"
    );
    // Once for these five.
    for n in 0..4 {
        assert_eq!(restarts.trapped(ms(60_001 + n), "a trap"), None);
    }
    assert!(restarts.trapped(ms(60_010), "a trap").is_some());
    let mut slow = Restarts::new(7);
    let told = (0..1_000).filter_map(|n| slow.trapped(ms(n * 15_001), "a trap"));
    assert_eq!(told.count(), 0);
}

proptest! {
    #[test]
    fn any_traps_at_all(seed: u64, gaps in prop::collection::vec(gap(), 1..200)) {
        let mut restarts = Restarts::new(seed);
        let mut same = Restarts::new(seed);
        let mut now = Duration::ZERO;
        let mut last: Option<Duration> = None;
        // The traps that a crash loop may still be made of.
        let mut open: Vec<Duration> = Vec::new();
        for gap in gaps {
            now += gap;
            let before = restarts.ready_at();
            let told = restarts.trapped(now, "a trap");
            prop_assert_eq!(&told, &same.trapped(now, "a trap"));
            prop_assert_eq!(restarts.ready_at(), same.ready_at());
            // Nobody waits longer than that, and a wait that runs is not made longer.
            prop_assert!(restarts.ready_at() <= now.max(before) + LONGEST_WAIT);
            prop_assert!(now >= before || last.is_some_and(|l| now - l >= CALM) || restarts.ready_at() == before);
            if last.is_none_or(|last| now - last >= CALM) {
                prop_assert_eq!(restarts.ready_at(), now);
            }
            last = Some(now);
            open.push(now);
            let within = open.iter().filter(|trap| now - **trap <= LOOP_WINDOW).count();
            prop_assert_eq!(told.is_some(), within >= 5);
            if told.is_some() {
                open.clear();
            }
        }
    }

    /// However it goes wrong, so many instances are made in a minute and no more: the doublings, and then one each five seconds.
    #[test]
    fn replacements_are_few(seed: u64) {
        let mut restarts = Restarts::new(seed);
        let mut now = Duration::ZERO;
        let mut made = 0;
        while now < Duration::from_secs(60) {
            restarts.trapped(now, "a trap");
            now = restarts.ready_at();
            made += 1;
        }
        prop_assert!((12..=21).contains(&made), "{}", made);
    }
}

/// Mostly short, sometimes about as long as what matters.
fn gap() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..100).prop_map(ms),
        (0_u64..12_000).prop_map(ms),
        (0_u64..3).prop_map(|n| CALM - ms(1) + ms(n)),
        (0_u64..200_000).prop_map(ms),
    ]
}
