//! SHAP values: how much of a score each feature of a row accounts for (TreeSHAP, path-dependent).
//!
//! For every leaf the features on its path are weighed against each other, those that a row does not know by how much of
//! the training data went each way. The values of a row and the expected value add up to the sums before the link.
//! A walk goes from leaf to leaf with a stack of its own. Cost: leaves times the square of the path, per row and tree,
//! hence a limit on depth, and no values where the file does not say how the training data went.

mod path;

use crate::{Forest, ForestError, Split, Threads, Tree, forest::NodeKind, limits, shap::path::Path, threads::Work};

/// A forest, ready to explain its scores.
#[derive(Debug)]
pub struct Explainer {
    trees: Vec<Tree>,
    feature_count: usize,
    output_count: usize,
    /// The score of a row that nothing is known of, per output.
    expected: Vec<f64>,
    /// What the values of an output are multiplied with.
    scales: Vec<f64>,
}

/// A node that is still to be visited.
#[derive(Clone, Copy, Debug)]
struct Visit {
    node: usize,
    /// Steps from the root.
    depth: usize,
    step: Option<Step>,
}

/// How a node was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) feature: usize,
    /// Share of the training data that went this way.
    pub(crate) share: f64,
    /// Whether the row goes this way.
    pub(crate) is_taken: bool,
}

/// Memory of one thread.
struct Scratch {
    visits: Vec<Visit>,
    steps: Vec<Step>,
    path: Path,
    values: Vec<f64>,
}

/// Rows times leaves that make a batch worth waking threads for.
const SHARED_WORK_MIN: usize = 5_000;

// === impl Explainer ===

impl Explainer {
    /// Prepares a forest.
    ///
    /// # Errors
    /// A tree is too deep, or the file does not say how much of the training data passed its nodes.
    pub fn new(forest: Forest) -> Result<Self, ForestError> {
        let output_count = forest.output_count();
        let scales = match forest.is_averaged {
            true => forest.trees_per_output().into_iter().map(|count| 1.0 / count.max(1) as f64).collect(),
            false => vec![1.0; output_count],
        };
        let mut expected = vec![0.0; output_count];
        for (index, tree) in forest.trees.iter().enumerate() {
            check(index, tree)?;
            tree.add_expected(&mut expected);
        }
        for ((expected, scale), base) in expected.iter_mut().zip(&scales).zip(&forest.base_scores) {
            *expected = *expected * scale + base;
        }
        Ok(Self { trees: forest.trees, feature_count: forest.feature_count, output_count, expected, scales })
    }

    /// Numbers per row: for each output its features and the expected value.
    pub fn value_count(&self) -> usize {
        self.output_count * (self.feature_count + 1)
    }

    /// Memory that the trees occupy.
    pub fn bytes(&self) -> usize {
        let tree =
            |tree: &Tree| size_of_val(&*tree.nodes) + size_of_val(&*tree.leaf_values) + size_of_val(&*tree.words);
        self.trees.iter().map(tree).sum()
    }

    /// Writes the values of every row, with at most `parts` of the threads.
    pub fn explain(&self, rows: &[f32], values: &mut [f32], threads: Option<(&Threads, usize)>) {
        let row_count = rows.len() / self.feature_count;
        let leaf_count: usize = self.trees.iter().map(|tree| tree.nodes.len() / 2 + 1).sum();
        let is_large = row_count > 1 && row_count.saturating_mul(leaf_count) >= SHARED_WORK_MIN;
        match threads.filter(|(threads, parts)| is_large && threads.count().min(*parts) > 1) {
            Some((threads, parts)) => {
                let (row_length, result_length) = (self.feature_count, self.value_count());
                let work = Work { rows, row_length, results: values, result_length, granule: 1 };
                threads.share(work, parts, |rows, values| self.part(rows, values));
            }
            None => self.part(rows, values),
        }
    }

    fn part(&self, rows: &[f32], values: &mut [f32]) {
        let mut scratch = Scratch {
            visits: Vec::new(),
            steps: Vec::new(),
            path: Path::default(),
            values: vec![0.0; self.value_count()],
        };
        for (row, values) in rows.chunks_exact(self.feature_count).zip(values.chunks_exact_mut(self.value_count())) {
            scratch.values.fill(0.0);
            self.trees.iter().for_each(|tree| self.add_tree(tree, row, &mut scratch));
            self.finish(&scratch.values, values);
        }
    }

