//! Treelite's checkpoints, format 4: what `treelite.Model.serialize` writes and Triton's FIL backend reads.
//!
//! Numbers are little-endian; an array is its length in 64 bits and its elements. A length is believed only as far as
//! there are bytes. Fields that a later minor version appends are passed over, as the format allows.

mod cursor;
mod tree;

use crate::{
    Forest, ForestError, Link, Precision, Task,
    forest::LeafOutputs,
    growth::Grove,
    readers::treelite::{cursor::Cursor, tree::read_tree},
};

/// The version that is read.
const MAJOR_VERSION: i32 = 4;

/// Sizes of a header that all trees share.
struct Header {
    float: Float,
    target_ids: Vec<i32>,
    class_ids: Vec<i32>,
}

/// Type of thresholds and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    Single,
    Double,
}

/// The forest in a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Forest, ForestError> {
    let mut cursor = Cursor::new(bytes);
    let (header, forest) = read_header(&mut cursor)?;
    let forest = forest.checked()?;
    let mut grove = Grove::new(forest.feature_count);
    for (index, (target, class)) in header.target_ids.iter().zip(&header.class_ids).enumerate() {
        let outputs = leaf_outputs(*target, *class, &forest).ok_or_else(|| {
            let problem = format!("tree {index} is for target {target} and class {class}, which are not there");
            ForestError::field("target_id, class_id", problem)
        })?;
        read_tree(&mut grove, &mut cursor, header.float, outputs)?;
    }
    cursor.end()?;
    Forest { trees: grove.into_trees(), ..forest }.checked()
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<(Header, Forest), ForestError> {
    let version = [cursor.i32("major_ver")?, cursor.i32("minor_ver")?, cursor.i32("patch_ver")?];
    if version.first() != Some(&MAJOR_VERSION) {
        let [major, minor, patch] = version;
        return Err(ForestError::unsupported(format!(
            "the checkpoint says that Treelite {major}.{minor}.{patch} wrote it; checkpoints of Treelite 4 are read"
        )));
    }
    let float = match [cursor.u8("threshold_type")?, cursor.u8("leaf_output_type")?] {
        [2, 2] => Float::Single,
        [3, 3] => Float::Double,
        types => {
            return Err(ForestError::field("threshold_type", format!("types {types:?}, expected [2, 2] or [3, 3]")));
        }
    };
    let tree_count = cursor.u64("num_tree")?;
    let feature_count = cursor.size("num_feature")?;
    let task = task(cursor.u8("task_type")?)?;
    let is_averaged = cursor.bool("average_tree_output")?;
    let targets = cursor.size("num_target")?;
    let classes = cursor.i32s("num_class")?;
    if classes.len() != targets {
        return Err(ForestError::field("num_class", format!("has {} numbers for {targets} targets", classes.len())));
    }
    let classes = classes.iter().copied().max().and_then(|most| usize::try_from(most).ok()).unwrap_or(0);
    cursor.i32s("leaf_vector_shape")?;
    let (target_ids, class_ids) = (cursor.i32s("target_id")?, cursor.i32s("class_id")?);
    for (name, ids) in [("target_id", &target_ids), ("class_id", &class_ids)] {
        if ids.len() as u64 != tree_count {
            return Err(ForestError::field(name, format!("has {} numbers for {tree_count} trees", ids.len())));
        }
    }
    let postprocessor = cursor.text("postprocessor")?;
    let alpha = f64::from(cursor.f32("sigmoid_alpha")?);
    let ratio = f64::from(cursor.f32("ratio_c")?);
    let link = link(&postprocessor, alpha, ratio)?;
    let base_scores = cursor.f64s("base_scores")?;
    cursor.text("attributes")?;
    cursor.skip_optional_fields("num_opt_field_per_model")?;
    let precision = if float == Float::Single { Precision::Single } else { Precision::Double };
    let forest = Forest {
        feature_count,
        task: if task == Task::Binary && classes > 1 { Task::MultiClass } else { task },
        targets,
        classes,
        base_scores,
        is_averaged,
        link,
        precision,
        trees: Vec::new(),
    };
    Ok((Header { float, target_ids, class_ids }, forest))
}

fn task(number: u8) -> Result<Task, ForestError> {
    match number {
        0 => Ok(Task::Binary),
        1 => Ok(Task::Regression),
        2 => Ok(Task::MultiClass),
        3 => Ok(Task::Ranking),
        4 => Ok(Task::Isolation),
        other => Err(ForestError::field("task_type", format!("is {other}, expected 0 to 4"))),
    }
}

fn link(name: &str, alpha: f64, ratio: f64) -> Result<Link, ForestError> {
    match name {
        "identity" | "identity_multiclass" => Ok(Link::Identity),
        "signed_square" => Ok(Link::SignedSquare),
        "hinge" => Ok(Link::Hinge),
        "sigmoid" | "multiclass_ova" => Ok(Link::Sigmoid { alpha }),
        "exponential" => Ok(Link::Exponential),
        "exponential_standard_ratio" => Ok(Link::Exp2Ratio { ratio }),
        "logarithm_one_plus_exp" => Ok(Link::LogOnePlusExp),
        "softmax" => Ok(Link::Softmax),
        other => {
            let shown: String = other.chars().take(40).collect();
            Err(ForestError::unsupported(format!("postprocessor '{shown}' is not known to Treelite 4")))
        }
    }
}

/// Outputs lie target by target; -1 stands for all targets, or all classes.
fn leaf_outputs(target: i32, class: i32, forest: &Forest) -> Option<LeafOutputs> {
    let (target, class) = (usize::try_from(target).ok(), usize::try_from(class).ok());
    if target.is_some_and(|target| target >= forest.targets) || class.is_some_and(|class| class >= forest.classes) {
        return None;
    }
    let outputs = match (target, class) {
        (None, None) => LeafOutputs::all(forest.output_count()),
        (None, Some(class)) => LeafOutputs { first: class, step: forest.classes, count: forest.targets },
        (Some(target), None) => LeafOutputs { first: target * forest.classes, step: 1, count: forest.classes },
        (Some(target), Some(class)) => LeafOutputs::one(target * forest.classes + class),
    };
    Some(outputs)
}

#[cfg(test)]
mod tests;
