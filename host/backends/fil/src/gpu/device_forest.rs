//! A forest in the memory of a device: one allocation, shared by the instances there.

use std::sync::Arc;

use bytemuck::Pod;
use bytes::Bytes;
use nereid_forest::{FlatForest, Numbers};
use nereid_gpu::{DeviceAllocation, Gpu, GpuStream, cudarc::driver::CudaFunction};
use nereid_tensor::{Buffer, DeviceError};

use crate::{
    gpu::{
        job::{AnswerNumber, Job, LinkNumber},
        kernel::Kernel,
        plan::Sizes,
    },
    shape::AnswerShape,
};

/// Arrays begin at multiples of this, as the driver's own allocations do.
const ALIGNMENT_BYTES: usize = 256;

/// Memory of the device that a forest leaves free: for rows, sums and answers, its own and those of others.
const RESERVED_BYTES: usize = 64 << 20;

/// A forest that was uploaded.
#[derive(Debug)]
pub(crate) struct DeviceForest {
    kernel: Arc<Kernel>,
    sizes: Sizes,
    /// The addresses of the arrays, and what every job says alike.
    job: Job,
    /// What those addresses belong to.
    memory: DeviceAllocation,
}

/// The elements of a vector as bytes, without a copy.
struct Elements<T>(Vec<T>);

// === impl DeviceForest ===

impl DeviceForest {
    /// Uploads a forest whose answers have this shape; complete when it returns.
    ///
    /// # Errors
    /// The device has not that much free memory, or a copy failed.
    pub(crate) fn upload(
        gpu: &Arc<Gpu>,
        kernel: Arc<Kernel>,
        flat: FlatForest,
        shape: AnswerShape,
    ) -> Result<Self, DeviceError> {
        let sizes = Sizes {
            feature_count: flat.feature_count,
            output_count: flat.output_count,
            number_bytes: flat.leaf_values.size(),
            multiprocessors: kernel.multiprocessors,
        };
        let mut job = job(&flat, shape);
        let is_averaged = !flat.divisors.is_empty();
        let arrays = arrays(flat);
        let (offsets, total_bytes) = offsets(arrays.each_ref().map(Buffer::len));
        check_room(total_bytes, gpu.memory()?.free_bytes)
            .map_err(|problem| DeviceError { device_id: gpu.ordinal(), problem })?;
        let stream = gpu.stream()?;
        let mut memory = stream.allocate(total_bytes)?;
        for (array, offset) in arrays.iter().zip(offsets) {
            stream.fill(&mut memory, offset, array)?;
        }
        stream.synchronise()?;
        let addresses = offsets.map(|offset| memory.address() + offset as u64);
        [
            job.nodes,
            job.trees,
            job.sets,
            job.words,
            job.leaf_values,
            job.additions,
            job.addition_starts,
            job.base_scores,
            job.divisors,
        ] = addresses;
        if !is_averaged {
            job.divisors = 0;
        }
        Ok(Self { kernel, sizes, job, memory })
    }

    /// Where it is.
    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        self.memory.gpu()
    }

    /// Bytes of the device's memory.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Bytes of the sums that one launch works with, for a batch of so many rows.
    pub(crate) fn sums_bytes(&self, row_count: usize) -> usize {
        let rows = row_count.min(self.sizes.rows_per_launch());
        rows * self.sizes.output_count * self.sizes.number_bytes
    }

    /// Has the stream answer `row_count` rows. The addresses belong to as many rows, to [`DeviceForest::sums_bytes`] bytes and to
    /// as many answers, which the caller keeps until the stream is synchronised.
    ///
    /// # Errors
    /// The driver refused.
    pub(crate) fn answer(&self, stream: &GpuStream, row_count: usize, memory: WorkMemory) -> Result<(), DeviceError> {
        let rows_per_launch = self.sizes.rows_per_launch();
        for first in (0..row_count).step_by(rows_per_launch) {
            let rows = rows_per_launch.min(row_count - first);
            let floats =
                |address: u64, per_row: u32| address + first as u64 * u64::from(per_row) * size_of::<f32>() as u64;
            let job = Job {
                rows: floats(memory.rows, self.job.feature_count),
                sums: memory.sums,
                answers: floats(memory.answers, self.job.answer_length),
                row_count: rows as u64,
                ..self.job
            };
            job.launch(self.function(), stream, self.sizes.launch(rows)).map_err(|error| DeviceError {
                device_id: self.gpu().ordinal(),
                problem: format!("the kernel of the fil backend could not be launched: {error}"),
            })?;
        }
        Ok(())
    }

    fn function(&self) -> &CudaFunction {
        if self.sizes.number_bytes == size_of::<f32>() { &self.kernel.single } else { &self.kernel.double }
    }
}

