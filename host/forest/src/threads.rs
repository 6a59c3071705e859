//! The threads that share large batches: one pool for all models, as large as the machine.

use std::thread::available_parallelism;

use rayon::{
    ThreadPool, ThreadPoolBuilder,
    iter::{IndexedParallelIterator, ParallelIterator},
    slice::{ParallelSlice, ParallelSliceMut},
};

use crate::limits::THREADS_MAX;

/// A pool of threads.
#[derive(Debug)]
pub struct Threads {
    pool: ThreadPool,
}

/// Rows, the numbers that are made of them, and how many of each belong together.
pub(crate) struct Work<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) row_length: usize,
    pub(crate) results: &'a mut [f32],
    pub(crate) result_length: usize,
    /// Parts begin at multiples of this many rows.
    pub(crate) granule: usize,
}

// === impl Threads ===

impl Threads {
    /// A pool of `count` threads; 0 is one per processor.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(count: usize) -> Result<Self, String> {
        let count = match count {
            0 => available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let name = |index| format!("forest-{index}");
        let pool = ThreadPoolBuilder::new().num_threads(count.min(THREADS_MAX)).thread_name(name).build();
        Ok(Self { pool: pool.map_err(|error| error.to_string())? })
    }

    /// How many threads.
    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Has the rows worked on in `parts` parts at most; returns when all are done.
    pub(crate) fn share(&self, work: Work<'_>, parts: usize, job: impl Fn(&[f32], &mut [f32]) + Sync) {
        let row_count = work.rows.len() / work.row_length.max(1);
        let part_rows = row_count.div_ceil(parts.max(1)).max(1).next_multiple_of(work.granule.max(1));
        self.pool.install(|| {
            let rows = work.rows.par_chunks(part_rows * work.row_length);
            let results = work.results.par_chunks_mut(part_rows * work.result_length);
            rows.zip(results).for_each(|(rows, results)| job(rows, results));
        });
    }
}
