//! What a model asks of its sequences.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::{CheckedRequest, InferError, SequenceId};
use nereid_tensor::DataType;

use super::{
    Pick, SequenceIds, SequenceTensors, Sequenced,
    bench::Bench,
    direct::{self, DirectSettings},
    oldest,
};
use crate::SchedulerSettings;

/// How sequences are kept together.
#[derive(Clone, Debug)]
pub struct SequenceSettings {
    pub model_name: Arc<str>,
    pub strategy: SequenceStrategy,
    /// Sequences that one instance has at a time; at least 1.
    pub slots: usize,
    /// How long a sequence may have nothing that waits or runs before it is ended.
    pub idle_max: Duration,
    /// A request is a sequence of its own, which the backend may hand back to be executed again.
    pub iterative: bool,
    pub tensors: Arc<SequenceTensors>,
}

/// Which slots run together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SequenceStrategy {
    /// A sequence has a row of the batch for itself.
    Direct(DirectSettings),
    /// The oldest requests go, by the rules of [`SchedulerSettings::batching`].
    Oldest,
}

// === impl SequenceSettings ===

impl SequenceSettings {
    /// Checks what a request says about its sequence, before anything is known of the sequence itself. Where sequences are
    /// iterative, it need not say anything.
    ///
    /// # Errors
    /// `InvalidArgument`, in Triton's words.
    pub(crate) fn admit(&self, request: &mut CheckedRequest, sequence_ids: &SequenceIds) -> Result<(), InferError> {
        if self.iterative {
            sequence_ids.begin(request, self.tensors.correlation.as_ref().map(|correlation| correlation.data_type));
        }
        self.check(request)
    }

    fn check(&self, request: &CheckedRequest) -> Result<(), InferError> {
        let model = &self.model_name;
        let invalid = |text: String| Err(InferError::invalid_argument(text));
        if request.batch_size() > 1 {
            return invalid(format!(
                "inference request to model '{model}' must specify batch-size 1 due to requirements of sequence batcher"
            ));
        }
        let id = request.get().sequence.as_ref().map(|flags| &flags.id);
        let Some(id) = id.filter(|id| **id != SequenceId::Number(0)) else {
            return invalid(format!(
                "inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
            ));
        };
        let Some(correlation) = &self.tensors.correlation else { return Ok(()) };
        let found = match id {
            SequenceId::Number(_) => DataType::Uint64,
            SequenceId::Text(_) => DataType::Bytes,
        };
        if (found == DataType::Bytes) == (correlation.data_type == DataType::Bytes) {
            return Ok(());
        }
        invalid(format!(
            "{}sequence batching control '{}' data-type is '{found}', but model '{model}' expects '{}'",
            request.get().error_prefix(),
            correlation.name,
            correlation.data_type
        ))
    }

    /// What a request is told whose sequence is not known.
    pub(crate) fn not_started(&self, request: &CheckedRequest) -> InferError {
        let id = match request.get().sequence.as_ref().map(|flags| &flags.id) {
            Some(SequenceId::Number(number)) => number.to_string(),
            Some(SequenceId::Text(text)) => text.clone(),
            None => String::new(),
        };
        InferError::invalid_argument(format!(
            "inference request for sequence {id} to model '{}' must specify the START flag on the first request of the \
             sequence",
            self.model_name
        ))
    }
}

// === impl SequenceStrategy ===

impl SequenceStrategy {
    pub(super) fn pick<T: Sequenced>(&self, settings: &SchedulerSettings, now: Instant, bench: &Bench<T>) -> Pick {
        match self {
            Self::Direct(direct_settings) => direct::pick(direct_settings, now, bench),
            Self::Oldest => oldest::pick(settings, now, bench),
        }
    }

    /// No more company will come.
    pub(super) fn do_not_wait(&mut self) {
        if let Self::Direct(direct_settings) = self {
            direct_settings.delay_max = Duration::ZERO;
        }
    }
}
