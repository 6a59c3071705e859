//! Whether a blocking execution is likely to be so brief that handing it to another thread would cost more than it does.
//!
//! The expectation is a maximum that decays: one long execution is remembered over many brief ones, so that a model
//! whose executions differ keeps its thread.

use std::time::Duration;

/// Executions to see before anything is expected.
const EXECUTIONS_SEEN_MIN: u32 = 8;

/// What is left of the longest execution after each further one, in eighths: a millisecond is forgotten, down to 50 µs,
/// after 23 brief executions.
const DECAY_EIGHTHS: u32 = 7;

/// What recent executions were like.
#[derive(Debug, Default)]
pub(crate) struct Brevity {
    seen: u32,
    longest: Duration,
    rows_max: u64,
}

// === impl Brevity ===

impl Brevity {
    /// An execution of `rows` rows took `duration`.
    pub(crate) fn record(&mut self, rows: u64, duration: Duration) {
        self.seen = self.seen.saturating_add(1);
        self.longest = duration.max(self.longest * DECAY_EIGHTHS / 8);
        self.rows_max = self.rows_max.max(rows);
    }

    /// Whether an execution of `rows` rows is expected to take less than `limit`. One that is larger than any before it
    /// is not.
    pub(crate) fn expects(&self, rows: u64, limit: Duration) -> bool {
        self.seen >= EXECUTIONS_SEEN_MIN && rows <= self.rows_max && self.longest < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(50);

    fn after(executions: &[(u64, u64)]) -> Brevity {
        let mut brevity = Brevity::default();
        for (rows, microseconds) in executions {
            brevity.record(*rows, Duration::from_micros(*microseconds));
        }
        brevity
    }

    #[test]
    fn nothing_is_expected_before_enough_was_seen() {
        assert!(!after(&[(1, 3); 7]).expects(1, LIMIT));
        assert!(after(&[(1, 3); 8]).expects(1, LIMIT));
    }

    #[test]
    fn one_long_execution_is_remembered_over_many_brief_ones() {
        let mut brevity = after(&[(1, 3); 100]);
        brevity.record(1, Duration::from_millis(1));
        let brief_again = (1..100).find(|_| {
            brevity.record(1, Duration::from_micros(3));
            brevity.expects(1, LIMIT)
        });
        assert_eq!(brief_again, Some(23));
    }

    #[test]
    fn a_larger_batch_than_any_before_is_not_expected_to_be_brief() {
        assert!(!after(&[(4, 3); 8]).expects(5, LIMIT));
    }
}
