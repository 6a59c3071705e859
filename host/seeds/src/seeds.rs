//! The loop over seeds. `NEREID_SEED=n` replays one, `NEREID_SEEDS=n` says how many.

use std::{
    env,
    io::Write,
    panic::catch_unwind,
    process,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::Random;

/// A seed takes about a millisecond. One that is the same at so many looks has found a policy that turns in a circle.
const LOOKS_MAX: u32 = 20;

/// Between two looks. Time in which the whole process is stopped, by a debugger or for somebody else's measurement, is one look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Simulates seeds `0..count`, each from the same start of the virtual time.
///
/// # Panics
/// When a simulation does, with its seed.
pub fn for_every_seed(count: u64, simulate: fn(u64, Instant)) {
    let start = Instant::now();
    run(count, |seed| simulate(seed, start));
}

/// Runs what needs no time with the generators of seeds `0..count`.
///
/// # Panics
/// When a run does, with its seed.
pub fn for_every_random(count: u64, simulate: fn(&mut Random)) {
    run(count, |seed| simulate(&mut Random::new(seed)));
}

fn run(count: u64, simulate: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let of_environment = |name: &str| env::var(name).ok().and_then(|number| number.parse().ok());
    let seeds = of_environment("NEREID_SEEDS").unwrap_or(count);
    let current = AtomicU64::new(0);
    let mut failed = None;
    let (over, is_over) = channel::<()>();
    thread::scope(|scope| {
        let current = &current;
        scope.spawn(move || end_if_it_hangs(current, &is_over));
        for seed in of_environment("NEREID_SEED").map_or(0..seeds, |seed| seed..seed + 1) {
            current.store(seed, Ordering::Relaxed);
            if catch_unwind(|| simulate(seed)).is_err() {
                failed = Some(seed);
                break;
            }
        }
        drop(over);
    });
    let failed = failed.map(|seed| format!("seed {seed} failed: replay it with NEREID_SEED={seed}"));
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}

/// A thread that turns in a circle cannot be stopped; the process can.
fn end_if_it_hangs(current: &AtomicU64, is_over: &Receiver<()>) {
    let (mut last, mut looks) = (None, 0);
    while is_over.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let seed = current.load(Ordering::Relaxed);
        looks = if last.replace(seed) == Some(seed) { looks + 1 } else { 0 };
        if looks == LOOKS_MAX {
            // Not `eprintln`, which a test keeps for a report that this one never gives.
            let _ = writeln!(std::io::stderr(), "seed {seed} hangs: replay it with NEREID_SEED={seed}");
            process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_fails_is_named() {
        let failed = catch_unwind(|| for_every_seed(10, |seed, _| assert_ne!(seed, 7)));
        let text = *failed.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(text, "seed 7 failed: replay it with NEREID_SEED=7");
    }

    #[test]
    fn every_seed_has_its_own_numbers() {
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        for_every_random(3, |random| {
            TOTAL.fetch_add(random.below(1_000_000), Ordering::Relaxed);
        });
        let expected: u64 = (0..3).map(|seed| Random::new(seed).below(1_000_000)).sum();
        assert_eq!(TOTAL.load(Ordering::Relaxed), expected);
    }
}