    fn finish(&self, sums: &[f64], values: &mut [f32]) {
        let length = self.feature_count + 1;
        let outputs = sums.chunks_exact(length).zip(values.chunks_exact_mut(length));
        for ((sums, values), (scale, expected)) in outputs.zip(self.scales.iter().zip(&self.expected)) {
            values.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum * scale) as f32);
            if let Some(last) = values.last_mut() {
                *last = *expected as f32;
            }
        }
    }

    /// Goes to every leaf, the left ones first.
    fn add_tree(&self, tree: &Tree, row: &[f32], scratch: &mut Scratch) {
        let Scratch { visits, steps, path, values } = scratch;
        visits.push(Visit { node: 0, depth: 0, step: None });
        while let Some(visit) = visits.pop() {
            steps.truncate(visit.depth.saturating_sub(1));
            steps.extend(visit.step);
            match tree.nodes.get(visit.node).map(|node| (&node.kind, node.cover)) {
                Some((NodeKind::Split(split), cover)) => {
                    let goes_left = row.get(split.feature).is_some_and(|value| split.goes_left(*value, &tree.words));
                    for (child, is_taken) in [(split.left + 1, !goes_left), (split.left, goes_left)] {
                        let step = Some(tree.step(split, child, cover, is_taken));
                        visits.push(Visit { node: child, depth: visit.depth + 1, step });
                    }
                }
                Some((NodeKind::Leaf(start), _)) => {
                    path.weigh(steps);
                    let leaf_values = tree.leaf_values.get(*start..).unwrap_or_default();
                    self.add_leaf(tree, leaf_values, path, values);
                }
                None => {}
            }
        }
    }

    fn add_leaf(&self, tree: &Tree, leaf_values: &[f64], path: &Path, values: &mut [f64]) {
        let length = self.feature_count + 1;
        let outputs = values.chunks_exact_mut(length).skip(tree.outputs.first).step_by(tree.outputs.step.max(1));
        for (values, leaf_value) in outputs.take(tree.outputs.count).zip(leaf_values) {
            for (feature, weight) in path.weights() {
                if let Some(value) = values.get_mut(feature) {
                    *value += weight * leaf_value;
                }
            }
        }
    }
}

/// Whether a tree can be explained.
fn check(index: usize, tree: &Tree) -> Result<(), ForestError> {
    if tree.depth > limits::SHAP_DEPTH_MAX {
        return Err(ForestError::unsupported(format!(
            "tree {index} is {} deep, but SHAP values are given for trees up to {}",
            tree.depth,
            limits::SHAP_DEPTH_MAX
        )));
    }
    let has_cover = |node: usize| tree.nodes.get(node).is_some_and(|node| node.cover.is_finite() && node.cover >= 0.0);
    for (number, node) in tree.nodes.iter().enumerate() {
        let NodeKind::Split(split) = &node.kind else { continue };
        if !(node.cover > 0.0 && has_cover(number) && has_cover(split.left) && has_cover(split.left + 1)) {
            return Err(ForestError::unsupported(format!(
                "tree {index} does not say how much of the training data passed its nodes, which SHAP values need"
            )));
        }
    }
    Ok(())
}

// === impl Tree ===

impl Tree {
    fn step(&self, split: &Split, child: usize, cover: f64, is_taken: bool) -> Step {
        let share = self.nodes.get(child).map_or(0.0, |child| child.cover / cover);
        Step { feature: split.feature, share, is_taken }
    }

    /// Adds the mean of the leaves, weighted by how much of the training data they got.
    fn add_expected(&self, expected: &mut [f64]) {
        // Children come after their parents.
        let mut shares = vec![0.0; self.nodes.len()];
        shares.iter_mut().take(1).for_each(|root| *root = 1.0);
        for (number, node) in self.nodes.iter().enumerate() {
            let share = shares.get(number).copied().unwrap_or(0.0);
            match &node.kind {
                NodeKind::Split(split) => {
                    for child in [split.left, split.left + 1] {
                        let step = self.step(split, child, node.cover, false);
                        shares.iter_mut().skip(child).take(1).for_each(|target| *target = share * step.share);
                    }
                }
                NodeKind::Leaf(start) => {
                    let values = self.leaf_values.get(*start..).unwrap_or_default();
                    self.outputs.select(expected).zip(values).for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
