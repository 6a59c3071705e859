//! How long requests waited for their first response, as a histogram.
//!
//! Triton's one customisable family: `model_metrics.metric_control` of a configuration sets the buckets. Cost of an
//! observation: a search among a few bounds and two relaxed additions.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use nereid_inference::{InferError, ModelConfig};

use crate::page::HistogramReading;

/// The family's name on the page and in configurations.
pub(crate) const FAMILY: &str = "nv_inference_first_response_histogram_ms";

/// Bounds without a word in the configuration, in milliseconds; source: Triton's `metric_model_reporter.h`.
const DEFAULT_BOUNDS_MS: [f64; 4] = [100.0, 500.0, 2_000.0, 5_000.0];

/// Buckets of one histogram: each is one more series per model on every scrape.
const BOUNDS_MAX: usize = 256;

/// Counts per bucket.
#[derive(Debug)]
pub(crate) struct FirstResponseHistogram {
    bounds_ms: Vec<f64>,
    /// One more than there are bounds: the last is for what lies beyond all of them.
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
}

/// Checks what a configuration says about metric families; one that cannot be customised is no error, as upstream.
///
/// # Errors
/// Bounds that do not ascend, are not numbers, or are too many.
pub fn check_metric_control(config: &ModelConfig) -> Result<(), InferError> {
    let refused = |problem: String| {
        InferError::invalid_argument(format!(
            "model '{}': model_metrics.metric_control of '{FAMILY}': histogram_options.buckets {problem}",
            config.name
        ))
    };
    let Some(bounds) = bounds_of(config) else { return Ok(()) };
    if bounds.len() > BOUNDS_MAX {
        return Err(refused(format!("has {} bounds, expected at most {BOUNDS_MAX}", bounds.len())));
    }
    if let Some(bound) = bounds.iter().find(|bound| bound.is_nan()) {
        return Err(refused(format!("contains {bound}, expected numbers")));
    }
    match bounds.iter().zip(bounds.iter().skip(1)).find(|(lower, upper)| lower >= upper) {
        Some((lower, upper)) => Err(refused(format!("has {upper} after {lower}, expected ascending bounds"))),
        None => Ok(()),
    }
}

/// Families that a configuration names and that have nothing to customise.
pub(crate) fn uncustomisable(config: &ModelConfig) -> impl Iterator<Item = &str> {
    let controls = config.model_metrics.iter().flatten();
    controls.map(|control| control.family.as_deref().unwrap_or_default()).filter(|family| *family != FAMILY)
}

/// The bounds that a configuration asks for; the last word counts. A control without buckets asks for none.
fn bounds_of(config: &ModelConfig) -> Option<&[f64]> {
    let mut controls = config.model_metrics.iter().flatten();
    let own = controls.rfind(|control| control.family.as_deref() == Some(FAMILY));
    own.map(|control| control.histogram_buckets.as_deref().unwrap_or_default())
}

// === impl FirstResponseHistogram ===

impl FirstResponseHistogram {
    /// Empty, with the buckets of a configuration that was checked.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let bounds_ms = bounds_of(config).unwrap_or(&DEFAULT_BOUNDS_MS).to_vec();
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds_ms.len() + 1).collect();
        Self { bounds_ms, counts, sum_ns: AtomicU64::default() }
    }

    pub(crate) fn observe(&self, duration: Duration) {
        let milliseconds = duration.as_secs_f64() * 1e3;
        let bucket = self.bounds_ms.partition_point(|bound| *bound < milliseconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The sum is in whole milliseconds, which is what Triton's own checks parse.
    pub(crate) fn read(&self) -> HistogramReading {
        let mut count = 0;
        let mut cumulative = self.counts.iter().map(|bucket| {
            count += bucket.load(Relaxed);
            count
        });
        let buckets = self.bounds_ms.iter().copied().zip(&mut cumulative).collect();
        cumulative.for_each(drop);
        HistogramReading { buckets, count, sum: (self.sum_ns.load(Relaxed) / 1_000_000) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::MetricControl;

    use super::*;

    fn config(buckets: &[f64]) -> ModelConfig {
        let control = MetricControl { family: Some(FAMILY.to_owned()), histogram_buckets: Some(buckets.to_vec()) };
        ModelConfig { name: "m".into(), model_metrics: Some(vec![control]), ..ModelConfig::default() }
    }

    #[track_caller]
    fn check(config: &ModelConfig, observed_ms: &[f64], buckets: &[(f64, u64)], sum: f64) {
        let histogram = FirstResponseHistogram::new(config);
        for milliseconds in observed_ms {
            histogram.observe(Duration::from_secs_f64(milliseconds / 1e3));
        }
        let count = observed_ms.len() as u64;
        assert_eq!(histogram.read(), HistogramReading { buckets: buckets.to_vec(), count, sum });
    }

    #[test]
    fn buckets_are_tritons_unless_the_model_says_otherwise() {
        let observed = [0.5, 100.0, 100.5, 5_001.0];
        let defaults = [(100.0, 2), (500.0, 3), (2_000.0, 3), (5_000.0, 3)];
        check(&ModelConfig::default(), &observed, &defaults, 5_202.0);
        check(&config(&[0.4, 0.5]), &observed, &[(0.4, 0), (0.5, 1)], 5_202.0);
        check(&config(&[]), &observed, &[], 5_202.0);
    }

    #[track_caller]
    fn check_refused(buckets: &[f64], expected: &str) {
        let error = check_metric_control(&config(buckets)).unwrap_err();
        let start = "model 'm': model_metrics.metric_control of 'nv_inference_first_response_histogram_ms': ";
        assert_eq!(error.message(), format!("{start}histogram_options.buckets {expected}"));
    }

    #[test]
    fn bounds_must_ascend() {
        check_refused(&[1.0, 2.0, 2.0], "has 2 after 2, expected ascending bounds");
        check_refused(&[1.0, f64::NAN], "contains NaN, expected numbers");
        check_refused(&[0.0; 257], "has 257 bounds, expected at most 256");
        assert!(check_metric_control(&config(&[-1.0, 2.0])).is_ok());
    }

    #[test]
    fn a_family_that_cannot_be_customised_is_named() {
        let control = MetricControl { family: Some("nv_inference_count".into()), histogram_buckets: None };
        let config = ModelConfig { model_metrics: Some(vec![control]), ..ModelConfig::default() };
        assert_eq!(uncustomisable(&config).collect::<Vec<_>>(), ["nv_inference_count"]);
        assert!(check_metric_control(&config).is_ok());
    }
}
