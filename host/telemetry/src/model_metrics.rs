//! What is counted for one model version.
//!
//! A [`ModelMetrics`] is made when a version is loaded and cloned freely; its series leave the metrics page with the
//! last clone. During a reload the old and the new generation share one set of series, so that counters go on instead
//! of starting again and the end of the old generation takes nothing away from the new one.
//!
//! A model with instances on GPUs has such series for each of these GPUs besides its own: what was executed there is
//! counted there alone, and what never ran or ran elsewhere by the model's own.
//!
//! Cost: one relaxed addition per figure, and one branch for each kind of metric that is switched off. The figures of one request may be read apart by a scrape in between, which
//! the text format allows.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nereid_inference::{ModelConfig, ModelIdentity};

use crate::{
    batch_sizes::BatchSizes,
    cache_metrics::{CacheHit, CacheSeries},
    first_response::FirstResponseHistogram,
    metrics_settings::MetricsSettings,
    strategy_metrics::{StrategyAnswer, StrategyAnswers},
    summaries::Summaries,
};

/// The counters of one model version; a cheap handle.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    series: Arc<Series>,
}

/// How long the stages of one successful request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDurations {
    /// From the request's arrival to its last response.
    pub request: Duration,
    /// From the arrival to the start of the execution.
    pub queue: Duration,
    pub compute_input: Duration,
    pub compute_infer: Duration,
    pub compute_output: Duration,
}

/// Why a request failed, in the words of the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The queue was full, or the request waited there for longer than it may.
    Rejected,
    /// The caller gave up.
    Cancelled,
    /// The backend answered with an error.
    Backend,
    Other,
}

/// One label set and its figures. Durations are nanoseconds, so that many short requests lose nothing to rounding.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) requests_succeeded: AtomicU64,
    pub(crate) requests_failed: [AtomicU64; FailureReason::ALL.len()],
    pub(crate) rows_inferred: AtomicU64,
    pub(crate) executions: AtomicU64,
    pub(crate) rows_executed: AtomicU64,
    pub(crate) batch_sizes: BatchSizes,
    pub(crate) request_ns: AtomicU64,
    pub(crate) queue_ns: AtomicU64,
    pub(crate) compute_input_ns: AtomicU64,
    pub(crate) compute_infer_ns: AtomicU64,
    pub(crate) compute_output_ns: AtomicU64,
    pub(crate) requests_pending: AtomicI64,
    pub(crate) load_ns: AtomicU64,
    /// Whether the cumulative durations are on the page; they are counted in any case.
    pub(crate) shows_durations: bool,
    pub(crate) first_response: Option<FirstResponseHistogram>,
    pub(crate) summaries: Option<Summaries>,
    /// Set by the first generation that caches.
    pub(crate) cache: OnceLock<CacheSeries>,
    /// Of a GPU's: those of the model.
    pub(crate) of_model: Option<Arc<Series>>,
    /// Set by the first generation that has a batching strategy.
    pub(crate) strategy: OnceLock<StrategyAnswers>,
}

/// Label names and values in the order in which they are printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels(BTreeMap<String, String>);

// === impl ModelMetrics ===

impl ModelMetrics {
    pub(crate) fn new(series: Arc<Series>) -> Self {
        Self { series }
    }

    pub(crate) fn series(&self) -> &Arc<Series> {
        &self.series
    }

    /// Counts one request that was answered, and the rows it carried (1 for a model without a batch dimension).
    pub fn record_success(&self, rows: u64, durations: &RequestDurations) {
        let series = &self.series;
        series.requests_succeeded.fetch_add(1, Relaxed);
        series.rows_inferred.fetch_add(rows, Relaxed);
        series.request_ns.fetch_add(nanoseconds(durations.request), Relaxed);
        series.queue_ns.fetch_add(nanoseconds(durations.queue), Relaxed);
        series.compute_input_ns.fetch_add(nanoseconds(durations.compute_input), Relaxed);
        series.compute_infer_ns.fetch_add(nanoseconds(durations.compute_infer), Relaxed);
        series.compute_output_ns.fetch_add(nanoseconds(durations.compute_output), Relaxed);
        if let Some(summaries) = &series.summaries {
            summaries.observe(Instant::now(), durations);
        }
    }

    /// Notes how long a request waited for its first response, whatever that said.
    pub fn record_first_response(&self, waited: Duration) {
        if let Some(histogram) = &self.series.first_response {
            histogram.observe(waited);
        }
    }

    /// The model caches: hits and misses have series from now on, and the summary of requests, which upstream leaves out
    /// for such models, has none.
    pub fn count_cache(&self) {
        let quantiles = self.series.summaries.as_ref().map(|summaries| summaries.quantiles().to_vec());
        self.series.cache.get_or_init(|| CacheSeries::new(quantiles));
    }

    /// Counts one request that was answered without an execution.
    pub fn record_cache_hit(&self, hit: &CacheHit) {
        let series = &self.series;
        series.requests_succeeded.fetch_add(1, Relaxed);
        series.request_ns.fetch_add(nanoseconds(hit.request), Relaxed);
        series.queue_ns.fetch_add(nanoseconds(hit.queue), Relaxed);
        if let Some(summaries) = &series.summaries {
            summaries.observe_queue(Instant::now(), hit.queue);
        }
        if let Some(cache) = series.cache.get() {
            cache.hits.record(hit.lookup);
        }
    }

