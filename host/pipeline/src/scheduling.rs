//! What a configuration means for the scheduler.

use std::time::Duration;

use nereid_inference::{
    InferError, ModelConfig, ModelSource,
    config::{self, DynamicBatching, Scheduling, SequenceBatching, SequenceStrategy, TimeoutAction},
};
use nereid_scheduler::{
    BatchingSettings, ExpiryAction, PrioritySettings, QUEUE_REQUESTS_MAX, QueuePolicy, QueueSettings, RaggedInputs,
    SchedulerSettings,
};

use crate::sequences::sequence_settings;

/// The scheduler's settings for a complete configuration.
///
/// # Errors
/// See [`sequence_settings`].
pub(crate) fn scheduler_settings(source: &ModelSource) -> Result<SchedulerSettings, InferError> {
    match &source.config.scheduling {
        Some(Scheduling::Dynamic(dynamic)) => Ok(dynamic_settings(&source.config, dynamic)),
        Some(Scheduling::Sequence(sequences)) => Ok(SchedulerSettings {
            sequences: Some(sequence_settings(source, sequences)?),
            ragged_inputs: ragged_inputs(&source.config),
            ..oldest_settings(&source.config, sequences)
        }),
        Some(Scheduling::Ensemble(_)) | None => Ok(SchedulerSettings::unbatched()),
    }
}

fn dynamic_settings(config: &ModelConfig, dynamic: &DynamicBatching) -> SchedulerSettings {
    let (batch_rows_max, batching) =
        batching(config, &dynamic.preferred_batch_sizes, dynamic.max_queue_delay_microseconds);
    SchedulerSettings {
        batch_rows_max,
        batching,
        ragged_inputs: ragged_inputs(config),
        queue: queue_settings(dynamic),
        preserve_order: dynamic.preserve_ordering,
        ..SchedulerSettings::unbatched()
    }
}

/// How the requests of different sequences are put together; the direct strategy has rows for that.
fn oldest_settings(config: &ModelConfig, sequences: &SequenceBatching) -> SchedulerSettings {
    let Some(SequenceStrategy::Oldest {
        preferred_batch_sizes, max_queue_delay_microseconds, preserve_ordering, ..
    }) = &sequences.strategy
    else {
        return SchedulerSettings::unbatched();
    };
    let (batch_rows_max, batching) = batching(config, preferred_batch_sizes, *max_queue_delay_microseconds);
    SchedulerSettings { batch_rows_max, batching, preserve_order: *preserve_ordering, ..SchedulerSettings::unbatched() }
}

fn ragged_inputs(config: &ModelConfig) -> RaggedInputs {
    let ragged = config.inputs.iter().filter(|input| input.allow_ragged_batch);
    RaggedInputs::new(ragged.map(|input| input.name.as_str().into()))
}

/// Rows per execution, and how batches are formed; one request at a time for a model that does not batch.
fn batching(config: &ModelConfig, preferred_sizes: &[i32], delay_us: u64) -> (u64, Option<BatchingSettings>) {
    if !config.has_batching() {
        return (1, None);
    }
    let mut preferred_rows: Vec<u64> = preferred_sizes.iter().filter_map(|rows| u64::try_from(*rows).ok()).collect();
    preferred_rows.sort_unstable();
    let batching = BatchingSettings { preferred_rows, delay_max: Duration::from_micros(delay_us) };
    (u64::try_from(config.max_batch_size).unwrap_or(1), Some(batching))
}

fn queue_settings(dynamic: &DynamicBatching) -> QueueSettings {
    let policies = dynamic.priority_queue_policies.iter().map(|(level, policy)| (*level, queue_policy(policy)));
    let priorities = PrioritySettings {
        levels: dynamic.priority_levels,
        default_level: dynamic.default_priority_level,
        policies: policies.collect(),
    };
    QueueSettings {
        default: queue_policy(&dynamic.default_queue_policy.unwrap_or_default()),
        priorities: (dynamic.priority_levels > 0).then_some(priorities),
    }
}

