//! Execution of a batch: gather, run once, hand out.
//!
//! Copies per tensor: inputs none for a batch of one (one gather for more, one where the memory is not aligned for the
//! elements); outputs none, either written into our memory by the library or lent by it until the response is gone;
//! strings one each way. Numbers in a client's shared memory are used in place, with one exception: integers and
//! booleans steer what the library does next, and it may read them twice, so they are copied out before and in after.

use std::{ffi::CStr, sync::Arc};

use nereid_backend::{Batch, BlockingInstance, scatter};
use nereid_inference::{CheckedRequest, InferError, InferResponse, NamedTensor};
use nereid_tensor::{Buffer, BufferMut, DataType, Shape, Tensor};
use ort::{ErrorCode, session::Session};

use crate::{
    iterate,
    plan::{Plan, PlannedTensor},
    run::{OutputSlot, run},
    value::RuntimeTensor,
};

/// One of several that share a session; it holds nothing of its own but the thread that it runs on.
pub(crate) struct OnnxInstance {
    pub(crate) session: Arc<Session>,
    pub(crate) plan: Arc<Plan>,
}

/// An input as the session gets it; owns what the runtime's tensor borrows.
struct PreparedInput<'p> {
    planned: &'p PlannedTensor,
    tensor: Tensor,
    shape: Shape,
    /// The bytes, copied when they are not fit to be read where they are.
    copy: Option<BufferMut>,
}

/// An output that some request wants.
struct WantedOutput<'p> {
    planned: &'p PlannedTensor,
    /// Shape and memory, when both are known before the run.
    ours: Option<(Shape, BufferMut)>,
}

// === impl OnnxInstance ===

impl BlockingInstance for OnnxInstance {
    fn execute(&mut self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        match self.answer(batch) {
            Ok(responses) => {
                for (index, response) in responses.into_iter().enumerate() {
                    iterate::conclude(batch, index, response, self.plan.iterate_while.as_deref());
                }
            }
            Err(error) => batch.fail_all(&error),
        }
    }
}

impl OnnxInstance {
    fn answer(&self, batch: &mut Batch) -> Result<Vec<InferResponse>, InferError> {
        if !self.plan.batching && batch.len() > 1 {
            let (name, requests) = (&self.plan.model_name, batch.len());
            let text = format!("model '{name}' does not batch, and got {requests} requests in one execution");
            return Err(InferError::internal(text));
        }
        let inputs = self.prepare(batch)?;
        let wanted = self.wanted(batch);
        batch.mark_inputs_ready();
        let outputs = self.run(&inputs, wanted)?;
        batch.mark_outputs_started();
        self.hand_out(batch, outputs)
    }

