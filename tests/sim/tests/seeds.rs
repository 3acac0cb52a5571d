//! Fixed seeds, each twice: no promise is broken, and both runs say the same to the letter.

use std::collections::BTreeSet;

use caxton_rollout::HotReloadStatus;
use caxton_sim::Simulation;

const RELOADS: u64 = 250;

fn run(seed: u64) -> Simulation {
    let mut simulation = Simulation::new(seed);
    let ended = simulation.run(RELOADS);
    assert_eq!(
        ended,
        Ok(()),
        "cargo run -p caxton-sim -- --seed {seed} --seeds 1 --reloads {RELOADS} --log"
    );
    simulation
}

#[test]
fn fixed_seeds_hold_and_repeat() {
    for seed in 1..=6 {
        let (first, second) = (run(seed), run(seed));
        assert!(
            first.world.log == second.world.log,
            "seed {seed} went two ways"
        );
        assert!(first.world.reloads >= RELOADS);
    }
}

#[test]
fn the_faults_reach_every_status() {
    let simulation = run(7);
    for status in HotReloadStatus::ALL
        .into_iter()
        .filter(|s| *s != HotReloadStatus::Pending)
    {
        assert!(
            simulation.world.seen.contains_key(&status),
            "{status:?} never came up"
        );
    }
}

#[test]
fn long_runs_come_by_everything() {
    let mut reached = BTreeSet::new();
    let mut killed = BTreeSet::new();
    for seed in [7, 30, 77] {
        let world = run(seed).world;
        reached.extend(world.reached.into_keys());
        killed.extend(world.killed.into_keys());
    }
    for status in HotReloadStatus::ALL {
        let is_an_end = matches!(
            status,
            HotReloadStatus::Failed | HotReloadStatus::Cancelled | HotReloadStatus::RolledBack
        );
        assert!(
            is_an_end || killed.contains(&status),
            "the host was never killed in {status:?}"
        );
    }
    for rare in [
        "a share",
        "copies",
        "a hand-over",
        "a hand-over that may cut",
        "a snapshot",
        "an empty state",
        "a return to what was",
        "a return to a checkpoint",
        "a return with the state",
        "a return to what was saved",
        "a return with nothing",
        "state that was not taken",
        "an order that failed",
        "a clamp",
        "decided on a share",
        "decided that it is proven",
        "decided to complete",
        "decided to go back",
        "decided to hold",
        "decided to promote",
        "the guard went back",
        "a full disk",
        "a write that failed",
        "killed on a way back",
        "a start that ended a reload",
        "a start that ended a way back",
        "a start that disarmed",
        "a reload that began again",
        "the breaker",
        "a crash loop",
        "a way back from a crash loop",
        "went back without blame",
    ] {
        assert!(reached.contains(rare), "{rare} never came up");
    }
}
