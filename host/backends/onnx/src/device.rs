//! An instance's device: inputs gathered there, and memory for outputs.
//!
//! Cost: an input of one request that lies on the device, aligned and not open to changes, is used where it is. Anything
//! else is one copy per request into one allocation, from the host or from any device, and one wait for the stream. Inputs
//! that are all on the host are left to ONNX Runtime, which copies them itself.

use std::sync::Arc;

use nereid_backend::Parts;
use nereid_gpu::{DeviceAllocation, Gpu, GpuStream};
use nereid_tensor::{DataType, DeviceError, Tensor};
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

    /// The device itself.
    pub(crate) fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// What ONNX Runtime calls memory of this device.
    pub(crate) fn memory_info(&self) -> &MemoryInfo<'static> {
        &self.memory_info
    }

    /// The parts in one piece in memory of this device.
    ///
    /// # Errors
    /// The device has not that much memory, or a copy failed.
    pub(crate) fn gather(&self, parts: &Parts<'_>) -> Result<Tensor, DeviceError> {
        let length_bytes = parts.tensors.iter().map(|tensor| tensor.byte_size()).sum();
        let mut gathered = self.stream.allocate(length_bytes)?;
        let mut offset = 0;
        for tensor in &parts.tensors {
            self.stream.fill(&mut gathered, offset, tensor.buffer())?;
            offset += tensor.byte_size();
        }
        self.stream.synchronise()?;
        let problem = |error| DeviceError { device_id: self.gpu.ordinal(), problem: format!("{error}") };
        Tensor::new(parts.data_type, parts.shape.clone(), gathered.into_buffer()).map_err(problem)
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

/// Whether the parts are put together on the device: there are several, one lies on some device, and the host need not look
/// at them.
pub(crate) fn gathers_on_device(parts: &Parts<'_>) -> bool {
    let mut buffers = parts.tensors.iter().map(|tensor| tensor.buffer());
    let must_be_seen = match parts.data_type {
        DataType::Bytes => true,
        DataType::Bool => buffers.clone().any(|buffer| buffer.is_external()),
        _ => false,
    };
    parts.tensors.len() > 1 && !must_be_seen && buffers.any(|buffer| buffer.device().is_some())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use bytes::Bytes;
    use nereid_tensor::{Buffer, DeviceMemory, Shape};

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

    #[test]
    fn requests_are_gathered_on_the_device_where_one_of_them_is() {
        let gathers = |tensors: &[&Tensor]| {
            let data_type = tensors[0].data_type();
            gathers_on_device(&Parts { data_type, shape: Shape::default(), tensors: tensors.to_vec() })
        };
        let (host, device) = (Tensor::from_elements([1, 1], &[1.0_f32]).unwrap(), on_device(DataType::Fp32, 2, 0x1000));
        assert!(gathers(&[&host, &device]));
        assert!(!gathers(&[&host, &host]));
        assert!(!gathers(&[&device]), "a tensor of one request is used where it is");
        let (ours, theirs) = (on_device(DataType::Bool, 1, 0x1000), external(DataType::Bool));
        assert!(gathers(&[&ours, &ours]));
        assert!(!gathers(&[&theirs, &ours]), "a client's booleans are looked at");
        assert!(gathers(&[&external(DataType::Int32), &host]), "integers are copied anyway");
        let text = Tensor::from_byte_strings([1], &["x"]).unwrap();
        assert!(!gathers(&[&text, &device]));
    }
}
