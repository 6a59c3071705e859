//! A generator whose whole state is the seed, and the loop over seeds. A seed that hangs ends the process and says which it is.

use std::{
    io::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A seed takes about a millisecond. One that takes this long has found a policy that turns in a circle.
const SEED_MAX: Duration = Duration::from_secs(20);

/// The splitmix64 generator: good enough to choose events.
pub(crate) struct Random(u64);

// === impl Random ===

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of something that has `length` elements.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Simulates seeds `0..count`; `NEREID_SEED=n` replays one, `NEREID_SEEDS=n` says how many.
pub(crate) fn for_every_seed(count: u64, simulate: fn(u64, Instant)) {
    let chosen = std::env::var("NEREID_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = std::env::var("NEREID_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(count);
    let (start, current) = (Instant::now(), AtomicU64::new(0));
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| end_if_it_hangs(&current, is_over));
        for seed in chosen.map_or(0..seeds, |seed| seed..seed + 1) {
            current.store(seed, Ordering::Relaxed);
            let outcome = std::panic::catch_unwind(|| simulate(seed, start));
            if outcome.is_err() {
                drop(over);
                panic!("seed {seed} failed: replay it with NEREID_SEED={seed}");
            }
        }
        drop(over);
    });
}

/// A thread that turns in a circle cannot be stopped; the process can.
fn end_if_it_hangs(current: &AtomicU64, is_over: std::sync::mpsc::Receiver<()>) {
    let mut last = None;
    while is_over.recv_timeout(SEED_MAX) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        let seed = current.load(Ordering::Relaxed);
        if last.replace(seed) == Some(seed) {
            // Not `eprintln`, which a test keeps for a report that this one never gives.
            let _ = writeln!(std::io::stderr(), "seed {seed} hangs: replay it with NEREID_SEED={seed}");
            std::process::abort();
        }
    }
}
