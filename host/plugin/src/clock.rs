//! The two clocks of a call: since it began, and while its guest occupied a thread, or an operation of the host did for it.
//!
//! Whoever polls the call starts and stops the second clock around each poll, so that it stands while the guest waits for
//! another model; and it stands while that model works on the guest's own thread, which counts into its own figures. Shared
//! between the poller and the epoch callback inside the guest's store; all on one thread at a time, so that relaxed order is
//! enough.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Marks "not set" in the atomics below.
const UNSET: u64 = u64::MAX;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct CallClock {
    started: Instant,
    deadline: Instant,
    resumed_ns: AtomicU64,
    spent_ns: AtomicU64,
    cancelled_ns: AtomicU64,
    /// The guest would go on, and has let others run.
    turn_over: AtomicBool,
}

// === impl CallClock ===

impl CallClock {
    pub(crate) fn start(wall_time_max: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started + wall_time_max,
            resumed_ns: AtomicU64::new(UNSET),
            spent_ns: AtomicU64::new(0),
            cancelled_ns: AtomicU64::new(UNSET),
            turn_over: AtomicBool::new(false),
        }
    }

    /// The call is about to be polled; `cancelled` says whether its client is known to be gone.
    pub(crate) fn resume(&self, cancelled: bool) {
        let now = self.now_ns();
        self.resumed_ns.store(now, Ordering::Relaxed);
        if cancelled {
            let _ = self.cancelled_ns.compare_exchange(UNSET, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The call was polled.
    pub(crate) fn pause(&self) {
        let resumed = self.resumed_ns.swap(UNSET, Ordering::Relaxed);
        if resumed != UNSET {
            self.spent_ns.fetch_add(self.now_ns().saturating_sub(resumed), Ordering::Relaxed);
        }
    }

    /// Stands still while somebody else works on this thread.
    pub(crate) fn stand_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let went = self.resumed_ns.load(Ordering::Relaxed) != UNSET;
        self.pause();
        let value = work();
        if went {
            self.resume(false);
        }
        value
    }

    /// The guest lets others run now.
    pub(crate) fn end_turn(&self) {
        self.turn_over.store(true, Ordering::Relaxed);
    }

    /// Whether the guest let others run since this was asked last.
    pub(crate) fn take_turn_over(&self) -> bool {
        self.turn_over.swap(false, Ordering::Relaxed)
    }

    /// Another thread worked for the guest while the call was not polled.
    pub(crate) fn spend(&self, time: Duration) {
        self.spent_ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(UNSET >> 1), Ordering::Relaxed);
    }

    /// How long the guest occupied a thread, or another thread worked for it.
    pub(crate) fn cpu_time(&self) -> Duration {
        let resumed = self.resumed_ns.load(Ordering::Relaxed);
        let current = if resumed == UNSET { 0 } else { self.now_ns().saturating_sub(resumed) };
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed) + current)
    }

    /// When the call must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Until then.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// How long ago the client was found gone; `None` while it is there.
    pub(crate) fn cancelled_for(&self) -> Option<Duration> {
        match self.cancelled_ns.load(Ordering::Relaxed) {
            UNSET => None,
            cancelled => Some(Duration::from_nanos(self.now_ns().saturating_sub(cancelled))),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(UNSET - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_clock_stands_while_the_call_is_not_polled() {
        let clock = CallClock::start(Duration::from_secs(1));
        clock.resume(false);
        clock.pause();
        let spent = clock.cpu_time();
        assert_eq!(clock.cpu_time(), spent);
        clock.resume(false);
        let later = clock.cpu_time();
        assert!(later >= spent);
    }

    #[test]
    fn the_cpu_clock_stands_while_others_work_on_the_thread() {
        let clock = CallClock::start(Duration::from_secs(1));
        let others = Duration::from_millis(200);
        clock.resume(false);
        clock.stand_still(|| std::thread::sleep(others));
        assert!(clock.cpu_time() < others, "{:?}", clock.cpu_time());
        let before = clock.cpu_time();
        assert!(clock.cpu_time() > before, "it goes on");
        clock.pause();
        clock.stand_still(|| ());
        let spent = clock.cpu_time();
        assert_eq!(clock.cpu_time(), spent, "it was not going");
    }

    #[test]
    fn work_on_other_threads_counts_as_the_guests_own() {
        let clock = CallClock::start(Duration::from_secs(1));
        clock.spend(Duration::from_secs(7));
        assert!(clock.cpu_time() >= Duration::from_secs(7));
    }

    #[test]
    fn the_first_sight_of_a_cancellation_counts() {
        let clock = CallClock::start(Duration::from_secs(1));
        clock.resume(false);
        assert_eq!(clock.cancelled_for(), None);
        clock.resume(true);
        let first = clock.cancelled_for().unwrap();
        clock.resume(true);
        assert!(clock.cancelled_for().unwrap() >= first);
    }
}
