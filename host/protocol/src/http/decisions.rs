//! The decision log as JSON: a document of ours, for people who ask why their requests wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nereid_inference::{BatchDecision, DecisionLog, ModelIdentity};
use serde::Serialize;

use super::metadata::to_json;

#[derive(Serialize)]
struct Decisions<'a> {
    models: Vec<ModelRow<'a>>,
}

#[derive(Serialize)]
struct ModelRow<'a> {
    name: &'a str,
    version: String,
    /// Since the model was loaded; more than are listed.
    batches: u64,
    decisions: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    /// Microseconds since the Unix epoch.
    time_us: u64,
    instance: &'a str,
    requests: usize,
    rows: u64,
    oldest_wait_us: u64,
    reason: &'static str,
    waited_for: &'static str,
    requests_left: usize,
}

/// The answer to `GET /v2/debug/models/{m}/decisions`.
pub fn encode_decisions(models: &[(ModelIdentity, DecisionLog)]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let row = |decision| row(decision, now);
    let models = models.iter().map(|(identity, log)| ModelRow {
        name: &identity.name,
        version: identity.version.to_string(),
        batches: log.total,
        decisions: log.recent.iter().map(row).collect(),
    });
    to_json(&Decisions { models: models.collect() })
}

/// Decisions are timed by a clock that has no date: `now` is the date at which they are read.
fn row(decision: &BatchDecision, now: Duration) -> Row<'_> {
    Row {
        time_us: microseconds(now.saturating_sub(decision.decided.elapsed())),
        instance: &decision.instance,
        requests: decision.requests,
        rows: decision.rows,
        oldest_wait_us: microseconds(decision.oldest_wait),
        reason: decision.reason.name(),
        waited_for: decision.awaited.name(),
        requests_left: decision.waiting,
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
