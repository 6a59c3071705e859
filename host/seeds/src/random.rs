//! The splitmix64 generator: good enough to choose events, and the same on every machine.

/// A generator; its whole state is one number.
#[derive(Clone, Debug)]
pub struct Random(u64);

// === impl Random ===

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of something that has `length` elements, which are not none.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Whether it happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_always_the_same_story() {
        // The first numbers of seed 0, as the generator's authors publish them.
        let mut random = Random::new(0);
        assert_eq!([random.next(), random.next()], [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
    }

    #[test]
    fn everything_below_a_bound_comes_and_nothing_else() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 5];
        (0..1_000).for_each(|_| seen[random.index(5)] += 1);
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
        assert!((0..1_000).filter(|_| random.chance(30)).count().abs_diff(300) < 80);
    }
}
