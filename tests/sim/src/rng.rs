//! Randomness from a seed, the same on every machine and in every release.

/// PCG-XSH-RR with 64 bits of state.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(2).wrapping_add(0x5851_f42d_4c95_7f2d));
        rng.next();
        rng.0 = rng.0.wrapping_add(seed);
        rng.next();
        rng
    }

    fn next(&mut self) -> u32 {
        let state = self.0;
        self.0 = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let shifted = (((state >> 18) ^ state) >> 27) as u32;
        shifted.rotate_right((state >> 59) as u32)
    }

    /// A number below `bound`; zero where `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bits = (u64::from(self.next()) << 32) | u64::from(self.next());
        bits.checked_rem(bound).unwrap_or(0)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let at = self.below(choices.len() as u64) as usize;
        choices.get(at).copied().unwrap_or(otherwise)
    }
}
