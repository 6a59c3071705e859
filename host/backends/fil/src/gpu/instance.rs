//! Execution of a batch on a device.
//!
//! Copies: rows in the device's memory none for a batch of one, else one copy each into memory of the instance; answers one to
//! the host, or none when a caller takes memory of a device. One synchronisation with the device per batch. SHAP
//! values are computed by the processor, from a copy of the rows there.

use std::sync::Arc;

use nereid_backend::{Batch, BlockingInstance};
use nereid_gpu::{DeviceAllocation, GpuStream};
use nereid_inference::InferError;
use nereid_tensor::{Buffer, BufferMut, DataType, DeviceError, Shape, Tensor};

use crate::{
    gpu::device_forest::{DeviceForest, WorkMemory},
    instance::{Plan, output_shape},
    shape::{INPUT, OUTPUT},
};

/// Memory that an instance keeps between batches, each for rows, sums and answers. What is larger goes back.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// One of several that share a forest on a device.
pub(crate) struct GpuInstance {
    plan: Arc<Plan>,
    forest: Arc<DeviceForest>,
    stream: GpuStream,
    rows: Scratch,
    sums: Scratch,
    answers: Scratch,
}

/// Memory of a device that is used again.
#[derive(Default)]
struct Scratch {
    memory: Option<DeviceAllocation>,
}

/// The rows of a batch.
struct Rows {
    /// One per request.
    parts: Vec<Buffer>,
    /// Of all together.
    shape: Shape,
    count: usize,
}

// === impl GpuInstance ===

impl GpuInstance {
    /// # Errors
    /// The device gives no stream.
    pub(crate) fn new(plan: Arc<Plan>, forest: Arc<DeviceForest>) -> Result<Self, DeviceError> {
        let stream = forest.gpu().stream()?;
        let [rows, sums, answers] = Default::default();
        Ok(Self { plan, forest, stream, rows, sums, answers })
    }

    fn run(&mut self, batch: &mut Batch) -> Result<(), InferError> {
        self.plan.check(batch)?;
        let is_wanted = batch.requests().any(|request| request.wants(OUTPUT));
        let answers = match is_wanted {
            true => Some(self.answers(batch)?),
            false => None,
        };
        let values = self.plan.shap_values(batch)?;
        batch.mark_outputs_started();
        self.plan.respond(batch, answers, values)
    }

    /// The answers to all rows, in the shape of the rows.
    fn answers(&mut self, batch: &mut Batch) -> Result<Tensor, InferError> {
        let rows = Rows::of(batch, self.plan.shape.feature_count)?;
        let shape = output_shape(&rows.shape, &[self.plan.shape.length as u64]);
        let stays = batch.requests().any(|request| request.get().takes_device_memory);
        let computed = match rows.count {
            0 => Ok(Vec::new().into()),
            _ => self.compute(batch, &rows, stays),
        };
        if computed.is_err() {
            // What was copied and launched may still use the memory of the requests.
            let _already_told = self.stream.synchronise();
        }
        let buffer = computed.map_err(|error| InferError::internal(error.to_string()))?;
        [&mut self.rows, &mut self.sums, &mut self.answers].into_iter().for_each(Scratch::shrink);
        Tensor::new(DataType::Fp32, shape, buffer).map_err(|error| InferError::internal(error.to_string()))
    }

    /// The answers to rows, of which there are some; in memory of the device when they stay there.
    fn compute(&mut self, batch: &mut Batch, rows: &Rows, stays: bool) -> Result<Buffer, DeviceError> {
        let stream = &self.stream;
        let address = match rows.in_place(self.forest.gpu().ordinal()) {
            Some(address) => address,
            None => {
                let memory = self.rows.at_least(stream, rows.parts.iter().map(Buffer::len).sum())?;
                let mut offset = 0;
                for part in &rows.parts {
                    stream.fill(memory, offset, part)?;
                    offset += part.len();
                }
                memory.address()
            }
        };
        batch.mark_inputs_ready();
        let sums = self.sums.at_least(stream, self.forest.sums_bytes(rows.count))?.address();
        let answers_bytes = rows.count * self.plan.shape.length * size_of::<f32>();
        if stays {
            let answers = stream.allocate(answers_bytes)?;
            let memory = WorkMemory { rows: address, sums, answers: answers.address() };
            self.forest.answer(stream, rows.count, memory)?;
            stream.synchronise()?;
            return Ok(answers.into_buffer());
        }
        let answers = self.answers.at_least(stream, answers_bytes)?.address();
        self.forest.answer(stream, rows.count, WorkMemory { rows: address, sums, answers })?;
        let mut copy = BufferMut::zeroed(answers_bytes);
        stream.copy_out(answers, copy.as_mut_slice())?;
        // Everything is done by now; this lets go of what was copied from.
        stream.synchronise()?;
        Ok(copy.freeze())
    }
}

