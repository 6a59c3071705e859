//! The `parameters` of a model that say how long its plugin's guests live, and when they are let rest.

use std::{ops::RangeInclusive, time::Duration};

use nereid_inference::{InferError, ModelConfig};
use nereid_plugin::{BreakerSettings, IdleSettings, LifeSettings};

/// Guests lost in a row after which requests are refused for a while; 0 for never.
const BREAKER_FAILURES: &str = "breaker_failures";

/// How long they are refused at first, in milliseconds.
const BREAKER_BACKOFF_MS: &str = "breaker_backoff_ms";

/// The longest that doubling makes of it, in milliseconds.
const BREAKER_BACKOFF_MAX_MS: &str = "breaker_backoff_max_ms";

/// Seconds after which a guest without a call is dropped.
const IDLE_GUEST_SECONDS: &str = "idle_guest_seconds";

/// Guests that each instance keeps however long they are idle.
const IDLE_GUESTS_MIN: &str = "idle_guests_min";

const FAILURES: RangeInclusive<u64> = 0..=1_000_000;

/// Up to a day.
const MILLISECONDS: RangeInclusive<u64> = 1..=86_400_000;

/// Up to a day.
const SECONDS: RangeInclusive<u64> = 1..=86_400;

/// # Errors
/// A parameter is no number, or lies outside its range.
pub(crate) fn read(config: &ModelConfig) -> Result<LifeSettings, InferError> {
    let (breaker, idle) = (BreakerSettings::DEFAULT, IdleSettings::DEFAULT);
    let milliseconds = |name| number(config, name, MILLISECONDS).map(|number| number.map(Duration::from_millis));
    let failures = number(config, BREAKER_FAILURES, FAILURES)?;
    let guests = number(config, IDLE_GUESTS_MIN, 0..=IdleSettings::GUESTS_MIN_MAX as u64)?;
    Ok(LifeSettings {
        breaker: BreakerSettings {
            failures: failures.and_then(|failures| u32::try_from(failures).ok()).unwrap_or(breaker.failures),
            backoff: milliseconds(BREAKER_BACKOFF_MS)?.unwrap_or(breaker.backoff),
            backoff_max: milliseconds(BREAKER_BACKOFF_MAX_MS)?.unwrap_or(breaker.backoff_max),
        },
        idle: IdleSettings {
            time: number(config, IDLE_GUEST_SECONDS, SECONDS)?.map_or(idle.time, Duration::from_secs),
            guests_min: guests.and_then(|guests| usize::try_from(guests).ok()).unwrap_or(idle.guests_min),
        },
    })
}

fn number(config: &ModelConfig, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    let number = text.trim().parse::<u64>().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| {
        InferError::invalid_argument(format!(
            "model '{}': parameter '{name}' is '{text}', expected a whole number from {} to {}",
            config.name,
            range.start(),
            range.end()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_here(parameters: &[(&str, &str)]) -> Result<LifeSettings, String> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = ModelConfig { name: "m".to_owned(), parameters, ..ModelConfig::default() };
        read(&config).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_not_written_keeps_its_default() {
        assert_eq!(read_here(&[]), Ok(LifeSettings::default()));
        let read = read_here(&[
            (BREAKER_FAILURES, "3"),
            (BREAKER_BACKOFF_MS, "20"),
            (BREAKER_BACKOFF_MAX_MS, " 100 "),
            (IDLE_GUEST_SECONDS, "5"),
            (IDLE_GUESTS_MIN, "0"),
        ]);
        let breaker = BreakerSettings {
            failures: 3,
            backoff: Duration::from_millis(20),
            backoff_max: Duration::from_millis(100),
        };
        let idle = IdleSettings { time: Duration::from_secs(5), guests_min: 0 };
        assert_eq!(read, Ok(LifeSettings { breaker, idle }));
    }

    #[test]
    fn what_is_no_number_in_range_is_refused_by_name() {
        for (name, value, range) in [
            (BREAKER_FAILURES, "-1", "from 0 to 1000000"),
            (BREAKER_BACKOFF_MS, "0", "from 1 to 86400000"),
            (BREAKER_BACKOFF_MAX_MS, "1s", "from 1 to 86400000"),
            (IDLE_GUEST_SECONDS, "86401", "from 1 to 86400"),
            (IDLE_GUESTS_MIN, "17", "from 0 to 16"),
        ] {
            let expected = format!("model 'm': parameter '{name}' is '{value}', expected a whole number {range}");
            assert_eq!(read_here(&[(name, value)]), Err(expected));
        }
    }
}
