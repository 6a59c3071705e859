//! The statistics extension's JSON, every member of Triton's message in its order.

use std::collections::BTreeMap;

use nereid_inference::{
    BatchStatistics, DurationStatistic, InferStatistics, MemoryUsage, ModelStatistics, ResponseStatistics,
};
use serde::Serialize;

use super::metadata::to_json;

#[derive(Serialize)]
struct Statistics<'a> {
    model_stats: Vec<ModelRow<'a>>,
}

#[derive(Serialize)]
struct ModelRow<'a> {
    name: &'a str,
    version: String,
    last_inference: u64,
    inference_count: u64,
    execution_count: u64,
    inference_stats: InferRow,
    /// By response index.
    response_stats: BTreeMap<u64, ResponseRow>,
    batch_stats: Vec<BatchRow>,
    memory_usage: Vec<MemoryRow>,
}

#[derive(Serialize)]
struct InferRow {
    success: DurationRow,
    fail: DurationRow,
    queue: DurationRow,
    compute_input: DurationRow,
    compute_infer: DurationRow,
    compute_output: DurationRow,
    cache_hit: DurationRow,
    cache_miss: DurationRow,
}

#[derive(Serialize)]
struct ResponseRow {
    compute_infer: DurationRow,
    compute_output: DurationRow,
    success: DurationRow,
    fail: DurationRow,
    empty_response: DurationRow,
    cancel: DurationRow,
}

#[derive(Serialize)]
struct MemoryRow {
    r#type: &'static str,
    id: i64,
    byte_size: u64,
}

#[derive(Serialize)]
struct BatchRow {
    batch_size: u64,
    compute_input: DurationRow,
    compute_infer: DurationRow,
    compute_output: DurationRow,
}

#[derive(Serialize)]
struct DurationRow {
    count: u64,
    ns: u64,
}

/// The answer to `GET /v2/models/stats` and its narrower forms.
pub fn encode_statistics(models: &[ModelStatistics]) -> Vec<u8> {
    to_json(&Statistics { model_stats: models.iter().map(model_row).collect() })
}

fn model_row(model: &ModelStatistics) -> ModelRow<'_> {
    ModelRow {
        name: &model.identity.name,
        version: model.identity.version.to_string(),
        last_inference: model.last_inference_ms,
        inference_count: model.inference_count,
        execution_count: model.execution_count,
        inference_stats: infer_row(&model.inference),
        response_stats: (0..).zip(model.responses.iter().map(response_row)).collect(),
        batch_stats: model.batches.iter().map(batch_row).collect(),
        memory_usage: model.memory.iter().map(memory_row).collect(),
    }
}

fn infer_row(stages: &InferStatistics) -> InferRow {
    InferRow {
        success: duration_row(stages.success),
        fail: duration_row(stages.fail),
        queue: duration_row(stages.queue),
        compute_input: duration_row(stages.compute_input),
        compute_infer: duration_row(stages.compute_infer),
        compute_output: duration_row(stages.compute_output),
        cache_hit: duration_row(stages.cache_hit),
        cache_miss: duration_row(stages.cache_miss),
    }
}

fn response_row(response: &ResponseStatistics) -> ResponseRow {
    ResponseRow {
        compute_infer: duration_row(response.compute_infer),
        compute_output: duration_row(response.compute_output),
        success: duration_row(response.success),
        fail: duration_row(response.fail),
        empty_response: duration_row(response.empty_response),
        cancel: duration_row(response.cancel),
    }
}

fn memory_row(usage: &MemoryUsage) -> MemoryRow {
    MemoryRow { r#type: usage.kind.name(), id: usage.device_id, byte_size: usage.bytes }
}

fn batch_row(batch: &BatchStatistics) -> BatchRow {
    BatchRow {
        batch_size: batch.batch_size,
        compute_input: duration_row(batch.compute_input),
        compute_infer: duration_row(batch.compute_infer),
        compute_output: duration_row(batch.compute_output),
    }
}

fn duration_row(duration: DurationStatistic) -> DurationRow {
    DurationRow { count: duration.count, ns: duration.total_ns }
}
