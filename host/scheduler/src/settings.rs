//! What the policies are told, in the field's units.

use std::time::Duration;

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
    pub queue: QueueSettings,
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
#[derive(Clone, Debug)]
pub struct QueueSettings {
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
            queue: QueueSettings::default(),
            brief_execution_max: BRIEF_EXECUTION_MAX,
        }
    }
}

// === impl QueueSettings ===

impl QueueSettings {
    /// The time that a request with the wish `asked` may wait. A request can only shorten the model's timeout.
    pub fn effective_timeout(&self, asked: Option<Duration>) -> Option<Duration> {
        match (self.timeout, asked.filter(|asked| self.allow_timeout_override && !asked.is_zero())) {
            (Some(timeout), Some(asked)) => Some(timeout.min(asked)),
            (timeout, asked) => asked.or(timeout),
        }
    }
}

impl Default for QueueSettings {
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
        let queue = |timeout, allow| QueueSettings { timeout, allow_timeout_override: allow, ..Default::default() };
        assert_eq!(queue(Some(ms(10)), true).effective_timeout(Some(ms(5))), Some(ms(5)));
        assert_eq!(queue(Some(ms(10)), true).effective_timeout(Some(ms(50))), Some(ms(10)));
        assert_eq!(queue(None, true).effective_timeout(Some(ms(5))), Some(ms(5)));
        assert_eq!(queue(None, false).effective_timeout(Some(ms(5))), None);
        assert_eq!(queue(Some(ms(10)), false).effective_timeout(Some(ms(5))), Some(ms(10)));
    }
}
