//! Trees as questions instead of paths, for many rows at once.
//!
//! Each leaf is a bit, from the left to the right. A row is asked every question of a tree, in any order; where it goes
//! right, the leaves below the left child are struck out. The leaf that a walk would find stays: of the questions above it
//! none strikes it out. Every leaf left of it goes: where their paths part, the row went right. So the lowest bit that is
//! left is the row's leaf (QuickScorer's insight).
//!
//! Nothing depends on the answer before, no place in memory on a row: sixteen rows are asked with a few instructions,
//! which is several times quicker than walking them, as long as there are not many more questions than steps. Trees
//! beyond [`LEAVES_MAX`], and those that ask for categories or take zero for missing, are walked.

use crate::{
    forest::{Forest, LeafOutputs, NodeKind, Tree},
    number::Number,
    packed::place,
    test::Test,
};

/// Leaves of a tree that is asked instead of walked. With 256 of them eight rows take as long either way on a processor with
/// AVX2, and many rows half as long; with 560 walking is quicker even beside AVX-512 (`benches/backends.md`).
const LEAVES_MAX: usize = 256;

/// Columns per tree beyond which turning rows into columns costs more than it saves.
const COLUMNS_PER_TREE_MAX: usize = 4;

/// Leaves of a word.
const WORD_LEAVES: usize = 32;

/// What one node asks, for the leaves of one word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// A row goes right whose feature is not below this; where missing values go right, one whose feature is not at most
    /// this, which no missing value is.
    pub(crate) threshold: f32,
    /// The leaves that a row may still reach that goes right.
    pub(crate) kept: u32,
    /// The column of the feature.
    pub(crate) column: u32,
}

/// The questions that strike out leaves of one word: those that send missing values to the left, then the others.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    default_right: usize,
    end: usize,
}

/// The questions of one word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordQuestions<'a> {
    pub(crate) default_left: &'a [Question],
    pub(crate) default_right: &'a [Question],
}

/// One tree: its words, and where the values of its leaves begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitTree {
    words_start: usize,
    words_end: usize,
    leaf_values: usize,
    pub(crate) outputs: LeafOutputs,
}

/// The trees of a forest that are asked.
#[derive(Debug)]
pub(crate) struct BitTrees<N> {
    /// One per tree of the forest; none where the tree is walked.
    pub(crate) trees: Vec<Option<BitTree>>,
    /// The features that are asked for.
    pub(crate) columns: Vec<usize>,
    words: Vec<Word>,
    questions: Vec<Question>,
    /// From the left to the right, for each tree.
    leaf_values: Vec<N>,
}

/// The leaves below a node: how many stand left of them in the tree, and how many they are.
#[derive(Clone, Copy, Debug, Default)]
struct Leaves {
    first: usize,
    count: usize,
}

// === impl BitTrees ===

impl<N: Number> BitTrees<N> {
    /// Lays out those trees of a forest that are to be asked.
    pub(crate) fn new(forest: &Forest) -> Self {
        let is_asked = |tree: &&Tree| tree.nodes.len() < 2 * LEAVES_MAX && tree.is_plain();
        let tree_count = forest.trees.iter().filter(is_asked).count();
        let columns = columns(forest.trees.iter().filter(is_asked));
        let pays = columns.len() <= tree_count * COLUMNS_PER_TREE_MAX;
        let mut bit_trees = Self {
            trees: Vec::with_capacity(forest.trees.len()),
            columns,
            words: Vec::new(),
            questions: Vec::new(),
            leaf_values: Vec::new(),
        };
        for tree in &forest.trees {
            let bit_tree = (pays && is_asked(&tree)).then(|| bit_trees.lay_out(tree));
            bit_trees.trees.push(bit_tree);
        }
        bit_trees
    }

