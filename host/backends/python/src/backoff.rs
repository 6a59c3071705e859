//! When a process that ended is started again: a pure function of the time and of how it went before.

use std::time::{Duration, Instant};

/// The pause before the second attempt in a row; the first has none.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A model that cannot run costs one start in this time at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who lived so long is well: what comes next is no repetition.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// How often in a row a process ended soon after it was started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    in_a_row: u32,
}

// === impl Backoff ===

impl Backoff {
    /// A process that was started at `started` ended at `now`; when to start the next one.
    pub(crate) fn ended(&mut self, started: Instant, now: Instant) -> Instant {
        if now.saturating_duration_since(started) >= WELL_AFTER {
            self.in_a_row = 0;
        }
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            count => FIRST_PAUSE.saturating_mul(1_u32.checked_shl(count - 1).unwrap_or(u32::MAX)).min(LONGEST_PAUSE),
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        now + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_again_after_a_good_time() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..10).map(|_| (backoff.ended(start, start) - start).as_millis()).collect();
        assert_eq!(pauses, [0, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
        for _ in 0..100 {
            assert_eq!(backoff.ended(start, start) - start, LONGEST_PAUSE);
        }
        let later = start + WELL_AFTER;
        assert_eq!(backoff.ended(start, later), later);
    }
}
