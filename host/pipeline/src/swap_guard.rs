//! The parameters that say how a new generation of a model is watched, and the count of what came of its requests.
//!
//! A model that is not watched counts nothing here. One that is pays a lock that nobody else holds, and some additions, per
//! request that ends; and 2.4 kB.

use std::time::{Duration, Instant};

use nereid_inference::{InferError, ModelConfig, SwapGuardSettings, Tally};
use parking_lot::Mutex;

/// How long a new generation is watched, in seconds; 0 watches none.
const SECONDS: &str = "swap_guard_seconds";

/// By how many percentage points its error rate may exceed that of the generation before.
const ERROR_PERCENT: &str = "swap_guard_error_percent";

/// How many times the 99th percentile of the generation before its own may be.
const P99_RATIO: &str = "swap_guard_p99_ratio";

/// The generation before stays in memory for as long: a day is more than anybody watches.
const SECONDS_MAX: f64 = 86_400.0;

/// A ratio that nothing exceeds, for those who do not want to be judged by it.
const P99_RATIO_MAX: f64 = 1e9;

/// What the configuration asks for; `by_default`, a model is watched whose configuration says nothing.
///
/// # Errors
/// A parameter is no number, or lies outside its range.
pub(crate) fn settings(config: &ModelConfig, by_default: bool) -> Result<Option<SwapGuardSettings>, InferError> {
    let default = SwapGuardSettings::DEFAULT;
    let seconds = number(config, SECONDS, 0.0..=SECONDS_MAX)?;
    let error_percent = number(config, ERROR_PERCENT, 0.0..=100.0)?;
    let p99_ratio = number(config, P99_RATIO, 1.0..=P99_RATIO_MAX)?;
    let is_written = seconds.is_some() || error_percent.is_some() || p99_ratio.is_some();
    let window = seconds.map_or(default.window, Duration::from_secs_f64);
    let settings = SwapGuardSettings {
        window,
        error_percent_max: error_percent.unwrap_or(default.error_percent_max),
        p99_ratio_max: p99_ratio.unwrap_or(default.p99_ratio_max),
    };
    Ok(Some(settings).filter(|_| (by_default || is_written) && !window.is_zero()))
}

fn number(
    config: &ModelConfig,
    parameter: &str,
    range: std::ops::RangeInclusive<f64>,
) -> Result<Option<f64>, InferError> {
    let Some(text) = config.parameter(parameter) else { return Ok(None) };
    let number = text.trim().parse::<f64>().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| {
        InferError::invalid_argument(format!(
            "model '{}': parameter '{parameter}' is '{text}', expected a number from {} to {}",
            config.name,
            range.start(),
            range.end()
        ))
    })
}

/// What came of the requests of one or two windows past.
pub(crate) struct RecentTally {
    window: Duration,
    windows: Mutex<Windows>,
}

struct Windows {
    /// When the one that is counted now began.
    began: Instant,
    now: Tally,
    before: Tally,
}

// === impl RecentTally ===

impl RecentTally {
    pub(crate) fn new(window: Duration, now: Instant) -> Self {
        let windows = Windows { began: now, now: Tally::default(), before: Tally::default() };
        Self { window, windows: Mutex::new(windows) }
    }

    /// A request has ended at `now`.
    pub(crate) fn record(&self, now: Instant, latency: Duration, is_failure: bool) {
        let mut windows = self.windows.lock();
        windows.move_on(now, self.window);
        windows.now.record(latency);
        if is_failure {
            windows.now.record_failure();
        }
    }

    /// A response was an error, of a request that is counted by itself.
    pub(crate) fn record_failure(&self, now: Instant) {
        let mut windows = self.windows.lock();
        windows.move_on(now, self.window);
        windows.now.record_failure();
    }

    /// Everything since `now` less the window, and at most as much again.
    pub(crate) fn read(&self, now: Instant) -> Tally {
        let mut windows = self.windows.lock();
        windows.move_on(now, self.window);
        let mut sum = windows.now.clone();
        sum.add(&windows.before);
        sum
    }
}

// === impl Windows ===

impl Windows {
    fn move_on(&mut self, now: Instant, window: Duration) {
        let passed = now.saturating_duration_since(self.began);
        if passed < window {
            return;
        }
        self.before = std::mem::take(&mut self.now);
        if passed >= window * 2 {
            self.before = Tally::default();
        }
        self.began = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &str)], by_default: bool) -> Result<Option<SwapGuardSettings>, String> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = ModelConfig { name: "m".to_owned(), parameters, ..ModelConfig::default() };
        settings(&config, by_default).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_model_is_watched_by_default_or_because_it_says_so() {
        assert_eq!(read(&[], true), Ok(Some(SwapGuardSettings::DEFAULT)));
        assert_eq!(read(&[], false), Ok(None));
        let expected = SwapGuardSettings { p99_ratio_max: 2.5, ..SwapGuardSettings::DEFAULT };
        assert_eq!(read(&[(P99_RATIO, "2.5")], false), Ok(Some(expected)));
        assert_eq!(read(&[(SECONDS, "0"), (P99_RATIO, "2")], true), Ok(None));
    }

    #[test]
    fn what_is_no_number_in_range_is_refused_by_name() {
        for (name, value, range) in [
            (SECONDS, "soon", "from 0 to 86400"),
            (SECONDS, "-1", "from 0 to 86400"),
            (ERROR_PERCENT, "101", "from 0 to 100"),
            (P99_RATIO, "0.5", "from 1 to 1000000000"),
            (P99_RATIO, "NaN", "from 1 to 1000000000"),
        ] {
            let expected = format!("model 'm': parameter '{name}' is '{value}', expected a number {range}");
            assert_eq!(read(&[(name, value)], true), Err(expected));
        }
    }

    #[test]
    fn what_ended_within_the_window_is_remembered_and_what_is_twice_as_old_is_not() {
        let start = Instant::now();
        let window = Duration::from_secs(10);
        let tally = RecentTally::new(window, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        tally.record(at(9), Duration::from_millis(1), true);
        for second in 9..19 {
            let read = tally.read(at(second));
            assert_eq!((read.requests, read.failures), (1, 1), "{second}");
        }
        assert_eq!(tally.read(at(30)).requests, 0);
    }

    #[test]
    fn a_long_silence_leaves_nothing() {
        let start = Instant::now();
        let tally = RecentTally::new(Duration::from_secs(10), start);
        tally.record(start, Duration::from_millis(1), false);
        assert_eq!(tally.read(start + Duration::from_secs(60)).requests, 0);
    }
}
