//! Files of tree forests, in every format: `j` XGBoost's JSON, `u` its UBJSON, `l` LightGBM, `t` Treelite, `e` the exporter's.
//!
//! What is read must be evaluated and explained without a panic, and a row alone must score as it does among others.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nereid_forest::{Evaluator, Explainer, Forest, Format, ReadOptions, read};

/// Rows that are evaluated: whole groups of lanes, and some more.
const ROWS: usize = 11;

/// Features times rows, and features times outputs, beyond which nothing new happens but waiting.
const NUMBERS_MAX: usize = 1 << 16;

const VALUES: [f32; 8] = [f32::NAN, 0.0, -0.0, 1.0, -1e-36, 3.5, f32::INFINITY, f32::NEG_INFINITY];

fuzz_target!(|data: &[u8]| {
    let (format, bytes) = match data {
        [b'j', bytes @ ..] => (Format::XgboostJson, bytes),
        [b'u', bytes @ ..] => (Format::XgboostUbjson, bytes),
        [b'l', bytes @ ..] => (Format::LightGbm, bytes),
        [b't', bytes @ ..] => (Format::Treelite, bytes),
        [b'e', bytes @ ..] => (Format::Exported, bytes),
        _ => return,
    };
    match read(format, bytes, ReadOptions { allow_unknown_fields: data.len() % 2 == 0 }) {
        Err(error) => assert!(error.to_string().len() > 5, "an error that says nothing: {error:?}"),
        Ok(forest) => use_it(forest),
    }
});

fn use_it(forest: Forest) {
    let (features, outputs) = (forest.feature_count, forest.output_count());
    if features * ROWS > NUMBERS_MAX || (features + 1) * outputs > NUMBERS_MAX {
        return;
    }
    let rows: Vec<f32> = (0..features * ROWS).map(|index| VALUES[(index * 5 + index / features) % 8]).collect();
    let evaluator = Evaluator::new(&forest);
    let mut together = vec![0.0; outputs * ROWS];
    evaluator.scores(&rows, &mut together, None);
    for (row, expected) in rows.chunks(features).zip(together.chunks(outputs)) {
        let mut alone = vec![0.0; outputs];
        evaluator.scores(row, &mut alone, None);
        let is_same =
            |(left, right): (&f32, &f32)| left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan());
        assert!(alone.iter().zip(expected).all(is_same), "{alone:?} alone, {expected:?} among others");
    }
    if let Ok(explainer) = Explainer::new(forest) {
        let mut values = vec![0.0; explainer.value_count()];
        explainer.explain(&rows[..features], &mut values, None);
    }
}
