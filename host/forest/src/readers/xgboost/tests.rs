//! Documents that lie, each by one replacement in a right one; and the forms that versions 1 to 3 differ in.

use super::*;
use crate::{Evaluator, Format, document::parse_json, read as read_bytes};

/// One tree: `x[1] < 0.5` gives 1, otherwise category 2 or 3 of `x[0]` gives 3, another one 2.
const MODEL: &str = r#"{"learner":{"attributes":{},"feature_names":[],"feature_types":[],
"gradient_booster":{"model":{"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1"},"iteration_indptr":[0,1],
"tree_info":[0],"trees":[{"base_weights":[0,0,0,0,0],"categories":[2,3],"categories_nodes":[2],"categories_segments":[0],
"categories_sizes":[2],"default_left":[1,0,0,0,0],"id":0,"left_children":[1,-1,3,-1,-1],"loss_changes":[1,0,NaN,0,0],
"parents":[2147483647,0,0,2,2],"right_children":[2,-1,4,-1,-1],"split_conditions":[0.5,1,3,2,3],"split_indices":[1,0,0,0,0],
"split_type":[0,0,1,0,0],"sum_hessian":[5,2,3,1,2],
"tree_param":{"num_deleted":"0","num_feature":"2","num_nodes":"5","size_leaf_vector":"1"}}]},"name":"gbtree"},
"learner_model_param":{"base_score":"[1E1]","boost_from_average":"1","num_class":"0","num_feature":"2","num_target":"1"},
"objective":{"name":"reg:squarederror","reg_loss_param":{"scale_pos_weight":"1"}}},"version":[3,2,0]}"#;

fn with(replacements: &[(&str, &str)]) -> Result<Forest, String> {
    let mut text = MODEL.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from} is not in the document");
        text = text.replacen(from, to, 1);
    }
    let document = parse_json(text.as_bytes()).map_err(|error| error.to_string())?;
    read(&document, ReadOptions::default()).map_err(|error| error.to_string())
}

fn score(forest: &Forest, row: &[f32]) -> Vec<f32> {
    let mut scores = vec![f32::NAN; forest.output_count()];
    Evaluator::new(forest).scores(row, &mut scores, None);
    scores
}

#[test]
fn members_of_a_set_go_right_and_the_missing_where_they_should() {
    let forest = with(&[]).unwrap();
    for (row, expected) in [
        ([0.0, 0.0], 11.0),
        ([0.0, 0.5], 12.0),
        ([2.0, 1.0], 13.0),
        ([3.9, 1.0], 13.0),
        ([-2.0, 1.0], 12.0),
        ([1e9, 1.0], 12.0),
        ([f32::NAN, 1.0], 13.0),
        ([2.0, f32::NAN], 11.0),
    ] {
        assert_eq!(score(&forest, &row), [expected], "{row:?}");
    }
}

#[test]
fn base_scores_have_many_forms() {
    for written in ["\"1E1\"", "\"[1E1]\"", "10", "\"10\"", "[10]"] {
        assert_eq!(score(&with(&[("\"[1E1]\"", written)]).unwrap(), &[0.0, 0.0]), [11.0], "{written}");
    }
    let classes = [("\"num_class\":\"0\"", "\"num_class\":\"3\""), ("\"[1E1]\"", "\"[1,2,3]\"")];
    assert_eq!(with(&classes).unwrap().base_scores, [1.0, 2.0, 3.0]);
    let logistic = ("reg:squarederror", "binary:logistic");
    let forest = with(&[logistic, ("\"[1E1]\"", "\"5E-1\"")]).unwrap();
    assert_eq!(score(&forest, &[0.0, 0.0]), [1.0 / (1.0 + (-1.0_f32).exp())]);
    for (written, problem) in [
        ("\"[1,2]\"", "base score: has 2 numbers, expected 1"),
        ("\"ten\"", "learner.learner_model_param.base_score: is no number and no list of numbers"),
        ("\"\"", "learner.learner_model_param.base_score: is no number and no list of numbers"),
        ("\"nan\"", "learner.learner_model_param.base_score: is NaN, which objective 'reg:squarederror' cannot give"),
    ] {
        assert_eq!(with(&[("\"[1E1]\"", written)]).unwrap_err(), problem, "{written}");
    }
    let found = with(&[logistic, ("\"[1E1]\"", "\"2\"")]).unwrap_err();
    assert!(found.ends_with("base_score: is 2, which objective 'binary:logistic' cannot give"), "{found}");
}

#[test]
fn older_documents_lack_some_members() {
    let forest = with(&[
        ("\"split_type\":[0,0,1,0,0],", ""),
        ("\"categories\":[2,3],\"categories_nodes\":[2],\"categories_segments\":[0],\n\"categories_sizes\":[2],", ""),
        (",\"num_target\":\"1\"", ""),
        ("\"iteration_indptr\":[0,1],", ""),
        ("\"default_left\":[1,0,0,0,0]", "\"default_left\":[true,false,false,false,false]"),
        ("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"0\""),
    ]);
    assert_eq!(score(&forest.unwrap(), &[5.0, f32::NAN]), [11.0]);
}

#[test]
fn dart_weighs_its_trees() {
    let model = r#""gradient_booster":{"model":"#;
    let dart = r#""gradient_booster":{"weight_drop":[0.5],"gbtree":{"name":"gbtree","model":"#;
    let forest = with(&[(model, dart), ("},\"name\":\"gbtree\"},\n", "}},\"name\":\"dart\"},\n")]).unwrap();
    assert_eq!(score(&forest, &[0.0, 0.0]), [10.5]);
}

