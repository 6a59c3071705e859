//! A request while the scheduler has it, and what batching asks of it.

use std::{sync::Arc, time::Instant};

use nereid_backend::Batch;
use nereid_inference::{CheckedRequest, RequestProfile, ResponseSender, SequenceFlags, response_channel};
use nereid_tensor::Shape;

use crate::{
    RaggedInputs, SequenceTensors,
    batching::Batchable,
    sequence::{KeptState, Sequenced},
};

/// A request in the scheduler's hands.
pub(crate) struct Job {
    pub(crate) request: CheckedRequest,
    pub(crate) sender: ResponseSender,
    pub(crate) origin: Origin,
    pub(crate) ragged_inputs: RaggedInputs,
}

/// What is known of a request besides what the backend sees.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) queued: Instant,
    /// What models of sequences are told.
    pub(crate) tensors: Option<Arc<SequenceTensors>>,
    /// What its sequence keeps.
    pub(crate) kept: KeptState,
    /// How many executions it has had, each of which handed it back.
    pub(crate) steps: u64,
    /// Made up to fill a row: not counted, and answered to nobody.
    pub(crate) is_padding: bool,
}

// === impl Job ===

impl Job {
    pub(crate) fn new(
        request: CheckedRequest,
        sender: ResponseSender,
        queued: Instant,
        tensors: Option<Arc<SequenceTensors>>,
    ) -> Self {
        let origin = Origin { queued, tensors, kept: KeptState::default(), steps: 0, is_padding: false };
        Self { request, sender, origin, ragged_inputs: RaggedInputs::default() }
    }

    /// The same request, which may share a batch with one whose shapes of these inputs are others.
    pub(crate) fn ragged(self, ragged_inputs: RaggedInputs) -> Self {
        Self { ragged_inputs, ..self }
    }

    /// A batch that starts now, and where each request came from.
    pub(crate) fn into_batch(mut jobs: Vec<Self>) -> (Batch, Vec<Origin>) {
        for Self { request, origin, .. } in &mut jobs {
            if let Some(tensors) = &origin.tensors {
                tensors.attach(request, &origin.kept);
            }
        }
        let origins = jobs.iter().map(|job| job.origin.clone()).collect();
        (Batch::new(jobs.into_iter().map(|job| (job.request, job.sender))), origins)
    }

    /// Shapes of the state that this request would be given.
    fn state_shapes(&self, memory: &KeptState) -> Vec<Shape> {
        let starts = self.flags().is_some_and(|flags| flags.start);
        self.origin.tensors.as_ref().map_or_else(Vec::new, |tensors| tensors.state_shapes(memory, starts))
    }
}

impl Batchable for Job {
    fn rows(&self) -> u64 {
        self.request.batch_size()
    }

    fn fits(&self, other: &Self) -> bool {
        fn shapes(job: &Job) -> impl ExactSizeIterator<Item = (&str, &[u64])> {
            job.request.get().inputs.iter().map(|input| (&*input.name, input.tensor.shape().inner()))
        }
        self.ragged_inputs.may_share(shapes(self), shapes(other))
    }

    fn has_inputs_of(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.request.get().inputs, &other.request.get().inputs);
        mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(mine, theirs)| mine.name == theirs.name)
    }

    fn profile(&self) -> RequestProfile {
        RequestProfile::of(&self.request)
    }

    fn is_cancelled(&self) -> bool {
        self.sender.is_cancelled()
    }
}

impl Sequenced for Job {
    type Memory = KeptState;

    fn flags(&self) -> Option<&SequenceFlags> {
        self.request.get().sequence.as_ref()
    }

    fn enter(&mut self, memory: &mut KeptState) {
        let starts = self.flags().is_some_and(|flags| flags.start);
        if let Some(tensors) = self.origin.tensors.as_ref().filter(|_| starts) {
            *memory = tensors.initial();
        }
        self.origin.kept = memory.clone();
    }

    /// It has the state of the request that it copies, whose shape fits; what becomes of that is never kept.
    fn padding(&self) -> Self {
        let (sender, _nobody) = response_channel();
        let origin = Origin { is_padding: true, ..self.origin.clone() };
        Self { request: self.request.as_padding(), sender, origin, ragged_inputs: self.ragged_inputs.clone() }
    }

    fn fits_with(&self, memory: &KeptState, other: &Self, other_memory: &KeptState) -> bool {
        self.fits(other) && self.state_shapes(memory) == other.state_shapes(other_memory)
    }
}
