//! Metrics that models make of their own: families, label sets and kinds that are known only while they run.
//!
//! Promises: nobody writes into a family of the server's, or into the series of another model; a family has one kind, and a
//! label set is one series, however many guests and generations of the model open it. Series live as long as their model.
//! Costs: opening one locks and searches; recording is an atomic addition.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use nereid_inference::InferError;
use parking_lot::Mutex;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::page::{HistogramReading, Value, set_value};

/// Beginnings of the server's own names.
const RESERVED: [&str; 2] = ["nv_", "nereid_"];

/// The label that the host adds.
const MODEL_LABEL: &str = "model";

/// Longest name, description or label value; a line of the page stays readable.
const TEXT_BYTES_MAX: usize = 256;

/// Labels of one metric, and bounds of one histogram: each is repeated on the page for every series.
const LABELS_MAX: usize = 16;
const BOUNDS_MAX: usize = 64;

/// The metrics of all models.
#[derive(Debug, Default)]
pub struct CustomMetrics {
    models: Mutex<BTreeMap<Arc<str>, Weak<ModelMeters>>>,
    /// Held while a series is made, so that two models cannot give one name two kinds.
    opening: Mutex<()>,
}

/// The metrics of one model.
#[derive(Debug)]
pub struct ModelMeters {
    model: Arc<str>,
    series: Mutex<BTreeMap<SeriesKey, (MetricHead, Arc<CustomSeries>)>>,
    /// To compare kinds with other models' of the same name.
    all: Arc<CustomMetrics>,
}

/// What a metric is opened as.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricHead {
    pub name: String,
    pub description: String,
    pub kind: CustomKind,
}

/// What a metric counts.
#[derive(Clone, Debug, PartialEq)]
pub enum CustomKind {
    Counter,
    Gauge,
    /// Upper bounds in growing order.
    Histogram(Vec<f64>),
}

/// One label set of a metric.
#[derive(Debug)]
pub struct CustomSeries {
    /// The number, or the sum of a histogram's observations, as the bits of an `f64`.
    value: AtomicU64,
    bounds: Vec<f64>,
    /// Observations per bound, and those beyond all of them; empty unless it is a histogram.
    counts: Vec<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    name: String,
    labels: Vec<(String, String)>,
}

// === impl CustomMetrics ===

impl CustomMetrics {
    /// The metrics of `model`: the same ones for all of its generations that live at the same time.
    pub fn of_model(self: &Arc<Self>, model: &Arc<str>) -> Arc<ModelMeters> {
        let mut models = self.models.lock();
        models.retain(|_, meters| meters.strong_count() > 0);
        if let Some(meters) = models.get(model).and_then(Weak::upgrade) {
            return meters;
        }
        let meters = Arc::new(ModelMeters { model: model.clone(), series: Mutex::default(), all: self.clone() });
        models.insert(model.clone(), Arc::downgrade(&meters));
        meters
    }

    /// Every family, ordered by name.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
        for meters in self.living() {
            for (key, (head, series)) in &*meters.series.lock() {
                let family = families.entry(head.name.clone()).or_insert_with(|| head.to_family());
                family.mut_metric().push(series.to_metric(&meters.model, key, &head.kind));
            }
        }
        families.into_values().collect()
    }

    /// The kind that a name has in any model.
    fn kind_of(&self, name: &str) -> Option<CustomKind> {
        self.living().iter().find_map(|meters| {
            let series = meters.series.lock();
            series.values().find(|(head, _)| head.name == name).map(|(head, _)| head.kind.clone())
        })
    }

    fn living(&self) -> Vec<Arc<ModelMeters>> {
        self.models.lock().values().filter_map(Weak::upgrade).collect()
    }
}

// === impl ModelMeters ===

impl ModelMeters {
    /// The series with these labels; made when there is none and the model has fewer than `series_max`.
    ///
    /// # Errors
    /// A name or value that the page cannot show, a name that means something else already, or too many series.
    pub fn open(
        &self,
        head: MetricHead,
        labels: Vec<(String, String)>,
        series_max: usize,
    ) -> Result<Arc<CustomSeries>, InferError> {
        head.check()?;
        check_labels(&labels)?;
        let mut labels = labels;
        labels.sort();
        let _opening = self.all.opening.lock();
        if let Some(kind) = self.all.kind_of(&head.name)
            && std::mem::discriminant(&kind) != std::mem::discriminant(&head.kind)
        {
            let (name, found, wanted) = (&head.name, kind.name(), head.kind.name());
            let text = format!("metric '{name}' is a {found} already and cannot be opened as a {wanted}");
            return Err(InferError::already_exists(text));
        }
        let key = SeriesKey { name: head.name.clone(), labels };
        let mut series = self.series.lock();
        if let Some((_, series)) = series.get(&key) {
            return Ok(series.clone());
        }
        if series.len() >= series_max {
            let text = format!("the model has {series_max} series of its own metrics, the limit (metric_series)");
            return Err(InferError::resource_exhausted(text));
        }
        let made = Arc::new(CustomSeries::new(&head.kind));
        series.insert(key, (head, made.clone()));
        Ok(made)
    }
}

