//! The metrics page: every family's name, help text and type in one list.
//!
//! Names, texts, label names and types are Triton's (`metrics.cc` of its core repository), because dashboards and
//! `perf_analyzer` match on them; `nereid_` families are ours. A family without series is left out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::{
    host_usage::HostUsage,
    model_metrics::{FailureReason, Labels, Series},
};

/// Every family in the order of the page.
pub(crate) fn gather(series: &[std::sync::Arc<Series>], host_usage: &HostUsage) -> Vec<MetricFamily> {
    let per_model = MODEL_FAMILIES.iter().map(|family| {
        let samples = series.iter().flat_map(|series| (family.samples)(series));
        family_of(family.head, samples)
    });
    let per_host = HOST_FAMILIES.iter().map(|family| family_of(family.head, (family.sample)(host_usage)));
    per_model.chain(per_host).filter(|family| !family.get_metric().is_empty()).collect()
}

/// What stands above the samples of a family.
#[derive(Clone, Copy)]
struct Head {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
}

struct ModelFamily {
    head: Head,
    samples: fn(&Series) -> Vec<Sample>,
}

struct HostFamily {
    head: Head,
    /// `None` where the figure cannot be read.
    sample: fn(&HostUsage) -> Option<Sample>,
}

struct Sample {
    labels: Option<Labels>,
    value: f64,
}

const MODEL_FAMILIES: &[ModelFamily] = &[
    ModelFamily {
        head: Head::counter("nv_inference_request_success", "Number of successful inference requests, all batch sizes"),
        samples: |series| counted(series, &series.requests_succeeded),
    },
    ModelFamily {
        head: Head::counter("nv_inference_request_failure", "Number of failed inference requests, all batch sizes"),
        samples: failures,
    },
    ModelFamily {
        head: Head::counter("nv_inference_count", "Number of inferences performed (does not include cached requests)"),
        samples: |series| counted(series, &series.rows_inferred),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_exec_count",
            "Number of model executions performed (does not include cached requests)",
        ),
        samples: |series| counted(series, &series.executions),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_request_duration_us",
            "Cumulative inference request duration in microseconds (includes cached requests)",
        ),
        samples: |series| microseconds(series, &series.request_ns),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_queue_duration_us",
            "Cumulative inference queuing duration in microseconds (includes cached requests)",
        ),
        samples: |series| microseconds(series, &series.queue_ns),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_compute_input_duration_us",
            "Cumulative compute input duration in microseconds (does not include cached requests)",
        ),
        samples: |series| microseconds(series, &series.compute_input_ns),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_compute_infer_duration_us",
            "Cumulative compute inference duration in microseconds (does not include cached requests)",
        ),
        samples: |series| microseconds(series, &series.compute_infer_ns),
    },
    ModelFamily {
        head: Head::counter(
            "nv_inference_compute_output_duration_us",
            "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        ),
        samples: |series| microseconds(series, &series.compute_output_ns),
    },
    ModelFamily {
        head: Head::gauge(
            "nv_inference_pending_request_count",
            "Instantaneous number of pending requests awaiting execution per-model.",
        ),
        samples: |series| vec![Sample::of(series, series.requests_pending.load(Relaxed) as f64)],
    },
    ModelFamily {
        head: Head::gauge("nv_model_load_duration_secs", "Model load time in seconds"),
        samples: |series| vec![Sample::of(series, series.load_ns.load(Relaxed) as f64 / 1e9)],
    },
    ModelFamily {
        head: Head::counter(
            "nereid_execution_rows_total",
            "Rows handed to the backend, those of failed requests included; over executions, the mean batch size",
        ),
        samples: |series| counted(series, &series.rows_executed),
    },
];

const HOST_FAMILIES: &[HostFamily] = &[
    HostFamily {
        head: Head::gauge("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]"),
        sample: |usage| usage.cpu_utilization.map(Sample::bare),
    },
    HostFamily {
        head: Head::gauge("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes"),
        sample: |usage| usage.memory.map(|memory| Sample::bare(memory.total_bytes as f64)),
    },
    HostFamily {
        head: Head::gauge("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes"),
        sample: |usage| usage.memory.map(|memory| Sample::bare(memory.used_bytes as f64)),
    },
];

fn counted(series: &Series, counter: &AtomicU64) -> Vec<Sample> {
    vec![Sample::of(series, counter.load(Relaxed) as f64)]
}

fn microseconds(series: &Series, nanoseconds: &AtomicU64) -> Vec<Sample> {
    vec![Sample::of(series, (nanoseconds.load(Relaxed) / 1_000) as f64)]
}

/// Every reason has its series from the start, so that a rate over a failure that never happened is 0, not absent.
fn failures(series: &Series) -> Vec<Sample> {
    let counters = FailureReason::ALL.into_iter().zip(&series.requests_failed);
    let sample = |(reason, counter): (FailureReason, &AtomicU64)| Sample {
        labels: Some(series.labels.with("reason", reason.label())),
        value: counter.load(Relaxed) as f64,
    };
    counters.map(sample).collect()
}

fn family_of(head: Head, samples: impl IntoIterator<Item = Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(head.name.to_owned());
    family.set_help(head.help.to_owned());
    family.set_field_type(head.kind);
    family.set_metric(samples.into_iter().map(|sample| metric_of(head.kind, &sample)).collect());
    family
}

fn metric_of(kind: MetricType, sample: &Sample) -> Metric {
    let label_pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    let mut metric = Metric::from_label(sample.labels.iter().flat_map(Labels::iter).map(label_pair).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(sample.value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(sample.value);
        metric.set_gauge(gauge);
    }
    metric
}

// === impl Head ===

impl Head {
    const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::COUNTER }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricType::GAUGE }
    }
}

// === impl Sample ===

impl Sample {
    fn of(series: &Series, value: f64) -> Self {
        Self { labels: Some(series.labels.clone()), value }
    }

    fn bare(value: f64) -> Self {
        Self { labels: None, value }
    }
}