    /// Whether no tree is asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words of a tree, from the left to the right.
    #[inline(always)]
    pub(crate) fn words(
        &self,
        tree: &BitTree,
    ) -> impl DoubleEndedIterator<Item = WordQuestions<'_>> + ExactSizeIterator {
        let words = self.words.get(tree.words_start..tree.words_end).unwrap_or_default();
        words.iter().map(|word| WordQuestions {
            default_left: self.questions.get(word.start..word.default_right).unwrap_or_default(),
            default_right: self.questions.get(word.default_right..word.end).unwrap_or_default(),
        })
    }

    /// The values of a tree's leaves.
    #[inline(always)]
    pub(crate) fn leaf_values(&self, tree: &BitTree) -> &[N] {
        self.leaf_values.get(tree.leaf_values..).unwrap_or_default()
    }

    /// Memory that the trees occupy.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.trees)
            + size_of_val(&*self.columns)
            + size_of_val(&*self.words)
            + size_of_val(&*self.questions)
            + size_of_val(&*self.leaf_values)
    }

    fn lay_out(&mut self, tree: &Tree) -> BitTree {
        let leaves = leaves(tree);
        let of = |node: usize| leaves.get(node).copied().unwrap_or_default();
        let (words_start, leaf_values) = (self.words.len(), self.leaf_values.len());
        for word in 0..of(0).count.div_ceil(WORD_LEAVES) {
            let start = self.questions.len();
            self.ask(tree, word, true, of);
            let default_right = self.questions.len();
            self.ask(tree, word, false, of);
            self.words.push(Word { start, default_right, end: self.questions.len() });
        }
        let mut starts = vec![0; of(0).count];
        for (index, node) in tree.nodes.iter().enumerate() {
            if let (NodeKind::Leaf(start), Some(place)) = (&node.kind, starts.get_mut(of(index).first)) {
                *place = *start;
            }
        }
        for start in starts {
            let values = tree.leaf_values.get(start..start + tree.outputs.count).unwrap_or_default();
            self.leaf_values.extend(values.iter().map(|value| N::from_f64(*value)));
        }
        BitTree { words_start, words_end: self.words.len(), leaf_values, outputs: tree.outputs }
    }

    /// Adds those questions that strike out leaves of a word and send missing values to one side.
    fn ask(&mut self, tree: &Tree, word: usize, default_left: bool, of: impl Fn(usize) -> Leaves) {
        for node in &tree.nodes {
            let NodeKind::Split(split) = &node.kind else { continue };
            let Test::Below(threshold) = split.test else { continue };
            let struck = of(split.left).in_word(word);
            if struck == 0 || split.default_left != default_left {
                continue;
            }
            let threshold = if default_left { threshold } else { largest_below(threshold) };
            let column = place(self.columns.binary_search(&split.feature).unwrap_or_default());
            self.questions.push(Question { threshold, kept: !struck, column });
        }
    }
}

/// The largest number below a bound; NaN, which nothing is at most, where there is none.
fn largest_below(bound: f32) -> f32 {
    match bound {
        f32::NEG_INFINITY => f32::NAN,
        // What `Test::Below` means by it: everything is below.
        bound if bound.is_nan() => f32::INFINITY,
        bound => bound.next_down(),
    }
}

