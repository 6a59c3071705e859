//! Dynamic batches, sequences and ensembles.

use nereid_inference::config::{
    ControlInput, ControlKind, ControlSpec, DynamicBatching, EnsembleScheduling, EnsembleStep, InitialState,
    InitialStateData, QueuePolicy, Scheduling, SequenceBatching, SequenceStrategy, StateSpec, TimeoutAction,
};

use super::{all, enums, named, number, try_all, try_values, values};
use crate::{
    ConfigError,
    proto::{
        DataType, ModelDynamicBatching, ModelEnsembling, ModelQueuePolicy, ModelSequenceBatching,
        model_config::SchedulingChoice,
        model_ensembling::Step,
        model_queue_policy,
        model_sequence_batching::{self as sequence, StrategyChoice, StrategyDirect, StrategyOldest, control},
    },
};

enums!("queue policy timeout_action", model_queue_policy::TimeoutAction => TimeoutAction {
    Reject => Reject,
    Delay => Delay,
});

enums!("sequence_batching.control_input.control.kind", control::Kind => ControlKind {
    ControlSequenceStart => Start,
    ControlSequenceReady => Ready,
    ControlSequenceEnd => End,
    ControlSequenceCorrid => CorrelationId,
});

impl From<Scheduling> for SchedulingChoice {
    fn from(scheduling: Scheduling) -> Self {
        match scheduling {
            Scheduling::Dynamic(batching) => Self::DynamicBatching(batching.into()),
            Scheduling::Sequence(batching) => Self::SequenceBatching(batching.into()),
            Scheduling::Ensemble(ensemble) => Self::EnsembleScheduling(ensemble.into()),
        }
    }
}

impl TryFrom<SchedulingChoice> for Scheduling {
    type Error = ConfigError;

    fn try_from(choice: SchedulingChoice) -> Result<Self, ConfigError> {
        Ok(match choice {
            SchedulingChoice::DynamicBatching(batching) => Self::Dynamic(batching.try_into()?),
            SchedulingChoice::SequenceBatching(batching) => Self::Sequence(batching.try_into()?),
            SchedulingChoice::EnsembleScheduling(ensemble) => Self::Ensemble(ensemble.into()),
        })
    }
}

// === dynamic ===

impl From<DynamicBatching> for ModelDynamicBatching {
    fn from(batching: DynamicBatching) -> Self {
        let DynamicBatching {
            preferred_batch_sizes,
            max_queue_delay_microseconds,
            preserve_ordering,
            priority_levels,
            default_priority_level,
            default_queue_policy,
            priority_queue_policies,
        } = batching;
        Self {
            preferred_batch_size: preferred_batch_sizes,
            max_queue_delay_microseconds,
            preserve_ordering,
            priority_levels,
            default_priority_level,
            default_queue_policy: default_queue_policy.map(Into::into),
            priority_queue_policy: values(priority_queue_policies),
        }
    }
}

impl TryFrom<ModelDynamicBatching> for DynamicBatching {
    type Error = ConfigError;

    fn try_from(message: ModelDynamicBatching) -> Result<Self, ConfigError> {
        let ModelDynamicBatching {
            preferred_batch_size,
            max_queue_delay_microseconds,
            preserve_ordering,
            priority_levels,
            default_priority_level,
            default_queue_policy,
            priority_queue_policy,
        } = message;
        Ok(Self {
            preferred_batch_sizes: preferred_batch_size,
            max_queue_delay_microseconds,
            preserve_ordering,
            priority_levels,
            default_priority_level,
            default_queue_policy: default_queue_policy.map(TryInto::try_into).transpose()?,
            priority_queue_policies: try_values(priority_queue_policy)?,
        })
    }
}

