//! What is counted of a model that caches its answers.
//!
//! Names and meaning are Triton's: a hit lasts as long as it was looked for, a miss as long as it was looked for and its
//! answer was put away; both are on the page for models alone that cache.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{model_metrics::nanoseconds, page::SummaryReading, summaries::SlidingWindow};

/// How long the stages of a request took that was answered from the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheHit {
    /// From the request's arrival to its answer.
    pub request: Duration,
    /// From its arrival at the model until it was looked for.
    pub queue: Duration,
    /// From then until it was found, or until the same request had been executed.
    pub lookup: Duration,
}

/// Hits and misses of one model version.
#[derive(Debug)]
pub(crate) struct CacheSeries {
    pub(crate) hits: CacheOutcome,
    pub(crate) misses: CacheOutcome,
}

/// One of the two.
#[derive(Debug)]
pub(crate) struct CacheOutcome {
    pub(crate) count: AtomicU64,
    pub(crate) total_ns: AtomicU64,
    /// With the quantiles of the page, where summaries are kept.
    summary: Option<(Vec<f64>, Mutex<SlidingWindow>)>,
}

// === impl CacheSeries ===

impl CacheSeries {
    /// At zero; summaries are kept when there are quantiles for them.
    pub(crate) fn new(quantiles: Option<Vec<f64>>) -> Self {
        Self { hits: CacheOutcome::new(quantiles.clone()), misses: CacheOutcome::new(quantiles) }
    }
}

// === impl CacheOutcome ===

impl CacheOutcome {
    fn new(quantiles: Option<Vec<f64>>) -> Self {
        let summary = quantiles.map(|quantiles| (quantiles, Mutex::default()));
        Self { count: AtomicU64::default(), total_ns: AtomicU64::default(), summary }
    }

    pub(crate) fn record(&self, duration: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.total_ns.fetch_add(nanoseconds(duration), Relaxed);
        if let Some((_, window)) = &self.summary {
            window.lock().observe(Instant::now(), duration);
        }
    }

    pub(crate) fn read(&self, now: Instant) -> Option<SummaryReading> {
        let (quantiles, window) = self.summary.as_ref()?;
        Some(window.lock().read(now, quantiles))
    }
}
