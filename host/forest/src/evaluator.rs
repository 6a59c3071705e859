//! From rows to scores.
//!
//! Cost: a batch of one takes no allocation for up to [`SUMS_INLINE`] outputs; a larger one takes one block of sums per
//! thread. Batches beyond [`SHARED_WORK_MIN`] walks are shared among threads, when there are some.

use fearless_simd::Level;

use crate::{Forest, Link, Precision, Task, Threads, ask::Columns, number::Number, threads::Work, trees::Trees};

/// A forest, ready to be evaluated.
#[derive(Debug)]
pub struct Evaluator {
    shape: EvaluatorShape,
    trees: AnyTrees,
}

/// What is around the trees.
#[derive(Debug)]
struct EvaluatorShape {
    feature_count: usize,
    output_count: usize,
    classes: usize,
    targets: usize,
    task: Task,
    link: Link,
    base_scores: Vec<f64>,
    /// By what the sums are divided, where they are averages.
    divisors: Option<Vec<f64>>,
}

#[derive(Debug)]
enum AnyTrees {
    Single(Trees<f32>),
    Double(Trees<f64>),
}

/// Rows whose sums are kept at once: 64 rows of 28 features and their sums stay in the first-level cache.
const BLOCK_ROWS: usize = 64;

/// Sums of one row that need no allocation.
const SUMS_INLINE: usize = 16;

/// Rows times trees that make a batch worth waking threads for; about half a millisecond of work.
const SHARED_WORK_MIN: usize = 50_000;

// === impl Evaluator ===

impl Evaluator {
    /// Lays a forest out for the processor that this runs on.
    pub fn new(forest: &Forest) -> Self {
        Self::for_level(forest, Level::new())
    }

    fn for_level(forest: &Forest, level: Level) -> Self {
        let shape = EvaluatorShape {
            feature_count: forest.feature_count,
            output_count: forest.output_count(),
            classes: forest.classes,
            targets: forest.targets,
            task: forest.task,
            link: forest.link,
            base_scores: forest.base_scores.clone(),
            divisors: forest.divisors(),
        };
        let trees = match forest.precision {
            Precision::Single => AnyTrees::Single(Trees::new(forest, level)),
            Precision::Double => AnyTrees::Double(Trees::new(forest, level)),
        };
        Self { shape, trees }
    }

    /// Numbers in a row.
    pub fn feature_count(&self) -> usize {
        self.shape.feature_count
    }

    /// Scores of a row: targets times classes.
    pub fn output_count(&self) -> usize {
        self.shape.output_count
    }

    /// Scores that belong to one target.
    pub fn classes(&self) -> usize {
        self.shape.classes
    }

    /// Things that are predicted at once.
    pub fn targets(&self) -> usize {
        self.shape.targets
    }

    /// What the scores mean.
    pub fn task(&self) -> Task {
        self.shape.task
    }

    /// Memory that the trees occupy.
    pub fn bytes(&self) -> usize {
        match &self.trees {
            AnyTrees::Single(trees) => trees.bytes(),
            AnyTrees::Double(trees) => trees.bytes(),
        }
    }

    /// Writes the scores of every row, with at most `parts` of the threads.
    ///
    /// Whole rows that have room in `scores` are evaluated; nothing is written for others.
    pub fn scores(&self, rows: &[f32], scores: &mut [f32], threads: Option<(&Threads, usize)>) {
        match &self.trees {
            AnyTrees::Single(trees) => self.shape.scores(trees, rows, scores, threads),
            AnyTrees::Double(trees) => self.shape.scores(trees, rows, scores, threads),
        }
    }
}

// === impl EvaluatorShape ===

impl EvaluatorShape {
    fn scores<N: Number>(
        &self,
        trees: &Trees<N>,
        rows: &[f32],
        scores: &mut [f32],
        threads: Option<(&Threads, usize)>,
    ) {
        let row_count = rows.len() / self.feature_count;
        let is_large = row_count >= 2 * BLOCK_ROWS && row_count * trees.count() >= SHARED_WORK_MIN;
        match threads.filter(|(threads, parts)| is_large && threads.count().min(*parts) > 1) {
            Some((threads, parts)) => {
                let (row_length, result_length) = (self.feature_count, self.output_count);
                let work = Work { rows, row_length, results: scores, result_length, granule: BLOCK_ROWS };
                threads.share(work, parts, |rows, scores| self.part(trees, rows, scores));
            }
            None => self.part(trees, rows, scores),
        }
    }

    /// The rows of one thread.
    fn part<N: Number>(&self, trees: &Trees<N>, rows: &[f32], scores: &mut [f32]) {
        let mut inline = [N::ZERO; SUMS_INLINE];
        let mut heap = Vec::new();
        let mut columns = Columns::default();
        let row_count = (rows.len() / self.feature_count).min(BLOCK_ROWS);
        let needed = self.output_count * if row_count < Trees::<N>::ROWS_TOGETHER { 1 } else { row_count };
        let sums = match inline.get_mut(..needed) {
            Some(sums) => sums,
            None => {
                heap.resize(needed, N::ZERO);
                heap.as_mut_slice()
            }
        };
        let blocks =
            rows.chunks(self.feature_count * BLOCK_ROWS).zip(scores.chunks_mut(self.output_count * BLOCK_ROWS));
        blocks.for_each(|(rows, scores)| self.block(trees, (rows, &mut columns), scores, sums));
    }

    fn block<N: Number>(
        &self,
        trees: &Trees<N>,
        (rows, columns): (&[f32], &mut Columns),
        scores: &mut [f32],
        sums: &mut [N],
    ) {
        let row_count = rows.len() / self.feature_count;
        let together = row_count - row_count % Trees::<N>::ROWS_TOGETHER;
        let (rows, other_rows) = rows.split_at(together * self.feature_count);
        let (scores, other_scores) = scores.split_at_mut((together * self.output_count).min(scores.len()));
        if together > 0 {
            let sums = sums.get_mut(..together * self.output_count).unwrap_or_default();
            sums.chunks_exact_mut(self.output_count).for_each(|sums| self.begin(sums));
            trees.add_rows((rows, self.feature_count), (sums, self.output_count), columns);
            let pairs = sums.chunks_exact_mut(self.output_count).zip(scores.chunks_exact_mut(self.output_count));
            pairs.for_each(|(sums, scores)| self.finish(sums, scores));
        }
        let single = sums.get_mut(..self.output_count).unwrap_or_default();
        let others = other_rows.chunks_exact(self.feature_count).zip(other_scores.chunks_exact_mut(self.output_count));
        for (row, scores) in others {
            self.begin(single);
            trees.add_row(row, single);
            self.finish(single, scores);
        }
    }

    /// What sums begin with: base scores, as boosting has it, unless they are to be divided.
    fn begin<N: Number>(&self, sums: &mut [N]) {
        match self.divisors {
            Some(_) => sums.fill(N::ZERO),
            None => sums.iter_mut().zip(&self.base_scores).for_each(|(sum, base)| *sum = N::from_f64(*base)),
        }
    }

    fn finish<N: Number>(&self, sums: &mut [N], scores: &mut [f32]) {
        if let Some(divisors) = &self.divisors {
            for ((sum, divisor), base) in sums.iter_mut().zip(divisors).zip(&self.base_scores) {
                *sum = *sum / N::from_f64(*divisor) + N::from_f64(*base);
            }
        }
        self.link.apply(sums, self.classes);
        scores.iter_mut().zip(sums).for_each(|(score, sum)| *score = sum.to_f32());
    }
}

#[cfg(test)]
pub(crate) mod tests;
