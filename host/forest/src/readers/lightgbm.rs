//! LightGBM's text models, versions 2 to 4: one output, classes, random forests, categories, the three kinds of missing.
//!
//! Thresholds are 64-bit and are compared with `<=`; leaves are summed in 64 bits. Refused by name: linear trees, and
//! objectives whose link is not known. A file without its last line is refused as cut off.

mod objective;
mod sections;
mod tree;

use crate::{
    Forest, ForestError, Precision,
    growth::Grove,
    readers::lightgbm::{
        objective::Objective,
        sections::{Section, Sections},
        tree::read_tree,
    },
};

/// The forest in a file.
pub(crate) fn read(bytes: &[u8]) -> Result<Forest, ForestError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ForestError::syntax(error.valid_up_to(), "the file is no text in UTF-8"))?;
    let mut sections = Sections::new(text);
    let header = sections.header()?;
    let classes = header.count("num_tree_per_iteration")?.max(1);
    let feature_count = header.count("max_feature_idx")?.saturating_add(1);
    let objective = Objective::of(&header, classes)?;
    let forest = Forest {
        feature_count,
        task: objective.task,
        targets: 1,
        classes,
        base_scores: vec![0.0; classes.min(crate::limits::OUTPUTS_MAX)],
        is_averaged: header.has("average_output"),
        link: objective.link,
        precision: Precision::Double,
        trees: Vec::new(),
    };
    // The sizes are checked before anything is made of them.
    let forest = forest.checked()?;
    let mut grove = Grove::new(feature_count);
    while let Some(section) = sections.tree(grove.len())? {
        read_tree(&mut grove, &section, classes)?;
    }
    check_count(&header, grove.len())?;
    Forest { trees: grove.into_trees(), ..forest }.checked()
}

/// The header lists the sizes of all trees.
fn check_count(header: &Section<'_>, found: usize) -> Result<(), ForestError> {
    let Some(sizes) = header.get("tree_sizes") else { return Ok(()) };
    let expected = sizes.split_whitespace().count();
    match expected == found {
        true => Ok(()),
        false => Err(header.error("tree_sizes", format!("has {expected} sizes, but {found} trees follow"))),
    }
}

#[cfg(test)]
mod tests;
