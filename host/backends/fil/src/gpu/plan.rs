//! How much of a batch a block of threads takes, and how many blocks and launches there are: pure arithmetic.
//!
//! Few rows are spread: a block takes one row, and its threads share the trees. Of many rows a block takes more, while
//! there are still enough blocks to keep every multiprocessor busy; 32 rows are what a warp takes through one tree.

/// Threads of a block.
pub(crate) const THREADS: u32 = 256;

/// Trees between two looks at the sums: a tree for each thread where a block has one row.
pub(crate) const TREES: u32 = 256;

/// Bytes of a block's slots, one per tree and row; six such blocks fit a multiprocessor together.
const SLOT_BYTES_MAX: u32 = 32 << 10;

/// Bytes of the rows that a block keeps. With the slots less than the 48 KiB that every device gives without being asked.
const STAGED_BYTES_MAX: usize = 15 << 10;

/// Blocks per multiprocessor that are worth more than larger blocks.
const BLOCKS_PER_MULTIPROCESSOR: u64 = 2;

/// Bytes of the sums of one launch. Outputs are few, as a rule, and then a batch is one launch.
const SUMS_BYTES_MAX: usize = 256 << 20;

/// What the kernel is told beside the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaunchPlan {
    pub(crate) rows_per_block: u32,
    pub(crate) blocks: u32,
    /// Whether a block copies its rows into shared memory first.
    pub(crate) stages_rows: bool,
    pub(crate) shared_bytes: u32,
}

/// What decides about launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) feature_count: usize,
    pub(crate) output_count: usize,
    /// Bytes of a sum.
    pub(crate) number_bytes: usize,
    pub(crate) multiprocessors: u32,
}

// === impl Sizes ===

impl Sizes {
    /// Rows of one launch; a batch may need several.
    pub(crate) fn rows_per_launch(self) -> usize {
        (SUMS_BYTES_MAX / (self.output_count * self.number_bytes).max(1)).max(1)
    }

    /// The launch of so many rows, which are at most [`Sizes::rows_per_launch`].
    pub(crate) fn launch(self, row_count: usize) -> LaunchPlan {
        let row_count = row_count as u64;
        let number_bytes = u32::try_from(self.number_bytes).unwrap_or(u32::MAX);
        let rows_max = (SLOT_BYTES_MAX / TREES / number_bytes.max(1)).max(1);
        let blocks_wanted = BLOCKS_PER_MULTIPROCESSOR * u64::from(self.multiprocessors.max(1));
        let mut rows_per_block = 1;
        while rows_per_block < rows_max && row_count.div_ceil(u64::from(2 * rows_per_block)) >= blocks_wanted {
            rows_per_block *= 2;
        }
        let row_bytes = (self.feature_count | 1).saturating_mul(size_of::<f32>());
        let staged_bytes = row_bytes.saturating_mul(rows_per_block as usize);
        let stages_rows = staged_bytes <= STAGED_BYTES_MAX;
        let staged_bytes = if stages_rows { u32::try_from(staged_bytes).unwrap_or_default() } else { 0 };
        LaunchPlan {
            rows_per_block,
            // A launch has at most 2^28 sums, so that this always fits.
            blocks: u32::try_from(row_count.div_ceil(u64::from(rows_per_block))).unwrap_or(u32::MAX),
            stages_rows,
            shared_bytes: TREES * rows_per_block * number_bytes + staged_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { feature_count: 28, output_count: 1, number_bytes: 4, multiprocessors: 132 };

    fn rows_and_blocks(row_count: usize) -> (u32, u32) {
        let plan = SIZES.launch(row_count);
        (plan.rows_per_block, plan.blocks)
    }

    #[test]
    fn few_rows_are_spread_and_many_share_blocks() {
        assert_eq!(rows_and_blocks(1), (1, 1));
        assert_eq!(rows_and_blocks(64), (1, 64));
        assert_eq!(rows_and_blocks(1_000), (2, 500));
        assert_eq!(rows_and_blocks(10_000), (32, 313));
        assert_eq!(rows_and_blocks(32_768), (32, 1_024));
    }

    #[test]
    fn every_row_has_its_block_and_shared_memory_is_enough_on_every_device() {
        for feature_count in [1, 28, 120, 1 << 24] {
            for number_bytes in [4, 8] {
                for output_count in [1, 3, 1 << 16] {
                    let sizes = Sizes { feature_count, output_count, number_bytes, multiprocessors: 132 };
                    let largest = sizes.rows_per_launch();
                    assert!(largest * output_count * number_bytes <= SUMS_BYTES_MAX);
                    for rows in [1, 2, 63, 1_000, 100_000, largest] {
                        let rows = rows.min(largest);
                        let plan = sizes.launch(rows);
                        let covered = u64::from(plan.blocks) * u64::from(plan.rows_per_block);
                        assert!(covered >= rows as u64 && covered < rows as u64 + u64::from(plan.rows_per_block));
                        assert!(plan.shared_bytes <= 48 << 10 && plan.blocks < i32::MAX as u32, "{plan:?}");
                        assert!(plan.rows_per_block.is_power_of_two() && plan.rows_per_block <= 32);
                        // The kernel counts a block's rows times outputs in 32 bits.
                        assert!(u64::from(plan.rows_per_block) * (output_count as u64) < 1 << 31);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_are_kept_where_they_fit() {
        assert!(SIZES.launch(10_000).stages_rows);
        let wide = Sizes { feature_count: 784, ..SIZES };
        assert!(wide.launch(64).stages_rows && !wide.launch(10_000).stages_rows);
    }
}
