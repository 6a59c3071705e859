//! The nouns of inference (configuration, signature, request, response, error) and the ports between those who ask and
//! those who answer.
//!
//! Invariant: a [`CheckedRequest`] fits the [`Signature`] it was checked against; nothing behind the port checks again.
//!
//! Deliberately absent: wire formats, policies, and any runtime. A response channel works under every executor.

pub mod config;
pub mod limits;

mod agents;
mod batch_strategy;
mod decision;
mod diagnostics;
mod error;
mod external_memory;
mod generation;
mod history;
mod load;
mod load_clock;
mod parameters;
mod request;
mod reshapes;
mod response;
mod response_channel;
mod response_order;
mod response_watch;
mod service;
mod signature;
mod statistics;
mod tenant;
mod ticket;
mod trace;

pub use crate::{
    agents::{AgentedLoad, AgentedModel, RepositoryAgents},
    batch_strategy::{BatchStrategies, BatchStrategy, Considering, InputProfile, RequestProfile, Verdict},
    config::ModelConfig,
    decision::{Awaited, BatchDecision, BatchReason, DecisionLog},
    diagnostics::{
        Change, Diagnostics, LogChange, LogFormat, LogSettings, TraceChange, TraceLevel, TraceMode, TraceSettings,
    },
    error::{ErrorKind, InferError},
    external_memory::{
        CudaRegion, CudaRegistration, ExternalMemory, MemoryRegions, NoRegions, OutputMemory, SharedTensors,
        SystemRegion,
    },
    generation::{Generation, SwapGuardSettings, Tally},
    history::{GenerationRecord, GenerationState, ModelHistory},
    load::LoadOverrides,
    load_clock::{LoadClock, LoadStep, LoadTimes},
    parameters::{ParameterValue, Parameters},
    request::{CallChain, CheckedRequest, InferRequest, NamedTensor, SequenceFlags, SequenceId},
    reshapes::Reshapes,
    response::{Delivery, InferResponse},
    response_channel::{RESPONSES_BUFFERED_MAX, ResponseSender, ResponseStream, response_channel},
    response_order::ResponseOrder,
    response_watch::{ResponseObserver, ResponseOutcome, ResponseRecord},
    service::{
        ControlHandle, IndexEntry, InferenceService, ModelControl, ModelIdentity, ModelLoader, ModelSource, ModelState,
        NAMESPACE_SEPARATOR, PortHandle, ServedModel, ServerState, ServiceHandle, UsableGpus,
    },
    signature::{Signature, TensorSpec},
    statistics::{
        BatchStatistics, DurationStatistic, InferStatistics, MemoryKind, MemoryUsage, ModelStatistics,
        ResponseStatistics,
    },
    tenant::{SharedTenant, Tenant, TenantReading, infer_for},
    ticket::{SharedTicket, Ticket},
    trace::{Activity, RequestTrace, SpanEvent, SpanId, TensorActivity, TraceSpan},
};

#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
