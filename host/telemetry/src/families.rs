//! The metrics page: every family's name, help text and type in one list.
//!
//! Names, texts, label names and types are Triton's (`metrics.cc` of its core repository), because dashboards and
//! `perf_analyzer` match on them; `nereid_` families are ours. A family without series is left out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use prometheus::proto::MetricFamily;

use crate::{
    batch_sizes,
    cache_metrics::{CacheOutcome, CacheSeries},
    first_response,
    gpu_metrics::{GPU_FAMILIES, GpuReadings},
    host_usage::HostUsage,
    memory_metrics::{MEMORY_FAMILIES, MemoryReading},
    model_metrics::{FailureReason, Series},
    page::{Head, Sample, Value, family_of},
    strategy_metrics::{self, StrategyAnswer},
    summaries::Stage,
};

/// Every family in the order of the page, as it is at `now`.
pub(crate) fn gather(series: &[Arc<Series>], host_usage: &HostUsage, now: Instant) -> Vec<MetricFamily> {
    let per_model = MODEL_FAMILIES.iter().map(|family| {
        let samples = series.iter().flat_map(|series| (family.samples)(series));
        family_of(family.head, samples)
    });
    let summaries = SUMMARY_FAMILIES.iter().map(|(stage, head)| {
        let samples = series.iter().filter_map(|series| {
            let hidden = *stage == Stage::Request && series.model_cache().is_some();
            let summaries = series.summaries.as_ref().filter(|_| !hidden)?;
            Some(Sample::of(series, Value::Summary(summaries.read(now, *stage))))
        });
        family_of(*head, samples)
    });
    let cache_summaries = CACHE_SUMMARY_FAMILIES.iter().map(|(outcome, head)| {
        let samples = series.iter().filter_map(|series| {
            let reading = outcome(series.cache.get()?).read(now)?;
            Some(Sample::of(series, Value::Summary(reading)))
        });
        family_of(*head, samples)
    });
    let per_host = HOST_FAMILIES.iter().map(|family| family_of(family.head, (family.sample)(host_usage)));
    let families = per_model.chain(summaries).chain(cache_summaries).chain(per_host);
    families.filter(|family| !family.get_metric().is_empty()).collect()
}

/// Those of a memory budget.
pub(crate) fn of_memory(reading: &MemoryReading) -> Vec<MetricFamily> {
    let families = MEMORY_FAMILIES.iter().map(|family| family_of(family.head, (family.samples)(reading)));
    families.filter(|family| !family.get_metric().is_empty()).collect()
}

/// Those of devices.
pub(crate) fn of_gpus(readings: &GpuReadings) -> Vec<MetricFamily> {
    let families = GPU_FAMILIES.iter().map(|family| family_of(family.head, (family.samples)(readings)));
    families.filter(|family| !family.get_metric().is_empty()).collect()
}

struct ModelFamily {
    head: Head,
    /// None where the model does not keep the family.
    samples: fn(&Series) -> Vec<Sample>,
}

struct HostFamily {
    head: Head,
    /// `None` where the figure cannot be read.
    sample: fn(&HostUsage) -> Option<Sample>,
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
        samples: |series| of_whole_model(series, series.requests_pending.load(Relaxed) as f64),
    },
    ModelFamily {
        head: Head::gauge("nv_model_load_duration_secs", "Model load time in seconds"),
        samples: |series| of_whole_model(series, series.load_ns.load(Relaxed) as f64 / 1e9),
    },
    ModelFamily {
        head: Head::histogram(first_response::FAMILY, "Duration from request to first response in milliseconds"),
        samples: |series| {
            let histogram = series.first_response.as_ref();
            histogram.map(|histogram| Sample::of(series, Value::Histogram(histogram.read()))).into_iter().collect()
        },
    },
    ModelFamily {
        head: Head::counter(
            "nereid_execution_rows_total",
            "Rows handed to the backend, those of failed requests included; over executions, the mean batch size",
        ),
        samples: |series| counted(series, &series.rows_executed),
    },
    ModelFamily {
        head: Head::histogram(
            batch_sizes::FAMILY,
            "Rows of the batches handed to the backend, those of failed requests included",
        ),
        samples: |series| {
            let reading = series.batch_sizes.read(series.rows_executed.load(Relaxed));
            vec![Sample::of(series, Value::Histogram(reading))]
        },
    },
    ModelFamily {
        head: Head::counter(
            "nereid_batch_strategy_answers_total",
            "What a batching strategy said of requests that could join a batch; failed and overdue ones were left to rows and shapes",
        ),
        samples: strategy_answers,
    },
    ModelFamily {
        head: Head::counter("nv_cache_num_hits_per_model", "Number of cache hits per model"),
        samples: |series| cached(series, |cache| counted(series, &cache.hits.count)),
    },
    ModelFamily {
        head: Head::counter("nv_cache_num_misses_per_model", "Number of cache misses per model"),
        samples: |series| cached(series, |cache| counted(series, &cache.misses.count)),
    },
    ModelFamily {
        head: Head::counter("nv_cache_hit_duration_per_model", "Total cache hit duration per model, in microseconds"),
        samples: |series| cached(series, |cache| microseconds(series, &cache.hits.total_ns)),
    },
    ModelFamily {
        head: Head::counter(
            "nv_cache_miss_duration_per_model",
            "Total cache miss (insert+lookup) duration per model, in microseconds",
        ),
        samples: |series| cached(series, |cache| microseconds(series, &cache.misses.total_ns)),
    },
];

