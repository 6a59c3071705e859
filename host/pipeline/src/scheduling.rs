//! What a configuration means for the scheduler.

use std::time::Duration;

use nereid_inference::{
    ModelConfig,
    config::{self, DynamicBatching, Scheduling, TimeoutAction},
};
use nereid_scheduler::{
    BRIEF_EXECUTION_MAX, BatchingSettings, ExpiryAction, PrioritySettings, QUEUE_REQUESTS_MAX, QueuePolicy,
    QueueSettings, SchedulerSettings,
};

/// The scheduler's settings for a complete configuration.
pub(crate) fn scheduler_settings(config: &ModelConfig) -> SchedulerSettings {
    let Some(Scheduling::Dynamic(dynamic)) = &config.scheduling else { return SchedulerSettings::unbatched() };
    let (batch_rows_max, batching) = match config.has_batching() {
        true => (u64::try_from(config.max_batch_size).unwrap_or(1), Some(batching_settings(dynamic))),
        false => (1, None),
    };
    SchedulerSettings {
        batch_rows_max,
        batching,
        queue: queue_settings(dynamic),
        preserve_order: dynamic.preserve_ordering,
        brief_execution_max: BRIEF_EXECUTION_MAX,
    }
}

fn batching_settings(dynamic: &DynamicBatching) -> BatchingSettings {
    let preferred = dynamic.preferred_batch_sizes.iter().filter_map(|rows| u64::try_from(*rows).ok());
    let mut preferred_rows: Vec<u64> = preferred.collect();
    preferred_rows.sort_unstable();
    let delay_max = Duration::from_micros(dynamic.max_queue_delay_microseconds);
    BatchingSettings { preferred_rows, delay_max }
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

    #[test]
    fn sizes_are_sorted_and_zeros_mean_not_written() {
        let dynamic = DynamicBatching {
            preferred_batch_sizes: vec![8, 4],
            max_queue_delay_microseconds: 100,
            ..DynamicBatching::default()
        };
        let config =
            ModelConfig { max_batch_size: 8, scheduling: Some(Scheduling::Dynamic(dynamic)), ..ModelConfig::default() };
        let settings = scheduler_settings(&config);
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
        let priorities = scheduler_settings(&config).queue.priorities.unwrap();
        assert_eq!((priorities.levels, priorities.default_level), (5, 2));
        assert_eq!(priorities.policies.get(&1).unwrap().requests_max, 3);
    }

    #[test]
    fn a_model_without_a_scheduler_runs_one_request_at_a_time() {
        let settings = scheduler_settings(&ModelConfig { max_batch_size: 8, ..ModelConfig::default() });
        assert!(settings.batching.is_none());
        assert_eq!(settings.queue.default.requests_max, QUEUE_REQUESTS_MAX);
    }
}
