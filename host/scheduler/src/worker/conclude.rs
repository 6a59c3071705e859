//! The end of a request that is not executed: it is counted, and answered in Triton's words.

use std::time::Instant;

use nereid_inference::{CheckedRequest, InferError};

use super::Shared;
use crate::{FailureReason, Outcome, RequestRecord, job::Job, policy::Refusal};

// === impl Shared ===

impl Shared {
    /// Answers a request that the policy does not execute, in Triton's words.
    pub(super) fn refuse(&self, job: Job, refusal: Refusal) {
        let prefixed = |text: &str| InferError::unavailable(format!("{}{text}", job.request.get().error_prefix()));
        let (error, reason) = match (refusal, &self.sequences) {
            (Refusal::QueueFull, _) => (prefixed("Exceeds maximum queue size"), FailureReason::Rejected),
            (Refusal::Expired, _) => (prefixed("Request timeout expired"), FailureReason::Rejected),
            (Refusal::SequenceExpired, _) => {
                let text = "timeout of the corresponding sequence has been expired";
                (InferError::unavailable(text), FailureReason::Rejected)
            }
            (Refusal::NotStarted, Some(sequences)) => (sequences.not_started(&job.request), FailureReason::Other),
            (Refusal::NotStarted, None) => (InferError::internal("the model has no sequences"), FailureReason::Other),
        };
        self.conclude(job, error, reason);
    }

    /// Answers a request that never ran.
    pub(super) fn conclude(&self, job: Job, error: InferError, reason: FailureReason) {
        let record = RequestRecord {
            outcome: Outcome::Failure(reason),
            rows: job.request.batch_size(),
            received: job.request.get().received,
            queued: job.origin.queued,
            execution: None,
            ended: Instant::now(),
        };
        self.report(&job.request, &record);
        job.sender.respond(Err(error));
    }

    /// Counts a request, and tells its trace.
    pub(super) fn report(&self, request: &CheckedRequest, record: &RequestRecord) {
        self.observer.request_finished(record);
        if let Some(trace) = &request.get().trace {
            record.report(&**trace);
        }
    }
}
