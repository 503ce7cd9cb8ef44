//! Numbers without pattern, the same ones for the same seed.

/// A generator (splitmix64, as published by S. Vigna).
pub(crate) struct Seeded(u64);

impl Seeded {
    /// One that begins with `seed`.
    pub(crate) fn new(seed: u64) -> Seeded {
        Seeded(seed)
    }

    /// The next number below `bound`, which is not zero. Small bounds are met evenly enough.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_all_of_them() {
        let numbers = |seed| {
            let mut seeded = Seeded::new(seed);
            [(); 64].map(|()| seeded.below(3))
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert!((0..3).all(|n| numbers(7).contains(&n)));
    }
}
