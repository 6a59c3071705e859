//! What the policies are told, in the field's units.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use nereid_inference::BatchStrategy;

use crate::{RaggedInputs, RateLimiter, SequenceSettings};

/// Requests that may wait for one model when its configuration names no `max_queue_size`. At a millisecond per
/// execution the last of them would wait a quarter of a minute: longer queues only hide an overload.
pub const QUEUE_REQUESTS_MAX: usize = 16_384;

/// Expected time of an execution up to which a blocking instance is run by the caller itself. A hop to the instance's
/// thread and back costs 10 to 20 µs; a runtime worker that is busy for 50 µs is not missed.
pub const BRIEF_EXECUTION_MAX: Duration = Duration::from_micros(50);

/// How one model's requests are queued and put together.
#[derive(Clone, Debug)]
pub struct SchedulerSettings {
    /// Rows per execution; 1 when requests are not batched.
    pub batch_rows_max: u64,
    /// `None` runs one request per execution.
    pub batching: Option<BatchingSettings>,
    /// Has a say in the batches of independent requests; `None` leaves them to rows and shapes.
    pub strategy: Option<Arc<dyn BatchStrategy>>,
    /// Inputs whose shape does not keep requests apart.
    pub ragged_inputs: RaggedInputs,
    pub queue: QueueSettings,
    /// Answers are given in order of arrival, whichever instance is ready first.
    pub preserve_order: bool,
    /// `None` takes every request for itself.
    pub sequences: Option<SequenceSettings>,
    /// `None` lets every instance execute as soon as there is work.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    /// Usually [`BRIEF_EXECUTION_MAX`]; zero gives every execution of a blocking instance to its thread.
    pub brief_execution_max: Duration,
}

/// How batches are formed.
#[derive(Clone, Debug, Default)]
pub struct BatchingSettings {
    /// Rows that are worth starting for at once, ascending; empty means the largest batch alone.
    pub preferred_rows: Vec<u64>,
    /// How long the oldest request may wait for company.
    pub delay_max: Duration,
}

/// What happens to requests that wait.
#[derive(Clone, Debug, Default)]
pub struct QueueSettings {
    pub default: QueuePolicy,
    /// `None` treats all requests alike.
    pub priorities: Option<PrioritySettings>,
}

/// Levels of urgency; 1 is the most urgent.
#[derive(Clone, Debug)]
pub struct PrioritySettings {
    pub levels: u64,
    /// Of requests that ask for no level, or for one that there is not.
    pub default_level: u64,
    /// Of the levels that have one; the others have the default.
    pub policies: BTreeMap<u64, QueuePolicy>,
}

/// How many requests may wait in one level, for how long, and what happens then.
#[derive(Clone, Debug)]
pub struct QueuePolicy {
    pub requests_max: usize,
    /// Longest time in the queue; `None` is for ever.
    pub timeout: Option<Duration>,
    /// A request may ask for less.
    pub allow_timeout_override: bool,
    pub expiry_action: ExpiryAction,
}

/// What happens when a request's time in the queue is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryAction {
    /// It is answered with an error.
    Reject,
    /// It runs when nothing that is in time waits.
    Delay,
}

// === impl SchedulerSettings ===

impl SchedulerSettings {
    /// One request per execution, in order of arrival.
    pub fn unbatched() -> Self {
        Self {
            batch_rows_max: 1,
            batching: None,
            strategy: None,
            ragged_inputs: RaggedInputs::default(),
            queue: QueueSettings::default(),
            preserve_order: false,
            sequences: None,
            rate_limiter: None,
            brief_execution_max: BRIEF_EXECUTION_MAX,
        }
    }
}

// === impl QueueSettings ===

impl QueueSettings {
    /// The level in which a request of this priority waits.
    pub(crate) fn level(&self, priority: u64) -> u64 {
        match &self.priorities {
            None => 0,
            Some(priorities) if (1..=priorities.levels).contains(&priority) => priority,
            Some(priorities) => priorities.default_level,
        }
    }

    /// The policy of a level.
    pub(crate) fn policy(&self, level: u64) -> &QueuePolicy {
        let own = self.priorities.as_ref().and_then(|priorities| priorities.policies.get(&level));
        own.unwrap_or(&self.default)
    }

    /// Requests of all levels together: a client that makes up a level for each request must not fill the memory.
    pub(crate) fn total_max(&self) -> usize {
        let own = self.priorities.iter().flat_map(|priorities| priorities.policies.values());
        own.fold(self.default.requests_max.max(QUEUE_REQUESTS_MAX), |sum, policy| {
            sum.saturating_add(policy.requests_max)
        })
    }

    /// Whether some request's time can be over.
    pub(crate) fn keeps_time(&self) -> bool {
        let own = self.priorities.iter().flat_map(|priorities| priorities.policies.values());
        own.chain([&self.default]).any(|policy| policy.timeout.is_some() || policy.allow_timeout_override)
    }
}

impl From<QueuePolicy> for QueueSettings {
    /// One policy for all.
    fn from(default: QueuePolicy) -> Self {
        Self { default, priorities: None }
    }
}

// === impl QueuePolicy ===

impl QueuePolicy {
    /// The time that a request with the wish `asked` may wait. A request can only shorten the model's timeout.
    pub fn effective_timeout(&self, asked: Option<Duration>) -> Option<Duration> {
        match (self.timeout, asked.filter(|asked| self.allow_timeout_override && !asked.is_zero())) {
            (Some(timeout), Some(asked)) => Some(timeout.min(asked)),
            (timeout, asked) => asked.or(timeout),
        }
    }
}

impl Default for QueuePolicy {
    /// Bounded, without a timeout.
    fn default() -> Self {
        Self {
            requests_max: QUEUE_REQUESTS_MAX,
            timeout: None,
            allow_timeout_override: false,
            expiry_action: ExpiryAction::Reject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_only_shorten_the_timeout() {
        let ms = Duration::from_millis;
        let queue = |timeout, allow| QueuePolicy { timeout, allow_timeout_override: allow, ..Default::default() };
        assert_eq!(queue(Some(ms(10)), true).effective_timeout(Some(ms(5))), Some(ms(5)));
        assert_eq!(queue(Some(ms(10)), true).effective_timeout(Some(ms(50))), Some(ms(10)));
        assert_eq!(queue(None, true).effective_timeout(Some(ms(5))), Some(ms(5)));
        assert_eq!(queue(None, false).effective_timeout(Some(ms(5))), None);
        assert_eq!(queue(Some(ms(10)), false).effective_timeout(Some(ms(5))), Some(ms(10)));
    }

    #[test]
    fn made_up_levels_do_not_add_up_for_ever() {
        let policy = |requests_max| QueuePolicy { requests_max, ..Default::default() };
        let priorities = PrioritySettings {
            levels: u64::MAX,
            default_level: 1,
            policies: [(1, policy(30_000)), (2, policy(5))].into(),
        };
        let settings = QueueSettings { default: policy(10), priorities: Some(priorities) };
        assert_eq!(settings.total_max(), QUEUE_REQUESTS_MAX + 30_005);
    }
}
