//! Seeded randomness: the same seed gives the same numbers on every machine and in every release.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng, TryRng};

/// The generator of this crate. Not for keys: whoever sees its output can continue it.
#[derive(Debug, Clone)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// A generator that is a function of `seed` alone.
    pub fn new(seed: u64) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Exponentially distributed with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random::<f64>()).ln()
    }

    /// Between `low` and `high`, falling as a power: P(more than x) ~ x^-`alpha`.
    pub fn pareto(&mut self, alpha: f64, low: f64, high: f64) -> f64 {
        let cut = (low / high).powf(alpha);
        low * (1.0 - self.random::<f64>() * (1.0 - cut)).powf(-1.0 / alpha)
    }

    /// Log-normally distributed around 1, whose logarithm deviates by `sigma`.
    pub fn around_one(&mut self, sigma: f64) -> f64 {
        let angle = std::f64::consts::TAU * self.random::<f64>();
        let normal = (-2.0 * (1.0 - self.random::<f64>()).ln()).sqrt() * angle.cos();
        (sigma * normal).exp()
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.random::<f64>() < p
    }
}

/// One of `0..n`; 0 if `n` is 0.
pub fn below(random: &mut impl Rng, n: usize) -> usize {
    random.random_range(0..n.max(1))
}

impl TryRng for Random {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_always() {
        let mut random = Random::new(42);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        let mut again = Random::new(42);
        assert_eq!(first, (0..3).map(|_| again.next_u64()).collect::<Vec<_>>());
        assert_ne!(first[0], Random::new(43).next_u64());
    }

    #[test]
    fn distributions_have_their_means_and_bounds() {
        let mut random = Random::new(1);
        let n = 20_000;
        let mean = (0..n).map(|_| random.exponential(3.0)).sum::<f64>() / f64::from(n);
        assert!((2.9..3.1).contains(&mean), "{mean}");
        for _ in 0..n {
            assert!((2.0..=50.0).contains(&random.pareto(1.0, 2.0, 50.0)));
        }
        assert_eq!(below(&mut random, 0), 0);
    }
}
