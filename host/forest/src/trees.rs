//! The trees of a forest in the two forms that they are evaluated in.
//!
//! Every tree can be walked, which is best for few rows. Those of common sizes can be asked as well
//! ([`crate::bit_trees`]), which is best for many. Either way leaves are added in the order of the trees, so that a row's
//! sums are the same bits alone and among others.

use fearless_simd::Level;

use crate::{
    Forest,
    ask::{Columns, add_tree},
    bit_trees::BitTrees,
    kernel::{self, LANES},
    number::Number,
    packed::Packed,
};

/// All trees.
#[derive(Debug)]
pub(crate) struct Trees<N> {
    packed: Packed<N>,
    bit_trees: BitTrees<N>,
    level: Level,
}

// === impl Trees ===

impl<N: Number> Trees<N> {
    /// How many rows [`Trees::add_rows`] takes: multiples of this.
    pub(crate) const ROWS_TOGETHER: usize = LANES;

    /// Lays a forest out for processors of a level.
    pub(crate) fn new(forest: &Forest, level: Level) -> Self {
        Self { packed: Packed::new(forest), bit_trees: BitTrees::new(forest), level }
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.packed.trees.len()
    }

    /// Memory that they occupy.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.bytes() + self.bit_trees.bytes()
    }

    /// Adds the leaves of one row to its sums.
    pub(crate) fn add_row(&self, row: &[f32], sums: &mut [N]) {
        kernel::add_row(&self.packed, row, sums);
    }

    /// Adds the leaves of rows to their sums; `columns` is room that can be used again.
    pub(crate) fn add_rows(
        &self,
        (rows, feature_count): (&[f32], usize),
        (sums, outputs): (&mut [N], usize),
        columns: &mut Columns,
    ) {
        if !self.bit_trees.is_empty() {
            columns.fill(&self.bit_trees.columns, rows, feature_count);
        }
        for (tree, bit_tree) in self.packed.trees.iter().zip(&self.bit_trees.trees) {
            match bit_tree {
                Some(bit_tree) => add_tree(self.level, (&self.bit_trees, bit_tree), columns, (sums, outputs)),
                None => kernel::add_rows(&self.packed, tree, (rows, feature_count), (sums, outputs)),
            }
        }
    }
}
