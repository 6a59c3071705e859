//! A forest in the one form that all readers make and everything else uses.

use crate::{ForestError, Link, Split, Test, limits};

/// Trees whose leaves are summed, and what is made of the sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    pub feature_count: usize,
    pub task: Task,
    /// Things that are predicted at once; mostly one.
    pub targets: usize,
    /// Sums per target: classes of a classifier, one for everything else, two classes included.
    pub classes: usize,
    /// Added to the sums; one per output.
    pub base_scores: Vec<f64>,
    /// Whether a sum is divided by the number of trees that contribute to it.
    pub is_averaged: bool,
    pub link: Link,
    pub precision: Precision,
    pub trees: Vec<Tree>,
}

/// What the numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Regression,
    /// One number per row: how sure it is that the row is of class 1.
    Binary,
    /// One number per class.
    MultiClass,
    Ranking,
    /// How unusual a row is.
    Isolation,
}

/// In which floats leaves are summed: as the framework that trained them does, so that the last digits agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Single,
    Double,
}

/// One tree. Nodes lie level by level from the root; the children of a node are neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub outputs: LeafOutputs,
    pub nodes: Vec<Node>,
    /// Values of the leaves, `outputs.count` each.
    pub leaf_values: Vec<f64>,
    /// Category sets of the nodes.
    pub words: Vec<u32>,
    /// Steps to the deepest leaf.
    pub depth: usize,
}

/// Which outputs a leaf adds to: `first`, `first + step`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafOutputs {
    pub first: usize,
    pub step: usize,
    pub count: usize,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub kind: NodeKind,
    /// How much of the training data passed here, in any unit; NaN where the file does not say.
    pub cover: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    Split(Split),
    /// Where its values begin.
    Leaf(usize),
}

// === impl Forest ===

impl Forest {
    /// Numbers per row.
    pub fn output_count(&self) -> usize {
        self.targets * self.classes
    }

    /// How many trees contribute to each output.
    pub(crate) fn trees_per_output(&self) -> Vec<usize> {
        let mut counts = vec![0; self.output_count()];
        for tree in &self.trees {
            for count in tree.outputs.select(&mut counts) {
                *count += 1;
            }
        }
        counts
    }

    /// By what the sums are divided, where they are averages. An output without trees is its base score.
    pub(crate) fn divisors(&self) -> Option<Vec<f64>> {
        let counts = self.is_averaged.then(|| self.trees_per_output());
        counts.map(|counts| counts.into_iter().map(|count| count.max(1) as f64).collect())
    }

    /// Checks what holds between the parts; the trees themselves were checked when they grew.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub(crate) fn checked(self) -> Result<Self, ForestError> {
        let within = |field: &str, found: usize, most: usize| match found {
            1.. if found <= most => Ok(()),
            _ => Err(ForestError::field(field, format!("is {found}, expected 1 to {most}"))),
        };
        within("number of features", self.feature_count, limits::FEATURES_MAX)?;
        let outputs = self.targets.saturating_mul(self.classes);
        within("number of outputs", outputs, limits::OUTPUTS_MAX)?;
        // Without any tree the scores are the base scores; frameworks write such models.
        if self.trees.len() > limits::TREES_MAX {
            let problem = format!("is {}, expected at most {}", self.trees.len(), limits::TREES_MAX);
            return Err(ForestError::field("number of trees", problem));
        }
        if self.base_scores.len() != outputs {
            let problem = format!("has {} numbers, expected {outputs}", self.base_scores.len());
            return Err(ForestError::field("base score", problem));
        }
        for (index, tree) in self.trees.iter().enumerate() {
            if tree.outputs.last().is_none_or(|last| last >= outputs) {
                let problem = format!("adds to output {:?}, but there are {outputs}", tree.outputs.last());
                return Err(ForestError::Node { tree: index, node: 0, problem });
            }
        }
        Ok(self)
    }
}

// === impl Tree ===

impl Tree {
    /// Whether all that it asks is whether features are below thresholds.
    pub(crate) fn is_plain(&self) -> bool {
        self.nodes.iter().all(|node| match &node.kind {
            NodeKind::Leaf(_) => true,
            NodeKind::Split(split) => matches!(split.test, Test::Below(_)) && !split.zero_is_missing,
        })
    }
}

// === impl LeafOutputs ===

impl LeafOutputs {
    /// A single output.
    pub(crate) fn one(output: usize) -> Self {
        Self { first: output, step: 1, count: 1 }
    }

    /// The first `count` outputs.
    pub(crate) fn all(count: usize) -> Self {
        Self { first: 0, step: 1, count }
    }

    fn last(&self) -> Option<usize> {
        self.first.checked_add(self.step.checked_mul(self.count.checked_sub(1)?)?)
    }

    /// The chosen ones of a row of outputs.
    pub(crate) fn select<'a, T>(&self, outputs: &'a mut [T]) -> impl Iterator<Item = &'a mut T> {
        outputs.iter_mut().skip(self.first).step_by(self.step.max(1)).take(self.count)
    }
}