#[track_caller]
fn check_lie(from: &str, to: &str, problem: &str) {
    let found = with(&[(from, to)]).unwrap_err();
    assert!(found.starts_with(problem), "{to}: {found}, expected {problem}");
}

#[test]
fn lies_about_a_tree_are_told_by_place() {
    let tree = "learner.gradient_booster.model.trees[0]";
    for (from, to, problem) in [
        ("\"left_children\":[1,", "\"left_children\":[0,", "tree 0, node 0: has child 0, which is the root".to_owned()),
        (
            "[1,-1,3,-1,-1]",
            "[1,-1,1,-1,-1]",
            "tree 0, node 2: has child 1, which is the root or has another".to_owned(),
        ),
        ("[1,-1,3,-1,-1]", "[1,-1,9,-1,-1]", "tree 0, node 2: node 9 is named, but the tree has 5 nodes".to_owned()),
        ("[1,-1,3,-1,-1]", "[1,-1,-7,-1,-1]", "tree 0, node 2: has child -7, expected a node".to_owned()),
        ("[1,-1,3,-1,-1]", "[1,-1,3,-1]", format!("{tree}.left_children: has 4 numbers for 5 nodes")),
        (
            "\"num_nodes\":\"5\"",
            "\"num_nodes\":\"2147483648\"",
            format!("{tree}.split_type: has 5 numbers for 2147483648"),
        ),
        (
            "\"num_nodes\":\"5\"",
            "\"num_nodes\":\"-1\"",
            format!("{tree}.tree_param.num_nodes: is -1, expected a whole"),
        ),
        (
            "\"num_nodes\":\"5\"",
            "\"num_nodes\":\"x\"",
            format!("{tree}.tree_param.num_nodes: is 'x', expected a number"),
        ),
        (
            "[1,0,0,0,0],\n\"split_type\"",
            "[2,0,0,0,0],\n\"split_type\"",
            "tree 0, node 0: asks for feature 2, but there".to_owned(),
        ),
        ("[0.5,1,3", "[NaN,1,3", "tree 0, node 0: has a threshold that is NaN".to_owned()),
        ("[0.5,1,3", "[0.5,NaN,3", "tree 0, node 1: is a leaf whose value is NaN".to_owned()),
        (
            "\"categories\":[2,3]",
            "\"categories\":[2]",
            format!("{tree}.categories_segments: reach beyond the 1 categories"),
        ),
        ("\"categories\":[2,3]", "\"categories\":[2,-3]", "tree 0, node 2: names category -3".to_owned()),
        (
            "\"categories\":[2,3]",
            "\"categories\":[2,1e8]",
            "tree 0, node 2: names category 100000000, expected".to_owned(),
        ),
        (
            "\"categories_nodes\":[2]",
            "\"categories_nodes\":[1]",
            "tree 0, node 2: asks for categories, but has none".to_owned(),
        ),
        (
            "\"categories_sizes\":[2]",
            "\"categories_sizes\":[]",
            format!("{tree}.categories_nodes: 1 nodes, 1 segments"),
        ),
    ] {
        check_lie(from, to, &problem);
    }
}

#[test]
fn lies_about_the_whole_are_told_by_place() {
    let tree = "learner.gradient_booster.model.trees[0]";
    for (from, to, problem) in [
        (
            "\"size_leaf_vector\":\"1\"",
            "\"size_leaf_vector\":\"3\"",
            format!("{tree}.tree_param.size_leaf_vector: is 3"),
        ),
        (
            "\"tree_info\":[0]",
            "\"tree_info\":[1]",
            "tree 0, node 0: adds to output Some(1), but there are 1".to_owned(),
        ),
        (
            "\"tree_info\":[0]",
            "\"tree_info\":[]",
            "learner.gradient_booster.model.tree_info: has 0 numbers for".to_owned(),
        ),
        (
            "\"num_feature\":\"2\",\"num_target\"",
            "\"num_feature\":\"0\",\"num_target\"",
            "number of features: is 0, expected".to_owned(),
        ),
        (
            "\"num_class\":\"0\"",
            "\"num_class\":\"70000\"",
            "number of outputs: is 70000, expected 1 to 65536".to_owned(),
        ),
        ("\"name\":\"gbtree\"", "\"name\":\"gblinear\"", "booster 'gblinear' is not served".to_owned()),
        (
            "reg:squarederror",
            "my:own",
            "learner.objective.name: objective 'my:own' is not served; served are reg:".to_owned(),
        ),
        ("\"trees\":[{", "\"trees\":[7,{", "learner.gradient_booster.model.trees: is a number, expected".to_owned()),
        ("\"learner\":", "\"teacher\":", "teacher: is a field that is not known; set the parameter".to_owned()),
        ("\"id\":0", "\"idea\":0", format!("{tree}.idea: is a field that is not known; set the parameter")),
    ] {
        check_lie(from, to, &problem);
    }
}

#[test]
fn unknown_fields_are_passed_over_when_that_is_asked_for() {
    let text = MODEL.replacen("\"id\":0", "\"idea\":0", 1);
    let options = ReadOptions { allow_unknown_fields: true };
    assert!(read(&parse_json(text.as_bytes()).unwrap(), options).is_ok());
}

#[test]
fn a_file_of_unknown_kind_is_told_by_its_first_bytes() {
    assert!(read_bytes(Format::Xgboost, MODEL.as_bytes(), ReadOptions::default()).is_ok());
    let error = read_bytes(Format::Xgboost, b"binf\0\0\0\x3f", ReadOptions::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("XGBoost's old binary format is not read: load the model with XGBoost before 3.1"),
        "{error}"
    );
}
