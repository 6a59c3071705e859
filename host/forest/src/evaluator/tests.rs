//! The evaluator against the plainest walk there is, over random forests and rows, and its handling of threads.

use fearless_simd::{Level, Simd};
use proptest::prelude::*;

use super::*;
use crate::{
    forest::{LeafOutputs, NodeKind},
    growth::{FileNode, Grove, Question},
};

/// Draws from a seed, so that a failing case is one number.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// Few different values, so that rows meet thresholds.
    pub(crate) fn value(&mut self) -> f32 {
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-36, -0.5, 0.5, 1.0, 2.0, 3.0, 33.0]
            [self.below(12) as usize]
    }

    fn question(&mut self, plain: bool) -> Question {
        match self.below(if plain { 2 } else { 3 }) {
            0 => Question::Below(f64::from(self.value()).max(-1.0)),
            1 => Question::AtMost(f64::from(self.value()).max(-1.0)),
            _ => {
                let categories = (0..self.below(5)).map(|_| self.below(40) as u32).collect();
                Question::Member { categories, truncates: self.below(2) == 0 }
            }
        }
    }

    fn tree(&mut self, grove: &mut Grove, outputs: LeafOutputs, plain: bool) {
        // One in eight has several words of leaves, and some of these are too large to be asked.
        let splits = match self.below(8) {
            0 => self.below(400) as usize,
            _ => self.below(24) as usize,
        };
        // A split takes a leaf that is there and puts two in its place.
        let mut nodes: Vec<Option<[usize; 2]>> = vec![None];
        for _ in 0..splits {
            let leaves: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].is_none()).collect();
            let leaf = leaves[self.below(leaves.len() as u64) as usize];
            nodes[leaf] = Some([nodes.len(), nodes.len() + 1]);
            nodes.extend([None, None]);
        }
        let node = |number: usize| {
            let node = match nodes[number] {
                None => FileNode::Leaf((0..outputs.count).map(|_| self.below(7) as f64 - 3.0).collect()),
                Some(children) => FileNode::Split {
                    feature: self.below(FEATURES as u64) as usize,
                    question: self.question(plain),
                    default_left: self.below(2) == 0,
                    zero_is_missing: !plain && self.below(3) == 0,
                    children,
                },
            };
            Ok((node, 1.0))
        };
        grove.grow(nodes.len(), outputs, node).unwrap();
    }

    pub(crate) fn forest(&mut self) -> Forest {
        let outputs = 1 + self.below(3) as usize;
        let plain = self.below(2) == 0;
        let mut grove = Grove::new(FEATURES);
        for _ in 0..self.below(20) {
            let leaf = match self.below(3) {
                0 => LeafOutputs::all(outputs),
                _ => LeafOutputs::one(self.below(outputs as u64) as usize),
            };
            self.tree(&mut grove, leaf, plain);
        }
        Forest {
            feature_count: FEATURES,
            task: Task::Regression,
            targets: 1,
            classes: outputs,
            base_scores: (0..outputs).map(|output| output as f64).collect(),
            is_averaged: self.below(2) == 0,
            link: Link::Identity,
            precision: if self.below(2) == 0 { Precision::Single } else { Precision::Double },
            trees: grove.into_trees(),
        }
    }
}

pub(crate) const FEATURES: usize = 5;

/// What this processor can do, and what lesser ones can.
fn levels() -> Vec<Level> {
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let lesser = [best.as_avx2().map(Simd::level), best.as_sse4_2().map(Simd::level), best.as_sse2().map(Simd::level)];
    #[cfg(not(target_arch = "x86_64"))]
    let lesser: [Option<Level>; 0] = [];
    [Some(best)].into_iter().chain(lesser).flatten().collect()
}

/// One row, one tree, one node after the other, in 64 bits.
fn plainly(forest: &Forest, row: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; forest.output_count()];
    for tree in &forest.trees {
        let mut at = 0;
        let start = loop {
            match &tree.nodes[at].kind {
                NodeKind::Leaf(start) => break *start,
                NodeKind::Split(split) => {
                    at = split.left + usize::from(!split.goes_left(row[split.feature], &tree.words));
                }
            }
        };
        for (sum, value) in tree.outputs.select(&mut sums).zip(&tree.leaf_values[start..]) {
            *sum += value;
        }
    }
    let counts = forest.trees_per_output();
    for ((sum, count), base) in sums.iter_mut().zip(counts).zip(&forest.base_scores) {
        *sum = *sum / if forest.is_averaged { count.max(1) as f64 } else { 1.0 } + base;
    }
    sums
}

proptest! {
    #[test]
    fn decides_like_the_plainest_walk(seed in any::<u64>(), row_count in 1_usize..150) {
        let mut draw = Draw(seed);
        let forest = draw.forest();
        let rows: Vec<f32> = (0..row_count * FEATURES).map(|_| draw.value()).collect();
        let mut of_levels = levels().into_iter().map(|level| {
            let mut scores = vec![f32::NAN; row_count * forest.output_count()];
            Evaluator::for_level(&forest, level).scores(&rows, &mut scores, None);
            scores
        });
        let scores = of_levels.next().unwrap();
        for other in of_levels {
            prop_assert_eq!(&other, &scores);
        }
        let found = scores.chunks(forest.output_count());
        for (row, found) in rows.chunks(FEATURES).zip(found) {
            let expected = plainly(&forest, row);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((f64::from(*found) - expected).abs() < 1e-5, "{:?}: {} for {}", row, found, expected);
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    let mut draw = Draw(7);
    let mut forest = draw.forest();
    while forest.trees.len() < 8 {
        forest = draw.forest();
    }
    let row_count = SHARED_WORK_MIN / 4 + 77;
    let rows: Vec<f32> = (0..row_count * FEATURES).map(|_| draw.value()).collect();
    let evaluator = Evaluator::new(&forest);
    let mut alone = vec![f32::NAN; row_count * forest.output_count()];
    evaluator.scores(&rows, &mut alone, None);
    assert!(alone.iter().all(|score| !score.is_nan()));
    let threads = Threads::new(3).unwrap();
    for parts in [2, 3, 50] {
        let mut shared = vec![f32::NAN; alone.len()];
        evaluator.scores(&rows, &mut shared, Some((&threads, parts)));
        assert_eq!(shared, alone, "{parts} parts");
    }
}

#[test]
fn a_row_that_is_not_whole_is_not_evaluated() {
    let forest = Draw(3).forest();
    let mut scores = vec![7.0; 2 * forest.output_count()];
    Evaluator::new(&forest).scores(&[0.0; 2 * FEATURES - 1], &mut scores, None);
    let (first, second) = scores.split_at(forest.output_count());
    assert!(first.iter().all(|score| *score != 7.0) && second.iter().all(|score| *score == 7.0), "{scores:?}");
}
