//! TreeSHAP against the definition of Shapley values, over all subsets of features.

use proptest::prelude::*;

use super::*;
use crate::{
    Link, Precision, Task,
    forest::LeafOutputs,
    growth::{FileNode, Grove, Question},
};

const FEATURES: usize = 4;

/// A tree of full depth 4 over few features, so that paths ask for some of them twice.
fn forest(numbers: &[u32], outputs: usize, is_averaged: bool) -> Forest {
    let mut grove = Grove::new(FEATURES);
    for tree in 0..3 {
        let number = |node: usize| numbers[(tree * 31 + node) % numbers.len()] as usize;
        // Cover of a node is that of its leaves.
        let mut cover = [0.0; 31];
        for node in (0..31).rev() {
            cover[node] =
                if node < 15 { cover[2 * node + 1] + cover[2 * node + 2] } else { 1.0 + (number(node) % 7) as f64 };
        }
        let node = |node: usize| {
            let file_node = match node {
                15.. => FileNode::Leaf((0..outputs).map(|output| (number(node) % 11) as f64 - output as f64).collect()),
                _ => FileNode::Split {
                    feature: number(node) % FEATURES,
                    question: Question::Below((number(node) % 5) as f64),
                    default_left: number(node) % 2 == 0,
                    zero_is_missing: false,
                    children: [2 * node + 1, 2 * node + 2],
                },
            };
            Ok((file_node, cover[node]))
        };
        grove.grow(31, LeafOutputs::all(outputs), node).unwrap();
    }
    Forest {
        feature_count: FEATURES,
        task: Task::Regression,
        targets: 1,
        classes: outputs,
        base_scores: vec![0.5; outputs],
        is_averaged,
        link: Link::Identity,
        precision: Precision::Double,
        trees: grove.into_trees(),
    }
}

/// The score of output 0 when only the features of a set are known.
fn score(forest: &Forest, row: &[f32], known: usize) -> f64 {
    let mut sum = 0.0;
    for tree in &forest.trees {
        let mut open = vec![(0, 1.0)];
        while let Some((node, share)) = open.pop() {
            match &tree.nodes[node].kind {
                NodeKind::Leaf(start) => sum += share * tree.leaf_values[*start],
                NodeKind::Split(split) if known >> split.feature & 1 == 1 => {
                    let goes_left = split.goes_left(row[split.feature], &tree.words);
                    open.push((split.left + usize::from(!goes_left), share));
                }
                NodeKind::Split(split) => {
                    for child in [split.left, split.left + 1] {
                        open.push((child, share * tree.nodes[child].cover / tree.nodes[node].cover));
                    }
                }
            }
        }
    }
    sum / if forest.is_averaged { 3.0 } else { 1.0 } + 0.5
}

/// Shapley's formula.
fn shapley(forest: &Forest, row: &[f32], feature: usize) -> f64 {
    let factorial = |number: u32| (1..=number).map(f64::from).product::<f64>();
    let all = FEATURES as u32;
    let mut value = 0.0;
    for known in (0..1_usize << FEATURES).filter(|known| known >> feature & 1 == 0) {
        let size = known.count_ones();
        let weight = factorial(size) * factorial(all - size - 1) / factorial(all);
        value += weight * (score(forest, row, known | 1 << feature) - score(forest, row, known));
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn values_are_shapleys(
        numbers in prop::collection::vec(any::<u32>(), 93),
        row in prop::collection::vec(prop_oneof![0.0_f32..5.0, Just(f32::NAN)], FEATURES),
        outputs in 1_usize..3,
        is_averaged: bool,
    ) {
        let forest = forest(&numbers, outputs, is_averaged);
        let explainer = Explainer::new(forest.clone()).unwrap();
        let mut values = vec![f32::NAN; explainer.value_count()];
        explainer.explain(&row, &mut values, None);
        for feature in 0..FEATURES {
            let expected = shapley(&forest, &row, feature);
            prop_assert!((f64::from(values[feature]) - expected).abs() < 1e-5, "{feature}: {values:?}, {expected}");
        }
        let total: f32 = values[..=FEATURES].iter().sum();
        prop_assert!((f64::from(total) - score(&forest, &row, usize::MAX)).abs() < 1e-4);
        prop_assert!((f64::from(values[FEATURES]) - score(&forest, &row, 0)).abs() < 1e-5);
    }
}

#[test]
fn threads_change_no_bit() {
    let numbers: Vec<u32> =
        (0..93_u32).map(|index| index.wrapping_mul(2_654_435_761).wrapping_mul(index + 1)).collect();
    let explainer = Explainer::new(forest(&numbers, 2, false)).unwrap();
    let rows: Vec<f32> = (0..300 * FEATURES).map(|index| (index % 23) as f32 / 4.0).collect();
    let mut alone = vec![f32::NAN; 300 * explainer.value_count()];
    explainer.explain(&rows, &mut alone, None);
    let threads = Threads::new(3).unwrap();
    let mut shared = vec![f32::NAN; alone.len()];
    explainer.explain(&rows, &mut shared, Some((&threads, 3)));
    assert_eq!(shared, alone);
}

#[test]
fn a_forest_without_statistics_and_one_too_deep_are_refused() {
    let mut bare = forest(&[5, 3, 9], 1, false);
    bare.trees[1].nodes[4].cover = f64::NAN;
    let error = Explainer::new(bare).unwrap_err().to_string();
    assert!(error.starts_with("tree 1 does not say how much of the training data passed its nodes"), "{error}");
    let mut deep = forest(&[5, 3, 9], 1, false);
    deep.trees[0].depth = limits::SHAP_DEPTH_MAX + 1;
    let error = Explainer::new(deep).unwrap_err().to_string();
    assert_eq!(error, "tree 0 is 129 deep, but SHAP values are given for trees up to 128");
}
