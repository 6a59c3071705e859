//! The one place that knows every series and writes the metrics page.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use nereid_inference::ModelIdentity;
use parking_lot::Mutex;
use prometheus::TextEncoder;

use crate::{
    families,
    host_usage::{HostUsage, HostUsageReader},
    model_metrics::{Labels, ModelMetrics, Series},
};

/// All metrics of the process.
pub struct Telemetry {
    /// Touched at load, at scrape, and never by a request. Dead entries go at the next touch.
    models: Mutex<BTreeMap<Labels, Weak<Series>>>,
    host: Mutex<(HostUsageReader, HostUsage)>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Empty, with a first reading of the machine's usage.
    pub fn new() -> Arc<Self> {
        let mut reader = HostUsageReader::default();
        let usage = reader.read();
        Arc::new(Self { models: Mutex::default(), host: Mutex::new((reader, usage)) })
    }

    /// The counters of a model version that is being loaded.
    ///
    /// While another generation with the same labels lives, both count into the same series.
    pub fn model(&self, model: &ModelIdentity, metric_tags: &BTreeMap<String, String>) -> ModelMetrics {
        let labels = Labels::new(model, metric_tags);
        let mut models = self.models.lock();
        models.retain(|_, series| series.strong_count() > 0);
        if let Some(series) = models.get(&labels).and_then(Weak::upgrade) {
            return ModelMetrics::new(series);
        }
        let series = Arc::new(Series::new(labels.clone()));
        models.insert(labels, Arc::downgrade(&series));
        ModelMetrics::new(series)
    }

    /// Reads processor and memory usage. To be called at the metrics interval; costs two small reads of `/proc`.
    pub fn sample_host(&self) {
        let (reader, usage) = &mut *self.host.lock();
        *usage = reader.read();
    }

    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        let series: Vec<Arc<Series>> = {
            let mut models = self.models.lock();
            models.retain(|_, series| series.strong_count() > 0);
            models.values().filter_map(Weak::upgrade).collect()
        };
        let usage = self.host.lock().1;
        let mut page = String::new();
        // The encoder refuses a family without series, which `gather` leaves out, and fails on nothing else.
        if let Err(error) = TextEncoder::new().encode_utf8(&families::gather(&series, &usage), &mut page) {
            tracing::error!("the metrics page is incomplete: {error}");
        }
        page
    }
}

#[cfg(test)]
mod tests;
