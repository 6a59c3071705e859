//! Whether Redis is worth asking: a state machine that takes the time.
//!
//! Good, until an operation fails or takes too long; then paused: nobody asks for a while, so that requests do not each
//! wait for the time limit, and after that one request tries. When that succeeds it is good again, else the pause begins
//! anew. A try that never reports counts as one that failed.

use std::time::{Duration, Instant};

/// What is known of the server.
#[derive(Debug)]
pub(crate) struct Health {
    pause: Duration,
    paused_until: Option<Instant>,
}

// === impl Health ===

impl Health {
    /// Good.
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, paused_until: None }
    }

    /// Whether to ask now. The first that may after a pause is the one that tries.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.paused_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + self.pause);
                true
            }
        }
    }

    /// An operation went well. Returns whether that is news.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.paused_until.take().is_some()
    }

    /// An operation failed, or took too long. Returns whether that is news.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.paused_until.replace(now + self.pause).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    #[test]
    fn after_a_failure_nobody_asks_and_then_one_tries() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut health = Health::new(PAUSE);
        assert!(health.admits(at(0)) && health.admits(at(0)));
        assert!(health.failed(at(0)), "news");
        assert!(!health.failed(at(10)), "no news");
        assert!(!health.admits(at(500)) && !health.admits(at(1_009)));
        assert!(health.admits(at(1_010)), "one tries");
        assert!(!health.admits(at(1_011)), "and nobody else");
        assert!(health.succeeded() && !health.succeeded());
        assert!(health.admits(at(1_012)) && health.admits(at(1_013)));
    }

    #[test]
    fn a_try_that_never_reports_is_followed_by_another() {
        let start = Instant::now();
        let mut health = Health::new(PAUSE);
        health.failed(start);
        assert!(health.admits(start + PAUSE));
        assert!(!health.admits(start + PAUSE + PAUSE / 2));
        assert!(health.admits(start + PAUSE + PAUSE));
    }
}
