//! The start-up report: which backends and which models there are, in Triton's tables.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_inference::{IndexEntry, ModelState};

use crate::table::Table;

/// Logs both tables.
pub(crate) fn log(backends: &[Arc<dyn Backend>], index: &[IndexEntry]) {
    tracing::info!(table = %backend_table(backends));
    tracing::info!(table = %model_table(index));
}

/// Every version with its state, and why it does not serve.
pub(crate) fn model_table(index: &[IndexEntry]) -> Table<3> {
    let mut table = Table::new(["Model", "Version", "Status"]);
    for entry in index {
        let version = entry.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        table.push([entry.name.clone(), version, status(entry)]);
    }
    table
}

/// Whether something that was to be served is not.
pub(crate) fn has_failures(index: &[IndexEntry]) -> bool {
    index.iter().any(|entry| entry.state == Some(ModelState::Unavailable))
}

fn backend_table(backends: &[Arc<dyn Backend>]) -> Table<2> {
    let mut table = Table::new(["Backend", "Model file"]);
    for backend in backends {
        table.push([backend.name().to_owned(), backend.default_model_filename().to_owned()]);
    }
    table
}

fn status(entry: &IndexEntry) -> String {
    match (entry.state, entry.reason.as_str()) {
        (None, _) => "not loaded".to_owned(),
        (Some(state), "") => state.name().to_owned(),
        (Some(state), reason) => format!("{}: {reason}", state.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: Option<u64>, state: Option<ModelState>, reason: &str) -> IndexEntry {
        IndexEntry { name: name.to_owned(), version, state, reason: reason.to_owned() }
    }

    fn check(index: &[IndexEntry], failed: bool, expected: &str) {
        let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(model_table(index).to_string().lines().collect::<Vec<_>>(), expected);
        assert_eq!(has_failures(index), failed);
    }

    #[test]
    fn ready_models_are_one_word() {
        check(
            &[entry("digits", Some(1), Some(ModelState::Ready), ""), entry("other", None, None, "")],
            false,
            "
            +--------+---------+------------+
            | Model  | Version | Status     |
            +--------+---------+------------+
            | digits | 1       | READY      |
            | other  | -       | not loaded |
            +--------+---------+------------+
            ",
        );
    }

    #[test]
    fn a_failure_shows_its_reason() {
        check(
            &[entry("x", Some(1), Some(ModelState::Unavailable), "Internal: no file")],
            true,
            "
            +-------+---------+--------------------------------+
            | Model | Version | Status                         |
            +-------+---------+--------------------------------+
            | x     | 1       | UNAVAILABLE: Internal: no file |
            +-------+---------+--------------------------------+
            ",
        );
    }
}