impl From<QueuePolicy> for ModelQueuePolicy {
    fn from(policy: QueuePolicy) -> Self {
        let QueuePolicy { timeout_action, default_timeout_microseconds, allow_timeout_override, max_queue_size } =
            policy;
        Self {
            timeout_action: number::<model_queue_policy::TimeoutAction, _>(timeout_action),
            default_timeout_microseconds,
            allow_timeout_override,
            max_queue_size,
        }
    }
}

impl TryFrom<ModelQueuePolicy> for QueuePolicy {
    type Error = ConfigError;

    fn try_from(message: ModelQueuePolicy) -> Result<Self, ConfigError> {
        let ModelQueuePolicy { timeout_action, default_timeout_microseconds, allow_timeout_override, max_queue_size } =
            message;
        Ok(Self {
            timeout_action: named::<model_queue_policy::TimeoutAction, _>(timeout_action)?,
            default_timeout_microseconds,
            allow_timeout_override,
            max_queue_size,
        })
    }
}

// === sequence ===

impl From<SequenceBatching> for ModelSequenceBatching {
    fn from(batching: SequenceBatching) -> Self {
        let SequenceBatching { strategy, max_sequence_idle_microseconds, control_inputs, states, iterative_sequence } =
            batching;
        Self {
            strategy_choice: strategy.map(Into::into),
            max_sequence_idle_microseconds,
            control_input: all(control_inputs),
            state: all(states),
            iterative_sequence,
        }
    }
}

impl TryFrom<ModelSequenceBatching> for SequenceBatching {
    type Error = ConfigError;

    fn try_from(message: ModelSequenceBatching) -> Result<Self, ConfigError> {
        let ModelSequenceBatching {
            strategy_choice,
            max_sequence_idle_microseconds,
            control_input,
            state,
            iterative_sequence,
        } = message;
        Ok(Self {
            strategy: strategy_choice.map(Into::into),
            max_sequence_idle_microseconds,
            control_inputs: try_all(control_input)?,
            states: try_all(state)?,
            iterative_sequence,
        })
    }
}

impl From<SequenceStrategy> for StrategyChoice {
    fn from(strategy: SequenceStrategy) -> Self {
        match strategy {
            SequenceStrategy::Direct { max_queue_delay_microseconds, minimum_slot_utilization } => {
                Self::Direct(StrategyDirect { max_queue_delay_microseconds, minimum_slot_utilization })
            }
            SequenceStrategy::Oldest {
                max_candidate_sequences,
                preferred_batch_sizes,
                max_queue_delay_microseconds,
                preserve_ordering,
            } => Self::Oldest(StrategyOldest {
                max_candidate_sequences,
                preferred_batch_size: preferred_batch_sizes,
                max_queue_delay_microseconds,
                preserve_ordering,
            }),
        }
    }
}

impl From<StrategyChoice> for SequenceStrategy {
    fn from(choice: StrategyChoice) -> Self {
        match choice {
            StrategyChoice::Direct(StrategyDirect { max_queue_delay_microseconds, minimum_slot_utilization }) => {
                Self::Direct { max_queue_delay_microseconds, minimum_slot_utilization }
            }
            StrategyChoice::Oldest(StrategyOldest {
                max_candidate_sequences,
                preferred_batch_size,
                max_queue_delay_microseconds,
                preserve_ordering,
            }) => Self::Oldest {
                max_candidate_sequences,
                preferred_batch_sizes: preferred_batch_size,
                max_queue_delay_microseconds,
                preserve_ordering,
            },
        }
    }
}

impl From<ControlInput> for sequence::ControlInput {
    fn from(ControlInput { name, controls }: ControlInput) -> Self {
        Self { name, control: all(controls) }
    }
}

impl TryFrom<sequence::ControlInput> for ControlInput {
    type Error = ConfigError;

    fn try_from(message: sequence::ControlInput) -> Result<Self, ConfigError> {
        let sequence::ControlInput { name, control } = message;
        Ok(Self { name, controls: try_all(control)? })
    }
}