    fn prepare(&self, batch: &Batch) -> Result<Vec<PreparedInput<'_>>, InferError> {
        let plan = &self.plan;
        let mut inputs = Vec::with_capacity(plan.inputs.len() + plan.batch_inputs.len());
        for planned in &plan.inputs {
            // An optional input that no request brings is left to the model's own default.
            let Some(tensor) = plan.forms.gather(batch, &planned.name)? else { continue };
            inputs.push(PreparedInput::new(planned, tensor));
        }
        for (planned, made) in plan.batch_inputs.iter().zip(plan.forms.tensors()) {
            let tensor = made.make(batch).map_err(|error| error.prefixed(&self.prefix()))?;
            inputs.push(PreparedInput::new(planned, tensor));
        }
        Ok(inputs)
    }

    fn wanted(&self, batch: &Batch) -> Vec<WantedOutput<'_>> {
        let rows = batch.rows();
        let is_wanted = |planned: &&PlannedTensor| {
            self.plan.iterates_by(&planned.name) || batch.requests().any(|request| request.wants(&planned.name))
        };
        let wanted = self.plan.outputs.iter().filter(is_wanted);
        let ours = |planned: &PlannedTensor| {
            let shape = planned.known_shape(rows, self.plan.batching)?;
            let length_bytes = shape.byte_size(planned.data_type)?;
            let memory = clients_memory(batch, planned, length_bytes);
            Some((shape, memory.unwrap_or_else(|| BufferMut::zeroed(length_bytes))))
        };
        wanted.map(|planned| WantedOutput { planned, ours: ours(planned) }).collect()
    }

    fn run(
        &self,
        inputs: &[PreparedInput<'_>],
        mut wanted: Vec<WantedOutput<'_>>,
    ) -> Result<Vec<(Arc<str>, Tensor)>, InferError> {
        let failed = |error: ort::Error| self.failed(error);
        let inputs: Vec<_> = inputs.iter().map(PreparedInput::view).collect::<Result<_, _>>().map_err(failed)?;
        let mut slots: Vec<_> = wanted.iter_mut().map(WantedOutput::slot).collect::<Result<_, _>>().map_err(failed)?;
        run(&self.session, &inputs, &mut slots).map_err(failed)?;
        // Tensors over our memory are let go; those that the library allocated go on.
        let theirs: Vec<Option<RuntimeTensor<'static>>> = slots.into_iter().map(|slot| slot.theirs).collect();
        let outputs = wanted.into_iter().zip(theirs).map(|(output, theirs)| {
            let name = output.planned.name.clone();
            Ok((name, self.finish(output, theirs)?))
        });
        outputs.collect()
    }

    /// The output as a tensor of ours.
    fn finish(&self, output: WantedOutput<'_>, theirs: Option<RuntimeTensor<'static>>) -> Result<Tensor, InferError> {
        let planned = output.planned;
        let (shape, buffer) = match (output.ours, theirs) {
            (Some((shape, memory)), _) => (shape, memory.freeze()),
            (None, Some(tensor)) => self.take(planned, tensor)?,
            (None, None) => return Err(self.broken(planned, "was not computed")),
        };
        Tensor::new(planned.data_type, planned.output_shape(shape), buffer)
            .map_err(|error| self.broken(planned, &error.to_string()))
    }

    /// Shape and elements of a tensor that the library allocated.
    fn take(&self, planned: &PlannedTensor, tensor: RuntimeTensor<'static>) -> Result<(Shape, Buffer), InferError> {
        let (data_type, shape) = tensor.layout().map_err(|error| self.failed(error))?;
        if data_type != Some(planned.data_type) {
            let found = data_type.map_or("of a type that cannot be served", DataType::name);
            return Err(self.broken(planned, &format!("is {found}, expected {}", planned.data_type)));
        }
        let too_large = || self.broken(planned, "is too large");
        let elements = shape.checked_element_count().and_then(|count| usize::try_from(count).ok());
        let buffer = match planned.data_type {
            DataType::Bytes => tensor.encoded_strings(elements.ok_or_else(too_large)?),
            data_type => {
                let length_bytes = shape.byte_size(data_type).ok_or_else(too_large)?;
                tensor.into_buffer(length_bytes, self.session.clone())
            }
        };
        Ok((shape, buffer.map_err(|error| self.failed(error))?))
    }

    fn hand_out(&self, batch: &Batch, outputs: Vec<(Arc<str>, Tensor)>) -> Result<Vec<InferResponse>, InferError> {
        let mut responses: Vec<InferResponse> = batch.requests().map(|_| InferResponse::default()).collect();
        let rows: Vec<u64> = batch.requests().map(CheckedRequest::batch_size).collect();
        for (name, output) in outputs {
            let parts = match (self.plan.forms.cut_of(&name), self.plan.batching) {
                (Some(cut), _) => cut.hand_out(batch, &output),
                (None, true) => scatter(&name, output, &rows),
                (None, false) => Ok(vec![output]),
            };
            let parts = parts.map_err(|error| error.prefixed(&self.prefix()))?;
            for ((response, request), tensor) in responses.iter_mut().zip(batch.requests()).zip(parts) {
                if self.plan.iterates_by(&name) || request.wants(&name) {
                    response.outputs.push(NamedTensor::new(name.clone(), tensor));
                }
            }
        }
        Ok(responses)
    }

    fn prefix(&self) -> String {
        format!("model '{}': ", self.plan.model_name)
    }

    /// The library's error, whose own words follow Triton's prefix.
    fn failed(&self, error: ort::Error) -> InferError {
        let text = format!("{}onnx runtime error {}: {}", self.prefix(), error.code() as u32, error.message());
        match error.code() {
            ErrorCode::InvalidArgument => InferError::invalid_argument(text),
            _ => InferError::internal(text),
        }
    }

    fn broken(&self, planned: &PlannedTensor, text: &str) -> InferError {
        InferError::internal(format!("{}output '{}' {text}", self.prefix(), planned.name))
    }
}

/// The memory that the client of the only request gave for an output, where the library may write it in place.
fn clients_memory(batch: &Batch, planned: &PlannedTensor, length_bytes: usize) -> Option<BufferMut> {
    let mut requests = batch.requests();
    let (Some(request), None) = (requests.next(), requests.next()) else { return None };
    if !may_change(planned.data_type) || length_bytes == 0 {
        return None;
    }
    let element_bytes = planned.data_type.size_bytes()?;
    let memory = request.output_target(&planned.name, length_bytes)?;
    (memory.as_slice().as_ptr() as usize).is_multiple_of(element_bytes).then_some(memory)
}

