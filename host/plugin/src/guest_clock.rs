//! The time as a guest sees it through WASI.
//!
//! Unless clocks are granted, it stands still while the guest computes, and moves on where a call begins and where the guest
//! waited: a guest knows what day it is and when it may go on, and can neither time its own instructions nor its neighbours'.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::grants::Clocks;

/// What a clock that stands still says of its resolution.
const STILL_RESOLUTION: Duration = Duration::from_millis(1);

/// What the monotonic clock shows at first: runtimes take 0 for one that does not work, and Go's ends itself there.
const MONOTONIC_BEGINNING_NS: u64 = 1_000_000_000;

/// One guest's time; a clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct GuestClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clocks: Clocks,
    /// When the guest was made, and what time it was then.
    began: Instant,
    began_at: Duration,
    /// Nanoseconds since then, as they are shown.
    shown_ns: AtomicU64,
}

// === impl GuestClock ===

impl GuestClock {
    pub(crate) fn start(clocks: Clocks) -> Self {
        let began_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(Inner { clocks, began: Instant::now(), began_at, shown_ns: AtomicU64::new(0) }))
    }

    /// A call began, or the guest waited.
    pub(crate) fn move_on(&self) {
        self.0.shown_ns.store(self.elapsed_ns(), Ordering::Relaxed);
    }

    fn shown(&self) -> Duration {
        Duration::from_nanos(match self.0.clocks {
            Clocks::Still => self.0.shown_ns.load(Ordering::Relaxed),
            Clocks::Running => self.elapsed_ns(),
        })
    }

    fn elapsed_ns(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn shown_resolution(&self) -> Duration {
        match self.0.clocks {
            Clocks::Still => STILL_RESOLUTION,
            Clocks::Running => Duration::from_nanos(1),
        }
    }
}

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        u64::try_from(self.shown_resolution().as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.shown().as_nanos()).unwrap_or(u64::MAX).saturating_add(MONOTONIC_BEGINNING_NS)
    }
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        self.shown_resolution()
    }

    fn now(&self) -> Duration {
        self.0.began_at + self.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monotonic(clock: &GuestClock) -> u64 {
        HostMonotonicClock::now(clock)
    }

    #[test]
    fn a_still_clock_moves_where_it_is_told_to() {
        let clock = GuestClock::start(Clocks::Still);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(monotonic(&clock), MONOTONIC_BEGINNING_NS);
        clock.move_on();
        let moved = monotonic(&clock);
        assert!(moved >= MONOTONIC_BEGINNING_NS + 2_000_000, "{moved}");
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(monotonic(&clock), moved);
    }

    #[test]
    fn both_clocks_show_the_same_time() {
        for clocks in [Clocks::Still, Clocks::Running] {
            let clock = GuestClock::start(clocks);
            clock.move_on();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let difference = now.abs_diff(HostWallClock::now(&clock));
            assert!(difference < Duration::from_secs(5), "{difference:?}");
        }
    }

    #[test]
    fn a_running_clock_runs() {
        let clock = GuestClock::start(Clocks::Running);
        let before = monotonic(&clock);
        std::thread::sleep(Duration::from_millis(2));
        assert!(monotonic(&clock) >= before + 2_000_000);
    }
}
