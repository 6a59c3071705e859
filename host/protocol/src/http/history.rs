//! The generations of models as JSON: a document of ours, for people who ask what was changed.

use std::time::{Duration, UNIX_EPOCH};

use nereid_inference::{GenerationRecord, ModelHistory};
use serde::Serialize;

use super::metadata::to_json;

#[derive(Serialize)]
struct Histories<'a> {
    models: Vec<ModelRow<'a>>,
}

#[derive(Serialize)]
struct ModelRow<'a> {
    name: &'a str,
    generations: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    generation: u64,
    /// Microseconds since the Unix epoch.
    time_us: u64,
    requested_by: &'a str,
    #[serde(rename = "override")]
    is_override: bool,
    versions: Vec<VersionRow<'a>>,
    state: &'static str,
    reason: &'a str,
    steps: Vec<StepRow>,
}

#[derive(Serialize)]
struct StepRow {
    name: &'static str,
    time_us: u64,
}

#[derive(Serialize)]
struct VersionRow<'a> {
    version: String,
    /// Of the model's own file, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<&'a str>,
}

/// The answer to `GET /v2/debug/models/{m}/generations`.
pub fn encode_history(histories: &[ModelHistory]) -> Vec<u8> {
    let models = histories
        .iter()
        .map(|history| ModelRow { name: &history.model, generations: history.generations.iter().map(row).collect() });
    to_json(&Histories { models: models.collect() })
}

fn row(record: &GenerationRecord) -> Row<'_> {
    let GenerationRecord { number, at, requested_by, is_override, versions, state, times } = record;
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Row {
        generation: *number,
        time_us: micros(since_epoch),
        requested_by,
        is_override: *is_override,
        versions: versions
            .iter()
            .map(|(version, digest)| VersionRow { version: version.to_string(), blake3: digest.as_deref() })
            .collect(),
        state: state.name(),
        reason: state.reason(),
        steps: times.iter().map(|(step, took)| StepRow { name: step.name(), time_us: micros(*took) }).collect(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
