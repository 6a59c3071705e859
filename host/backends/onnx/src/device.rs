//! An instance's device: inputs gathered there, and memory for outputs.
//!
//! Cost: an input of one request that lies on the device, aligned and not open to changes, is used where it is. Anything
//! else is one copy per request into one allocation, from the host or from any device, and one wait for the stream. Inputs
//! that are all on the host are left to ONNX Runtime, which copies them itself.

use std::sync::Arc;

use nereid_backend::Batch;
use nereid_gpu::{DeviceAllocation, Gpu, GpuStream};
use nereid_inference::CheckedRequest;
use nereid_tensor::{Buffer, DataType, DeviceError, Shape, Tensor};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};

use crate::input::may_change;

/// Kernels read several elements at once and take it for granted that a tensor starts where an allocation of CUDA would;
/// one that starts in the middle of a batch is moved.
const ALIGNMENT_BYTES: usize = 256;

/// The device of one instance.
pub(crate) struct Device {
    gpu: Arc<Gpu>,
    /// For copies of this instance; ONNX Runtime has its own.
    stream: GpuStream,
    memory_info: MemoryInfo<'static>,
}

/// What happens to an input that is in memory of some device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transfer {
    /// Used where it is.
    Nothing,
    /// Copied to memory of ours on the device.
    Copy,
    /// Brought to the host, where its elements can be looked at.
    ToHost,
}

/// An input of several requests, and the tensor that they make.
struct Parts<'b> {
    buffers: Vec<&'b Buffer>,
    data_type: DataType,
    shape: Shape,
}

// === impl Device ===

impl Device {
    /// The device with a stream for this instance.
    ///
    /// # Errors
    /// No stream, or ONNX Runtime does not know such devices.
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Self, String> {
        let stream = gpu.stream().map_err(|error| error.to_string())?;
        let (device, allocator) = (AllocationDevice::CUDA, AllocatorType::Device);
        let memory_info = MemoryInfo::new(device, gpu.ordinal(), allocator, MemoryType::Default);
        let memory_info = memory_info.map_err(|error| error.message().to_owned())?;
        Ok(Self { gpu: Arc::clone(gpu), stream, memory_info })
    }

    /// What ONNX Runtime calls memory of this device.
    pub(crate) fn memory_info(&self) -> &MemoryInfo<'static> {
        &self.memory_info
    }

    /// The input called `name` of all requests in memory of this device, laid end to end if it `is_ragged`; `None` where
    /// gathering on the host is right: nothing of it is on a device, it is of one request alone, or it does not fit
    /// together, which the host says better.
    ///
    /// # Errors
    /// The device has not that much memory, or a copy failed.
    pub(crate) fn gather(&self, batch: &Batch, name: &str, is_ragged: bool) -> Result<Option<Tensor>, DeviceError> {
        let Some(parts) = Parts::on_devices(batch.requests(), name, is_ragged) else { return Ok(None) };
        let length_bytes = parts.buffers.iter().map(|buffer| buffer.len()).sum();
        let mut gathered = self.stream.allocate(length_bytes)?;
        let mut offset = 0;
        for buffer in &parts.buffers {
            self.stream.fill(&mut gathered, offset, buffer)?;
            offset += buffer.len();
        }
        self.stream.synchronise()?;
        Ok(Tensor::new(parts.data_type, parts.shape, gathered.into_buffer()).ok())
    }

    /// The tensor where a session on this device can read it.
    ///
    /// # Errors
    /// The device has not that much memory, or a copy failed.
    pub(crate) fn place(&self, tensor: Tensor) -> Result<Tensor, DeviceError> {
        let placed = match transfer(&tensor, self.gpu.ordinal()) {
            Transfer::Nothing => return Ok(tensor),
            Transfer::ToHost => return tensor.on_host(),
            Transfer::Copy => self.gpu.upload(tensor.buffer())?.into_buffer(),
        };
        let problem = |error| DeviceError { device_id: self.gpu.ordinal(), problem: format!("{error}") };
        Tensor::new(tensor.data_type(), tensor.shape().clone(), placed).map_err(problem)
    }

    /// Memory for an output.
    ///
    /// # Errors
    /// The device has not that much.
    pub(crate) fn allocate(&self, length_bytes: usize) -> Result<DeviceAllocation, DeviceError> {
        self.gpu.allocate(length_bytes)
    }

    /// Waits for everything that a failed run may have left under way, before its memory is given to others.
    pub(crate) fn settle(&self) {
        // The run has failed and says so; a device that is lost says it again at the next one.
        let _ = self.gpu.context().synchronize();
    }
}