// === impl MetricHead ===

impl MetricHead {
    fn check(&self) -> Result<(), InferError> {
        let refuse = |text: String| Err(InferError::invalid_argument(text));
        let Self { name, description, kind } = self;
        if !is_name(name) {
            return refuse(format!(
                "metric name '{}' is none: expected letters, digits and '_', not beginning with a digit, at most \
                 {TEXT_BYTES_MAX} of them",
                shortened(name)
            ));
        }
        if let Some(prefix) = RESERVED.iter().find(|prefix| name.starts_with(**prefix)) {
            return refuse(format!("metric name '{name}' begins with '{prefix}', which is the server's own"));
        }
        if description.len() > TEXT_BYTES_MAX {
            return refuse(format!("the description of metric '{name}' is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let CustomKind::Histogram(bounds) = kind else { return Ok(()) };
        let grows = bounds.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
        if bounds.is_empty() || bounds.len() > BOUNDS_MAX || !grows || bounds.iter().any(|bound| !bound.is_finite()) {
            return refuse(format!(
                "histogram '{name}' has the bounds {bounds:?}: expected 1 to {BOUNDS_MAX} finite numbers in growing order"
            ));
        }
        Ok(())
    }

    fn to_family(&self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.clone());
        family.set_help(self.description.clone());
        family.set_field_type(self.kind.metric_type());
        family
    }
}

// === impl CustomKind ===

impl CustomKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            Self::Counter => MetricType::COUNTER,
            Self::Gauge => MetricType::GAUGE,
            Self::Histogram(_) => MetricType::HISTOGRAM,
        }
    }
}

// === impl CustomSeries ===

impl CustomSeries {
    fn new(kind: &CustomKind) -> Self {
        let value = AtomicU64::new(0_f64.to_bits());
        match kind {
            CustomKind::Histogram(bounds) => {
                let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
                Self { value, bounds: bounds.clone(), counts }
            }
            _ => Self { value, bounds: vec![], counts: vec![] },
        }
    }

    /// Adds to the number.
    pub fn add(&self, amount: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        let _ = self.value.fetch_update(Relaxed, Relaxed, sum);
    }

    /// Replaces the number.
    pub fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Relaxed);
    }

    /// The number, or the sum of what was observed.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.value.load(Relaxed))
    }

    /// Counts an observation of a histogram. What is no number counts as beyond all bounds and leaves the sum.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
            self.add(if value.is_nan() { 0.0 } else { value });
        }
    }

    fn to_metric(&self, model: &str, key: &SeriesKey, kind: &CustomKind) -> Metric {
        let own = key.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = std::iter::once((MODEL_LABEL, model)).chain(own).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        let value = match kind {
            CustomKind::Histogram(_) => Value::Histogram(self.read()),
            _ => Value::Number(self.value()),
        };
        set_value(&mut metric, kind.metric_type(), value);
        metric
    }

    fn read(&self) -> HistogramReading {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.counts.len());
        for bucket in &self.counts {
            count += bucket.load(Relaxed);
            cumulative.push(count);
        }
        let buckets = self.bounds.iter().copied().zip(cumulative).collect();
        HistogramReading { buckets, count, sum: self.value() }
    }
}

fn check_labels(labels: &[(String, String)]) -> Result<(), InferError> {
    let refuse = |text: String| Err(InferError::invalid_argument(text));
    if labels.len() > LABELS_MAX {
        return refuse(format!("a metric has {} labels, the limit is {LABELS_MAX}", labels.len()));
    }
    for (index, (name, value)) in labels.iter().enumerate() {
        if !is_name(name) || name.starts_with("__") || name == "le" || name == "quantile" {
            return refuse(format!("'{}' cannot be the name of a label", shortened(name)));
        }
        if name == MODEL_LABEL {
            return refuse(format!("the label '{MODEL_LABEL}' is added by the server and cannot be given"));
        }
        if labels.iter().take(index).any(|(earlier, _)| earlier == name) {
            return refuse(format!("the label '{name}' is given twice"));
        }
        if value.len() > TEXT_BYTES_MAX {
            return refuse(format!("the value of the label '{name}' is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

/// Whether the page can show it as a name; colons are for recording rules.
fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.len() <= TEXT_BYTES_MAX
        && text.starts_with(is_first)
        && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
