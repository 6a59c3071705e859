//! How large batches were, as a histogram over powers of two.
//!
//! The bounds are the same for every model, so that they can be added up. Cost of an observation: a few instructions and
//! one relaxed addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::page::HistogramReading;

/// The family's name.
pub(crate) const FAMILY: &str = "nereid_batch_size";

/// Bounds are 1, 2, 4 and so on up to 1,024: larger batches are rare, and every bound is one more series per model.
const BOUNDS: usize = 11;

/// Batches per bound, and those beyond all of them.
#[derive(Debug, Default)]
pub(crate) struct BatchSizes([AtomicU64; BOUNDS + 1]);

// === impl BatchSizes ===

impl BatchSizes {
    /// One batch of `rows` rows.
    pub(crate) fn observe(&self, rows: u64) {
        // The number of bounds below `rows`: how often 1 must be doubled to reach it.
        let doublings = (u64::BITS - rows.saturating_sub(1).leading_zeros()) as usize;
        if let Some(count) = self.0.get(doublings.min(BOUNDS)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// As the page shows it; `rows` is the sum of all that was observed.
    pub(crate) fn read(&self, rows: u64) -> HistogramReading {
        let mut count = 0;
        let mut cumulative = self.0.iter().map(|bucket| {
            count += bucket.load(Relaxed);
            count
        });
        let buckets = (0..BOUNDS).map(|doublings| (1_u64 << doublings) as f64).zip(&mut cumulative).collect();
        cumulative.for_each(drop);
        HistogramReading { buckets, count, sum: rows as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_for_the_first_bound_that_it_does_not_exceed() {
        let sizes = BatchSizes::default();
        for rows in [0, 1, 2, 3, 4, 5, 1_024, 1_025, u64::MAX] {
            sizes.observe(rows);
        }
        let reading = sizes.read(17);
        let of = |bound: f64| reading.buckets.iter().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!([1.0, 2.0, 4.0, 8.0, 512.0, 1_024.0].map(of), [2, 3, 5, 6, 6, 7]);
        assert_eq!((reading.buckets.len(), reading.count, reading.sum), (11, 9, 17.0));
    }
}
