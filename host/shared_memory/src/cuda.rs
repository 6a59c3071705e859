//! Shared memory of devices: regions that another process allocated on a GPU and gave the handle of.
//!
//! They have their names in common with regions of system memory. One that is unregistered loses its name at once, and
//! stays mapped until the last request that uses it is over. Without a device clients find the endpoints and are told so.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    ops::Range,
    sync::Arc,
};

use nereid_gpu::{Gpus, IPC_HANDLE_BYTES, IpcMemory};
use nereid_inference::{CudaRegion, CudaRegistration, ExternalMemory, InferError};
use nereid_tensor::{Buffer, BufferMut};

use crate::{
    error::SharedMemoryError,
    limits::SharedMemoryLimits,
    registry::{SharedMemory, span_range},
};

/// Regions of device memory by name.
pub(crate) type DeviceRegions = BTreeMap<String, Arc<DeviceRegion>>;

/// A region, mapped for as long as somebody has it.
#[derive(Debug)]
pub(crate) struct DeviceRegion {
    description: CudaRegion,
    memory: IpcMemory,
}

/// Bytes of a region of device memory in the hands of one request.
struct DeviceSpan {
    region: Arc<DeviceRegion>,
    range: Range<usize>,
}

// === impl SharedMemory ===

impl SharedMemory {
    /// The same, with these devices.
    #[must_use]
    pub fn with_gpus(mut self, gpus: Gpus) -> Self {
        self.gpus = gpus;
        self
    }

