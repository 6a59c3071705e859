//! How requests are put together, kept in order, or sent through several models.

use std::collections::BTreeMap;

use nereid_tensor::DataType;

use super::ConfigDataType;
use crate::NAMESPACE_SEPARATOR;

/// A control tensor has one element, besides the batch dimension.
pub const CONTROL_DIMS: [i64; 1] = [1];

/// The scheduler that a model chooses; without a choice requests run one by one in order of arrival.
#[derive(Clone, Debug, PartialEq)]
pub enum Scheduling {
    Dynamic(DynamicBatching),
    Sequence(SequenceBatching),
    Ensemble(EnsembleScheduling),
}

/// Batches made of whatever waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicBatching {
    pub preferred_batch_sizes: Vec<i32>,
    pub max_queue_delay_microseconds: u64,
    pub preserve_ordering: bool,
    pub priority_levels: u64,
    pub default_priority_level: u64,
    pub default_queue_policy: Option<QueuePolicy>,
    pub priority_queue_policies: BTreeMap<u64, QueuePolicy>,
}

/// What happens to requests that wait long, or in too great a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePolicy {
    pub timeout_action: TimeoutAction,
    /// 0 is no timeout.
    pub default_timeout_microseconds: u64,
    /// A request may shorten the timeout.
    pub allow_timeout_override: bool,
    /// 0 leaves the size to the server's own limit.
    pub max_queue_size: u32,
}

/// What happens when a request's time in the queue is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeoutAction {
    #[default]
    Reject,
    /// It runs when nothing younger waits.
    Delay,
}

/// Batches that keep the requests of one sequence on one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceBatching {
    pub strategy: Option<SequenceStrategy>,
    pub max_sequence_idle_microseconds: u64,
    pub control_inputs: Vec<ControlInput>,
    pub states: Vec<StateSpec>,
    /// One client request is scheduled again and again until the backend is done.
    pub iterative_sequence: bool,
}

/// How the requests of several sequences share a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceStrategy {
    Direct {
        max_queue_delay_microseconds: u64,
        minimum_slot_utilization: f32,
    },
    Oldest {
        max_candidate_sequences: i32,
        preferred_batch_sizes: Vec<i32>,
        max_queue_delay_microseconds: u64,
        preserve_ordering: bool,
    },
}

/// A tensor that tells the model about the sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlInput {
    pub name: String,
    pub controls: Vec<ControlSpec>,
}

/// One signal in a control tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ControlSpec {
    pub kind: ControlKind,
    pub int32_false_true: Vec<i32>,
    pub fp32_false_true: Vec<f32>,
    pub bool_false_true: Vec<bool>,
    pub data_type: ConfigDataType,
}

/// What a control signal says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlKind {
    #[default]
    Start,
    Ready,
    End,
    CorrelationId,
}

/// A tensor that the server keeps between the requests of a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateSpec {
    pub input_name: String,
    pub output_name: String,
    pub data_type: ConfigDataType,
    pub dims: Vec<i64>,
    pub initial_states: Vec<InitialState>,
    pub use_same_buffer_for_input_output: bool,
    pub use_growable_memory: bool,
}

/// The state that a new sequence starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialState {
    pub name: String,
    pub data_type: ConfigDataType,
    pub dims: Vec<i64>,
    pub data: Option<InitialStateData>,
}

/// Where the first state comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialStateData {
    Zero(bool),
    /// File below `initial_state/`.
    File(String),
}

/// A graph of models that one request runs through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleScheduling {
    pub steps: Vec<EnsembleStep>,
    /// Requests under way per step; 0 leaves it to the server's own limit.
    pub max_inflight_requests: u32,
}

/// One model in the graph. Maps go from the model's tensor to the ensemble's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnsembleStep {
    pub model_name: String,
    /// -1 is the highest ready version.
    pub model_version: i64,
    pub input_map: BTreeMap<String, String>,
    pub output_map: BTreeMap<String, String>,
    /// Empty is the ensemble's own, or the only one that has the model; filled in when the ensemble is loaded.
    pub model_namespace: String,
}

// === impl EnsembleStep ===

impl EnsembleStep {
    /// The name under which the service finds exactly this step's model.
    pub fn qualified_name(&self) -> String {
        match self.model_namespace.as_str() {
            "" => self.model_name.clone(),
            namespace => format!("{namespace}{NAMESPACE_SEPARATOR}{}", self.model_name),
        }
    }
}

// === impl SequenceBatching ===

impl SequenceBatching {
    /// Names and types of the inputs that say where a request stands in its sequence.
    pub fn control_types(&self) -> impl Iterator<Item = (&str, ConfigDataType)> {
        let first = |input: &ControlInput| input.controls.first().map(ControlSpec::tensor_type);
        self.control_inputs.iter().filter_map(move |input| Some((input.name.as_str(), first(input)?)))
    }

    /// Whether the host, and no client, gives the input called `name`.
    pub fn gives_input(&self, name: &str) -> bool {
        self.control_inputs.iter().any(|input| input.name == name)
            || self.states.iter().any(|state| state.input_name == name)
    }

    /// Whether the host keeps the output called `name`.
    pub fn keeps_output(&self, name: &str) -> bool {
        self.states.iter().any(|state| state.output_name == name)
    }
}

// === impl ControlKind ===

impl ControlKind {
    /// The word in a configuration.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::Start => "CONTROL_SEQUENCE_START",
            Self::Ready => "CONTROL_SEQUENCE_READY",
            Self::End => "CONTROL_SEQUENCE_END",
            Self::CorrelationId => "CONTROL_SEQUENCE_CORRID",
        }
    }
}

// === impl ControlSpec ===

impl ControlSpec {
    /// The type of its tensor; which pair of values is written says it.
    pub fn tensor_type(&self) -> ConfigDataType {
        if self.kind == ControlKind::CorrelationId {
            self.data_type
        } else if !self.int32_false_true.is_empty() {
            DataType::Int32.into()
        } else if !self.fp32_false_true.is_empty() {
            DataType::Fp32.into()
        } else {
            DataType::Bool.into()
        }
    }
}
