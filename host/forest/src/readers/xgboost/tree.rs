//! One tree of an XGBoost document: arrays with a number per node.

use std::collections::HashMap;

use crate::{
    ForestError, ReadOptions,
    document::{Object, whole},
    forest::LeafOutputs,
    growth::{FileNode, Grove, Question},
};

/// What the forest says about a tree.
pub(crate) struct TreePlace {
    /// The output that scalar leaves add to.
    pub(crate) group: f64,
    /// What `dart` multiplies its leaves with.
    pub(crate) weight: f32,
    pub(crate) output_count: usize,
}

/// Members of a tree that are read, or may safely be passed over.
const MEMBERS: [&str; 18] = [
    "base_weights",
    "leaf_weights",
    "categories",
    "categories_nodes",
    "categories_segments",
    "categories_sizes",
    "default_left",
    "id",
    "left_children",
    "loss_changes",
    "parents",
    "right_children",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
    "tree_param",
    // Version 1.0 and before.
    "leaf_child_counts",
];

/// The child of a leaf.
const NO_CHILD: f64 = -1.0;

struct Arrays<'a> {
    left: &'a [f64],
    right: &'a [f64],
    features: &'a [f64],
    conditions: &'a [f64],
    default_left: &'a [f64],
    /// 1 for categories; older versions have none.
    types: &'a [f64],
    cover: &'a [f64],
    base_weights: &'a [f64],
    /// Of vector leaves, since 3.1; before, they are among the base weights.
    leaf_weights: &'a [f64],
    /// Which of the categories belong to a node.
    categories: HashMap<usize, &'a [f64]>,
}

/// Reads a tree.
pub(crate) fn read_tree(
    grove: &mut Grove,
    tree: &Object<'_>,
    place: &TreePlace,
    options: ReadOptions,
) -> Result<(), ForestError> {
    super::known(tree, &MEMBERS, options)?;
    let param = tree.object("tree_param")?;
    let node_count = param.count("num_nodes")?;
    let vector_length = param.count_or("size_leaf_vector", 1)?.max(1);
    let outputs = match vector_length {
        1 => LeafOutputs::one(whole(place.group).unwrap_or(usize::MAX)),
        length if length == place.output_count => LeafOutputs::all(length),
        length => {
            let problem = format!("is {length}, but the model has {} outputs", place.output_count);
            return Err(param.error("size_leaf_vector", problem));
        }
    };
    let arrays = Arrays::of(tree, node_count)?;
    grove.grow(node_count, outputs, |node| arrays.node(node, vector_length, place.weight))
}

// === impl Arrays ===

impl<'a> Arrays<'a> {
    fn of(tree: &Object<'a>, node_count: usize) -> Result<Self, ForestError> {
        let per_node = |name: &str| match tree.numbers(name)? {
            numbers if numbers.len() == node_count => Ok(numbers),
            numbers => Err(tree.error(name, format!("has {} numbers for {node_count} nodes", numbers.len()))),
        };
        let optional = |name: &str| if tree.get(name).is_some() { tree.numbers(name) } else { Ok(&[] as &[f64]) };
        let types = optional("split_type")?;
        if !types.is_empty() {
            per_node("split_type")?;
        }
        Ok(Self {
            left: per_node("left_children")?,
            right: per_node("right_children")?,
            features: per_node("split_indices")?,
            conditions: per_node("split_conditions")?,
            default_left: per_node("default_left")?,
            types,
            cover: per_node("sum_hessian")?,
            base_weights: optional("base_weights")?,
            leaf_weights: optional("leaf_weights")?,
            categories: categories(tree)?,
        })
    }

    fn node(&self, node: usize, vector_length: usize, weight: f32) -> Result<(FileNode, f64), String> {
        let at = |numbers: &[f64]| numbers.get(node).copied().unwrap_or(f64::NAN);
        let (left, right, cover) = (at(self.left), at(self.right), at(self.cover));
        if left == NO_CHILD {
            let values = self.leaf(node, vector_length)?;
            let weighted = values.iter().map(|value| f64::from(*value as f32 * weight));
            return Ok((FileNode::Leaf(weighted.collect()), cover));
        }
        let child = |number: f64| whole(number).ok_or_else(|| format!("has child {number}, expected a node"));
        let (left, right) = (child(left)?, child(right)?);
        let feature = at(self.features);
        let feature = whole(feature).ok_or_else(|| format!("asks for feature {feature}"))?;
        // Rows whose category is in the set go right.
        let (question, children) = match self.types.get(node).is_some_and(|kind| *kind == 1.0) {
            true => (self.set(node)?, [right, left]),
            false => (Question::Below(f64::from(at(self.conditions) as f32)), [left, right]),
        };
        let default_left = (at(self.default_left) != 0.0) == matches!(question, Question::Below(_));
        Ok((FileNode::Split { feature, question, default_left, zero_is_missing: false, children }, cover))
    }

    fn leaf(&self, node: usize, vector_length: usize) -> Result<&'a [f64], String> {
        let (numbers, index) = match (vector_length, self.leaf_weights.is_empty()) {
            (1, _) => (self.conditions, Some(node)),
            (_, true) => (self.base_weights, Some(node)),
            // The right child of a leaf is the number of its values.
            (_, false) => (self.leaf_weights, self.right.get(node).copied().and_then(whole)),
        };
        let start = index.and_then(|index| index.checked_mul(vector_length));
        let end = start.and_then(|start| start.checked_add(vector_length));
        let range = start.zip(end).and_then(|(start, end)| numbers.get(start..end));
        range.ok_or_else(|| format!("is a leaf whose {vector_length} values are missing"))
    }

    fn set(&self, node: usize) -> Result<Question, String> {
        let written = self.categories.get(&node).ok_or("asks for categories, but has none")?;
        let category = |number: &f64| {
            let category = whole(*number).and_then(|category| u32::try_from(category).ok());
            category.ok_or_else(|| format!("names category {number}"))
        };
        let categories = written.iter().map(category).collect::<Result<_, _>>()?;
        Ok(Question::Member { categories, truncates: false })
    }
}

/// The categories of each node that asks for some.
fn categories<'a>(tree: &Object<'a>) -> Result<HashMap<usize, &'a [f64]>, ForestError> {
    if tree.get("categories_nodes").is_none() {
        return Ok(HashMap::new());
    }
    let (all, nodes) = (tree.numbers("categories")?, tree.numbers("categories_nodes")?);
    let (starts, sizes) = (tree.numbers("categories_segments")?, tree.numbers("categories_sizes")?);
    if starts.len() != nodes.len() || sizes.len() != nodes.len() {
        let problem = format!("{} nodes, {} segments and {} sizes", nodes.len(), starts.len(), sizes.len());
        return Err(tree.error("categories_nodes", problem));
    }
    // Each category belongs to one node; segments that overlap could make much out of little.
    let total: f64 = sizes.iter().map(|size| size.max(0.0)).sum();
    let segment = |((node, start), size): ((&f64, &f64), &f64)| {
        let (start, size) = (whole(*start)?, whole(*size)?);
        Some((whole(*node)?, all.get(start..start.checked_add(size)?)?))
    };
    let segments = nodes.iter().zip(starts).zip(sizes).map(segment).collect::<Option<_>>();
    segments
        .filter(|_| total <= all.len() as f64)
        .ok_or_else(|| tree.error("categories_segments", format!("reach beyond the {} categories", all.len())))
}
