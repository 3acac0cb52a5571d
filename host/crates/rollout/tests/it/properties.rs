//! Random long sequences, shrunk by proptest when the world complains.

use proptest::prelude::*;

use caxton_sim::Simulation;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The promises are checked by the world after every step; nothing may be left behind at the end.
    #[test]
    fn promises_hold_for_any_seed(seed in any::<u64>(), reloads in 1_u64..60) {
        let mut simulation = Simulation::new(seed);
        prop_assert_eq!(simulation.run(reloads), Ok(()));
    }

    #[test]
    fn the_same_events_give_the_same_commands(seed in any::<u64>()) {
        let (mut one, mut other) = (Simulation::new(seed), Simulation::new(seed));
        prop_assert_eq!(one.run(15), other.run(15));
        prop_assert!(one.world.log == other.world.log);
    }
}
