//! Which devices there are.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cudarc::driver::{CudaContext, DriverError, sys};
use parking_lot::Mutex;

use crate::{
    driver,
    gpu::{Copied, Gpu, text},
    pinned::{PinnedPool, PinnedUsage},
};

/// The devices of this process; clones are the same.
#[derive(Clone)]
pub struct Gpus {
    devices: Arc<[Arc<Gpu>]>,
    pinned: Arc<PinnedPool>,
    absence: Option<Arc<str>>,
}

/// What the server says about devices.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuSettings {
    /// Page-locked memory of the host for copies, for all devices together; Triton's default.
    pub pinned_pool_bytes: usize,
    /// Freed memory that a device keeps for the next allocation, by ordinal.
    pub pool_bytes: BTreeMap<i32, u64>,
    /// Older devices are left alone, as (major, minor); Triton's default.
    pub compute_capability_min: (i32, i32),
}

// === impl GpuSettings ===

impl GpuSettings {
    /// Freed memory that a device keeps unless it is said otherwise; Triton's size of its CUDA memory pool.
    pub const POOL_BYTES_DEFAULT: u64 = 64 << 20;
}

impl Default for GpuSettings {
    fn default() -> Self {
        Self { pinned_pool_bytes: 256 << 20, pool_bytes: BTreeMap::new(), compute_capability_min: (6, 0) }
    }
}

// === impl Gpus ===

impl Gpus {
    /// No devices, because nobody looked.
    pub fn none() -> Self {
        Self::absent("GPUs were not looked for")
    }

    /// The devices that the driver shows, which is what `CUDA_VISIBLE_DEVICES` leaves; slices (MIG) are devices. What keeps
    /// a device from being used is logged, and keeps none of the others.
    pub fn discover(settings: &GpuSettings) -> Self {
        if !driver::is_present() {
            return Self::absent("the CUDA driver (libcuda.so.1) is not installed");
        }
        let count = match CudaContext::device_count() {
            Err(DriverError(sys::cudaError_enum::CUDA_ERROR_NO_DEVICE)) | Ok(0) => {
                return Self::absent("the CUDA driver is installed and finds no GPU");
            }
            Err(error) => return Self::absent(&format!("the CUDA driver does not start: {}", text(error))),
            Ok(count) => count,
        };
        let pinned = PinnedPool::new(settings.pinned_pool_bytes);
        let devices: Vec<Arc<Gpu>> = (0..count).filter_map(|ordinal| open(ordinal, settings, &pinned)).collect();
        let absence = devices.is_empty().then(|| "none of the GPUs can be used, as the log says".into());
        Self { devices: devices.into(), pinned, absence }
    }

    /// In the order of their ordinals.
    pub fn all(&self) -> &[Arc<Gpu>] {
        &self.devices
    }

    /// The device of that ordinal.
    pub fn get(&self, ordinal: i32) -> Option<&Arc<Gpu>> {
        self.devices.iter().find(|gpu| gpu.ordinal() == ordinal)
    }

    /// Why there are no devices; `None` where there are some.
    pub fn absence(&self) -> Option<&str> {
        self.absence.as_deref()
    }

    /// How much page-locked memory is in use.
    pub fn pinned_usage(&self) -> PinnedUsage {
        self.pinned.usage()
    }

    fn absent(reason: &str) -> Self {
        Self { devices: Arc::from([]), pinned: PinnedPool::new(0), absence: Some(reason.into()) }
    }
}

impl Default for Gpus {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.devices).finish()
    }
}

/// The device, unless it cannot be used.
fn open(ordinal: i32, settings: &GpuSettings, pinned: &Arc<PinnedPool>) -> Option<Arc<Gpu>> {
    let opened = describe(ordinal, settings, pinned);
    let gpu = opened.inspect_err(|error| tracing::warn!("GPU {ordinal} is not used: {}", text(*error))).ok()?;
    let (found, least) = (gpu.compute_capability, settings.compute_capability_min);
    if found < least {
        let name = gpu.name();
        tracing::warn!(
            "GPU {ordinal} ({name}) is not used: its compute capability is {}.{}, at least {}.{} is wanted \
             (--min-supported-compute-capability)",
            found.0,
            found.1,
            least.0,
            least.1
        );
        return None;
    }
    Some(Arc::new(gpu))
}

fn describe(ordinal: i32, settings: &GpuSettings, pinned: &Arc<PinnedPool>) -> Result<Gpu, DriverError> {
    let context = CudaContext::new(usize::try_from(ordinal).unwrap_or_default())?;
    // Threads that wait for a device give their processor to others.
    context.set_blocking_synchronize()?;
    if context.has_async_alloc() {
        let kept = settings.pool_bytes.get(&ordinal).copied().unwrap_or(GpuSettings::POOL_BYTES_DEFAULT);
        driver::keep_in_pool(&context, kept)?;
    }
    let name = context.name()?;
    let uuid = uuid_text(&name, context.uuid()?.bytes.map(std::ffi::c_char::cast_unsigned));
    let compute_capability = context.compute_capability()?;
    let (pinned, streams) = (Arc::clone(pinned), Mutex::default());
    Ok(Gpu { ordinal, name, uuid, compute_capability, context, pinned, streams, copied: Copied::default() })
}

/// As NVML writes it: `GPU-` or `MIG-`, and 32 hexadecimal digits in five groups.
fn uuid_text(name: &str, bytes: [u8; 16]) -> String {
    let mut text = String::from(if name.contains(" MIG ") { "MIG" } else { "GPU" });
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 0 | 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_why_it_has_no_devices() {
        let gpus = Gpus::discover(&GpuSettings::default());
        assert_eq!(gpus.all().is_empty(), gpus.absence().is_some());
        if let Some(absence) = gpus.absence() {
            assert!(absence.contains("CUDA driver") || absence.contains("as the log says"), "{absence}");
            assert!(gpus.get(0).is_none() && gpus.pinned_usage().total_bytes == 0);
        }
    }

    #[test]
    fn identifiers_are_written_as_nvml_writes_them() {
        let bytes = std::array::from_fn(|index| u8::try_from(index * 17).unwrap());
        assert_eq!(uuid_text("NVIDIA H100 80GB HBM3", bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
        assert!(uuid_text("NVIDIA A100-SXM4-40GB MIG 1g.5gb", bytes).starts_with("MIG-0011"));
    }
}
