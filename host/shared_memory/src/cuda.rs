//! Shared memory of devices, of which there are none.
//!
//! Clients find the endpoints and are told so. A version with devices keeps its regions behind these same methods, opened
//! from the driver's handles, and gives their spans out as [`ExternalMemory`](nereid_inference::ExternalMemory); routes,
//! decoding and the names that both kinds of region share stay as they are.

use nereid_inference::CudaRegion;

use crate::{error::SharedMemoryError, registry::SharedMemory};

// === impl SharedMemory ===

impl SharedMemory {
    /// Refuses the region called `name`, whatever else the client says of it.
    ///
    /// # Errors
    /// Always: shared memory is not allowed, the name is missing, or there is no device.
    pub fn register_cuda(&self, name: &str) -> Result<(), SharedMemoryError> {
        self.check_allowed()?;
        self.check_name(name, "cuda")?;
        Err(SharedMemoryError::NoDevices { name: name.to_owned() })
    }

    /// The region of device memory called `name`, or all of them.
    ///
    /// # Errors
    /// There is no such region, or it is one of system memory.
    pub fn cuda_status(&self, name: Option<&str>) -> Result<Vec<CudaRegion>, SharedMemoryError> {
        let Some(name) = name else { return Ok(Vec::new()) };
        if self.status(Some(name)).is_ok() {
            return Err(SharedMemoryError::NotDeviceMemory { name: name.to_owned() });
        }
        Err(SharedMemoryError::NotFound { memory: "cuda ", name: name.to_owned() })
    }

    /// Lets device memory go: there is none, and an unknown name is no error.
    ///
    /// # Errors
    /// Shared memory is not allowed.
    pub fn unregister_cuda(&self, _name: Option<&str>) -> Result<(), SharedMemoryError> {
        self.check_allowed()
    }
}
