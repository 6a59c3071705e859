//! A request while the scheduler has it, and what batching asks of it.

use std::time::Instant;

use nereid_backend::Batch;
use nereid_inference::{CheckedRequest, ResponseSender};

use crate::batching::Batchable;

/// A request in the scheduler's hands.
pub(crate) struct Job {
    pub(crate) request: CheckedRequest,
    pub(crate) sender: ResponseSender,
    pub(crate) queued: Instant,
}

// === impl Job ===

impl Job {
    /// A batch that starts now, and when each request was queued.
    pub(crate) fn into_batch(jobs: Vec<Self>) -> (Batch, Vec<Instant>) {
        let queued = jobs.iter().map(|job| job.queued).collect();
        (Batch::new(jobs.into_iter().map(|job| (job.request, job.sender))), queued)
    }
}

impl Batchable for Job {
    fn rows(&self) -> u64 {
        self.request.batch_size()
    }

    fn fits(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.request.get().inputs, &other.request.get().inputs);
        mine.len() == theirs.len()
            && mine.iter().zip(theirs).all(|(mine, theirs)| {
                mine.name == theirs.name && mine.tensor.shape().inner() == theirs.tensor.shape().inner()
            })
    }

    fn is_cancelled(&self) -> bool {
        self.sender.is_cancelled()
    }
}
