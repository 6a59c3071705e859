//! `metrics`: counters, gauges and histograms of the plugin's own, on the server's page under the model's name.

use std::sync::Arc;

use nereid_inference::InferError;
use nereid_telemetry::{CustomKind, CustomSeries, MetricHead};
use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        metrics::{Host, HostCounter, HostGauge, HostHistogram, Label},
        types::Error,
    },
    convert,
    failure::Stop,
    state::PluginState,
};

/// A counter that the guest opened.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct CounterHandle(Arc<CustomSeries>);

/// A gauge that the guest opened.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct GaugeHandle(Arc<CustomSeries>);

/// A histogram that the guest opened.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HistogramHandle(Arc<CustomSeries>);

type Opened<T> = wasmtime::Result<Result<Resource<T>, Error>>;

// === impl PluginState ===

impl PluginState {
    fn open_metric(&mut self, head: MetricHead, labels: Vec<Label>) -> Result<Arc<CustomSeries>, InferError> {
        self.check_handles()?;
        let labels = labels.into_iter().map(|label| (label.name, label.value)).collect();
        let opened = self.spec.meters.open(head, labels, self.limits().metric_series_max as usize);
        opened.inspect_err(|error| self.note_refusal(error))
    }

    fn counter(&mut self, import: &'static str, handle: &Resource<CounterHandle>) -> wasmtime::Result<&CustomSeries> {
        self.enter(import)?;
        let found = self.counters.get(handle.rep()).ok_or(Stop::StaleHandle("counter"))?;
        Ok(&found.0)
    }

    fn gauge(&mut self, import: &'static str, handle: &Resource<GaugeHandle>) -> wasmtime::Result<&CustomSeries> {
        self.enter(import)?;
        let found = self.gauges.get(handle.rep()).ok_or(Stop::StaleHandle("gauge"))?;
        Ok(&found.0)
    }
}

impl Host for PluginState {}

impl HostCounter for PluginState {
    fn open(&mut self, name: String, description: String, labels: Vec<Label>) -> Opened<CounterHandle> {
        self.enter("metrics.counter.open")?;
        let opened = self.open_metric(MetricHead { name, description, kind: CustomKind::Counter }, labels);
        let kept = opened.map(|series| Resource::new_own(self.counters.insert(CounterHandle(series))));
        Ok(kept.map_err(convert::error))
    }

    fn add(&mut self, handle: Resource<CounterHandle>, amount: f64) -> wasmtime::Result<Result<(), Error>> {
        let series = self.counter("metrics.counter.add", &handle)?;
        if amount.is_finite() && amount >= 0.0 {
            series.add(amount);
            return Ok(Ok(()));
        }
        let text = format!("a counter only grows, and {amount} is no number from 0 up; use a gauge");
        Ok(Err(convert::error(InferError::invalid_argument(text))))
    }

    fn value(&mut self, handle: Resource<CounterHandle>) -> wasmtime::Result<f64> {
        Ok(self.counter("metrics.counter.value", &handle)?.value())
    }

    fn drop(&mut self, handle: Resource<CounterHandle>) -> wasmtime::Result<()> {
        self.counters.remove(handle.rep());
        Ok(())
    }
}

impl HostGauge for PluginState {
    fn open(&mut self, name: String, description: String, labels: Vec<Label>) -> Opened<GaugeHandle> {
        self.enter("metrics.gauge.open")?;
        let opened = self.open_metric(MetricHead { name, description, kind: CustomKind::Gauge }, labels);
        let kept = opened.map(|series| Resource::new_own(self.gauges.insert(GaugeHandle(series))));
        Ok(kept.map_err(convert::error))
    }

    fn set(&mut self, handle: Resource<GaugeHandle>, value: f64) -> wasmtime::Result<()> {
        self.gauge("metrics.gauge.set", &handle)?.set(value);
        Ok(())
    }

    fn add(&mut self, handle: Resource<GaugeHandle>, amount: f64) -> wasmtime::Result<()> {
        self.gauge("metrics.gauge.add", &handle)?.add(amount);
        Ok(())
    }

    fn value(&mut self, handle: Resource<GaugeHandle>) -> wasmtime::Result<f64> {
        Ok(self.gauge("metrics.gauge.value", &handle)?.value())
    }

    fn drop(&mut self, handle: Resource<GaugeHandle>) -> wasmtime::Result<()> {
        self.gauges.remove(handle.rep());
        Ok(())
    }
}

impl HostHistogram for PluginState {
    fn open(
        &mut self,
        name: String,
        description: String,
        labels: Vec<Label>,
        bounds: Vec<f64>,
    ) -> Opened<HistogramHandle> {
        self.enter("metrics.histogram.open")?;
        let opened = self.open_metric(MetricHead { name, description, kind: CustomKind::Histogram(bounds) }, labels);
        let kept = opened.map(|series| Resource::new_own(self.histograms.insert(HistogramHandle(series))));
        Ok(kept.map_err(convert::error))
    }

    fn observe(&mut self, handle: Resource<HistogramHandle>, value: f64) -> wasmtime::Result<()> {
        self.enter("metrics.histogram.observe")?;
        self.histograms.get(handle.rep()).ok_or(Stop::StaleHandle("histogram"))?.0.observe(value);
        Ok(())
    }

    fn drop(&mut self, handle: Resource<HistogramHandle>) -> wasmtime::Result<()> {
        self.histograms.remove(handle.rep());
        Ok(())
    }
}
