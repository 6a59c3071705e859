//! A forest as plain arrays, for a device that evaluates it by itself.
//!
//! Nodes are those of [`crate::packed`]. What each output adds up is a list in the order of the trees: whoever follows it
//! gets the evaluator's sums to the last bit, whichever way the trees were walked. Every number in the arrays is a place
//! inside another one of them, because the forest's invariant says so; a device has nothing to check.

use crate::{
    Forest, Link, Precision,
    number::Number,
    packed::{DEFAULT_RIGHT, FEATURE_MASK, MEMBER, Packed, ZERO_IS_MISSING, place},
};

/// A forest as arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct FlatForest {
    /// Numbers in a row.
    pub feature_count: usize,
    /// Scores of a row: targets times classes.
    pub output_count: usize,
    /// Scores that belong to one target.
    pub classes: usize,
    /// Per node: the bits of its threshold; the left child, which the right one follows, and which is the node itself for
    /// a leaf; the feature with flags above it; where the values of a leaf begin, or the number of a set.
    pub nodes: Vec<[u32; 4]>,
    /// Per tree: its root, and how many values each of its leaves has.
    pub trees: Vec<[u32; 2]>,
    /// Per set of categories: where its words begin and end, and whether numbers between -1 and 0 count as 0.
    pub sets: Vec<[u32; 3]>,
    pub words: Vec<u32>,
    pub leaf_values: Numbers,
    /// What is added up, output by output: a tree, and which of the values of its leaf, or [`FlatForest::ONLY_VALUE`] where
    /// the leaves of the tree have one.
    pub additions: Vec<[u32; 2]>,
    /// Where the additions of each output begin, and where the last ones end.
    pub addition_starts: Vec<u32>,
    /// One per output; what sums begin with, or what is added to averages.
    pub base_scores: Numbers,
    /// One per output, where sums are averages; else empty.
    pub divisors: Numbers,
    pub link: Link,
}

/// Floats of the size that the forest sums in.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

// === impl FlatForest ===

impl FlatForest {
    /// The bits of a node's third number that are the feature.
    pub const FEATURE_MASK: u32 = FEATURE_MASK;
    /// Flag: a row whose feature is missing goes right.
    pub const DEFAULT_RIGHT: u32 = DEFAULT_RIGHT;
    /// Flag: the node asks whether the feature is in a set.
    pub const MEMBER: u32 = MEMBER;
    /// Flag: a feature that is almost zero is missing too.
    pub const ZERO_IS_MISSING: u32 = ZERO_IS_MISSING;
    /// Stands for the one value of a leaf.
    pub const ONLY_VALUE: u32 = u32::MAX;
    /// What "almost zero" means.
    pub const ZERO_MAX: f32 = crate::test::ZERO_MAX;

    /// Lays a forest out; takes as much memory again as the evaluator.
    pub fn new(forest: &Forest) -> Self {
        match forest.precision {
            Precision::Single => Self::packed::<f32>(forest, Numbers::Single),
            Precision::Double => Self::packed::<f64>(forest, Numbers::Double),
        }
    }

    fn packed<N: Number>(forest: &Forest, numbers: impl Fn(Vec<N>) -> Numbers) -> Self {
        let mut packed = Packed::<N>::new(forest);
        let (additions, addition_starts) = additions(forest);
        let convert = |values: Vec<f64>| numbers(values.into_iter().map(N::from_f64).collect());
        Self {
            feature_count: forest.feature_count,
            output_count: forest.output_count(),
            classes: forest.classes,
            nodes: packed.nodes.iter().map(|node| node.words()).collect(),
            trees: packed.trees.iter().map(|tree| [tree.root, place(tree.outputs.count)]).collect(),
            sets: packed.set_words(),
            leaf_values: numbers(std::mem::take(&mut packed.leaf_values)),
            words: packed.into_words(),
            additions,
            addition_starts,
            base_scores: convert(forest.base_scores.clone()),
            divisors: convert(forest.divisors().unwrap_or_default()),
            link: forest.link,
        }
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.trees)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.words)
            + size_of_val(&*self.additions)
            + size_of_val(&*self.addition_starts)
            + self.leaf_values.bytes()
            + self.base_scores.bytes()
            + self.divisors.bytes()
    }
}

/// The additions of all outputs, and where those of each begin.
fn additions(forest: &Forest) -> (Vec<[u32; 2]>, Vec<u32>) {
    let mut starts = vec![0_usize];
    let mut end = 0;
    for count in forest.trees_per_output() {
        end += count;
        starts.push(end);
    }
    let mut additions = vec![[0, 0]; end];
    let mut next = starts.clone();
    next.pop();
    for (index, tree) in forest.trees.iter().enumerate() {
        let is_only = tree.outputs.count == 1;
        for (value, next) in tree.outputs.select(&mut next).enumerate() {
            if let Some(addition) = additions.get_mut(*next) {
                *addition = [place(index), if is_only { FlatForest::ONLY_VALUE } else { place(value) }];
            }
            *next += 1;
        }
    }
    (additions, starts.into_iter().map(place).collect())
}

// === impl Numbers ===

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(numbers) => numbers.len(),
            Self::Double(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of one.
    pub fn size(&self) -> usize {
        match self {
            Self::Single(_) => size_of::<f32>(),
            Self::Double(_) => size_of::<f64>(),
        }
    }

    fn bytes(&self) -> usize {
        self.len() * self.size()
    }
}

#[cfg(test)]
mod tests;
