//! One output of a batch: where it is written, and what becomes of it.
//!
//! Where the file tells the shape, memory is ours: on the device where some request takes it there, else a client's shared
//! memory or the host's. Where only the run tells it, the library allocates, on the device or on the host alike.

use nereid_backend::Batch;
use nereid_gpu::DeviceAllocation;
use nereid_tensor::{Buffer, BufferMut, DataType, DeviceError, Shape};

use crate::{device::Device, input::may_change, plan::PlannedTensor, run::OutputSlot, value::RuntimeTensor};

/// An output that some request wants.
pub(crate) struct WantedOutput<'p> {
    pub(crate) planned: &'p PlannedTensor,
    /// Shape and memory, when both are known before the run.
    ours: Option<(Shape, Target)>,
    /// Whether the library is to allocate on the device.
    pub(crate) on_device: bool,
}

/// Memory of ours that the library writes an output to.
enum Target {
    Host(BufferMut),
    Device(DeviceAllocation),
}

/// What all outputs of one execution share.
pub(crate) struct Outputs<'b> {
    pub(crate) batch: &'b Batch,
    /// Whether the model's first dimension is rows.
    pub(crate) batching: bool,
    /// Where outputs may be written to; `None` where they are for the host.
    pub(crate) device: Option<&'b Device>,
}

// === impl Outputs ===

impl Outputs<'_> {
    /// The output with memory for it.
    ///
    /// # Errors
    /// The device has not that much.
    pub(crate) fn want<'p>(&self, planned: &'p PlannedTensor) -> Result<WantedOutput<'p>, DeviceError> {
        let ours = self.memory(planned)?;
        // The library has strings on the host alone.
        let on_device = ours.is_none() && self.device.is_some() && planned.data_type != DataType::Bytes;
        Ok(WantedOutput { planned, ours, on_device })
    }

    fn memory(&self, planned: &PlannedTensor) -> Result<Option<(Shape, Target)>, DeviceError> {
        let Some(shape) = planned.known_shape(self.batch.rows(), self.batching) else { return Ok(None) };
        let Some(length_bytes) = shape.byte_size(planned.data_type) else { return Ok(None) };
        let target = match self.device {
            Some(device) if length_bytes > 0 => Target::Device(device.allocate(length_bytes)?),
            Some(_) | None => {
                let memory = clients_memory(self.batch, planned, length_bytes);
                Target::Host(memory.unwrap_or_else(|| BufferMut::zeroed(length_bytes)))
            }
        };
        Ok(Some((shape, target)))
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

// === impl WantedOutput ===

impl<'p> WantedOutput<'p> {
    /// The slot of a run on this device, or on the host.
    ///
    /// # Errors
    /// Whatever the library objects to.
    pub(crate) fn slot(&mut self, device: Option<&Device>) -> Result<OutputSlot<'p, '_>, ort::Error> {
        let data_type: DataType = self.planned.data_type;
        let ours = match (&mut self.ours, device) {
            (Some((shape, Target::Host(memory))), _) => {
                Some(RuntimeTensor::over_mut(data_type, shape, memory.as_mut_slice())?)
            }
            (Some((shape, Target::Device(memory))), Some(device)) => {
                Some(RuntimeTensor::over_allocation((data_type, shape), memory, device.memory_info())?)
            }
            (Some((_, Target::Device(_))), None) | (None, _) => None,
        };
        Ok(OutputSlot { name: &self.planned.c_name, ours, theirs: None, on_device: self.on_device })
    }

    /// What the run has written to memory of ours.
    pub(crate) fn written(self) -> Option<(Shape, Buffer)> {
        let (shape, target) = self.ours?;
        let buffer = match target {
            Target::Host(memory) => memory.freeze(),
            Target::Device(memory) => memory.into_buffer(),
        };
        Some((shape, buffer))
    }
}
