//! The last decisions of one model's scheduler: what `/v2/debug` shows, and a line of the log each.
//!
//! Costs per batch: a lock that only a reader contends for, and 80 bytes that are written over. The line of the log is put
//! together only where verbose level 2 is on.

use std::collections::VecDeque;

use nereid_inference::{BatchDecision, DecisionLog, ModelIdentity};
use parking_lot::Mutex;

/// A ring that grows up to its limit.
pub(crate) struct Decisions {
    identity: ModelIdentity,
    kept_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    total: u64,
    recent: VecDeque<BatchDecision>,
}

// === impl Decisions ===

impl Decisions {
    /// Of `identity`, of which `kept_max` are kept.
    pub(crate) fn new(identity: ModelIdentity, kept_max: usize) -> Self {
        Self { identity, kept_max, kept: Mutex::default() }
    }

    pub(crate) fn note(&self, decision: BatchDecision) {
        self.log(&decision);
        let mut kept = self.kept.lock();
        kept.total += 1;
        // The name of an instance that is gone may go with its last decision: not under the lock.
        let oldest = if kept.recent.len() >= self.kept_max { kept.recent.pop_front() } else { None };
        kept.recent.push_back(decision);
        drop(kept);
        drop(oldest);
    }

    pub(crate) fn read(&self) -> DecisionLog {
        let kept = self.kept.lock();
        DecisionLog { total: kept.total, recent: kept.recent.iter().cloned().collect() }
    }

    fn log(&self, decision: &BatchDecision) {
        let BatchDecision { instance, requests, rows, reason, awaited, waiting, .. } = decision;
        tracing::trace!(
            "model '{}', version {}, instance '{instance}': sent a batch of {requests} requests and {rows} rows: {}, \
             waited for {}, the oldest {} us; {waiting} requests left",
            self.identity.name,
            self.identity.version,
            reason.name(),
            awaited.name(),
            decision.oldest_wait.as_micros(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nereid_inference::{Awaited, BatchReason};

    use super::*;

    fn decision(requests: usize) -> BatchDecision {
        BatchDecision {
            decided: Instant::now(),
            instance: "m_0".into(),
            requests,
            rows: 1,
            oldest_wait: Duration::ZERO,
            reason: BatchReason::Full,
            awaited: Awaited::Nothing,
            waiting: 0,
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_all_are_counted() {
        let decisions = Decisions::new(ModelIdentity::new("m", 1), 3);
        for requests in 1..=5 {
            decisions.note(decision(requests));
        }
        let log = decisions.read();
        assert_eq!(log.total, 5);
        assert_eq!(log.recent.iter().map(|decision| decision.requests).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn one_takes_as_much_as_the_limit_says() {
        assert!(size_of::<BatchDecision>() <= 80, "{}", size_of::<BatchDecision>());
    }
}
