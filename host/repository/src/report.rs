//! What became of the first load, for the table that the server prints.

use nereid_inference::{IndexEntry, ModelState};

use crate::model_id::ModelId;

/// Every model that was to be loaded at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartReport {
    /// Ordered by name and version.
    pub rows: Vec<ReportRow>,
}

/// One model version, or one model of which not even the versions are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRow {
    pub model: String,
    pub version: Option<u64>,
    pub state: ModelState,
    /// Why it is in this state; empty when there is nothing to say. May have several lines.
    pub reason: String,
}

// === impl StartReport ===

impl StartReport {
    pub(crate) fn new(index: Vec<(ModelId, IndexEntry)>) -> Self {
        let row = |(id, entry): (ModelId, IndexEntry)| ReportRow {
            model: id.to_string(),
            version: entry.version,
            state: entry.state.unwrap_or(ModelState::Unavailable),
            reason: entry.reason,
        };
        Self { rows: index.into_iter().map(row).collect() }
    }

    /// Whether every model is ready.
    pub fn is_success(&self) -> bool {
        self.rows.iter().all(|row| row.state == ModelState::Ready)
    }
}
