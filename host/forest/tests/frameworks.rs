//! Every model of `tests/models/forests` predicts what its framework predicts: see `make_forests.py` there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_forest::{Evaluator, Explainer, Forest, Format, ReadOptions, read};
use serde_json::Value;

/// Largest difference from the framework's own answer, of numbers beyond 1 in parts of them.
const TOLERANCE: f64 = 1e-6;

/// A model, and what its framework says of some rows.
struct Case {
    name: String,
    forest: Forest,
    rows: Vec<f32>,
    expected: Value,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/forests")
}

fn cases() -> Vec<Case> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".expected.json")?.to_owned())).collect();
    names.sort();
    assert!(names.len() >= 20, "only {} models: are they there?", names.len());
    names.into_iter().map(Case::read).collect()
}

fn table(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

impl Case {
    fn read(name: String) -> Self {
        let expected = fs::read(folder().join(format!("{name}.expected.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let format = Format::ALL.into_iter().find(|format| format.model_type() == expected["model_type"]).unwrap();
        let ending = match format {
            Format::Exported => "forest.json",
            format => format.default_filename().rsplit_once('.').unwrap().1,
        };
        let bytes = fs::read(folder().join(format!("{name}.{ending}"))).unwrap();
        let forest = read(format, &bytes, ReadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows = table(&expected["rows"]).concat().into_iter().map(|value| value as f32).collect();
        Self { name, forest, rows, expected }
    }

    fn check(&self, what: &str, found: &[f32], expected: &[Vec<f64>], tolerance: f64) {
        let width = expected[0].len();
        assert_eq!(found.len(), expected.len() * width, "{}: {what}", self.name);
        for (row, (found, expected)) in found.chunks(width).zip(expected).enumerate() {
            for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
                let difference = (f64::from(*found) - expected).abs() / expected.abs().max(1.0);
                let place = format!("{}: {what} {column} of row {row}", self.name);
                assert!(difference <= tolerance, "{place} is {found}, the framework says {expected}");
            }
        }
    }

    fn scores(&self, rows: &[f32]) -> Vec<f32> {
        let mut scores = vec![f32::NAN; rows.len() / self.forest.feature_count * self.forest.output_count()];
        Evaluator::new(&self.forest).scores(rows, &mut scores, None);
        scores
    }
}

#[test]
fn scores_are_the_frameworks() {
    for case in cases() {
        let expected = table(&case.expected["scores"]);
        case.check("score", &case.scores(&case.rows), &expected, TOLERANCE);
    }
}

#[test]
fn shap_values_are_the_frameworks() {
    let mut explained = 0;
    for case in cases() {
        let Some(expected) = case.expected.get("shap").map(table) else { continue };
        let explainer = Explainer::new(case.forest.clone()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let mut values = vec![f32::NAN; expected.len() * explainer.value_count()];
        explainer.explain(&case.rows, &mut values, None);
        case.check("SHAP value", &values, &expected, case.expected["shap_tolerance"].as_f64().unwrap());
        explained += 1;
    }
    assert!(explained >= 20, "only {explained} models with SHAP values");
}

#[test]
fn a_row_alone_has_the_same_score_as_among_others() {
    for case in cases() {
        let together = case.scores(&case.rows);
        let alone: Vec<f32> = case.rows.chunks(case.forest.feature_count).flat_map(|row| case.scores(row)).collect();
        assert_eq!(alone, together, "{}", case.name);
    }
}
