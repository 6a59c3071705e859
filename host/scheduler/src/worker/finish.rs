//! After an execution: it is counted, state is kept, answers are sent, and what is not done yet goes back to the policy.

use std::time::Instant;

use nereid_backend::{Batch, FinishedRequest};
use nereid_inference::{ErrorKind, InferError};

use super::Shared;
use crate::{
    ExecutionRecord, FailureReason, ITERATIVE_STEPS_MAX, Outcome, RequestRecord,
    job::{Job, Origin},
    sequence::{go_on, not_iterative, too_many_steps},
};

// === impl Shared ===

impl Shared {
    /// Counts the batch, on the GPU of its instance, then sends its answers; returns the requests that are to be executed
    /// again.
    pub(super) fn finish(&self, batch: Batch, origins: Vec<Origin>, gpu: Option<i32>) -> Vec<Job> {
        let (rows, timeline) = (batch.rows(), batch.timeline());
        let execution = ExecutionRecord { rows, timeline, ended: Instant::now(), gpu };
        if !batch.is_empty() {
            self.observer.batch_executed(&execution);
        }
        let requests = origins.len();
        let mut again = Vec::new();
        for (mut finished, origin) in batch.finish().zip(origins).filter(|(_, origin)| !origin.is_padding) {
            let mut step = finished.step.take();
            if let Some(error) = step.as_ref().and_then(|_| self.step_error(&origin)) {
                finished.answer = step.take().map(|step| (step.sender, Err(error)));
            }
            let response = match (&mut finished.answer, &mut step) {
                (Some((_, Ok(response))), _) => Some(response),
                (_, Some(step)) => Some(&mut step.response),
                _ => None,
            };
            if let (Some(tensors), Some(response)) = (&origin.tensors, response) {
                tensors.keep(response, &finished.request, &origin.kept, requests);
            }
            if let Some((sender, result)) = &mut finished.answer {
                sender.reshape_last(result);
            }
            self.report(&finished.request, &executed(&finished, step.is_some(), &origin, execution));
            if let Some(step) = step {
                let origin = Origin { queued: execution.ended, steps: origin.steps + 1, ..origin };
                go_on(&mut finished.request);
                let ragged_inputs = self.ragged_inputs.clone();
                again.push(Job { request: finished.request, sender: step.sender, origin, ragged_inputs });
            } else if let Some((sender, result)) = finished.answer {
                sender.respond(result);
            }
        }
        again
    }

    /// Why a request that its backend hands back is not executed again.
    fn step_error(&self, origin: &Origin) -> Option<InferError> {
        match self.sequences.as_ref().filter(|sequences| sequences.iterative) {
            None => Some(not_iterative()),
            Some(sequences) if origin.steps + 1 >= ITERATIVE_STEPS_MAX => Some(too_many_steps(&sequences.model_name)),
            Some(_) => None,
        }
    }
}

/// What is counted of a request that was executed.
fn executed(finished: &FinishedRequest, is_step: bool, origin: &Origin, execution: ExecutionRecord) -> RequestRecord {
    let outcome = match &finished.answer {
        Some((_, Err(error))) if error.kind() == ErrorKind::Cancelled => Outcome::Failure(FailureReason::Cancelled),
        Some((_, Err(_))) => Outcome::Failure(FailureReason::Backend),
        None if is_step => Outcome::Step,
        Some((_, Ok(_))) | None => Outcome::Success,
    };
    RequestRecord {
        outcome,
        rows: finished.request.batch_size(),
        received: if origin.steps == 0 { finished.request.get().received } else { origin.queued },
        queued: origin.queued,
        execution: Some(execution),
        ended: execution.ended,
    }
}
