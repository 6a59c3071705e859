//! A forest as it lies in memory while it is evaluated: all nodes in one array, 16 bytes each.
//!
//! A leaf is its own child: its threshold is NaN, so that no row goes right, and its left child is itself. A walk may
//! thus take as many steps as the deepest leaf needs without asking at each one whether it has arrived.

use crate::{
    forest::{Forest, LeafOutputs, NodeKind, Tree},
    number::Number,
    test::{Split, Test, ZERO_MAX, is_member},
};

/// One node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedNode {
    /// A row whose feature is not below goes right.
    threshold: f32,
    /// Place of the left child; the right one follows.
    left: u32,
    /// The feature in the low bits, flags above.
    feature: u32,
    /// Of a leaf: where its values begin. Of a set: its number.
    payload: u32,
}

/// Where a tree begins, and what a walk through it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedTree {
    pub(crate) root: u32,
    pub(crate) depth: u32,
    pub(crate) is_plain: bool,
    pub(crate) outputs: LeafOutputs,
}

/// The words of one set, and how a number becomes a category.
#[derive(Clone, Copy, Debug)]
struct PackedSet {
    start: usize,
    end: usize,
    truncates: bool,
}

/// All trees.
#[derive(Debug)]
pub(crate) struct Packed<N> {
    pub(crate) nodes: Vec<PackedNode>,
    pub(crate) trees: Vec<PackedTree>,
    pub(crate) leaf_values: Vec<N>,
    sets: Vec<PackedSet>,
    words: Vec<u32>,
}

pub(crate) const FEATURE_MASK: u32 = (1 << 24) - 1;
pub(crate) const DEFAULT_RIGHT: u32 = 1 << 31;
pub(crate) const MEMBER: u32 = 1 << 30;
pub(crate) const ZERO_IS_MISSING: u32 = 1 << 29;

// === impl PackedNode ===

impl PackedNode {
    /// The feature that the node asks for.
    #[inline(always)]
    pub(crate) fn feature(self) -> usize {
        (self.feature & FEATURE_MASK) as usize
    }

    /// Where a row with this value goes, in a tree of thresholds alone.
    #[inline(always)]
    pub(crate) fn next(self, value: f32) -> u32 {
        let is_missing_right = value.is_nan() & (self.feature & DEFAULT_RIGHT != 0);
        self.left + u32::from((value >= self.threshold) | is_missing_right)
    }

    /// Where the values of a leaf begin.
    #[inline(always)]
    pub(crate) fn leaf(self) -> usize {
        self.payload as usize
    }

    /// Its four numbers in the order of the fields, the threshold as its bits.
    pub(crate) fn words(self) -> [u32; 4] {
        [self.threshold.to_bits(), self.left, self.feature, self.payload]
    }
}

// === impl Packed ===

impl<N: Number> Packed<N> {
    /// Packs a forest.
    pub(crate) fn new(forest: &Forest) -> Self {
        let node_count = forest.trees.iter().map(|tree| tree.nodes.len()).sum();
        let mut packed = Self {
            nodes: Vec::with_capacity(node_count),
            trees: Vec::with_capacity(forest.trees.len()),
            leaf_values: Vec::new(),
            sets: Vec::new(),
            words: Vec::new(),
        };
        forest.trees.iter().for_each(|tree| packed.push(tree));
        packed
    }

    fn push(&mut self, tree: &Tree) {
        let root = place(self.nodes.len());
        let (leaf_base, word_base) = (self.leaf_values.len(), self.words.len());
        for (index, node) in tree.nodes.iter().enumerate() {
            let packed = match &node.kind {
                NodeKind::Leaf(start) => PackedNode {
                    threshold: f32::NAN,
                    left: root + place(index),
                    feature: 0,
                    payload: place(leaf_base + start),
                },
                NodeKind::Split(split) => self.split(split, root, word_base),
            };
            self.nodes.push(packed);
        }
        self.leaf_values.extend(tree.leaf_values.iter().map(|value| N::from_f64(*value)));
        self.words.extend(&tree.words);
        self.trees.push(PackedTree {
            root,
            depth: place(tree.depth),
            is_plain: tree.is_plain(),
            outputs: tree.outputs,
        });
    }

    fn split(&mut self, split: &Split, root: u32, word_base: usize) -> PackedNode {
        let mut flags = 0;
        flags |= if split.default_left { 0 } else { DEFAULT_RIGHT };
        flags |= if split.zero_is_missing { ZERO_IS_MISSING } else { 0 };
        let (threshold, payload) = match &split.test {
            Test::Below(threshold) => (*threshold, 0),
            Test::Member { words, truncates } => {
                flags |= MEMBER;
                let (start, end) = (word_base + words.start, word_base + words.end);
                self.sets.push(PackedSet { start, end, truncates: *truncates });
                (f32::NAN, place(self.sets.len() - 1))
            }
        };
        PackedNode { threshold, left: root + place(split.left), feature: place(split.feature) | flags, payload }
    }

    /// Where a row with this value goes, in any tree.
    #[inline(always)]
    pub(crate) fn next(&self, node: PackedNode, value: f32) -> u32 {
        if node.feature & (MEMBER | ZERO_IS_MISSING) == 0 {
            return node.next(value);
        }
        let is_missing = value.is_nan() || (node.feature & ZERO_IS_MISSING != 0 && value.abs() <= ZERO_MAX);
        let goes_right = match (is_missing, node.feature & MEMBER != 0) {
            (true, _) => node.feature & DEFAULT_RIGHT != 0,
            (false, true) => !self.holds(node.payload as usize, value),
            (false, false) => value >= node.threshold,
        };
        node.left + u32::from(goes_right)
    }

    fn holds(&self, set: usize, value: f32) -> bool {
        let Some(set) = self.sets.get(set) else { return false };
        is_member(value, self.words.get(set.start..set.end).unwrap_or_default(), set.truncates)
    }

    /// Where the words of each set begin and end, and whether it truncates.
    pub(crate) fn set_words(&self) -> Vec<[u32; 3]> {
        self.sets.iter().map(|set| [place(set.start), place(set.end), set.truncates.into()]).collect()
    }

    /// The words of all sets.
    pub(crate) fn into_words(self) -> Vec<u32> {
        self.words
    }

    /// Bytes of all arrays.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.nodes)
            + size_of_val(&*self.trees)
            + size_of_val(&*self.leaf_values)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.words)
    }
}

/// A place in an array; the limits on nodes and trees keep all of them in 32 bits.
pub(crate) fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
