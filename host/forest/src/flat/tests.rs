//! The arrays, walked by an interpreter that does what a device does with them, give the evaluator's scores to the last bit.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;
use crate::{
    Evaluator, Format, ReadOptions,
    evaluator::tests::{Draw, FEATURES},
    read,
    test::is_member,
};

/// A float of the arrays' size.
trait Float: Number {
    fn of(numbers: &Numbers) -> &[Self];
}

impl Float for f32 {
    fn of(numbers: &Numbers) -> &[Self] {
        match numbers {
            Numbers::Single(numbers) => numbers,
            Numbers::Double(_) => panic!("singles are meant"),
        }
    }
}

impl Float for f64 {
    fn of(numbers: &Numbers) -> &[Self] {
        match numbers {
            Numbers::Double(numbers) => numbers,
            Numbers::Single(_) => panic!("doubles are meant"),
        }
    }
}

/// The leaf that a row reaches.
fn leaf(flat: &FlatForest, root: u32, row: &[f32]) -> u32 {
    let mut at = root;
    loop {
        let [threshold, left, feature, payload] = flat.nodes[at as usize];
        if left == at {
            return payload;
        }
        let value = row[(feature & FlatForest::FEATURE_MASK) as usize];
        let is_zero_missing = feature & FlatForest::ZERO_IS_MISSING != 0 && value.abs() <= FlatForest::ZERO_MAX;
        let goes_right = if value.is_nan() || is_zero_missing {
            feature & FlatForest::DEFAULT_RIGHT != 0
        } else if feature & FlatForest::MEMBER != 0 {
            let [start, end, truncates] = flat.sets[payload as usize];
            !is_member(value, &flat.words[start as usize..end as usize], truncates != 0)
        } else {
            value >= f32::from_bits(threshold)
        };
        at = left + u32::from(goes_right);
    }
}

/// The scores of one row, the trees taken `chunk` at a time.
fn interpret<N: Float>(flat: &FlatForest, row: &[f32], chunk: usize) -> Vec<f32> {
    let divisors = N::of(&flat.divisors);
    let mut sums: Vec<N> = match divisors {
        [] => N::of(&flat.base_scores).to_vec(),
        _ => vec![N::ZERO; flat.output_count],
    };
    for (number, trees) in flat.trees.chunks(chunk).enumerate() {
        let begin = number * chunk;
        let leaves: Vec<u32> = trees.iter().map(|[root, _]| leaf(flat, *root, row)).collect();
        for (output, sum) in sums.iter_mut().enumerate() {
            let ends = [flat.addition_starts[output] as usize, flat.addition_starts[output + 1] as usize];
            let additions = &flat.additions[ends[0]..ends[1]];
            let skipped = additions.partition_point(|[tree, _]| (*tree as usize) < begin);
            let these = additions[skipped..].iter().take_while(|[tree, _]| (*tree as usize) < begin + chunk);
            for [tree, value] in these {
                let value = if *value == FlatForest::ONLY_VALUE { 0 } else { *value };
                let place = leaves[*tree as usize - begin] + value;
                *sum += N::of(&flat.leaf_values)[place as usize];
            }
        }
    }
    for ((sum, divisor), base) in sums.iter_mut().zip(divisors).zip(N::of(&flat.base_scores)) {
        *sum = *sum / *divisor + *base;
    }
    flat.link.apply(&mut sums, flat.classes);
    sums.into_iter().map(N::to_f32).collect()
}

/// Compares bits, so that NaN is NaN and zeros have signs.
fn differences(forest: &Forest, rows: &[f32], chunk: usize) -> Vec<(usize, f32, f32)> {
    let flat = FlatForest::new(forest);
    let mut expected = vec![f32::NAN; rows.len() / forest.feature_count * forest.output_count()];
    Evaluator::new(forest).scores(rows, &mut expected, None);
    let found = rows.chunks(forest.feature_count).flat_map(|row| match flat.leaf_values {
        Numbers::Single(_) => interpret::<f32>(&flat, row, chunk),
        Numbers::Double(_) => interpret::<f64>(&flat, row, chunk),
    });
    let pairs = found.zip(expected).enumerate();
    let different = pairs.filter(|(_, (found, expected))| found.to_bits() != expected.to_bits());
    different.map(|(place, (found, expected))| (place, found, expected)).collect()
}

proptest! {
    #[test]
    fn a_flat_forest_gives_the_evaluators_bits(seed in any::<u64>(), row_count in 1_usize..40, chunk in 1_usize..9) {
        let mut draw = Draw(seed);
        let forest = draw.forest();
        let rows: Vec<f32> = (0..row_count * FEATURES).map(|_| draw.value()).collect();
        prop_assert_eq!(differences(&forest, &rows, chunk), vec![]);
    }
}

#[test]
fn a_flat_fixture_gives_the_evaluators_bits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/forests");
    let mut compared = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(model) = name.strip_suffix(".expected.json") else { continue };
        let expected: serde_json::Value = serde_json::from_slice(&fs::read(folder.join(&name)).unwrap()).unwrap();
        let format = Format::ALL.into_iter().find(|format| format.model_type() == expected["model_type"]).unwrap();
        let ending = match format {
            Format::Exported => "forest.json",
            format => format.default_filename().rsplit_once('.').unwrap().1,
        };
        let bytes = fs::read(folder.join(format!("{model}.{ending}"))).unwrap();
        let forest = read(format, &bytes, ReadOptions::default()).unwrap();
        let rows = expected["rows"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        let rows: Vec<f32> = rows.map(|value| value.as_f64().unwrap_or(f64::NAN) as f32).collect();
        assert_eq!(differences(&forest, &rows, 7), vec![], "{model}");
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} models: are they there?");
}

#[test]
fn every_number_of_the_arrays_is_a_place_in_another_one() {
    for seed in 0..200 {
        let forest = Draw(seed).forest();
        let flat = FlatForest::new(&forest);
        for (index, [_, left, feature, payload]) in flat.nodes.iter().enumerate() {
            assert!((feature & FlatForest::FEATURE_MASK) < FEATURES as u32);
            let is_leaf = *left as usize == index;
            assert!(is_leaf || *left as usize + 1 < flat.nodes.len());
            let is_member = feature & FlatForest::MEMBER != 0;
            assert!(is_leaf || !is_member || (*payload as usize) < flat.sets.len());
            assert!(!is_leaf || (*payload as usize) < flat.leaf_values.len());
        }
        assert!(flat.trees.iter().all(|[root, _]| (*root as usize) < flat.nodes.len()));
        for [tree, value] in &flat.additions {
            let count = flat.trees[*tree as usize][1];
            assert!(if count == 1 { *value == FlatForest::ONLY_VALUE } else { *value < count });
        }
        assert_eq!(flat.addition_starts.last().copied().unwrap() as usize, flat.additions.len());
        assert_eq!(flat.addition_starts.len(), flat.output_count + 1);
        assert!(flat.bytes() >= flat.nodes.len() * 16);
    }
}
