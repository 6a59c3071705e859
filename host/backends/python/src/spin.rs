//! Whether a wait is spent awake: worth it while what is waited for comes within microseconds and the processor is free.
//!
//! To wake a thread on an idle processor costs 5 µs on good days and 50 µs in a virtual machine, more than a small execution. On a
//! busy machine it costs nothing, and who spins there is sent away for milliseconds when its time is used up. Both are told by
//! the outcome: a spin that did not end in time costs a pause, counted in waits, which doubles with every failure and halves
//! only after many times as many spins in a row have paid off. `runner/nereid_runner/wire.py` waits for orders by the same rule.

use std::time::{Duration, Instant};

/// What a spin costs at most. A brief execution ends within it also when the other side has to be woken first.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// In waits, as pauses are.
const PAUSE_MIN: u32 = 16;
/// A failure in so many waits is lost in their noise; it is half a second of small executions.
const PAUSE_MAX: u32 = 4096;
/// Spins in a row that pay off, per wait of the pause, before it halves: one lost in a hundred leaves no time to recover.
const TRIALS_PER_PAUSE: u32 = 16;

/// What the waits of one connection have taught.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Waits that are slept through from now on.
    resting: u32,
    /// How many after the next failure.
    pause: u32,
    /// Spins that ended in time, since the pause changed.
    paid_off: u32,
}

// === impl Spin ===

impl Default for Spin {
    fn default() -> Self {
        Self { resting: 0, pause: PAUSE_MIN, paid_off: 0 }
    }
}

impl Spin {
    /// Waits awake, if that is worth it; returns whether it has come.
    pub(crate) fn wait_for(&mut self, mut has_come: impl FnMut() -> bool) -> bool {
        if !self.begins() {
            return false;
        }
        let started = Instant::now();
        loop {
            let came = has_come();
            let took = started.elapsed();
            if came || took > SPIN_MAX {
                self.ended(came, took);
                return came;
            }
        }
    }

    /// Whether the next wait is one to spend awake.
    fn begins(&mut self) -> bool {
        let is_resting = self.resting > 0;
        self.resting = self.resting.saturating_sub(1);
        !is_resting
    }

    /// What is late has come to one who was not running, or has not come.
    fn ended(&mut self, came: bool, took: Duration) {
        if came && took <= SPIN_MAX {
            self.paid_off += 1;
            if self.paid_off >= TRIALS_PER_PAUSE * self.pause {
                (self.pause, self.paid_off) = ((self.pause / 2).max(PAUSE_MIN), 0);
            }
        } else {
            (self.resting, self.paid_off) = (self.pause, 0);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spins among a million waits, of which each takes as long as `takes` says of the spins before it.
    fn spins(takes: impl Fn(u32) -> Duration) -> u32 {
        let (mut spin, mut spins) = (Spin::default(), 0);
        for _ in 0..1_000_000 {
            if spin.begins() {
                let took = takes(spins);
                spin.ended(took < Duration::from_millis(1), took);
                spins += 1;
            }
        }
        spins
    }

    #[test]
    fn short_waits_are_all_spent_awake() {
        assert_eq!(spins(|_| Duration::from_micros(20)), 1_000_000);
    }

    #[test]
    fn long_waits_are_slept_through() {
        assert!(spins(|_| Duration::from_millis(1)) < 300);
        assert!(spins(|_| SPIN_MAX + Duration::from_micros(1)) < 300, "it came, and too late");
    }

    #[test]
    fn on_a_busy_machine_few_waits_are_spent_awake() {
        let one_in_seventy_is_sent_away = |spins| Duration::from_micros(if spins % 70 == 69 { 8_000 } else { 20 });
        assert!(spins(one_in_seventy_is_sent_away) < 25_000);
        let one_in_ten_thousand = |spins| Duration::from_micros(if spins % 10_000 == 9_999 { 8_000 } else { 20 });
        assert!(spins(one_in_ten_thousand) > 900_000, "it is not busy");
    }

    #[test]
    fn what_comes_during_a_spin_ends_it() {
        let (mut spin, mut looks) = (Spin::default(), 0);
        let came = spin.wait_for(|| {
            looks += 1;
            looks == 3
        });
        assert!(came && looks == 3);
        assert!(!Spin::default().wait_for(|| false));
    }
}