    /// Counts one request that was not found, besides what its execution counts: the time for looking and for keeping the
    /// answer, of which only the latter is not in the request's duration yet.
    pub fn record_cache_miss(&self, lookup: Duration, insertion: Duration) {
        self.series.request_ns.fetch_add(nanoseconds(insertion), Relaxed);
        if let Some(cache) = self.series.cache.get() {
            cache.misses.record(lookup + insertion);
        }
    }

    /// Counts one request that was answered with an error or not at all.
    pub fn record_failure(&self, reason: FailureReason) {
        if let Some(counter) = self.series.requests_failed.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Counts one call of the backend with a batch of `rows` rows, whether or not its requests succeed.
    pub fn record_execution(&self, rows: u64) {
        self.series.executions.fetch_add(1, Relaxed);
        self.series.rows_executed.fetch_add(rows, Relaxed);
        self.series.batch_sizes.observe(rows);
    }

    /// The model has a batching strategy: its answers have series from now on.
    pub fn count_strategy(&self) {
        self.series.strategy.get_or_init(StrategyAnswers::default);
    }

    /// Counts what came of a question to it.
    pub fn record_strategy(&self, answer: StrategyAnswer) {
        if let Some(answers) = self.series.strategy.get() {
            answers.record(answer);
        }
    }

    /// Changes the number of requests that wait for an execution.
    pub fn add_pending(&self, change: i64) {
        self.series.requests_pending.fetch_add(change, Relaxed);
    }

    /// Sets how long the latest load of the version took.
    pub fn set_load_duration(&self, duration: Duration) {
        self.series.load_ns.store(nanoseconds(duration), Relaxed);
    }
}

// === impl FailureReason ===

impl FailureReason {
    pub(crate) const ALL: [Self; 4] = [Self::Rejected, Self::Cancelled, Self::Backend, Self::Other];

    /// The value of the `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELED",
            Self::Backend => "BACKEND",
            Self::Other => "OTHER",
        }
    }
}

// === impl Series ===

impl Series {
    /// At zero, with what the settings switch on.
    pub(crate) fn of_model(labels: Labels, settings: &MetricsSettings, config: &ModelConfig) -> Self {
        let first_response = settings.histogram_latencies.then(|| FirstResponseHistogram::new(config));
        Self { first_response, ..Self::new(labels, settings) }
    }

    /// The same for the part of a model that is on one GPU.
    pub(crate) fn of_gpu(labels: Labels, settings: &MetricsSettings, model: &Arc<Self>) -> Self {
        Self { of_model: Some(model.clone()), ..Self::new(labels, settings) }
    }

    /// The cache of the model, if it has one.
    pub(crate) fn model_cache(&self) -> Option<&CacheSeries> {
        self.of_model.as_deref().unwrap_or(self).cache.get()
    }

    fn new(labels: Labels, settings: &MetricsSettings) -> Self {
        let summaries = settings.summary_latencies.then(|| Summaries::new(settings.summary_quantiles.clone()));
        Self {
            labels,
            requests_succeeded: AtomicU64::default(),
            requests_failed: Default::default(),
            rows_inferred: AtomicU64::default(),
            executions: AtomicU64::default(),
            rows_executed: AtomicU64::default(),
            batch_sizes: BatchSizes::default(),
            request_ns: AtomicU64::default(),
            queue_ns: AtomicU64::default(),
            compute_input_ns: AtomicU64::default(),
            compute_infer_ns: AtomicU64::default(),
            compute_output_ns: AtomicU64::default(),
            requests_pending: AtomicI64::default(),
            load_ns: AtomicU64::default(),
            shows_durations: settings.counter_latencies,
            first_response: None,
            summaries,
            cache: OnceLock::new(),
            of_model: None,
            strategy: OnceLock::new(),
        }
    }
}

// === impl Labels ===

impl Labels {
    /// `model`, `version`, `namespace` where there is one, and each metric tag with an underscore in front.
    pub(crate) fn new(model: &ModelIdentity, metric_tags: &BTreeMap<String, String>) -> Self {
        let tags = metric_tags.iter().map(|(tag, value)| (tag_label(tag), value.clone()));
        let own = [("model".to_owned(), model.name.to_string()), ("version".to_owned(), model.version.to_string())];
        let namespace = model.namespace.iter().map(|namespace| ("namespace".to_owned(), namespace.to_string()));
        Self(tags.chain(own).chain(namespace).collect())
    }

    /// A single label.
    pub(crate) fn one(name: &str, value: &str) -> Self {
        Self(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.0.insert(name.to_owned(), value.to_owned());
        labels
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A tag is free text; a label name is not. What the format forbids becomes an underscore, so that one odd tag does
/// not make the whole page unreadable to the scraper.
fn tag_label(tag: &str) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    format!("_{}", tag.chars().map(allowed).collect::<String>())
}

/// Durations of requests fit by centuries; what does not fit is held at the end of the range.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