fn queue_policy(policy: &config::QueuePolicy) -> QueuePolicy {
    QueuePolicy {
        requests_max: match policy.max_queue_size {
            0 => QUEUE_REQUESTS_MAX,
            size => size as usize,
        },
        timeout: match policy.default_timeout_microseconds {
            0 => None,
            timeout => Some(Duration::from_micros(timeout)),
        },
        allow_timeout_override: policy.allow_timeout_override,
        expiry_action: match policy.timeout_action {
            TimeoutAction::Reject => ExpiryAction::Reject,
            TimeoutAction::Delay => ExpiryAction::Delay,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_service::source;

    fn settings(config: ModelConfig) -> SchedulerSettings {
        scheduler_settings(&source(config)).unwrap()
    }

    #[test]
    fn the_oldest_strategy_batches_and_the_direct_one_has_rows() {
        let sequences = |strategy| {
            let sequences = SequenceBatching { strategy: Some(strategy), ..SequenceBatching::default() };
            let scheduling = Some(Scheduling::Sequence(sequences));
            settings(ModelConfig { max_batch_size: 4, scheduling, ..ModelConfig::default() })
        };
        let oldest = sequences(SequenceStrategy::Oldest {
            max_candidate_sequences: 9,
            preferred_batch_sizes: vec![2],
            max_queue_delay_microseconds: 5,
            preserve_ordering: true,
        });
        assert_eq!((oldest.batch_rows_max, oldest.preserve_order, oldest.sequences.unwrap().slots), (4, true, 9));
        assert_eq!(oldest.batching.unwrap().preferred_rows, [2]);
        let direct =
            sequences(SequenceStrategy::Direct { max_queue_delay_microseconds: 5, minimum_slot_utilization: 0.5 });
        assert_eq!((direct.batching.is_none(), direct.sequences.unwrap().slots), (true, 4));
    }

    #[test]
    fn sizes_are_sorted_and_zeros_mean_not_written() {
        let dynamic = DynamicBatching {
            preferred_batch_sizes: vec![8, 4],
            max_queue_delay_microseconds: 100,
            ..DynamicBatching::default()
        };
        let config =
            ModelConfig { max_batch_size: 8, scheduling: Some(Scheduling::Dynamic(dynamic)), ..ModelConfig::default() };
        let settings = settings(config);
        let batching = settings.batching.unwrap();
        assert_eq!(batching.preferred_rows, [4, 8]);
        assert_eq!(batching.delay_max, Duration::from_micros(100));
        assert_eq!(settings.queue.default.requests_max, QUEUE_REQUESTS_MAX);
        assert_eq!(settings.queue.default.timeout, None);
        assert!(settings.queue.priorities.is_none());
    }

    #[test]
    fn levels_have_policies_of_their_own() {
        let first = config::QueuePolicy { max_queue_size: 3, ..config::QueuePolicy::default() };
        let dynamic = DynamicBatching {
            priority_levels: 5,
            default_priority_level: 2,
            priority_queue_policies: [(1, first)].into(),
            ..DynamicBatching::default()
        };
        let config = ModelConfig { scheduling: Some(Scheduling::Dynamic(dynamic)), ..ModelConfig::default() };
        let priorities = settings(config).queue.priorities.unwrap();
        assert_eq!((priorities.levels, priorities.default_level), (5, 2));
        assert_eq!(priorities.policies.get(&1).unwrap().requests_max, 3);
    }

    #[test]
    fn a_model_without_a_scheduler_runs_one_request_at_a_time() {
        let settings = settings(ModelConfig { max_batch_size: 8, ..ModelConfig::default() });
        assert!(settings.batching.is_none());
        assert_eq!(settings.queue.default.requests_max, QUEUE_REQUESTS_MAX);
    }
}
