//! Whether what a policy says of a batch is so.

use nereid_inference::{Awaited, BatchReason};

use super::*;

// === impl World ===

impl World {
    /// What is said of a batch is true of it; those who left while it was put together are not looked for.
    pub(super) fn check_cause(&self, run: &Run<Request>) {
        let cause = run.cause;
        let rows: u64 = run.requests.iter().map(|request| request.rows).sum();
        let (delay, preferred) = match &self.settings.batching {
            Some(batching) => (batching.delay_max, &*batching.preferred_rows),
            None => (Duration::ZERO, &[][..]),
        };
        let arrived = |request: &Request| self.requests[request.id].arrived;
        let oldest = run.requests.iter().map(arrived).min().unwrap();
        let others_wait = self.waiting().count() > run.requests.len();
        let is_true = match cause.reason {
            BatchReason::Unbatched => self.settings.batching.is_none(),
            BatchReason::Full => rows >= self.settings.batch_rows_max,
            BatchReason::Preferred => preferred.contains(&rows) && rows < self.settings.batch_rows_max,
            BatchReason::AbovePreferred => preferred.last().is_some_and(|largest| rows > *largest),
            BatchReason::NoRoom | BatchReason::OtherShape => others_wait,
            BatchReason::Strategy => self.actor.is_some() && others_wait,
            BatchReason::NoDelay => delay.is_zero() && !self.is_draining,
            BatchReason::DelayOver => !delay.is_zero() && oldest + delay <= self.stage.now,
            BatchReason::Draining => self.is_draining,
            BatchReason::OtherInputs | BatchReason::SlotsInUse => false,
        };
        assert!(is_true, "not true: {cause:?} of {rows} rows");
        assert_eq!(cause.decided, self.stage.now);
        if cause.awaited == Awaited::Nothing {
            assert!(run.requests.len() == 1 && oldest == self.stage.now, "it has waited");
        }
    }
}
