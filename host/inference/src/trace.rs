//! What a traced request tells as it goes: moments, tensors, and the requests that it leads to.
//!
//! A request that is not traced carries `None`; whoever reports asks for that first and otherwise reads no clock.

use std::{fmt, sync::Arc, time::Instant};

use nereid_tensor::Tensor;

use crate::ModelIdentity;

/// One traced request to one model. Every clone of the `Arc` may report; the trace is complete when the last one goes.
pub trait RequestTrace: fmt::Debug + Send + Sync {
    /// Names the model that serves the request, and the client's id of it.
    fn enter(&self, model: &ModelIdentity, request_id: &str);

    /// Something happened.
    fn event(&self, activity: Activity, at: Instant);

    /// A tensor passed. Costs a reference count, and nothing where tensors are not traced.
    fn tensor(&self, activity: TensorActivity, name: &Arc<str>, tensor: &Tensor);

    /// The trace of a request that this one makes, of another model.
    fn child(&self) -> Arc<dyn RequestTrace>;
}

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
