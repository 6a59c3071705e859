//! The walk: eight rows through a tree, or one row through eight trees, at once.
//!
//! A step waits for memory twice (the node, then the feature); eight independent walks overlap these waits, which is
//! where the speed comes from. All take as many steps as the deepest leaf needs, without a branch that depends on data;
//! in deep trees every fourth step asks whether all have arrived. Sixteen at once do not fit the registers.

use crate::{
    number::Number,
    packed::{Packed, PackedNode, PackedTree},
};

/// Walks at once.
pub(crate) const LANES: usize = 8;

/// Steps between two looks whether all walks have arrived.
const STEPS: u32 = 4;

/// Adds the trees' leaves to the sums of one row.
pub(crate) fn add_row<N: Number>(packed: &Packed<N>, row: &[f32], sums: &mut [N]) {
    for trees in packed.trees.chunks(LANES) {
        let mut at = [0; LANES];
        let mut depth = 0;
        let mut is_plain = true;
        for (at, tree) in at.iter_mut().zip(trees) {
            *at = tree.root;
            depth = depth.max(tree.depth);
            is_plain &= tree.is_plain;
        }
        walk(packed, [row; LANES], &mut at, depth, is_plain);
        for (at, tree) in at.iter().zip(trees) {
            add_leaf(packed, *at, tree, sums);
        }
    }
}

/// Adds a tree's leaves to the sums of rows, as many as there are `sums`, a multiple of [`LANES`].
pub(crate) fn add_rows<N: Number>(
    packed: &Packed<N>,
    tree: &PackedTree,
    (rows, feature_count): (&[f32], usize),
    (sums, outputs): (&mut [N], usize),
) {
    let groups = rows.chunks_exact(feature_count * LANES).zip(sums.chunks_exact_mut(outputs * LANES));
    for (rows, sums) in groups {
        let mut lanes = [rows; LANES];
        for (lane, row) in lanes.iter_mut().zip(rows.chunks_exact(feature_count)) {
            *lane = row;
        }
        let mut at = [tree.root; LANES];
        walk(packed, lanes, &mut at, tree.depth, tree.is_plain);
        for (at, sums) in at.iter().zip(sums.chunks_exact_mut(outputs)) {
            add_leaf(packed, *at, tree, sums);
        }
    }
}

#[inline(always)]
fn walk<N: Number>(packed: &Packed<N>, rows: [&[f32]; LANES], at: &mut [u32; LANES], depth: u32, is_plain: bool) {
    let nodes = packed.nodes.as_slice();
    match is_plain {
        true => steps(nodes, rows, at, depth, |node, value| node.next(value)),
        false => steps(nodes, rows, at, depth, |node, value| packed.next(node, value)),
    }
}

#[inline(always)]
fn steps(
    nodes: &[PackedNode],
    rows: [&[f32]; LANES],
    at: &mut [u32; LANES],
    depth: u32,
    next: impl Fn(PackedNode, f32) -> u32,
) {
    let mut left = depth;
    while left > 0 {
        let before = *at;
        for _ in 0..left.min(STEPS) {
            for (at, row) in at.iter_mut().zip(rows) {
                // Both are there, as the forest's invariant and the row's length say; the compiler wants to see it.
                let Some(node) = nodes.get(*at as usize) else { return };
                let Some(value) = row.get(node.feature()) else { return };
                *at = next(*node, *value);
            }
        }
        left = left.saturating_sub(STEPS);
        if before == *at {
            return;
        }
    }
}

#[inline(always)]
fn add_leaf<N: Number>(packed: &Packed<N>, at: u32, tree: &PackedTree, sums: &mut [N]) {
    let Some(node) = packed.nodes.get(at as usize) else { return };
    let start = node.leaf();
    if tree.outputs.count == 1 {
        if let (Some(sum), Some(value)) = (sums.get_mut(tree.outputs.first), packed.leaf_values.get(start)) {
            *sum += *value;
        }
        return;
    }
    let values = packed.leaf_values.get(start..).unwrap_or_default();
    for (sum, value) in tree.outputs.select(sums).zip(values) {
        *sum += *value;
    }
}
