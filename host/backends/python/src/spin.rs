//! Whether a wait is spent awake: worth it while what is waited for comes within microseconds and the processor is free.
//!
//! To wake a thread on an idle processor costs 5 µs on good days and 50 µs in a virtual machine, more than a small execution. On a
//! busy machine it costs nothing, and who spins there is sent away for milliseconds when its time is used up. So accounts are kept:
//! a spin that ended in time saved a wake-up, one that was late cost as long as it took. Once more is lost than was saved, waits are
//! slept through for a pause, counted in waits, which is twice as long the next time and halves only after many times as many
//! spins. A moment that the hypervisor or an interrupt takes is late too, and the other spins make up for it.
//! `runner/nereid_runner/wire.py` waits for orders by the same rule.

use std::time::{Duration, Instant};

/// What a spin costs at most. A brief execution ends within it also when the other side has to be woken first.
const SPIN_MAX: Duration = Duration::from_micros(100);

/// What a spin that ends in time saves, in the cautious case.
const WAKE_UP: Duration = Duration::from_micros(10);

/// Savings are forgotten beyond this: it is what is lost, and one late spin more, before a machine that has become busy is noticed.
const SAVED_MAX: Duration = Duration::from_millis(20);

/// In waits, as pauses are.
const PAUSE_MIN: u32 = 16;
/// A late spin in so many waits is lost in their noise; it is half a second of small executions.
const PAUSE_MAX: u32 = 4096;
/// Spins between two pauses, per wait of the next one, before it halves.
const TRIALS_PER_PAUSE: u32 = 16;

/// What the waits of one connection have taught.
#[derive(Debug)]
pub(crate) struct Spin {
    /// Waits that are slept through from now on.
    resting: u32,
    /// How many the next time.
    pause: u32,
    /// Spins since the pause changed.
    spins: u32,
    /// What spins have saved since the last pause, less what late ones have cost.
    saved: Duration,
}

// === impl Spin ===

impl Default for Spin {
    fn default() -> Self {
        Self { resting: 0, pause: PAUSE_MIN, spins: 0, saved: Duration::ZERO }
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
                self.ended(took);
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
    fn ended(&mut self, took: Duration) {
        if took <= SPIN_MAX {
            self.saved = (self.saved + WAKE_UP).min(SAVED_MAX);
        } else if let Some(rest) = self.saved.checked_sub(took) {
            self.saved = rest;
        } else {
            (self.resting, self.spins, self.saved) = (self.pause, 0, Duration::ZERO);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            return;
        }
        self.spins += 1;
        if self.spins >= TRIALS_PER_PAUSE * self.pause {
            (self.pause, self.spins) = ((self.pause / 2).max(PAUSE_MIN), 0);
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
                spin.ended(takes(spins));
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
    fn short_interruptions_of_an_idle_machine_end_no_spins() {
        let one_in_fifty_is_interrupted = |spins| Duration::from_micros(if spins % 50 == 49 { 300 } else { 20 });
        assert!(spins(one_in_fifty_is_interrupted) > 990_000);
        let one_in_twenty = |spins| Duration::from_micros(if spins % 20 == 19 { 300 } else { 20 });
        assert!(spins(one_in_twenty) < 25_000, "more is lost than saved");
    }

    #[test]
    fn a_machine_that_becomes_busy_is_noticed_before_much_is_lost() {
        let mut spin = Spin::default();
        for _ in 0..1_000_000 {
            assert!(spin.begins());
            spin.ended(Duration::from_micros(20));
        }
        let late = Duration::from_millis(8);
        let lost = std::iter::from_fn(|| spin.begins().then(|| spin.ended(late))).count();
        assert_eq!(lost, 3, "of {SAVED_MAX:?}, {late:?} each");
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
