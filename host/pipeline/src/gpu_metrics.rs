//! What one model version executes on GPUs, counted by GPU.

use std::collections::BTreeMap;

use nereid_gpu::Gpus;
use nereid_telemetry::{ModelMetrics, Telemetry};
use parking_lot::RwLock;

/// The series of a model on each GPU that it has, or had, instances on.
#[derive(Default)]
pub(crate) struct GpuMetrics(RwLock<BTreeMap<i32, ModelMetrics>>);

// === impl GpuMetrics ===

impl GpuMetrics {
    /// An instance is on the GPU with this ordinal: the series of its device are on the page from now on.
    pub(crate) fn begin(&self, gpu: i32, telemetry: &Telemetry, model: &ModelMetrics, gpus: &Gpus) {
        if let Some(uuid) = gpus.get(gpu).map(|gpu| gpu.uuid()) {
            self.begin_as(gpu, || telemetry.model_on(model, uuid));
        }
    }

    /// Counts what was executed there; by the model's own series if no instance has begun there.
    pub(crate) fn count(&self, gpu: Option<i32>, model: &ModelMetrics, count: impl FnOnce(&ModelMetrics)) {
        match gpu {
            None => count(model),
            Some(gpu) => count(self.0.read().get(&gpu).unwrap_or(model)),
        }
    }

    fn begin_as(&self, gpu: i32, make: impl FnOnce() -> ModelMetrics) {
        self.0.write().entry(gpu).or_insert_with(make);
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{ModelConfig, ModelIdentity};
    use nereid_telemetry::MetricsSettings;

    use super::*;

    #[test]
    fn an_execution_is_counted_on_its_gpu() {
        let telemetry = Telemetry::new(MetricsSettings::default());
        let model = telemetry.model(&ModelIdentity::new("m", 1), &ModelConfig::default());
        let metrics = GpuMetrics::default();
        metrics.begin_as(1, || telemetry.model_on(&model, "GPU-1"));
        metrics.begin(0, &telemetry, &model, &Gpus::none());
        for (gpu, rows) in [(Some(1), 2), (Some(1), 3), (Some(0), 10), (None, 100)] {
            metrics.count(gpu, &model, |metrics| metrics.record_execution(rows));
        }
        let page = telemetry.render();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("nereid_execution_rows_total{")).collect();
        let expected = [
            r#"nereid_execution_rows_total{gpu_uuid="GPU-1",model="m",version="1"} 5"#,
            r#"nereid_execution_rows_total{model="m",version="1"} 110"#,
        ];
        assert_eq!(rows, expected);
    }
}
