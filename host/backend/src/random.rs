//! What the seeded simulations have in common: a generator whose whole state is the seed, and the loop over seeds.

use std::time::Instant;

/// The splitmix64 generator: good enough to choose events.
#[derive(Debug)]
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

    /// Whether it happens.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Simulates seeds `0..count`; `NEREID_SEED=n` replays one, `NEREID_SEEDS=n` says how many.
///
/// # Panics
/// When a simulation does, with its seed.
pub fn for_every_seed(count: u64, simulate: fn(u64, Instant)) {
    let chosen = std::env::var("NEREID_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = std::env::var("NEREID_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(count);
    let start = Instant::now();
    for seed in chosen.map_or(0..seeds, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| simulate(seed, start));
        assert!(outcome.is_ok(), "seed {seed} failed: replay it with NEREID_SEED={seed}");
    }
}
