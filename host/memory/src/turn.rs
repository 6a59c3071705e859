//! One load at a time is measured. Whoever waits for longer than allowed goes on without: a model whose warm-up calls
//! another one, which is loaded for that, would otherwise wait for ever.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<bool>,
    free: Condvar,
}

/// The turn, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Turns>);

// === impl Turns ===

impl Turns {
    /// Waits for the turn; `None` when it did not come in time. Blocks.
    pub(crate) fn take(self: &Arc<Self>, wait_max: Duration) -> Option<Turn> {
        let until = Instant::now() + wait_max;
        let mut taken = self.taken.lock();
        while *taken {
            if self.free.wait_until(&mut taken, until).timed_out() && *taken {
                return None;
            }
        }
        *taken = true;
        Some(Turn(self.clone()))
    }
}

// === impl Turn ===

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.taken.lock() = false;
        self.0.free.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_turn_is_given_on() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(LONG).unwrap();
        let second = thread::spawn({
            let turns = turns.clone();
            move || turns.take(LONG).is_some()
        });
        drop(first);
        assert!(second.join().unwrap());
        assert!(!*turns.taken.lock());
    }

    #[test]
    fn who_waits_too_long_goes_without() {
        let turns = Arc::new(Turns::default());
        let held = turns.take(LONG);
        assert!(turns.take(Duration::from_millis(1)).is_none());
        drop(held);
        assert!(turns.take(Duration::from_millis(1)).is_some());
    }
}
