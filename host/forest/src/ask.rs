//! Asking the questions of a tree: see [`crate::bit_trees`].
//!
//! Written once in vectors of sixteen numbers; which instructions they become is decided when the program runs, by what
//! the processor has. All answers are the same bits.

use fearless_simd::{Level, Simd, dispatch, f32x16, prelude::*, u32x16};

use crate::{
    bit_trees::{BitTree, BitTrees, Question, WordQuestions},
    forest::LeafOutputs,
    number::Number,
};

/// Rows side by side.
const LANES: usize = 16;

/// Rows that are asked at once: enough for the threshold to be fetched once for two vectors, and few enough for the
/// registers of the smallest processor.
const TILE_ROWS: usize = 2 * LANES;

/// One feature of the rows of a tile.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Column([[f32; LANES]; 2]);

/// The features of a block of rows, tile by tile, that trees ask for.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    count: usize,
}

// === impl Columns ===

impl Columns {
    /// Takes what is asked for out of rows; what was here before goes.
    pub(crate) fn fill(&mut self, features: &[usize], rows: &[f32], feature_count: usize) {
        let tiles = (rows.len() / feature_count).div_ceil(TILE_ROWS);
        self.count = features.len();
        self.columns.resize(tiles * features.len(), Column([[0.0; LANES]; 2]));
        let tiles = self.columns.chunks_exact_mut(features.len().max(1));
        for (columns, rows) in tiles.zip(rows.chunks(feature_count * TILE_ROWS)) {
            for (column, feature) in columns.iter_mut().zip(features) {
                let values = rows.iter().skip(*feature).step_by(feature_count);
                column.0.as_flattened_mut().iter_mut().zip(values).for_each(|(place, value)| *place = *value);
            }
        }
    }
}

/// Adds a tree's leaves to the sums of the rows whose columns these are.
pub(crate) fn add_tree<N: Number>(
    level: Level,
    (bit_trees, tree): (&BitTrees<N>, &BitTree),
    columns: &Columns,
    (sums, outputs): (&mut [N], usize),
) {
    // A forest whose trees have one leaf each asks for nothing.
    let tiles = columns.columns.chunks_exact(columns.count.max(1)).map(Some).chain(std::iter::repeat(None));
    for (tile, sums) in tiles.zip(sums.chunks_mut(outputs * TILE_ROWS)) {
        let tile = tile.unwrap_or_default();
        match sums.len() > outputs * LANES {
            true => dispatch!(level, simd => add_tile::<_, N, 2>(simd, (bit_trees, tree), tile, (sums, outputs))),
            false => dispatch!(level, simd => add_tile::<_, N, 1>(simd, (bit_trees, tree), tile, (sums, outputs))),
        }
    }
}

#[inline(always)]
fn add_tile<S: Simd, N: Number, const VECTORS: usize>(
    simd: S,
    (bit_trees, tree): (&BitTrees<N>, &BitTree),
    tile: &[Column],
    (sums, outputs): (&mut [N], usize),
) {
    let mut found = [u32x16::splat(simd, 0); VECTORS];
    let mut before = [u32x16::splat(simd, 0); VECTORS];
    for (word, questions) in bit_trees.words(tree).enumerate().rev() {
        let left = ask::<S, VECTORS>(simd, questions, tile);
        let leaves_before = u32x16::splat(simd, word as u32 * u32::BITS);
        for ((left, found), before) in left.into_iter().zip(&mut found).zip(&mut before) {
            let is_none = left.simd_eq(u32x16::splat(simd, 0));
            *found = is_none.select(*found, left);
            *before = is_none.select(*before, leaves_before);
        }
    }
    let mut leaves = [[0; LANES]; VECTORS];
    for (leaves, (found, before)) in leaves.iter_mut().zip(found.into_iter().zip(before)) {
        // The zeros below the lowest one.
        let place = (!found & (found - u32x16::splat(simd, 1))).count_ones();
        (before + place).store_array(leaves);
    }
    add_leaves(tree, bit_trees.leaf_values(tree), leaves.as_flattened(), (sums, outputs));
}

/// The leaves of a word that the rows of a tile have left when all questions were asked.
#[inline(always)]
fn ask<S: Simd, const VECTORS: usize>(simd: S, questions: WordQuestions<'_>, tile: &[Column]) -> [u32x16<S>; VECTORS] {
    let mut left = [u32x16::splat(simd, u32::MAX); VECTORS];
    for question in questions.default_left {
        let Some(column) = tile.get(question.column as usize) else { continue };
        let Question { threshold, kept, .. } = *question;
        for (left, values) in left.iter_mut().zip(&column.0) {
            let goes_right = f32x16::load_array_ref(simd, values).simd_ge(f32x16::splat(simd, threshold));
            *left &= goes_right.select(u32x16::splat(simd, kept), u32x16::splat(simd, u32::MAX));
        }
    }
    for question in questions.default_right {
        let Some(column) = tile.get(question.column as usize) else { continue };
        let Question { threshold, kept, .. } = *question;
        for (left, values) in left.iter_mut().zip(&column.0) {
            // What is missing is not at most anything.
            let goes_left = f32x16::load_array_ref(simd, values).simd_le(f32x16::splat(simd, threshold));
            *left &= (!goes_left).select(u32x16::splat(simd, kept), u32x16::splat(simd, u32::MAX));
        }
    }
    left
}

/// Adds the leaf of each row to its sums.
#[inline(always)]
fn add_leaves<N: Number>(tree: &BitTree, values: &[N], leaves: &[u32], (sums, outputs): (&mut [N], usize)) {
    let LeafOutputs { first, count, .. } = tree.outputs;
    if count == 1 {
        for (sum, leaf) in sums.iter_mut().skip(first).step_by(outputs).zip(leaves) {
            if let Some(value) = values.get(*leaf as usize) {
                *sum += *value;
            }
        }
        return;
    }
    for (sums, leaf) in sums.chunks_exact_mut(outputs).zip(leaves) {
        let values = values.get(*leaf as usize * count..).unwrap_or_default();
        tree.outputs.select(sums).zip(values).for_each(|(sum, value)| *sum += *value);
    }
}