/// What is to be done with a tensor for a session on that device. Integers that a client can change are copied, as on the
/// host; its booleans must be 0 or 1, which only the host can see to.
fn transfer(tensor: &Tensor, device_id: i32) -> Transfer {
    let (buffer, data_type) = (tensor.buffer(), tensor.data_type());
    let Some(span) = buffer.device() else { return Transfer::Nothing };
    match data_type {
        DataType::Bytes => Transfer::ToHost,
        DataType::Bool if buffer.is_external() => Transfer::ToHost,
        _ if buffer.is_external() && !may_change(data_type) => Transfer::Copy,
        _ if span.device_id != device_id || !buffer.is_aligned_to(ALIGNMENT_BYTES) => Transfer::Copy,
        _ => Transfer::Nothing,
    }
}

// === impl Parts ===

impl<'b> Parts<'b> {
    /// The parts of the input, where some are on devices and all may be gathered there.
    fn on_devices(
        requests: impl ExactSizeIterator<Item = &'b CheckedRequest>,
        name: &str,
        is_ragged: bool,
    ) -> Option<Self> {
        let count = requests.len();
        let tensors: Vec<&Tensor> = requests.filter_map(|request| request.input(name)).collect();
        let (first, others) = tensors.split_first()?;
        let data_type = first.data_type();
        let is_alike = |tensor: &Tensor| {
            tensor.data_type() == data_type && (is_ragged || tensor.shape().inner() == first.shape().inner())
        };
        let is_on_device = |tensor: &Tensor| tensor.buffer().device().is_some();
        let has_strangers = data_type == DataType::Bool && tensors.iter().any(|tensor| tensor.buffer().is_external());
        let can_gather = !others.is_empty()
            && tensors.len() == count
            && others.iter().all(|tensor| is_alike(tensor))
            && data_type != DataType::Bytes
            && !has_strangers;
        if !can_gather || !tensors.iter().any(|tensor| is_on_device(tensor)) {
            return None;
        }
        let shape = match is_ragged {
            true => Shape::from([tensors
                .iter()
                .map(|tensor| tensor.shape().checked_element_count())
                .sum::<Option<u64>>()?]),
            false => first.shape().with_outermost(tensors.iter().filter_map(|tensor| tensor.shape().first()).sum()),
        };
        Some(Self { buffers: tensors.iter().map(|tensor| tensor.buffer()).collect(), data_type, shape })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use bytes::Bytes;
    use nereid_inference::{InferRequest, NamedTensor, Signature, TensorSpec, response_channel};
    use nereid_tensor::DeviceMemory;

    use super::*;

    /// Memory of a device that nobody reads.
    #[derive(Debug)]
    struct Memory {
        device_id: i32,
        address: u64,
        length_bytes: usize,
    }

    impl DeviceMemory for Memory {
        fn device_id(&self) -> i32 {
            self.device_id
        }

        fn address(&self) -> u64 {
            self.address
        }

        fn length_bytes(&self) -> usize {
            self.length_bytes
        }

        fn read(&self, range: Range<usize>) -> Result<Bytes, DeviceError> {
            Ok(vec![0; range.len()].into())
        }
    }

    /// Rows of four bytes on device 0.
    fn on_device(data_type: DataType, rows: u64, address: u64) -> Tensor {
        let memory = Memory { device_id: 0, address, length_bytes: 4 * rows as usize };
        let columns = 4 / data_type.size_bytes().unwrap() as u64;
        Tensor::new(data_type, [rows, columns].into(), Buffer::of_device(Arc::new(memory))).unwrap()
    }

    fn external(data_type: DataType) -> Tensor {
        let memory = Memory { device_id: 0, address: 0x1000, length_bytes: 4 };
        let columns = 4 / data_type.size_bytes().unwrap() as u64;
        Tensor::new(data_type, [1, columns].into(), Buffer::external_of_device(Arc::new(memory))).unwrap()
    }

    #[test]
    fn a_tensor_is_used_where_it_is_unless_kernels_or_clients_could_do_harm() {
        let host = Tensor::from_elements([1, 1], &[1.0_f32]).unwrap();
        assert_eq!(transfer(&host, 0), Transfer::Nothing);
        assert_eq!(transfer(&on_device(DataType::Fp32, 1, 0x1000), 0), Transfer::Nothing);
        assert_eq!(transfer(&on_device(DataType::Fp32, 1, 0x1000), 1), Transfer::Copy, "another device");
        assert_eq!(transfer(&on_device(DataType::Fp32, 1, 0x1010), 0), Transfer::Copy, "the middle of an allocation");
        assert_eq!(transfer(&on_device(DataType::Bool, 1, 0x1000), 0), Transfer::Nothing);
        assert_eq!(transfer(&external(DataType::Fp32), 0), Transfer::Nothing);
        assert_eq!(transfer(&external(DataType::Int32), 0), Transfer::Copy);
        assert_eq!(transfer(&external(DataType::Bool), 0), Transfer::ToHost);
    }

    /// The shape that the device would gather, `None` where the host does.
    fn gathered(data_type: DataType, tensors: Vec<Tensor>, is_ragged: bool) -> Option<Vec<u64>> {
        let spec = TensorSpec { name: "X".into(), data_type, dims: vec![-1], optional: false };
        let signature = Signature { inputs: vec![spec], max_batch_size: 8, ..Signature::default() };
        let request = |tensor| InferRequest::new(vec![NamedTensor::new("X", tensor)]);
        let checked = tensors.into_iter().map(|tensor| signature.check(request(tensor)).unwrap());
        let batch = Batch::new(checked.map(|request| (request, response_channel().0)));
        Parts::on_devices(batch.requests(), "X", is_ragged).map(|parts| parts.shape.to_vec())
    }

    #[test]
    fn requests_are_gathered_on_the_device_where_one_of_them_is() {
        let (host, device) = (Tensor::from_elements([1, 1], &[1.0_f32]).unwrap(), on_device(DataType::Fp32, 2, 0x1000));
        let check = |tensors: &[&Tensor], is_ragged| {
            gathered(DataType::Fp32, tensors.iter().map(|tensor| (*tensor).clone()).collect(), is_ragged)
        };
        assert_eq!(check(&[&host, &device], false), Some(vec![3, 1]));
        assert_eq!(check(&[&host, &device, &device], true), Some(vec![5]));
        assert_eq!(check(&[&host, &host], false), None);
        assert_eq!(check(&[&device], false), None, "a tensor of one request is used where it is");
        let wide = Tensor::from_elements([1, 2], &[1.0_f32; 2]).unwrap();
        assert_eq!(check(&[&wide, &device], false), None, "the host says what does not fit");
        assert_eq!(check(&[&wide, &device], true), Some(vec![4]));
        let flags = |first: Tensor| gathered(DataType::Bool, vec![first, on_device(DataType::Bool, 1, 0x1000)], false);
        assert_eq!(flags(on_device(DataType::Bool, 1, 0x1000)), Some(vec![2, 4]));
        assert_eq!(flags(external(DataType::Bool)), None, "a client's booleans are looked at");
    }
}
