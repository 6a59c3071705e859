//! The one place that knows every series and writes the metrics page.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
    time::Instant,
};

use nereid_inference::{ModelConfig, ModelIdentity};
use parking_lot::Mutex;
use prometheus::TextEncoder;

use crate::{
    custom_metrics::CustomMetrics,
    families, first_response,
    followed_files::FollowedFiles,
    gpu_metrics::{GPU_LABEL, GpuSource},
    host_usage::{HostUsage, HostUsageReader},
    memory_metrics::MemorySource,
    metrics_settings::MetricsSettings,
    model_metrics::{Labels, ModelMetrics, Series},
    plugin_usage::PluginUsage,
    tenant_metrics::{self, TenantSource},
};

/// All metrics of the process.
pub struct Telemetry {
    settings: MetricsSettings,
    /// Touched at load, at scrape, and never by a request. Dead entries go at the next touch.
    models: Mutex<BTreeMap<Labels, Weak<Series>>>,
    host: Mutex<(HostUsageReader, HostUsage)>,
    /// Where there are devices.
    gpus: OnceLock<GpuSource>,
    /// Where there is a memory budget.
    memory: OnceLock<MemorySource>,
    /// Where there are tenants.
    tenants: OnceLock<TenantSource>,
    files: FollowedFiles,
    custom: Arc<CustomMetrics>,
    plugins: Arc<PluginUsage>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Empty, with a first reading of the machine's usage if that is to be shown.
    pub fn new(settings: MetricsSettings) -> Arc<Self> {
        let host = Mutex::default();
        let telemetry = Self {
            settings,
            models: Mutex::default(),
            host,
            gpus: OnceLock::new(),
            memory: OnceLock::new(),
            tenants: OnceLock::new(),
            files: FollowedFiles::default(),
            custom: Arc::default(),
            plugins: Arc::default(),
        };
        telemetry.sample_host();
        Arc::new(telemetry)
    }

    /// The counters of a model version that is being loaded.
    ///
    /// While another generation with the same labels lives, both count into the same series; the buckets of its
    /// histogram change only when the model was unloaded in between, as upstream.
    pub fn model(&self, model: &ModelIdentity, config: &ModelConfig) -> ModelMetrics {
        self.series(Labels::new(model, &config.metric_tags), |labels| {
            for family in first_response::uncustomisable(config) {
                let text = "in 'metric_identifier' is not a customizable metric";
                tracing::warn!("model '{}': Metric family '{family}' {text}", model.name);
            }
            Series::of_model(labels, &self.settings, config)
        })
    }

    /// The counters of what instances of that model on one GPU execute, which is a label of theirs. What a model has once,
    /// the requests that wait for example, is not among them.
    pub fn model_on(&self, model: &ModelMetrics, gpu_uuid: &str) -> ModelMetrics {
        let model = model.series();
        let labels = model.labels.with(GPU_LABEL, gpu_uuid);
        self.series(labels, |labels| Series::of_gpu(labels, &self.settings, model))
    }

    /// Those with these labels, made if there are none.
    fn series(&self, labels: Labels, make: impl FnOnce(Labels) -> Series) -> ModelMetrics {
        let mut models = self.models.lock();
        models.retain(|_, series| series.strong_count() > 0);
        let series = models.get(&labels).and_then(Weak::upgrade).unwrap_or_else(|| {
            let series = Arc::new(make(labels.clone()));
            models.insert(labels, Arc::downgrade(&series));
            series
        });
        ModelMetrics::new(series)
    }

    /// The metrics that models make of their own.
    pub fn custom(&self) -> &Arc<CustomMetrics> {
        &self.custom
    }

    /// The files that the server follows.
    pub fn files(&self) -> &FollowedFiles {
        &self.files
    }

    /// What plugins use.
    pub fn plugins(&self) -> &Arc<PluginUsage> {
        &self.plugins
    }

    /// Reads processor and memory usage. To be called at the metrics interval; costs two small reads of `/proc`.
    pub fn sample_host(&self) {
        if self.settings.host_usage {
            let (reader, usage) = &mut *self.host.lock();
            *usage = reader.read();
        }
    }

    /// Shows devices from now on; the first source counts.
    pub fn show_gpus(&self, source: GpuSource) {
        // Nobody has two.
        let _ = self.gpus.set(source);
    }

    /// Shows a memory budget from now on; the first one counts.
    pub fn show_memory(&self, source: MemorySource) {
        // Nobody has two.
        let _ = self.memory.set(source);
    }

    /// Shows tenants from now on; the first source counts.
    pub fn show_tenants(&self, source: TenantSource) {
        // Nobody has two.
        let _ = self.tenants.set(source);
    }

    /// The page in Prometheus' text format.
    pub fn render(&self) -> String {
        let series: Vec<Arc<Series>> = {
            let mut models = self.models.lock();
            models.retain(|_, series| series.strong_count() > 0);
            models.values().filter_map(Weak::upgrade).collect()
        };
        let usage = self.host.lock().1;
        let mut families = families::gather(&series, &usage, Instant::now());
        families.extend(self.gpus.get().into_iter().flat_map(|source| families::of_gpus(&(source.0)())));
        families.extend(self.memory.get().into_iter().flat_map(|source| families::of_memory(&(source.0)())));
        families.extend(self.plugins.gather());
        families.extend(self.tenants.get().into_iter().flat_map(|source| tenant_metrics::gather(&(source.0)())));
        families.extend(self.files.gather());
        families.extend(self.custom.gather());
        let mut page = String::new();
        // The encoder refuses a family without series, which `gather` leaves out, and fails on nothing else.
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut page) {
            tracing::error!("the metrics page is incomplete: {error}");
        }
        page
    }
}

#[cfg(test)]
mod tests;
