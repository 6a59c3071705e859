//! Texts that lie, each by one replacement in a right one; and what counts as missing.

use super::*;
use crate::{Evaluator, Link, Task};

/// One tree: `x[0] <= 0.5` gives 1; otherwise a category of `x[1]` in {1, 33} gives 2, another one 3.
const MODEL: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 0:1:33
tree_sizes=400

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=1 1
threshold=0.5 0
decision_type=10 1
left_child=-1 -2
right_child=1 -3
leaf_value=1 2 3
leaf_weight=1 1 1
leaf_count=5 3 2
internal_value=0 0
internal_weight=0 0
internal_count=10 5
cat_boundaries=0 2
cat_threshold=2 2
is_linear=0
shrinkage=1


end of trees

feature_importances:
";

fn with(replacements: &[(&str, &str)]) -> Result<Forest, String> {
    let mut text = MODEL.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from} is not in the text");
        text = text.replacen(from, to, 1);
    }
    read(text.as_bytes()).map_err(|error| error.to_string())
}

fn score(forest: &Forest, row: &[f32]) -> f32 {
    let mut scores = [f32::NAN];
    Evaluator::new(forest).scores(row, &mut scores, None);
    scores[0]
}

#[test]
fn members_of_a_set_go_left_and_everything_else_right() {
    let forest = with(&[]).unwrap();
    for (category, expected) in [(1.0, 2.0), (33.9, 2.0), (0.0, 3.0), (-1.0, 3.0), (64.0, 3.0), (f32::NAN, 3.0)] {
        assert_eq!(score(&forest, &[1.0, category]), expected, "{category}");
    }
}

#[test]
fn missing_is_nothing_zero_or_nan() {
    let row = |value: f32| [value, 0.0];
    // Decision types: 0 none, 4 zero, 8 NaN; plus 2 for left by default.
    for (decision, threshold, values) in [
        ("0", "0.5", [(f32::NAN, 1.0), (0.5, 1.0), (0.6, 3.0), (0.0, 1.0)]),
        ("2", "-0.5", [(f32::NAN, 3.0), (-0.5, 1.0), (0.6, 3.0), (0.0, 3.0)]),
        ("4", "0.5", [(f32::NAN, 3.0), (0.5, 1.0), (0.0, 3.0), (1e-35, 3.0)]),
        ("6", "-0.5", [(f32::NAN, 1.0), (-0.5, 1.0), (-0.0, 1.0), (2e-35, 3.0)]),
        ("8", "0.5", [(f32::NAN, 3.0), (0.5, 1.0), (0.0, 1.0), (0.6, 3.0)]),
        ("10", "-0.5", [(f32::NAN, 1.0), (-0.5, 1.0), (0.0, 3.0), (0.6, 3.0)]),
    ] {
        let decisions = format!("decision_type={decision} 1");
        let thresholds = format!("threshold={threshold} 0");
        let forest = with(&[("decision_type=10 1", &decisions), ("threshold=0.5 0", &thresholds)]).unwrap();
        for (value, expected) in values {
            assert_eq!(score(&forest, &row(value)), expected, "{value} under {decision}");
        }
    }
}

#[test]
fn objectives_say_what_sums_become() {
    for (objective, task, link) in [
        ("binary sigmoid:2", Task::Binary, Link::Sigmoid { alpha: 2.0 }),
        ("regression sqrt", Task::Regression, Link::SignedSquare),
        ("tweedie tweedie_variance_power:1.5", Task::Regression, Link::Exponential),
        ("cross_entropy_lambda", Task::Regression, Link::LogOnePlusExp),
        ("lambdarank", Task::Ranking, Link::Identity),
        ("huber", Task::Regression, Link::Identity),
    ] {
        let forest = with(&[("objective=regression", &format!("objective={objective}"))]).unwrap();
        assert_eq!((forest.task, forest.link), (task, link), "{objective}");
    }
    assert_eq!(with(&[("objective=regression\n", "")]).unwrap().link, Link::Identity);
    let found = with(&[("objective=regression", "objective=mine")]).unwrap_err();
    assert!(found.starts_with("header, objective: 'mine' is not served; served are binary, "), "{found}");
}

