//! What is told of a batch when it goes: the policy's reasons, with what only the worker knows of instance and requests.

use nereid_inference::BatchDecision;

use super::{Shared, instances::Slot};
use crate::{
    batching::Batchable,
    job::Job,
    policy::{Cause, Run},
};

// === impl Shared ===

impl Shared {
    /// Tells why a batch goes now.
    pub(super) fn note(&self, run: &Run<Job>, slot: Option<&Slot>) {
        let Some(slot) = slot else { return };
        let clients = || run.requests.iter().filter(|job| !job.origin.is_padding);
        let Cause { decided, reason, awaited, waiting } = run.cause;
        let oldest = clients().map(|job| job.origin.queued).min().unwrap_or(decided);
        self.observer.batch_decided(BatchDecision {
            decided,
            instance: slot.name().clone(),
            requests: clients().count(),
            rows: run.requests.iter().map(Job::rows).sum(),
            oldest_wait: decided.saturating_duration_since(oldest),
            reason,
            awaited,
            waiting,
        });
    }
}