/// The features that the trees ask for, in order.
fn columns<'a>(trees: impl Iterator<Item = &'a Tree>) -> Vec<usize> {
    let nodes = trees.flat_map(|tree| &tree.nodes);
    let mut columns: Vec<usize> = nodes
        .filter_map(|node| match &node.kind {
            NodeKind::Split(split) => Some(split.feature),
            NodeKind::Leaf(_) => None,
        })
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// The leaves below each node. Children stand behind their parents, which is why two passes are enough.
fn leaves(tree: &Tree) -> Vec<Leaves> {
    let mut leaves = vec![Leaves::default(); tree.nodes.len()];
    let count = |leaves: &[Leaves], node: usize| leaves.get(node).map_or(0, |leaves| leaves.count);
    for (index, node) in tree.nodes.iter().enumerate().rev() {
        let below = match &node.kind {
            NodeKind::Leaf(_) => 1,
            NodeKind::Split(split) => count(&leaves, split.left) + count(&leaves, split.left + 1),
        };
        leaves.iter_mut().skip(index).take(1).for_each(|leaves| leaves.count = below);
    }
    for (index, node) in tree.nodes.iter().enumerate() {
        let NodeKind::Split(split) = &node.kind else { continue };
        let first = leaves.get(index).map_or(0, |leaves| leaves.first);
        let right = first + count(&leaves, split.left);
        leaves.iter_mut().skip(split.left).zip([first, right]).for_each(|(leaves, first)| leaves.first = first);
    }
    leaves
}

// === impl Leaves ===

impl Leaves {
    /// Those of them that lie in a word, as its bits.
    fn in_word(self, word: usize) -> u32 {
        let bits_below = |leaf: usize| {
            let bits = leaf.saturating_sub(word * WORD_LEAVES).min(WORD_LEAVES);
            u32::try_from((1_u64 << bits) - 1).unwrap_or(u32::MAX)
        };
        bits_below(self.first + self.count) & !bits_below(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Link, Precision, Task,
        growth::{FileNode, Grove, Question as Asked},
    };

    /// A tree that asks `splits` questions, each on the right of the one before.
    fn grow(grove: &mut Grove, splits: usize, asked: impl Fn(usize) -> (usize, Asked)) {
        let node = |number: usize| {
            let (feature, question) = asked(number / 2);
            let node = match number.is_multiple_of(2) && number < 2 * splits {
                true => FileNode::Split {
                    feature,
                    question,
                    default_left: true,
                    zero_is_missing: false,
                    children: [number + 1, number + 2],
                },
                false => FileNode::Leaf(vec![number as f64]),
            };
            Ok((node, 1.0))
        };
        grove.grow(2 * splits + 1, LeafOutputs::one(0), node).unwrap();
    }

    fn bit_trees(feature_count: usize, grove: Grove) -> BitTrees<f32> {
        BitTrees::new(&Forest {
            feature_count,
            task: Task::Regression,
            targets: 1,
            classes: 1,
            base_scores: vec![0.0],
            is_averaged: false,
            link: Link::Identity,
            precision: Precision::Single,
            trees: grove.into_trees(),
        })
    }

    #[test]
    fn trees_beyond_the_limit_and_those_of_categories_are_walked() {
        let below = |number: usize| (number % 2, Asked::Below(number as f64));
        let mut grove = Grove::new(2);
        grow(&mut grove, 0, below);
        grow(&mut grove, LEAVES_MAX - 1, below);
        grow(&mut grove, LEAVES_MAX, below);
        grow(&mut grove, 1, |_| (0, Asked::Member { categories: vec![1], truncates: false }));
        let bit_trees = bit_trees(2, grove);
        let words: Vec<_> = bit_trees.trees.iter().map(|tree| tree.map(|tree| bit_trees.words(&tree).len())).collect();
        assert_eq!(words, [Some(1), Some(LEAVES_MAX / WORD_LEAVES), None, None]);
    }

    #[test]
    fn a_question_strikes_out_what_is_left_of_it() {
        let mut grove = Grove::new(8);
        grow(&mut grove, 2, |number| (7 - number, Asked::Below(number as f64)));
        let bit_trees = bit_trees(8, grove);
        let tree = bit_trees.trees[0].unwrap();
        let asked = bit_trees.words(&tree).next().unwrap().default_left;
        let asked: Vec<_> = asked.iter().map(|question| (question.column, !question.kept)).collect();
        assert_eq!((bit_trees.columns.as_slice(), asked.as_slice()), (&[6, 7][..], &[(1, 0b1), (0, 0b10)][..]));
        assert_eq!(bit_trees.leaf_values(&tree), [1.0, 3.0, 4.0]);
    }

    #[test]
    fn a_few_trees_that_ask_for_many_features_are_walked() {
        let of_features = |features: usize| {
            let mut grove = Grove::new(features);
            grow(&mut grove, features, |number| (number.min(features - 1), Asked::Below(0.0)));
            bit_trees(features, grove).is_empty()
        };
        assert!(!of_features(COLUMNS_PER_TREE_MAX) && of_features(COLUMNS_PER_TREE_MAX + 1));
    }

    #[test]
    fn the_largest_number_below_a_bound_is_the_last_that_goes_left() {
        for bound in [0.0, -0.0, 1.0, 1e-45, -1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for value in [0.0, -0.0, 1.0, -1e-45, f32::MIN, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                let is_below = value < bound || bound.is_nan() && !value.is_nan();
                assert_eq!(value <= largest_below(bound), is_below, "{value} and {bound}");
            }
        }
    }
}
