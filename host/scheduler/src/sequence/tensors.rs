//! The tensors by which a model is told about its sequences, and those that are kept for it between requests.
//!
//! Clients neither send nor see them. Signals are made once per model and shared; a correlation id is made per request;
//! state goes from one execution to the next by reference, copied only out of a batch of several, whose memory it would
//! keep as a whole.

use std::sync::Arc;

use nereid_inference::{CheckedRequest, InferResponse, NamedTensor, SequenceFlags, SequenceId};
use nereid_sync::Mutex;
use nereid_tensor::{BufferMut, DataType, Shape, Tensor, encode_bytes_elements};

/// All of them for one model.
#[derive(Debug, Default)]
pub struct SequenceTensors {
    pub signals: Vec<Signal>,
    pub correlation: Option<CorrelationInput>,
    pub states: Vec<StateInput>,
    /// The outputs of the states, which the model is asked for whatever the client wants.
    pub state_outputs: Option<Arc<[Arc<str>]>>,
}

/// An input that says yes or no.
#[derive(Debug)]
pub struct Signal {
    pub name: Arc<str>,
    pub kind: SignalKind,
    pub when_false: Tensor,
    pub when_true: Tensor,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// This is the first request of its sequence.
    Start,
    /// This is the last one.
    End,
    /// This row has a request.
    Ready,
}

/// The input that has the sequence's id.
#[derive(Debug)]
pub struct CorrelationInput {
    pub name: Arc<str>,
    pub data_type: DataType,
    /// Whether tensors have a batch dimension.
    pub batched: bool,
}

/// A tensor that the model gives with one request and gets back with the next of the same sequence.
#[derive(Debug)]
pub struct StateInput {
    pub input_name: Arc<str>,
    pub output_name: Arc<str>,
    /// What a sequence starts with.
    pub initial: Tensor,
    /// It is one of the model's outputs too, which clients may ask for.
    pub is_output: bool,
}

/// What a sequence keeps: its states in the order of [`SequenceTensors::states`]; none before its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptState(Option<Arc<Mutex<Vec<Tensor>>>>);

// === impl SequenceTensors ===

impl SequenceTensors {
    /// Tells the model about a request of a sequence, and gives it the sequence's state.
    pub(crate) fn attach(&self, request: &mut CheckedRequest, kept: &KeptState) {
        let inputs = self.inputs(request.get().sequence.as_ref(), kept);
        request.attach(inputs, self.state_outputs.clone());
    }

    /// What a request is told that is a sequence of its own.
    pub fn of_lone_request(&self) -> Vec<NamedTensor> {
        let flags = SequenceFlags { id: SequenceId::Number(1), start: true, end: true };
        self.inputs(Some(&flags), &self.initial())
    }

    fn inputs(&self, flags: Option<&SequenceFlags>, kept: &KeptState) -> Vec<NamedTensor> {
        let signals = self.signals.iter().map(|signal| signal.value(flags));
        let correlation = self.correlation.iter().filter_map(|input| input.value(flags.map(|flags| &flags.id)));
        let kept = kept.0.as_ref().map(|states| states.lock().clone()).unwrap_or_default();
        let states = self.states.iter().zip(kept);
        let states = states.map(|(state, tensor)| NamedTensor::new(state.input_name.clone(), tensor));
        signals.chain(correlation).chain(states).collect()
    }

    /// What a sequence starts with.
    pub(crate) fn initial(&self) -> KeptState {
        let states: Vec<Tensor> = self.states.iter().map(|state| state.initial.clone()).collect();
        KeptState((!states.is_empty()).then(|| Arc::new(Mutex::new(states))))
    }

    /// Shapes of the states that a request would be given: what its sequence keeps, or what one starts with.
    pub(crate) fn state_shapes(&self, kept: &KeptState, starts: bool) -> Vec<Shape> {
        let shapes = |states: &[Tensor]| states.iter().map(|state| state.shape().clone()).collect();
        match &kept.0 {
            Some(states) if !starts => shapes(&states.lock()),
            _ => self.states.iter().map(|state| state.initial.shape().clone()).collect(),
        }
    }

    /// Keeps the states that an execution of `batch_requests` gave, and takes those out of the response that the client
    /// did not ask for. One that is missing stays as it was.
    pub(crate) fn keep(
        &self,
        response: &mut InferResponse,
        request: &CheckedRequest,
        kept: &KeptState,
        batch_requests: usize,
    ) {
        let Some(kept) = &kept.0 else { return };
        for (state, tensor) in self.states.iter().zip(kept.lock().iter_mut()) {
            let Some(output) = response.output(&state.output_name) else { continue };
            *tensor = if batch_requests > 1 { copied(output) } else { output.clone() };
        }
        response.outputs.retain(|output| {
            let state = self.states.iter().find(|state| state.output_name == output.name);
            state.is_none_or(|state| state.is_output && request.is_requested(&state.output_name))
        });
    }
}

/// The same tensor in memory of its own.
fn copied(tensor: &Tensor) -> Tensor {
    let buffer = BufferMut::copy_of(tensor.buffer().as_slice()).freeze();
    Tensor::new(tensor.data_type(), tensor.shape().clone(), buffer).unwrap_or_else(|_| tensor.clone())
}

// === impl Signal ===

impl Signal {
    /// A row without a request is not ready, and says nothing else either.
    fn value(&self, flags: Option<&SequenceFlags>) -> NamedTensor {
        let is_true = flags.is_some_and(|flags| match self.kind {
            SignalKind::Start => flags.start,
            SignalKind::End => flags.end,
            SignalKind::Ready => true,
        });
        let tensor = if is_true { &self.when_true } else { &self.when_false };
        NamedTensor::new(self.name.clone(), tensor.clone())
    }
}

// === impl CorrelationInput ===

impl CorrelationInput {
    /// The id in the input's type: cut to its low bytes where it is narrower, as Triton does; 0 or empty without one.
    fn value(&self, id: Option<&SequenceId>) -> Option<NamedTensor> {
        let bytes = match (id, self.data_type) {
            (Some(SequenceId::Text(text)), DataType::Bytes) => encode_bytes_elements(&[text.as_bytes()]),
            (_, DataType::Bytes) => encode_bytes_elements(&[b"".as_slice()]),
            (Some(SequenceId::Number(number)), data_type) => {
                number.to_le_bytes().get(..data_type.size_bytes()?)?.to_vec().into()
            }
            (_, data_type) => vec![0; data_type.size_bytes()?].into(),
        };
        let shape: &[u64] = if self.batched { &[1, 1] } else { &[1] };
        let tensor = Tensor::new(self.data_type, shape.iter().copied().collect(), bytes.into()).ok()?;
        Some(NamedTensor::new(self.name.clone(), tensor))
    }
}

#[cfg(test)]
mod tests;