impl BlockingInstance for GpuInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.run(batch) {
            batch.fail_all(&error.prefixed(&format!("model '{}': ", self.plan.model_name)));
        }
    }

    fn takes_device_memory(&self) -> bool {
        true
    }
}

// === impl Rows ===

impl Rows {
    fn of(batch: &Batch, feature_count: usize) -> Result<Self, InferError> {
        let tensors: Vec<&Tensor> = batch.requests().filter_map(|request| request.input(INPUT)).collect();
        let missing = || InferError::internal(format!("'{INPUT}' is missing"));
        let first = tensors.first().filter(|_| tensors.len() == batch.len()).ok_or_else(missing)?;
        let is_row = |tensor: &&Tensor| {
            tensor.data_type() == DataType::Fp32 && tensor.shape().last() == Some(&(feature_count as u64))
        };
        if !tensors.iter().all(is_row) {
            return Err(InferError::internal(format!("'{INPUT}' is not FP32 rows of {feature_count} numbers")));
        }
        let shape = match tensors.as_slice() {
            [only] => only.shape().clone(),
            _ => first.shape().with_outermost(tensors.iter().filter_map(|tensor| tensor.shape().first()).sum()),
        };
        let parts: Vec<Buffer> = tensors.iter().map(|tensor| tensor.buffer().clone()).collect();
        let bytes: usize = parts.iter().map(Buffer::len).sum();
        Ok(Self { parts, shape, count: bytes / size_of::<f32>() / feature_count })
    }

    /// The address of the rows, where they are of one request and in the device's memory already.
    fn in_place(&self, device_id: i32) -> Option<u64> {
        let [part] = self.parts.as_slice() else { return None };
        let span = part.device().filter(|span| span.device_id == device_id)?;
        part.is_aligned_to(align_of::<f32>()).then_some(span.address)
    }
}

// === impl Scratch ===

impl Scratch {
    /// At least so many bytes, whatever is in them.
    fn at_least(&mut self, stream: &GpuStream, bytes: usize) -> Result<&mut DeviceAllocation, DeviceError> {
        let kept = self.memory.take().filter(|memory| memory.len() >= bytes);
        let memory = match kept {
            Some(memory) => memory,
            None => stream.allocate(bytes.checked_next_power_of_two().unwrap_or(bytes))?,
        };
        Ok(self.memory.insert(memory))
    }

    /// Gives back what is too large to keep.
    fn shrink(&mut self) {
        self.memory.take_if(|memory| memory.len() > KEPT_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::{InferRequest, NamedTensor, Signature, TensorSpec, response_channel};

    use super::*;

    fn batch_of(rows: &[&[f32]]) -> Batch {
        let spec = TensorSpec { name: INPUT.into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
        let signature = Signature { inputs: vec![spec], max_batch_size: 8, ..Signature::default() };
        Batch::new(rows.iter().map(|values| {
            let tensor = Tensor::from_elements([values.len() as u64 / 2, 2], values).unwrap();
            let request = InferRequest::new(vec![NamedTensor::new(INPUT, tensor)]);
            (signature.check(request).unwrap(), response_channel().0)
        }))
    }

    #[test]
    fn rows_of_several_requests_are_counted_together() {
        let rows = Rows::of(&batch_of(&[&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0]]), 2).unwrap();
        assert_eq!((rows.count, &*rows.shape, rows.parts.len()), (3, [3, 2].as_slice(), 2));
        assert_eq!(rows.in_place(0), None);
        assert_eq!(Rows::of(&batch_of(&[&[]]), 2).unwrap().count, 0);
        assert!(Rows::of(&batch_of(&[&[1.0, 2.0]]), 3).is_err());
    }
}