    /// Whether a region of device memory can be registered under `name` at all.
    ///
    /// # Errors
    /// Shared memory is not allowed, the name is missing, or there is no device.
    pub fn check_cuda(&self, name: &str) -> Result<(), SharedMemoryError> {
        self.check_allowed()?;
        self.check_name(name, "cuda")?;
        match self.gpus.all() {
            [] => Err(SharedMemoryError::NoDevices { name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Maps a region of device memory.
    ///
    /// # Errors
    /// What [`SharedMemory::check_cuda`] finds, a name or a handle that cannot be used, or a device that is not there.
    pub fn register_cuda(&self, registration: CudaRegistration) -> Result<(), SharedMemoryError> {
        let CudaRegistration { name, raw_handle, device_id, byte_size } = registration;
        self.check_cuda(&name)?;
        if self.status(Some(&name)).is_ok() {
            return Err(SharedMemoryError::AlreadyRegistered { name });
        }
        let system_regions = self.status(None).map_or(0, |regions| regions.len());
        let mut regions = self.devices.lock();
        let (found, limit) = (system_regions + regions.len(), self.settings.limits.regions_max);
        let Entry::Vacant(place) = regions.entry(name.clone()) else {
            return Err(SharedMemoryError::AlreadyRegistered { name });
        };
        if found >= limit {
            return Err(SharedMemoryError::TooManyRegions { name, limit });
        }
        let memory = open(&self.gpus, &raw_handle, device_id, byte_size)
            .map_err(|problem| SharedMemoryError::OpenDevice { name: name.clone(), problem })?;
        tracing::debug!("registered shared memory region '{name}' of {byte_size} bytes on GPU {device_id}");
        let description = CudaRegion { name, device_id: u64::try_from(device_id).unwrap_or_default(), byte_size };
        place.insert(Arc::new(DeviceRegion { description, memory }));
        Ok(())
    }

    /// The region of device memory called `name`, or all of them in the order of their names.
    ///
    /// # Errors
    /// There is no such region, or it is one of system memory.
    pub fn cuda_status(&self, name: Option<&str>) -> Result<Vec<CudaRegion>, SharedMemoryError> {
        let regions = self.devices.lock();
        let Some(name) = name else {
            return Ok(regions.values().map(|region| region.description.clone()).collect());
        };
        if let Some(region) = regions.get(name) {
            return Ok(vec![region.description.clone()]);
        }
        drop(regions);
        if self.status(Some(name)).is_ok() {
            return Err(SharedMemoryError::NotDeviceMemory { name: name.to_owned() });
        }
        Err(SharedMemoryError::NotFound { memory: "cuda ", name: name.to_owned() })
    }

    /// Lets the region called `name` go, or all of them. An unknown name is no error.
    ///
    /// # Errors
    /// Shared memory is not allowed.
    pub fn unregister_cuda(&self, name: Option<&str>) -> Result<(), SharedMemoryError> {
        self.check_allowed()?;
        let mut regions = self.devices.lock();
        let gone = match name {
            Some(name) => regions.remove(name).into_iter().collect(),
            None => std::mem::take(&mut *regions).into_values().collect::<Vec<_>>(),
        };
        // Unmapping takes time; nobody waits for it.
        drop(regions);
        drop(gone);
        Ok(())
    }

    /// Whether a region of device memory has this name.
    pub(crate) fn is_cuda(&self, name: &str) -> bool {
        self.devices.lock().contains_key(name)
    }

    /// The bytes of a region of device memory that a tensor asks for; `None` when no such region is registered.
    pub(crate) fn device_span(
        &self,
        name: &str,
        (offset, byte_size): (u64, u64),
    ) -> Option<Result<Arc<dyn ExternalMemory>, SharedMemoryError>> {
        let region = Arc::clone(self.devices.lock().get(name)?);
        let length = usize::try_from(region.description.byte_size).unwrap_or(usize::MAX);
        let SharedMemoryLimits { tensor_bytes_max: limit_bytes, .. } = self.settings.limits;
        Some(span_range(name, length, (offset, byte_size), limit_bytes).map(|range| {
            let span: Arc<dyn ExternalMemory> = Arc::new(DeviceSpan { region, range });
            span
        }))
    }
}

/// The memory behind a handle, or what is wrong with what the client says of it.
fn open(gpus: &Gpus, raw_handle: &[u8], device_id: i64, byte_size: u64) -> Result<IpcMemory, String> {
    let handle: [u8; IPC_HANDLE_BYTES] = raw_handle.try_into().map_err(|_| {
        format!("invalid args: 'raw_handle' has {} bytes, a CUDA IPC handle has {IPC_HANDLE_BYTES}", raw_handle.len())
    })?;
    if byte_size == 0 {
        return Err("invalid args: 'byte_size' is 0".to_owned());
    }
    let gpu = i32::try_from(device_id).ok().and_then(|id| gpus.get(id));
    let gpu = gpu.ok_or_else(|| {
        let known: Vec<String> = gpus.all().iter().map(|gpu| gpu.ordinal().to_string()).collect();
        format!("invalid args: there is no GPU {device_id}; the server uses {}", known.join(", "))
    })?;
    let length = usize::try_from(byte_size).map_err(|_| format!("invalid args: 'byte_size' is {byte_size}"))?;
    gpu.open_ipc(handle, length).map_err(|error| format!("failed to open CUDA IPC handle: {error}"))
}

// === impl DeviceSpan ===

impl ExternalMemory for DeviceSpan {
    fn length_bytes(&self) -> usize {
        self.range.len()
    }

    fn device_id(&self) -> Option<i32> {
        i32::try_from(self.region.description.device_id).ok()
    }

    fn view(&self) -> Buffer {
        self.region.memory.view().slice(self.range.clone()).unwrap_or_default()
    }

    fn target(&self, _: usize) -> Option<BufferMut> {
        None
    }

    fn write(&self, bytes: &Buffer) -> Result<(), InferError> {
        let fitting = bytes.slice(0..bytes.len().min(self.range.len())).unwrap_or_default();
        self.region.memory.write(self.range.start, &fitting).map_err(|error| {
            let name = &self.region.description.name;
            InferError::internal(format!("shared memory region '{name}' could not be written: {error}"))
        })
    }

    fn check(&self) -> Result<(), InferError> {
        Ok(())
    }
}

impl fmt::Debug for DeviceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceSpan({:?} of region '{}')", self.range, self.region.description.name)
    }
}
