//! Quantiles of the durations of requests over the last minute.
//!
//! The window slides as that of prometheus-cpp's `Summary` does with Triton's settings (60 s in 5 parts): what a scrape
//! sees goes back between 48 and 60 s. Count and sum go back to the start. Values are kept to three significant digits.
//!
//! Cost, when on: one uncontended lock and five additions per request, and about 0.5 MB for a model under load; a model
//! that was idle for a minute holds nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::{model_metrics::RequestDurations, page::SummaryReading};

/// How far the window goes back.
const WINDOW: Duration = Duration::from_secs(60);

/// What slides out of the window at once.
const PART: Duration = Duration::from_secs(12);

/// Precision of a quantile's value: the least error that costs less memory than the requests themselves.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Longer durations count as this long, because a part grows with its largest value: to 90 KB at one hour.
const VALUE_MAX: Duration = Duration::from_secs(3_600);

/// Which duration of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Request,
    Queue,
    ComputeInput,
    ComputeInfer,
    ComputeOutput,
}

/// The summaries of one model version.
#[derive(Debug)]
pub(crate) struct Summaries {
    quantiles: Vec<f64>,
    windows: Mutex<[SlidingWindow; Stage::COUNT]>,
}

/// The values of one summary; takes the time as an argument.
#[derive(Debug, Default)]
pub(crate) struct SlidingWindow {
    /// Oldest first, each with the time of its first value.
    parts: VecDeque<(Instant, Histogram<u32>)>,
    count: u64,
    sum_ns: u64,
}

// === impl Stage ===

impl Stage {
    const COUNT: usize = 5;
}

// === impl Summaries ===

impl Summaries {
    pub(crate) fn new(quantiles: Vec<f64>) -> Self {
        Self { quantiles, windows: Mutex::default() }
    }

    pub(crate) fn observe(&self, now: Instant, durations: &RequestDurations) {
        let RequestDurations { request, queue, compute_input, compute_infer, compute_output } = *durations;
        // In the order of `Stage`.
        let values = [request, queue, compute_input, compute_infer, compute_output];
        for (window, value) in self.windows.lock().iter_mut().zip(values) {
            window.observe(now, value);
        }
    }

    pub(crate) fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }

    /// A request that was not executed.
    pub(crate) fn observe_queue(&self, now: Instant, queue: Duration) {
        if let Some(window) = self.windows.lock().get_mut(Stage::Queue as usize) {
            window.observe(now, queue);
        }
    }

    pub(crate) fn read(&self, now: Instant, stage: Stage) -> SummaryReading {
        let mut windows = self.windows.lock();
        windows.get_mut(stage as usize).map(|window| window.read(now, &self.quantiles)).unwrap_or_default()
    }
}

// === impl SlidingWindow ===

impl SlidingWindow {
    pub(crate) fn observe(&mut self, now: Instant, value: Duration) {
        self.forget(now);
        let is_current = |(since, _): &mut (Instant, _)| now.saturating_duration_since(*since) < PART;
        if self.parts.back_mut().is_none_or(|part| !is_current(part))
            && let Ok(histogram) = Histogram::new(SIGNIFICANT_DIGITS)
        {
            self.parts.push_back((now, histogram));
        }
        if let Some((_, histogram)) = self.parts.back_mut() {
            // Fails only where a histogram may not grow, and this one may.
            histogram.record(value.min(VALUE_MAX).as_micros() as u64).unwrap_or_default();
        }
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In microseconds. A quantile of nothing is not a number.
    pub(crate) fn read(&mut self, now: Instant, quantiles: &[f64]) -> SummaryReading {
        self.forget(now);
        let value_of: Box<dyn Fn(f64) -> f64> = match self.merged() {
            Some(merged) => Box::new(move |quantile| merged.value_at_quantile(quantile) as f64),
            None => Box::new(|_| f64::NAN),
        };
        SummaryReading {
            quantiles: quantiles.iter().map(|quantile| (*quantile, value_of(*quantile))).collect(),
            count: self.count,
            sum: (self.sum_ns / 1_000) as f64,
        }
    }

    fn merged(&self) -> Option<Histogram<u32>> {
        let mut parts = self.parts.iter();
        let mut merged = parts.next()?.1.clone();
        for (_, part) in parts {
            // Fails only where the sum may not grow, and this one may.
            merged.add(part).ok()?;
        }
        Some(merged)
    }

    fn forget(&mut self, now: Instant) {
        while self.parts.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= WINDOW) {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes (second, microseconds) pairs and asserts median, 90th percentile and (count, sum) at a time.
    #[track_caller]
    fn check(observed: &[(u64, u64)], at_second: u64, [median, ninetieth]: [f64; 2], (count, sum): (u64, f64)) {
        let start = Instant::now();
        let mut window = SlidingWindow::default();
        for (second, microseconds) in observed {
            window.observe(start + Duration::from_secs(*second), Duration::from_micros(*microseconds));
        }
        let reading = window.read(start + Duration::from_secs(at_second), &[0.5, 0.9]);
        let expected = SummaryReading { quantiles: vec![(0.5, median), (0.9, ninetieth)], count, sum };
        // NaN is not equal to itself; its text is.
        assert_eq!(format!("{reading:?}"), format!("{expected:?}"));
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let observed: Vec<(u64, u64)> = (1..=100).map(|value| (0, value)).collect();
        check(&observed, 0, [50.0, 90.0], (100, 5_050.0));
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more_but_stays_in_count_and_sum() {
        let observed = [(0, 1_000), (13, 10), (26, 20), (39, 30)];
        check(&observed, 59, [20.0, 1_000.0], (4, 1_060.0));
        check(&observed, 60, [20.0, 30.0], (4, 1_060.0));
        check(&observed, 99, [f64::NAN; 2], (4, 1_060.0));
    }

    #[test]
    fn a_window_has_never_more_than_five_parts() {
        let start = Instant::now();
        let mut window = SlidingWindow::default();
        for second in 0..1_000 {
            window.observe(start + Duration::from_secs(second), Duration::from_micros(second));
            assert!(window.parts.len() <= 5, "{}", window.parts.len());
        }
    }

    #[test]
    fn each_stage_has_its_own_summary() {
        let now = Instant::now();
        let summaries = Summaries::new(vec![0.5]);
        let milliseconds = Duration::from_millis;
        summaries.observe(
            now,
            &RequestDurations {
                request: milliseconds(5),
                queue: milliseconds(1),
                compute_input: milliseconds(2),
                compute_infer: milliseconds(3),
                compute_output: milliseconds(4),
            },
        );
        let stages = [Stage::Queue, Stage::ComputeInput, Stage::ComputeInfer, Stage::ComputeOutput, Stage::Request];
        assert_eq!(stages.map(|stage| summaries.read(now, stage).sum), [1e3, 2e3, 3e3, 4e3, 5e3]);
    }
}
