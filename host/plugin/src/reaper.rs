//! Idle guests, and the thread that drops those that have nothing to do for long.
//!
//! Promises: a guest that was idle for the time of its plugin is gone a second later, but for as many as the plugin keeps; the most
//! recently used stay. The thread sleeps without waking while no pool has more than it keeps. Guests are dropped on that
//! thread, because giving memory back takes longer than a call.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use nereid_telemetry::GuestEnd;
use parking_lot::Mutex;

use crate::sandbox::Sandbox;

/// Between two looks while there are guests that may go.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Idle guests kept per pool at any time; more calls at a time than this are rare, and a fresh guest costs ten microseconds.
const IDLE_GUESTS_MAX: usize = 16;

/// How long guests wait for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleSettings {
    /// One that was idle for as long is dropped.
    pub time: Duration,
    /// So many stay in each pool.
    pub guests_min: usize,
}

/// The idle guests of one pool: the most recently used last.
pub(crate) struct IdleGuests {
    settings: IdleSettings,
    guests: Mutex<Vec<IdleGuest>>,
}

struct IdleGuest {
    guest: Sandbox,
    since: Instant,
}

/// Owns the thread.
pub(crate) struct Reaper {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    pools: Mutex<Vec<Weak<IdleGuests>>>,
    /// Whether the thread looks again by itself.
    is_looking: AtomicBool,
    has_ended: AtomicBool,
}

// === impl IdleSettings ===

impl IdleSettings {
    /// A minute without a second request at the same time is a quiet minute; one warm guest answers the next request at once.
    pub const DEFAULT: Self = Self { time: Duration::from_secs(60), guests_min: 1 };

    /// What a pool keeps is what it may keep at most.
    pub const GUESTS_MIN_MAX: usize = IDLE_GUESTS_MAX;
}

impl Default for IdleSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

// === impl IdleGuests ===

impl IdleGuests {
    pub(crate) fn new(settings: IdleSettings, first: Sandbox) -> Arc<Self> {
        Arc::new(Self { settings, guests: Mutex::new(vec![IdleGuest { guest: first, since: Instant::now() }]) })
    }

    /// The one that was used last.
    pub(crate) fn take(&self) -> Option<Sandbox> {
        self.guests.lock().pop().map(|idle| idle.guest)
    }

    /// Keeps a guest, and says whether there are now some that may go; gives it back when there are enough.
    pub(crate) fn keep(&self, guest: Sandbox) -> Result<bool, Sandbox> {
        let mut guests = self.guests.lock();
        if guests.len() >= IDLE_GUESTS_MAX {
            return Err(guest);
        }
        guests.push(IdleGuest { guest, since: Instant::now() });
        Ok(guests.len() > self.settings.guests_min)
    }

    fn has_surplus(&self) -> bool {
        self.guests.lock().len() > self.settings.guests_min
    }

    /// Those that were idle for long.
    fn take_overdue(&self, now: Instant) -> Vec<IdleGuest> {
        let mut guests = self.guests.lock();
        let count = overdue(guests.iter().map(|idle| idle.since), self.settings, now);
        guests.drain(..count).collect()
    }
}

/// How many of those that are idle since then go: the first ones. Pure.
fn overdue(since: impl ExactSizeIterator<Item = Instant>, settings: IdleSettings, now: Instant) -> usize {
    let may_go = since.len().saturating_sub(settings.guests_min);
    since.take(may_go).take_while(|since| now.saturating_duration_since(*since) >= settings.time).count()
}

// === impl Reaper ===

impl Reaper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            pools: Mutex::default(),
            is_looking: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let for_thread = shared.clone();
        let handle = thread::Builder::new().name("nereid-idle".to_owned()).spawn(move || for_thread.run())?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// Looks after this pool too, for as long as there is one.
    pub(crate) fn look_after(&self, pool: &Arc<IdleGuests>) {
        let mut pools = self.shared.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// A pool has guests that may go.
    pub(crate) fn note_surplus(&self) {
        if !self.shared.is_looking.load(SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

// === impl Shared ===

impl Shared {
    fn run(&self) {
        while !self.has_ended.load(SeqCst) {
            if self.look(Instant::now()) {
                self.is_looking.store(true, SeqCst);
                thread::park_timeout(LOOK_INTERVAL);
                continue;
            }
            self.is_looking.store(false, SeqCst);
            // A guest that was kept before this look is seen by it; one that is kept later finds the word above and unparks.
            if !self.living().iter().any(|pool| pool.has_surplus()) {
                thread::park();
            }
        }
    }

    /// Drops what is overdue; returns whether there is something to look at again.
    fn look(&self, now: Instant) -> bool {
        let pools = self.living();
        for pool in &pools {
            for idle in pool.take_overdue(now) {
                idle.guest.retire(GuestEnd::Idle);
            }
        }
        pools.iter().any(|pool| pool.has_surplus())
    }

    fn living(&self) -> Vec<Arc<IdleGuests>> {
        self.pools.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_go_and_as_many_stay_as_are_kept() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let settings = IdleSettings { time: Duration::from_secs(10), guests_min: 2 };
        let count = |idle_since: &[u64], now| overdue(idle_since.iter().map(|seconds| at(*seconds)), settings, at(now));
        assert_eq!(count(&[0, 1, 2, 3], 9), 0);
        assert_eq!(count(&[0, 1, 2, 3], 10), 1);
        assert_eq!(count(&[0, 1, 2, 3], 100), 2);
        assert_eq!(count(&[0, 1], 100), 0);
        assert_eq!(count(&[], 100), 0);
        let none_kept = IdleSettings { guests_min: 0, ..settings };
        assert_eq!(overdue([start].into_iter(), none_kept, at(10)), 1);
    }
}
