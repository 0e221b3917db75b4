//! Seeded random numbers: the same seed gives the same numbers on every machine.

/// The state of a SplitMix64 generator (Steele, Lea and Flood, 2014): small, fast, good enough for sampling and initial weights,
/// not for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A uniform number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An independent generator for a named part of the work.
    pub fn fork(&mut self, part: u64) -> Self {
        let mut child = Self(self.0 ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93));
        child.next_u64();
        child
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers_of_splitmix64() {
        // The test vector of Vigna's splitmix64.c for seed 1234567, as published on Rosetta Code.
        let mut seed = Seed(1_234_567);
        let found: Vec<u64> = (0..5).map(|_| seed.next_u64()).collect();
        assert_eq!(
            found,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn numbers_are_in_their_ranges_and_have_their_moments() {
        let mut seed = Seed(1);
        let count = 100_000i32;
        let (mut uniform, mut normal, mut squares) = (0.0, 0.0, 0.0);
        let mut buckets = [0; 7];
        for _ in 0..count {
            let value = seed.uniform();
            assert!((0.0..1.0).contains(&value));
            uniform += value;
            let value = seed.normal();
            assert!(value.is_finite());
            normal += value;
            squares += value * value;
            buckets[seed.below(7)] += 1;
        }
        let share = |sum: f64| sum / f64::from(count);
        assert!((share(uniform) - 0.5).abs() < 0.01);
        assert!(share(normal).abs() < 0.02 && (share(squares) - 1.0).abs() < 0.03);
        assert!(
            buckets.iter().all(|&found| (found - count / 7).abs() < 600),
            "{buckets:?}"
        );
        assert_eq!((seed.below(0), seed.below(1)), (0, 0));
    }

    #[test]
    fn shuffling_keeps_everything_and_a_seed_repeats_itself() {
        let shuffled = |seed: u64| {
            let mut items: Vec<u32> = (0..1000).collect();
            Seed(seed).shuffle(&mut items);
            items
        };
        let mut items = shuffled(5);
        assert_eq!(items, shuffled(5));
        assert_ne!(items, shuffled(6));
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
        Seed(1).shuffle::<u8>(&mut []);
    }

    #[test]
    fn forks_differ_from_each_other_and_from_their_parent() {
        let mut parent = Seed(8);
        let mut first: Vec<u64> = (0..100).map(|part| parent.fork(part).next_u64()).collect();
        first.push(parent.next_u64());
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 101);
    }
}
