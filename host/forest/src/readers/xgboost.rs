//! XGBoost's models, versions 1 to 3: `gbtree` and `dart`, one output, classes, targets, vector leaves, categories.
//!
//! Refused by name: `gblinear`, objectives whose link is not known, and members that are not known, unless the options
//! allow them. Leaves, base scores and sums are 32-bit floats, as they are in XGBoost.

mod objective;
mod tree;

use crate::{
    Forest, ForestError, Precision, ReadOptions, Tree,
    document::{Object, Value},
    growth::Grove,
    readers::xgboost::{
        objective::Objective,
        tree::{TreePlace, read_tree},
    },
};

/// Members that are read, or may safely be passed over.
const ROOT: [&str; 2] = ["learner", "version"];
const LEARNER: [&str; 6] =
    ["attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"];
const BOOSTER: [&str; 4] = ["model", "name", "gbtree", "weight_drop"];
const MODEL: [&str; 5] = ["gbtree_model_param", "trees", "tree_info", "iteration_indptr", "cats"];

/// The forest in a document.
pub(crate) fn read(document: &Value, options: ReadOptions) -> Result<Forest, ForestError> {
    let root = document.root()?;
    known(&root, &ROOT, options)?;
    let learner = root.object("learner")?;
    known(&learner, &LEARNER, options)?;
    let param = learner.object("learner_model_param")?;
    let objective = Objective::named(learner.object("objective")?.text("name")?)?;
    let targets = param.count_or("num_target", 1)?.max(1);
    let classes = param.count_or("num_class", 0)?.max(1);
    let feature_count = param.count("num_feature")?;
    let forest = Forest {
        feature_count,
        task: objective.task,
        targets,
        classes,
        base_scores: base_scores(&param, objective, targets.saturating_mul(classes))?,
        is_averaged: false,
        link: objective.link,
        precision: Precision::Single,
        trees: Vec::new(),
    };
    // The sizes are checked before anything is made of them.
    let forest = forest.checked()?;
    let trees = read_trees(&learner.object("gradient_booster")?, &forest, options)?;
    Forest { trees, ..forest }.checked()
}

fn read_trees(booster: &Object<'_>, forest: &Forest, options: ReadOptions) -> Result<Vec<Tree>, ForestError> {
    known(booster, &BOOSTER, options)?;
    let (model, weights) = match booster.text("name")? {
        "gbtree" => (booster.object("model")?, None),
        "dart" => (booster.object("gbtree")?.object("model")?, Some(booster.numbers("weight_drop")?)),
        other => {
            return Err(ForestError::unsupported(format!(
                "booster '{other}' is not served; 'gbtree' and 'dart' are made of trees"
            )));
        }
    };
    known(&model, &MODEL, options)?;
    let trees = model.objects("trees")?;
    let groups = model.numbers("tree_info")?;
    let same_length = |object: &Object<'_>, name: &str, found: usize| match found == trees.len() {
        true => Ok(()),
        false => Err(object.error(name, format!("has {found} numbers for {} trees", trees.len()))),
    };
    same_length(&model, "tree_info", groups.len())?;
    if let Some(weights) = weights {
        same_length(booster, "weight_drop", weights.len())?;
    }
    let mut grove = Grove::new(forest.feature_count);
    for (index, (tree, group)) in trees.iter().zip(groups).enumerate() {
        let weight = weights.and_then(|weights| weights.get(index)).map_or(1.0, |weight| *weight as f32);
        let place = TreePlace { group: *group, weight, output_count: forest.output_count() };
        read_tree(&mut grove, tree, &place, options)?;
    }
    Ok(grove.into_trees())
}

/// The sums to begin with, one per output. Written as one number or as a list, as a number or as a text, and mostly as
/// what the link makes of them.
fn base_scores(param: &Object<'_>, objective: Objective, output_count: usize) -> Result<Vec<f64>, ForestError> {
    let written = match param.get("base_score") {
        Some(Value::Text(text)) => {
            let list = text.trim().trim_start_matches('[').trim_end_matches(']');
            let number = |part: &str| part.trim().parse().ok();
            list.split(',').map(number).collect::<Option<Vec<f64>>>()
        }
        Some(Value::Number(number)) => Some(vec![*number]),
        Some(Value::Numbers(numbers)) => Some(numbers.clone()),
        _ => None,
    };
    let written = written.ok_or_else(|| param.error("base_score", "is no number and no list of numbers"))?;
    let sums: Vec<f64> = written.iter().map(|score| f64::from(objective.sum_of(*score as f32))).collect();
    // Of a target that is always 0 or always 1 the sum is infinite, in XGBoost too.
    if let Some(wrong) = sums.iter().position(|sum| sum.is_nan()) {
        let score = written.get(wrong).copied().unwrap_or_default();
        return Err(param.error("base_score", format!("is {score}, which objective '{}' cannot give", objective.name)));
    }
    match sums.as_slice() {
        [sum] => Ok(vec![*sum; output_count.min(crate::limits::OUTPUTS_MAX)]),
        _ => Ok(sums),
    }
}

/// Refuses members that might change what the model means.
fn known(object: &Object<'_>, names: &[&str], options: ReadOptions) -> Result<(), ForestError> {
    let unknown = object.names().find(|name| !names.contains(name));
    match unknown.filter(|_| !options.allow_unknown_fields) {
        None => Ok(()),
        Some(name) => Err(object.error(
            name,
            "is a field that is not known; set the parameter 'xgboost_allow_unknown_field' to 'true' to pass over it",
        )),
    }
}

#[cfg(test)]
mod tests;
