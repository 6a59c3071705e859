//! What the scheduler tells whoever keeps the statistics.

use std::time::{Duration, Instant};

use nereid_backend::Timeline;
use nereid_inference::{Activity, BatchDecision, RequestTrace, Verdict};

/// Keeps statistics; called on the thread that executes, so it must be quick.
pub trait Observer: Send + Sync {
    /// The number of requests in the queue is now this.
    fn waiting_changed(&self, waiting: usize);

    /// A batch goes to an instance now.
    fn batch_decided(&self, decision: BatchDecision);

    /// An execution has ended; its requests follow.
    fn batch_executed(&self, execution: &ExecutionRecord);

    /// A request has been answered, or will be by a sender that the backend took, or will be executed again.
    fn request_finished(&self, request: &RequestRecord);

    /// The batching strategy was asked about a request.
    fn strategy_asked(&self, _end: StrategyEnd) {}
}

/// What came of a question to the batching strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyEnd {
    Answered(Verdict),
    /// The batch did not wait for the answer any longer.
    Overdue,
}

/// One call of a backend.
#[derive(Clone, Copy, Debug)]
pub struct ExecutionRecord {
    /// Rows of all its requests.
    pub rows: u64,
    pub timeline: Timeline,
    pub ended: Instant,
    /// Ordinal of the GPU that its instance is on.
    pub gpu: Option<i32>,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord {
    pub outcome: Outcome,
    pub rows: u64,
    /// When the first byte was there; of a step, when the step before had ended.
    pub received: Instant,
    /// When the scheduler got it; of a step, when the step before had ended.
    pub queued: Instant,
    /// `None` when it never ran.
    pub execution: Option<ExecutionRecord>,
    pub ended: Instant,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// It was executed, and will be once more: a step of an iterative sequence. Counted as an inference, as upstream.
    Step,
    Failure(FailureReason),
}

/// Why a request failed, in the words of Triton's failure metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// Queue full or time over.
    Rejected,
    /// The client is gone.
    Cancelled,
    /// The backend said so.
    Backend,
    /// None of these.
    Other,
}

// === impl ExecutionRecord ===

impl ExecutionRecord {
    /// Time spent gathering inputs.
    pub fn compute_input(&self) -> Duration {
        self.inputs_ready().saturating_duration_since(self.timeline.started)
    }

    /// Time spent computing.
    pub fn compute_infer(&self) -> Duration {
        self.outputs_started().saturating_duration_since(self.inputs_ready())
    }

    /// Time spent handing out outputs.
    pub fn compute_output(&self) -> Duration {
        self.ended.saturating_duration_since(self.outputs_started())
    }

    fn inputs_ready(&self) -> Instant {
        self.timeline.inputs_ready.unwrap_or(self.timeline.started)
    }

    fn outputs_started(&self) -> Instant {
        self.timeline.outputs_started.unwrap_or(self.ended)
    }
}

// === impl RequestRecord ===

impl RequestRecord {
    /// From the first byte to the answer.
    pub fn total(&self) -> Duration {
        self.ended.saturating_duration_since(self.received)
    }

    /// Time in the queue.
    pub fn queue(&self) -> Duration {
        let left = self.execution.map_or(self.ended, |execution| execution.timeline.started);
        left.saturating_duration_since(self.queued)
    }

    /// Tells a trace what happened. A request that never ran has no moments of computation.
    pub(crate) fn report(&self, trace: &dyn RequestTrace) {
        trace.event(Activity::QueueStart, self.queued);
        if let Some(execution) = &self.execution {
            trace.event(Activity::ComputeStart, execution.timeline.started);
            trace.event(Activity::ComputeInputEnd, execution.inputs_ready());
            trace.event(Activity::ComputeOutputStart, execution.outputs_started());
            trace.event(Activity::ComputeEnd, execution.ended);
        }
        if self.outcome != Outcome::Step {
            trace.event(Activity::RequestEnd, self.ended);
        }
    }
}