/// Addresses that belong to a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkMemory {
    pub(crate) rows: u64,
    pub(crate) sums: u64,
    pub(crate) answers: u64,
}

/// What all jobs say alike, without addresses.
fn job(flat: &FlatForest, shape: AnswerShape) -> Job {
    // The limits on forests keep all of them far below 32 bits.
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let (link, link_factor) = LinkNumber::of(flat.link);
    let (answer, threshold) = AnswerNumber::of(shape.answer);
    Job {
        link_factor,
        tree_count: count(flat.trees.len()),
        feature_count: count(flat.feature_count),
        output_count: count(flat.output_count),
        classes: count(flat.classes.max(1)),
        answer_length: count(shape.length),
        link,
        answer,
        threshold,
        ..Job::default()
    }
}

/// In the order of the addresses in a job.
fn arrays(flat: FlatForest) -> [Buffer; 9] {
    [
        buffer(flat.nodes),
        buffer(flat.trees),
        buffer(flat.sets),
        buffer(flat.words),
        numbers(flat.leaf_values),
        buffer(flat.additions),
        buffer(flat.addition_starts),
        numbers(flat.base_scores),
        numbers(flat.divisors),
    ]
}

/// Where arrays of these lengths lie in one allocation, and its length.
fn offsets<const COUNT: usize>(lengths: [usize; COUNT]) -> ([usize; COUNT], usize) {
    let mut end = 0_usize;
    let offsets = lengths.map(|length| {
        let start = end;
        end = (start + length).next_multiple_of(ALIGNMENT_BYTES);
        start
    });
    (offsets, end)
}

/// # Errors
/// The device has less free memory than the forest takes and others need.
fn check_room(bytes: usize, free_bytes: usize) -> Result<(), String> {
    match bytes.checked_add(RESERVED_BYTES).is_some_and(|needed_bytes| needed_bytes <= free_bytes) {
        true => Ok(()),
        false => Err(format!(
            "the forest takes {bytes} bytes of memory, and {RESERVED_BYTES} are left to others, but {free_bytes} are free"
        )),
    }
}

fn numbers(numbers: Numbers) -> Buffer {
    match numbers {
        Numbers::Single(numbers) => buffer(numbers),
        Numbers::Double(numbers) => buffer(numbers),
    }
}

fn buffer<T: Pod + Send + Sync>(elements: Vec<T>) -> Buffer {
    Bytes::from_owner(Elements(elements)).into()
}

// === impl Elements ===

impl<T: Pod> AsRef<[u8]> for Elements<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_follow_each_other_at_aligned_places() {
        assert_eq!(offsets([16, 0, 257, 1]), ([0, 256, 256, 768], 1_024));
        assert_eq!(offsets([0]), ([0], 0));
    }

    #[test]
    fn a_forest_without_room_is_refused_before_it_is_copied() {
        assert!(check_room(10, 10 + RESERVED_BYTES).is_ok());
        assert!(check_room(usize::MAX, usize::MAX).is_err());
        assert_eq!(
            check_room(11, 10 + RESERVED_BYTES).unwrap_err(),
            "the forest takes 11 bytes of memory, and 67108864 are left to others, but 67108874 are free"
        );
    }

    #[test]
    fn elements_are_bytes_without_a_copy() {
        let elements = vec![[1_u32, 2], [3, 4]];
        let address = elements.as_ptr().cast();
        let buffer = buffer(elements);
        assert_eq!((buffer.len(), buffer.as_slice().as_ptr()), (16, address));
    }
}
