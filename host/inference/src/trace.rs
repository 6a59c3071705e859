//! What a traced request tells as it goes: moments, tensors, steps of a model's own, and the requests that it leads to.
//!
//! A request that is not traced carries `None`; whoever reports asks for that first and otherwise reads no clock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use nereid_tensor::Tensor;

use crate::{ModelIdentity, ParameterValue};

/// One traced request to one model. Every clone of the `Arc` may report; the trace is complete when the last one goes.
pub trait RequestTrace: fmt::Debug + Send + Sync {
    /// Names the model that serves the request, and the client's id of it.
    fn enter(&self, model: &ModelIdentity, request_id: &str);

    /// Something happened.
    fn event(&self, activity: Activity, at: Instant);

    /// A tensor passed. Costs a reference count, and nothing where tensors are not traced.
    fn tensor(&self, activity: TensorActivity, name: &Arc<str>, tensor: &Tensor);

    /// Whether steps of the model's own are kept: worth asking before one is timed.
    fn takes_spans(&self) -> bool {
        false
    }

    /// A step of the model's own is over.
    fn span(&self, _span: TraceSpan) {}

    /// The trace of a request that this one makes, of another model.
    fn child(&self) -> Arc<dyn RequestTrace>;
}

/// A step of a model's own in a traced request.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpan {
    pub id: SpanId,
    /// The step that it is a part of.
    pub above: Option<SpanId>,
    pub name: String,
    pub started: Instant,
    pub ended: Instant,
    /// By name, each once.
    pub attributes: Vec<(String, ParameterValue)>,
    pub events: Vec<SpanEvent>,
}

/// Something that happened in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    pub name: String,
    pub at: Instant,
    pub attributes: Vec<(String, ParameterValue)>,
}

/// Tells one step of the process from all others; the later one is the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(u64);

/// A moment in a request's life, under Triton's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    HttpRecvStart,
    HttpRecvEnd,
    GrpcWaitReadStart,
    GrpcWaitReadEnd,
    RequestStart,
    QueueStart,
    ComputeStart,
    ComputeInputEnd,
    ComputeOutputStart,
    ComputeEnd,
    RequestEnd,
    InferResponseComplete,
    HttpSendStart,
    HttpSendEnd,
    GrpcSendStart,
    GrpcSendEnd,
}

/// Where a tensor was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorActivity {
    /// An input, when the request entered the model's queue.
    QueueInput,
    /// An output, when the model answered.
    BackendOutput,
}

// === impl SpanId ===

impl SpanId {
    /// One that no other step has.
    pub fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed) + 1)
    }
}

// === impl TraceSpan ===

impl TraceSpan {
    /// Bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        let of = |attributes: &[(String, ParameterValue)]| -> usize { attributes.iter().map(attribute_bytes).sum() };
        let events: usize = self.events.iter().map(|event| event.name.len() + of(&event.attributes)).sum();
        self.name.len() + of(&self.attributes) + events
    }
}

fn attribute_bytes((name, value): &(String, ParameterValue)) -> usize {
    name.len() + if let ParameterValue::String(text) = value { text.len() } else { 0 }
}

// === impl Activity ===

impl Activity {
    /// The name in trace files and span events.
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpRecvStart => "HTTP_RECV_START",
            Self::HttpRecvEnd => "HTTP_RECV_END",
            Self::GrpcWaitReadStart => "GRPC_WAITREAD_START",
            Self::GrpcWaitReadEnd => "GRPC_WAITREAD_END",
            Self::RequestStart => "REQUEST_START",
            Self::QueueStart => "QUEUE_START",
            Self::ComputeStart => "COMPUTE_START",
            Self::ComputeInputEnd => "COMPUTE_INPUT_END",
            Self::ComputeOutputStart => "COMPUTE_OUTPUT_START",
            Self::ComputeEnd => "COMPUTE_END",
            Self::RequestEnd => "REQUEST_END",
            Self::InferResponseComplete => "INFER_RESPONSE_COMPLETE",
            Self::HttpSendStart => "HTTP_SEND_START",
            Self::HttpSendEnd => "HTTP_SEND_END",
            Self::GrpcSendStart => "GRPC_SEND_START",
            Self::GrpcSendEnd => "GRPC_SEND_END",
        }
    }
}

// === impl TensorActivity ===

impl TensorActivity {
    /// The name in trace files.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueInput => "TENSOR_QUEUE_INPUT",
            Self::BackendOutput => "TENSOR_BACKEND_OUTPUT",
        }
    }
}
