//! From readings to the messages that the text format is written from.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
};

use crate::model_metrics::{Labels, Series};

/// What stands above the samples of a family.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricType,
}

/// One label set and its value.
pub(crate) struct Sample {
    pub(crate) labels: Option<Labels>,
    pub(crate) value: Value,
}

/// What a sample shows.
pub(crate) enum Value {
    Number(f64),
    Histogram(HistogramReading),
    Summary(SummaryReading),
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HistogramReading {
    /// Upper bounds and how many values lie at or below each.
    pub(crate) buckets: Vec<(f64, u64)>,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A summary at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SummaryReading {
    /// Quantiles and their values.
    pub(crate) quantiles: Vec<(f64, f64)>,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A family and its samples as a message.
pub(crate) fn family_of(head: Head, samples: impl IntoIterator<Item = Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(head.name.to_owned());
    family.set_help(head.help.to_owned());
    family.set_field_type(head.kind);
    family.set_metric(samples.into_iter().map(|sample| metric_of(head.kind, sample)).collect());
    family
}

fn metric_of(kind: MetricType, sample: Sample) -> Metric {
    let label_pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let mut metric = Metric::from_label(sample.labels.iter().flat_map(Labels::iter).map(label_pair).collect());
    set_value(&mut metric, kind, sample.value);
    metric
}

/// Gives a message of this kind its value.
pub(crate) fn set_value(metric: &mut Metric, kind: MetricType, value: Value) {
    match value {
        Value::Number(value) if kind == MetricType::COUNTER => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Value::Number(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        Value::Histogram(reading) => metric.set_histogram(histogram_of(reading)),
        Value::Summary(reading) => metric.set_summary(summary_of(reading)),
    }
}

fn histogram_of(reading: HistogramReading) -> Histogram {
    let bucket_of = |(bound, count): (f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(reading.buckets.into_iter().map(bucket_of).collect());
    histogram.set_sample_count(reading.count);
    histogram.set_sample_sum(reading.sum);
    histogram
}

fn summary_of(reading: SummaryReading) -> Summary {
    let quantile_of = |(quantile, value): (f64, f64)| {
        let mut message = Quantile::default();
        message.set_quantile(quantile);
        message.set_value(value);
        message
    };
    let mut summary = Summary::default();
    summary.set_quantile(reading.quantiles.into_iter().map(quantile_of).collect());
    summary.set_sample_count(reading.count);
    summary.set_sample_sum(reading.sum);
    summary
}

// === impl Head ===

impl Head {
    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER }
    }

    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE }
    }

    pub(crate) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::HISTOGRAM }
    }

    pub(crate) const fn summary(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::SUMMARY }
    }
}

// === impl Sample ===

impl Sample {
    pub(crate) fn of(series: &Series, value: Value) -> Self {
        Self { labels: Some(series.labels.clone()), value }
    }

    pub(crate) fn bare(value: f64) -> Self {
        Self { labels: None, value: Value::Number(value) }
    }
}