#[test]
fn lies_are_told_by_place() {
    for (from, to, problem) in [
        ("tree\n", "forest\n", "byte 0: expected a LightGBM model that begins with 'tree', found 'forest'"),
        ("Tree=0", "Tree=1", "byte "),
        ("num_leaves=3", "num_leaves=2147483648", "tree 0, num_leaves: is 2147483648, expected 1 to"),
        ("num_leaves=3", "num_leaves=4", "tree 0, leaf_value: has 3 numbers, expected 4"),
        ("num_leaves=3", "num_leaves=0", "tree 0, num_leaves: is 0, expected 1 to"),
        ("num_leaves=3", "num_leaves=-3", "tree 0, num_leaves: is '-3', expected a whole number from 0"),
        ("left_child=-1 -2", "left_child=0 -2", "tree 0, node 0: has child 0, which is the root"),
        (
            "left_child=-1 -2",
            "left_child=-3 -2",
            "tree 0, node 1: has child 4, which is the root or has another parent",
        ),
        ("left_child=-1 -2", "left_child=-9 -2", "tree 0, node 0: node 10 is named, but the tree has 5 nodes"),
        ("left_child=-1 -2", "left_child=7 -2", "tree 0, node 0: has child 7, but the tree has 2 inner nodes"),
        ("left_child=-1 -2", "left_child=-1", "tree 0, left_child: has 1 numbers, expected 2"),
        ("left_child=-1 -2", "left_child=-1 x", "tree 0, left_child: has 'x', expected a number"),
        ("split_feature=0 1", "split_feature=0 2", "tree 0, node 1: asks for feature 2, but there are 2"),
        ("threshold=0.5 0", "threshold=nan 0", "tree 0, node 0: has a threshold that is NaN"),
        ("threshold=0.5 0", "threshold=0.5 1", "tree 0, node 1: asks for category set 1, which is not there"),
        ("leaf_value=1 2 3", "leaf_value=1 nan 3", "tree 0, node 3: is a leaf whose value is NaN"),
        ("decision_type=10 1", "decision_type=12 1", "tree 0, node 0: has decision type 12, whose kind of missing"),
        ("decision_type=10 1", "decision_type=16 1", "tree 0, node 0: has decision type 16"),
        ("cat_boundaries=0 2", "cat_boundaries=0 3", "tree 0, cat_threshold: has 2 numbers, expected 3"),
        ("cat_threshold=2 2", "cat_threshold=2 4294967296", "tree 0, node 1: has 4294967296 in category set 0"),
        ("num_cat=1", "num_cat=9000000000000000", "tree 0, cat_boundaries: has 2 numbers, expected 9000000000000001"),
        ("is_linear=0", "is_linear=1", "tree 0 is a linear tree (is_linear=1), which is not served"),
        ("max_feature_idx=1", "max_feature_idx=99999999", "number of features: is 100000000, expected 1 to 16777216"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=100000", "number of outputs: is 100000, expected 1 to"),
        ("tree_sizes=400", "tree_sizes=400 400", "header, tree_sizes: has 2 sizes, but 1 trees follow"),
    ] {
        let found = with(&[(from, to)]).unwrap_err();
        assert!(found.starts_with(problem), "{to}: {found}, expected {problem}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let whole = MODEL.find("end of trees").unwrap() + "end of trees".len();
    for length in 0..whole {
        assert!(read(&MODEL.as_bytes()[..length]).is_err(), "{length} bytes are enough");
    }
    let error = read(&MODEL.as_bytes()[..whole - 14]).unwrap_err().to_string();
    assert!(error.contains("the file is cut off: 'end of trees' is missing"), "{error}");
}
