//! The start-up report: which backends and which models there are, in Triton's tables.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_repository::{ReportRow, StartReport};

use crate::table::Table;

/// Logs both tables.
pub(crate) fn log(backends: &[Arc<dyn Backend>], report: &StartReport) {
    tracing::info!(table = %backend_table(backends));
    tracing::info!(table = %model_table(report));
}

/// Every version with its state, and why it does not serve.
fn model_table(report: &StartReport) -> Table<3> {
    let mut table = Table::new(["Model", "Version", "Status"]);
    for row in &report.rows {
        let version = row.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        table.push([row.model.clone(), version, status(row)]);
    }
    table
}

fn backend_table(backends: &[Arc<dyn Backend>]) -> Table<2> {
    let mut table = Table::new(["Backend", "Model file"]);
    for backend in backends {
        let filenames = match backend.model_filenames() {
            [] => backend.default_model_filename().to_owned(),
            several => several.join(", "),
        };
        table.push([backend.name().to_owned(), filenames]);
    }
    table
}

fn status(row: &ReportRow) -> String {
    match row.reason.as_str() {
        "" => row.state.name().to_owned(),
        reason => format!("{}: {reason}", row.state.name()),
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::ModelState;

    use super::*;

    fn row(model: &str, version: Option<u64>, state: ModelState, reason: &str) -> ReportRow {
        ReportRow { model: model.to_owned(), version, state, reason: reason.to_owned() }
    }

    fn check(rows: Vec<ReportRow>, expected: &str) {
        let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(model_table(&StartReport { rows }).to_string().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_ready_model_is_one_word() {
        check(
            vec![row("digits", Some(12), ModelState::Ready, "")],
            "
            +--------+---------+--------+
            | Model  | Version | Status |
            +--------+---------+--------+
            | digits | 12      | READY  |
            +--------+---------+--------+
            ",
        );
    }

    #[test]
    fn a_failure_shows_its_reason() {
        check(
            vec![row("x", None, ModelState::Unavailable, "Internal: no file")],
            "
            +-------+---------+--------------------------------+
            | Model | Version | Status                         |
            +-------+---------+--------------------------------+
            | x     | -       | UNAVAILABLE: Internal: no file |
            +-------+---------+--------------------------------+
            ",
        );
    }
}