/// The texts are upstream's, where three of the summaries call themselves cumulative.
const SUMMARY_FAMILIES: [(Stage, Head); 5] = [
    (
        Stage::Request,
        Head::summary(
            "nv_inference_request_summary_us",
            "Summary of inference request duration in microseconds (includes cached requests)",
        ),
    ),
    (
        Stage::Queue,
        Head::summary(
            "nv_inference_queue_summary_us",
            "Summary of inference queuing duration in microseconds (includes cached requests)",
        ),
    ),
    (
        Stage::ComputeInput,
        Head::summary(
            "nv_inference_compute_input_summary_us",
            "Cumulative compute input duration in microseconds (does not include cached requests)",
        ),
    ),
    (
        Stage::ComputeInfer,
        Head::summary(
            "nv_inference_compute_infer_summary_us",
            "Cumulative compute inference duration in microseconds (does not include cached requests)",
        ),
    ),
    (
        Stage::ComputeOutput,
        Head::summary(
            "nv_inference_compute_output_summary_us",
            "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        ),
    ),
];

/// Hits, or misses.
type ChooseOutcome = fn(&CacheSeries) -> &CacheOutcome;

const CACHE_SUMMARY_FAMILIES: [(ChooseOutcome, Head); 2] = [
    (
        |cache| &cache.hits,
        Head::summary(
            "nv_cache_hit_summary_per_model",
            "Summary of cache hit counts/durations per model, in microseconds.",
        ),
    ),
    (
        |cache| &cache.misses,
        Head::summary(
            "nv_cache_miss_summary_per_model",
            "Summary of cache miss counts/durations per model, in microseconds.",
        ),
    ),
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

fn number(series: &Series, value: f64) -> Vec<Sample> {
    vec![Sample::of(series, Value::Number(value))]
}

/// A figure that a model has once, wherever its instances are.
fn of_whole_model(series: &Series, value: f64) -> Vec<Sample> {
    if series.of_model.is_some() { vec![] } else { number(series, value) }
}

fn counted(series: &Series, counter: &AtomicU64) -> Vec<Sample> {
    number(series, counter.load(Relaxed) as f64)
}

/// The cumulative durations, unless they are switched off.
fn microseconds(series: &Series, nanoseconds: &AtomicU64) -> Vec<Sample> {
    match series.shows_durations {
        true => number(series, (nanoseconds.load(Relaxed) / 1_000) as f64),
        false => vec![],
    }
}

/// Nothing for a model that does not cache.
fn cached(series: &Series, samples: impl FnOnce(&CacheSeries) -> Vec<Sample>) -> Vec<Sample> {
    series.cache.get().map(samples).unwrap_or_default()
}

/// Every answer has its series from the start; nothing for a model without a strategy.
fn strategy_answers(series: &Series) -> Vec<Sample> {
    let sample = |(answer, count): (StrategyAnswer, f64)| Sample {
        labels: Some(series.labels.with(strategy_metrics::LABEL, answer.label())),
        value: Value::Number(count),
    };
    series.strategy.get().map(|answers| answers.read().map(sample).collect()).unwrap_or_default()
}

/// Every reason has its series from the start, so that a rate over a failure that never happened is 0, not absent.
fn failures(series: &Series) -> Vec<Sample> {
    let counters = FailureReason::ALL.into_iter().zip(&series.requests_failed);
    let sample = |(reason, counter): (FailureReason, &AtomicU64)| Sample {
        labels: Some(series.labels.with("reason", reason.label())),
        value: Value::Number(counter.load(Relaxed) as f64),
    };
    counters.map(sample).collect()
}
