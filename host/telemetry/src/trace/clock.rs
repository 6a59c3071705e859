//! Moments as trace files and spans write them.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the machine's monotonic clock, which is Triton's: comparable between processes of one machine.
pub(crate) fn monotonic_ns(at: Instant) -> u64 {
    static ANCHOR: OnceLock<(Instant, u64)> = OnceLock::new();
    let (anchor, anchor_ns) = *ANCHOR.get_or_init(|| {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        (Instant::now(), seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default())
    });
    match at.checked_duration_since(anchor) {
        Some(since) => anchor_ns.saturating_add(nanoseconds(since)),
        None => anchor_ns.saturating_sub(nanoseconds(anchor.saturating_duration_since(at))),
    }
}

/// The time of day, as far as one reading tells it: moments that are converted by the same reading keep their distance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeOfDay {
    now: Instant,
    today: SystemTime,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// === impl TimeOfDay ===

impl TimeOfDay {
    /// Reads both clocks.
    pub(crate) fn read() -> Self {
        Self { now: Instant::now(), today: SystemTime::now() }
    }

    /// The time of day of a moment that is past.
    pub(crate) fn of(self, at: Instant) -> SystemTime {
        self.today.checked_sub(self.now.saturating_duration_since(at)).unwrap_or(self.today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_keep_their_distance_and_their_order() {
        let now = Instant::now();
        let later = now + Duration::from_nanos(1_234);
        assert_eq!(monotonic_ns(later) - monotonic_ns(now), 1_234);
        let earlier = now.checked_sub(Duration::from_millis(5)).unwrap();
        assert_eq!(monotonic_ns(now) - monotonic_ns(earlier), 5_000_000);
        let time_of_day = TimeOfDay::read();
        let apart = time_of_day.of(now).duration_since(time_of_day.of(earlier)).unwrap();
        assert_eq!(apart, Duration::from_millis(5));
    }
}