impl From<ControlSpec> for sequence::Control {
    fn from(control: ControlSpec) -> Self {
        let ControlSpec { kind, int32_false_true, fp32_false_true, bool_false_true, data_type } = control;
        Self {
            kind: number::<control::Kind, _>(kind),
            int32_false_true,
            fp32_false_true,
            bool_false_true,
            data_type: number::<DataType, _>(data_type),
        }
    }
}

impl TryFrom<sequence::Control> for ControlSpec {
    type Error = ConfigError;

    fn try_from(message: sequence::Control) -> Result<Self, ConfigError> {
        let sequence::Control { kind, int32_false_true, fp32_false_true, bool_false_true, data_type } = message;
        Ok(Self {
            kind: named::<control::Kind, _>(kind)?,
            int32_false_true,
            fp32_false_true,
            bool_false_true,
            data_type: named::<DataType, _>(data_type)?,
        })
    }
}

impl From<StateSpec> for sequence::State {
    fn from(state: StateSpec) -> Self {
        let StateSpec {
            input_name,
            output_name,
            data_type,
            dims,
            initial_states,
            use_same_buffer_for_input_output,
            use_growable_memory,
        } = state;
        Self {
            input_name,
            output_name,
            data_type: number::<DataType, _>(data_type),
            dims,
            initial_state: all(initial_states),
            use_same_buffer_for_input_output,
            use_growable_memory,
        }
    }
}

impl TryFrom<sequence::State> for StateSpec {
    type Error = ConfigError;

    fn try_from(message: sequence::State) -> Result<Self, ConfigError> {
        let sequence::State {
            input_name,
            output_name,
            data_type,
            dims,
            initial_state,
            use_same_buffer_for_input_output,
            use_growable_memory,
        } = message;
        Ok(Self {
            input_name,
            output_name,
            data_type: named::<DataType, _>(data_type)?,
            dims,
            initial_states: try_all(initial_state)?,
            use_same_buffer_for_input_output,
            use_growable_memory,
        })
    }
}

impl From<InitialState> for sequence::InitialState {
    fn from(InitialState { name, data_type, dims, data }: InitialState) -> Self {
        use sequence::initial_state::StateData;
        let state_data = data.map(|data| match data {
            InitialStateData::Zero(flag) => StateData::ZeroData(flag),
            InitialStateData::File(name) => StateData::DataFile(name),
        });
        Self { data_type: number::<DataType, _>(data_type), dims, name, state_data }
    }
}

impl TryFrom<sequence::InitialState> for InitialState {
    type Error = ConfigError;

    fn try_from(message: sequence::InitialState) -> Result<Self, ConfigError> {
        use sequence::initial_state::StateData;
        let sequence::InitialState { data_type, dims, name, state_data } = message;
        let data = state_data.map(|data| match data {
            StateData::ZeroData(flag) => InitialStateData::Zero(flag),
            StateData::DataFile(name) => InitialStateData::File(name),
        });
        Ok(Self { name, data_type: named::<DataType, _>(data_type)?, dims, data })
    }
}

// === ensemble ===

impl From<EnsembleScheduling> for ModelEnsembling {
    fn from(EnsembleScheduling { steps, max_inflight_requests }: EnsembleScheduling) -> Self {
        Self { step: all(steps), max_inflight_requests }
    }
}

impl From<ModelEnsembling> for EnsembleScheduling {
    fn from(ModelEnsembling { step, max_inflight_requests }: ModelEnsembling) -> Self {
        Self { steps: all(step), max_inflight_requests }
    }
}

impl From<EnsembleStep> for Step {
    fn from(step: EnsembleStep) -> Self {
        let EnsembleStep { model_name, model_version, input_map, output_map, model_namespace } = step;
        Self { model_name, model_version, input_map, output_map, model_namespace }
    }
}

impl From<Step> for EnsembleStep {
    fn from(message: Step) -> Self {
        let Step { model_name, model_version, input_map, output_map, model_namespace } = message;
        Self { model_name, model_version, input_map, output_map, model_namespace }
    }
}
