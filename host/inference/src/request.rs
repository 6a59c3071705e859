//! A request as decoded by a frontend, and the same request once it is known to fit its model.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_tensor::{BufferMut, Tensor};

use crate::{InferError, OutputMemory, Parameters, RequestTrace, SharedTenant, SharedTicket};

/// A tensor under the name that a signature gives it.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    pub name: Arc<str>,
    pub tensor: Tensor,
}

/// What a client or a plugin asks of one model. Tensors are consistent; whether they fit the model is not known yet.
#[derive(Clone, Debug)]
pub struct InferRequest {
    /// The client's own name for the request, echoed in the response; may be empty.
    pub id: String,
    pub inputs: Vec<NamedTensor>,
    /// Names of the outputs wanted; empty means all.
    pub requested_outputs: Vec<Arc<str>>,
    /// Outputs that the client wants in memory of its own. A backend may write them there; what it does not, the
    /// frontend copies.
    pub output_memory: Vec<OutputMemory>,
    /// Whether whoever asks takes outputs in memory of a device; otherwise they are brought to the host.
    pub takes_device_memory: bool,
    /// Parameters that the protocol does not reserve.
    pub parameters: Parameters,
    /// 0 is the model's default level, 1 the most urgent.
    pub priority: u64,
    /// How long the request may wait in a queue; `None` leaves it to the model's queue policy.
    pub timeout: Option<Duration>,
    pub sequence: Option<SequenceFlags>,
    /// When the first byte was there; the start of every duration that is reported.
    pub received: Instant,
    /// The models that wait for this request, when a model made it.
    pub callers: Option<Arc<CallChain>>,
    /// On whose account it goes, also when a model made it for a request of theirs.
    pub tenant: SharedTenant,
    /// Who is told what happens, when the request is traced.
    pub trace: Option<Arc<dyn RequestTrace>>,
    /// Gone when nothing executes the request any more.
    pub ticket: Option<SharedTicket>,
}

/// Where a request stands in its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceFlags {
    pub id: SequenceId,
    pub start: bool,
    pub end: bool,
}

/// The correlation id of a sequence: a number other than 0, or a text of 1 to 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SequenceId {
    Number(u64),
    Text(String),
}

/// The chain of models from the one called last to the one that the client called.
#[derive(Debug)]
pub struct CallChain {
    pub model: Arc<str>,
    pub caller: Option<Arc<CallChain>>,
    /// How many models are in the chain, this one included.
    pub depth: u32,
}

/// A request that fits its model's signature: inputs in the signature's order, types, shapes and batch size checked.
#[derive(Clone, Debug)]
pub struct CheckedRequest {
    request: InferRequest,
    batch_size: u64,
    /// How many of the inputs, the last ones, come from the host.
    attached_inputs: usize,
    /// Outputs that the host wants, besides those that the client does.
    attached_outputs: Option<Arc<[Arc<str>]>>,
}

// === impl InferRequest ===

impl InferRequest {
    /// A request with nothing but inputs.
    pub fn new(inputs: Vec<NamedTensor>) -> Self {
        Self {
            id: String::new(),
            inputs,
            requested_outputs: Vec::new(),
            output_memory: Vec::new(),
            takes_device_memory: false,
            parameters: Parameters::default(),
            priority: 0,
            timeout: None,
            sequence: None,
            received: Instant::now(),
            callers: None,
            tenant: None,
            trace: None,
            ticket: None,
        }
    }

    /// The prefix that Triton puts in front of request errors.
    pub fn error_prefix(&self) -> String {
        match self.id.as_str() {
            "" => "[request id: <id_unknown>] ".to_owned(),
            id => format!("[request id: {id}] "),
        }
    }
}

// === impl NamedTensor ===

impl NamedTensor {
    /// A tensor under a name.
    pub fn new(name: impl Into<Arc<str>>, tensor: Tensor) -> Self {
        Self { name: name.into(), tensor }
    }
}

// === impl CallChain ===

impl CallChain {
    /// The chain with `model` as the newest caller.
    pub fn extend(caller: Option<Arc<Self>>, model: Arc<str>) -> Arc<Self> {
        let depth = caller.as_ref().map_or(0, |chain| chain.depth) + 1;
        Arc::new(Self { model, caller, depth })
    }

    /// Whether a model of that name is in the chain.
    pub fn includes(&self, model: &str) -> bool {
        *self.model == *model || self.caller.as_ref().is_some_and(|caller| caller.includes(model))
    }
}

