//! The rest of what a model may ask: metrics of its own, and loading and unloading models.

use std::collections::BTreeMap;

use nereid_inference::{InferError, LoadOverrides};
use nereid_telemetry::{CustomKind, MetricHead};
use nereid_tensor::Buffer;
use serde_json::Value;

use crate::{
    desk::{Answered, Desk},
    payload,
};

// === impl Desk ===

impl Desk {
    /// Opens one label set of a metric; its number is what later calls name.
    pub(crate) fn open_metric(
        &self,
        (name, description, kind): (String, String, String),
        labels: BTreeMap<String, String>,
        buckets: Vec<f64>,
    ) -> Answered {
        let (name_of_kind, kind) = match kind.as_str() {
            "counter" => ("counter", CustomKind::Counter),
            "gauge" => ("gauge", CustomKind::Gauge),
            "histogram" => ("histogram", CustomKind::Histogram(buckets)),
            other => return Err(InferError::invalid_argument(format!("there is no kind of metric '{other}'"))),
        };
        let head = MetricHead { name, description, kind };
        let limit = self.model.limits.series;
        let opened = self.model.meters.open(head, labels.into_iter().collect(), limit)?;
        let mut series = self.series.lock();
        if series.len() >= 10 * limit {
            let text = format!("{} metrics were opened by this process; keep those that there are", series.len());
            return Err(InferError::resource_exhausted(text));
        }
        series.push((name_of_kind, opened));
        Ok((series.len() - 1).into())
    }

    /// Changes or reads a metric.
    pub(crate) fn metric(&self, number: usize, verb: &str, value: f64) -> Answered {
        let found = self.series.lock().get(number).cloned();
        let (kind, series) = found.ok_or_else(|| InferError::invalid_argument("there is no such metric"))?;
        let refuse = |text: &str| Err(InferError::invalid_argument(text));
        match (verb, kind) {
            ("value", "histogram") => return refuse("a histogram has no single value"),
            ("value", _) => return Ok(series.value().into()),
            _ if !value.is_finite() => return refuse("a metric takes finite numbers"),
            ("increment", "counter") if value < 0.0 => {
                return refuse("a counter only grows: expected a number from 0 up");
            }
            ("increment", "counter" | "gauge") => series.add(value),
            ("set", "gauge") => series.set(value),
            ("set", "counter") => return refuse("a counter cannot be set, only incremented"),
            ("observe", "histogram") => series.observe(value),
            (verb, kind) => return refuse(&format!("a {kind} knows no {verb}")),
        }
        Ok(Value::Null)
    }

    /// Whether a model can serve.
    pub(crate) fn model_ready(&self, model: &str, version: &str) -> Answered {
        let version = match version {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                InferError::invalid_argument(format!(
                    "failed to get model version from specified version string '{text}'"
                ))
            })?),
        };
        Ok(self.model.service.get()?.ready_model(model, version).is_ok().into())
    }

    /// Loads a model, as an operator does. Blocks.
    pub(crate) fn load(&self, model: &str, config: String, files: Vec<(String, u64, u64)>, bytes: &Buffer) -> Answered {
        self.check_other("load", model)?;
        let mut overrides = LoadOverrides {
            config: Some(config).filter(|config| !config.is_empty()),
            requested_by: format!("model {}", self.model.identity.name),
            ..LoadOverrides::default()
        };
        for (path, offset, length) in files {
            let content = payload::slice(bytes, offset, length);
            let content =
                content.ok_or_else(|| InferError::invalid_argument(format!("file '{path}' has no content")))?;
            overrides.files.insert(path.strip_prefix("file:").unwrap_or(&path).to_owned(), content.into_bytes());
        }
        self.model.control.get()?.load(model, overrides)?;
        Ok(Value::Null)
    }

    /// Unloads a model.
    pub(crate) fn unload(&self, model: &str, dependents: bool) -> Answered {
        self.check_other("unload", model)?;
        self.model.control.get()?.unload(model, dependents)?;
        Ok(Value::Null)
    }

    /// A model that waits for its own end would wait for ever.
    fn check_other(&self, what: &str, model: &str) -> Result<(), InferError> {
        match *model == *self.model.identity.name {
            true => Err(InferError::invalid_argument(format!("a model may not {what} itself"))),
            false => Ok(()),
        }
    }
}