/// Whether elements may be changed by somebody else while the library uses them. A floating-point number is only
/// calculated with; another is an index, a shape or a condition that was checked before.
fn may_change(data_type: DataType) -> bool {
    matches!(data_type, DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64)
}

/// A copy of bytes that the library could not read safely where they are: not aligned for the elements, open to changes
/// that it does not expect, or a `BOOL` other than 0 and 1, which is undefined behaviour in C++.
fn unfit_copy(tensor: &Tensor) -> Option<BufferMut> {
    let buffer = tensor.buffer();
    let is_open = buffer.is_external() && !may_change(tensor.data_type());
    if tensor.data_type() == DataType::Bool && (is_open || buffer.as_slice().iter().any(|byte| *byte > 1)) {
        let mut copy = BufferMut::copy_of(buffer.as_slice());
        copy.as_mut_slice().iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        return Some(copy);
    }
    let element_bytes = tensor.data_type().size_bytes()?;
    (is_open || !buffer.is_aligned_to(element_bytes)).then(|| BufferMut::copy_of(buffer.as_slice()))
}

// === impl PreparedInput ===

impl<'p> PreparedInput<'p> {
    fn new(planned: &'p PlannedTensor, tensor: Tensor) -> Self {
        let shape = planned.file_shape(tensor.shape());
        let copy = unfit_copy(&tensor);
        Self { planned, tensor, shape, copy }
    }

    fn view(&self) -> Result<(&CStr, RuntimeTensor<'_>), ort::Error> {
        let bytes = self.copy.as_ref().map_or(self.tensor.buffer().as_slice(), BufferMut::as_slice);
        let tensor = match self.planned.data_type {
            DataType::Bytes => RuntimeTensor::strings(&self.tensor, &self.shape)?,
            data_type => RuntimeTensor::over(data_type, &self.shape, bytes)?,
        };
        Ok((&self.planned.c_name, tensor))
    }
}

// === impl WantedOutput ===

impl<'p> WantedOutput<'p> {
    fn slot(&mut self) -> Result<OutputSlot<'p, '_>, ort::Error> {
        let data_type = self.planned.data_type;
        let ours = self.ours.as_mut();
        let target = ours.map(|(shape, memory)| RuntimeTensor::over_mut(data_type, shape, memory.as_mut_slice()));
        Ok(OutputSlot { name: &self.planned.c_name, ours: target.transpose()?, theirs: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_fit_is_not_copied() {
        let tensor = Tensor::from_elements([2], &[1.0_f32, 2.0]).unwrap();
        assert!(unfit_copy(&tensor).is_none());
        assert!(unfit_copy(&Tensor::from_byte_strings([1], &["x"]).unwrap()).is_none());
    }

    #[test]
    fn misaligned_memory_is_copied() {
        let buffer = Buffer::from(bytes::Bytes::from_owner(BufferMut::zeroed(12))).slice(1..9).unwrap();
        let tensor = Tensor::new(DataType::Fp32, [2].into(), buffer).unwrap();
        assert_eq!(unfit_copy(&tensor).unwrap().as_slice(), [0; 8]);
    }

    #[test]
    fn in_shared_memory_only_floats_stay_where_they_are() {
        let shared = |data_type, length_bytes| {
            let bytes = bytes::Bytes::from_owner(BufferMut::zeroed(length_bytes));
            Tensor::new(data_type, [2].into(), Buffer::external(bytes)).unwrap()
        };
        assert!(unfit_copy(&shared(DataType::Fp32, 8)).is_none());
        assert!(unfit_copy(&shared(DataType::Fp16, 4)).is_none());
        for (data_type, length_bytes) in [(DataType::Int64, 16), (DataType::Uint8, 2), (DataType::Bool, 2)] {
            assert_eq!(unfit_copy(&shared(data_type, length_bytes)).unwrap().len(), length_bytes, "{data_type}");
        }
    }

    #[test]
    fn a_bool_is_made_0_or_1() {
        let tensor = Tensor::new(DataType::Bool, [3].into(), vec![0, 1, 7].into()).unwrap();
        assert_eq!(unfit_copy(&tensor).unwrap().as_slice(), [0, 1, 1]);
    }
}