/// Brings what is in memory of a device to the host; tensors of the host stay where they are. `what` they are is for the
/// error.
pub(crate) fn bring_to_host(tensors: &mut [NamedTensor], what: &str) -> Result<(), InferError> {
    for NamedTensor { name, tensor } in tensors {
        if tensor.buffer().device().is_some() {
            *tensor = tensor.on_host().map_err(|error| {
                InferError::internal(format!("{what} '{name}' could not be brought to the host: {error}"))
            })?;
        }
    }
    Ok(())
}

/// Printed from the client's side inwards: `a -> b -> c`.
impl fmt::Display for CallChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(caller) = &self.caller {
            write!(f, "{caller} -> ")?;
        }
        f.write_str(&self.model)
    }
}

// === impl CheckedRequest ===

impl CheckedRequest {
    /// Only [`crate::Signature::check`] makes one.
    pub(crate) fn new(request: InferRequest, batch_size: u64) -> Self {
        Self { request, batch_size, attached_inputs: 0, attached_outputs: None }
    }

    /// Rows along the batch dimension; 1 for models without batching.
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// The request, its inputs in the signature's order.
    pub fn get(&self) -> &InferRequest {
        &self.request
    }

    /// The inputs, to be given another form of the same elements.
    pub(crate) fn inputs_mut(&mut self) -> &mut [NamedTensor] {
        &mut self.request.inputs
    }

    /// The request, given away.
    pub fn into_inner(self) -> InferRequest {
        self.request
    }

    /// The input called `name`.
    pub fn input(&self, name: &str) -> Option<&Tensor> {
        self.request.inputs.iter().find(|input| &*input.name == name).map(|input| &input.tensor)
    }

    /// Whether the client wants the output called `name`.
    pub fn is_requested(&self, name: &str) -> bool {
        let requested = &self.request.requested_outputs;
        requested.is_empty() || requested.iter().any(|output| &**output == name)
    }

    /// Whether the client or the host wants the output called `name`.
    pub fn wants(&self, name: &str) -> bool {
        self.is_requested(name) || self.is_attached(name)
    }

    /// Where a backend may write the output called `name`; `None` when the client wants it in the response, or gave
    /// less memory than `length_bytes`, or when the host keeps the output too.
    ///
    /// The client can read and change what is written while it is written: only for elements that nobody reads back.
    pub fn output_target(&self, name: &str, length_bytes: usize) -> Option<BufferMut> {
        if self.is_attached(name) {
            return None;
        }
        let output = self.request.output_memory.iter().find(|output| &*output.name == name)?;
        output.memory.target(length_bytes)
    }

    /// Brings inputs that are in memory of a device to the host. Blocks while a device is read.
    ///
    /// # Errors
    /// A device could not be read.
    pub fn bring_inputs_to_host(&mut self) -> Result<(), InferError> {
        bring_to_host(&mut self.request.inputs, "input")
    }

    /// Gives the model inputs that clients cannot send, and asks it for outputs that they did not: the control signals
    /// and the state of its sequence. They must be those of [`crate::Signature::of_backend`].
    pub fn attach(&mut self, inputs: Vec<NamedTensor>, outputs: Option<Arc<[Arc<str>]>>) {
        self.attached_inputs += inputs.len();
        self.request.inputs.extend(inputs);
        self.attached_outputs = outputs;
    }

    /// Takes back what was attached: the request is executed again, and is told something else then.
    pub fn detach(&mut self) {
        let own_inputs = self.request.inputs.len().saturating_sub(std::mem::take(&mut self.attached_inputs));
        self.request.inputs.truncate(own_inputs);
        self.attached_outputs = None;
    }

    /// Keeps `ticket` in place of the one that the request came with.
    pub fn hold(&mut self, ticket: SharedTicket) {
        self.request.ticket = Some(ticket);
    }

    /// Says where the request stands in its sequence, whatever its client said.
    pub fn set_sequence(&mut self, flags: SequenceFlags) {
        self.request.sequence = Some(flags);
    }

    /// Whether the host asked for the output called `name`, to keep it.
    pub fn is_attached(&self, name: &str) -> bool {
        self.attached_outputs.iter().flat_map(|outputs| outputs.iter()).any(|output| &**output == name)
    }

    /// A request of the same inputs that belongs to no sequence: it fills a row of a batch.
    #[must_use]
    pub fn as_padding(&self) -> Self {
        let request = InferRequest {
            id: String::new(),
            inputs: self.request.inputs.clone(),
            requested_outputs: self.request.requested_outputs.clone(),
            received: self.request.received,
            ..InferRequest::new(Vec::new())
        };
        Self { request, batch_size: self.batch_size, attached_inputs: 0, attached_outputs: None }
    }
}
