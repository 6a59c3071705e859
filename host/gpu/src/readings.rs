//! What the devices say of themselves through NVML: use, memory, power and energy.
//!
//! A reading that a device does not have (power of a slice, energy of an old device) is absent, not zero.

use nvml_wrapper::{Nvml, error::NvmlError};

use crate::gpus::Gpus;

/// The connection to NVML, and which devices are asked.
pub struct Readings {
    nvml: Nvml,
    /// Identifiers, in the order of the devices.
    uuids: Vec<String>,
}

/// One device at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuReading {
    pub uuid: String,
    /// Part of the last sample period in which a kernel ran, 0 to 1.
    pub utilization: Option<f64>,
    pub memory_total_bytes: Option<u64>,
    pub memory_used_bytes: Option<u64>,
    pub power_usage_watts: Option<f64>,
    pub power_limit_watts: Option<f64>,
    /// Since the driver was loaded.
    pub energy_joules: Option<f64>,
}

// === impl Readings ===

impl Readings {
    /// Opens NVML; `None` without devices, and, said in the log, without the library.
    pub fn open(gpus: &Gpus) -> Option<Self> {
        let uuids: Vec<String> = gpus.all().iter().map(|gpu| gpu.uuid().to_owned()).collect();
        if uuids.is_empty() {
            return None;
        }
        // Linux drivers install the name with the version; the one without it is for developers.
        let opened = Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init();
        let nvml = opened.inspect_err(|error| tracing::warn!("metrics of GPUs are off: NVML does not start: {error}"));
        Some(Self { nvml: nvml.ok()?, uuids })
    }

    /// What every device says now. Takes milliseconds.
    pub fn read(&self) -> Vec<GpuReading> {
        self.uuids.iter().map(|uuid| self.read_one(uuid)).collect()
    }

    fn read_one(&self, uuid: &str) -> GpuReading {
        let mut reading = GpuReading { uuid: uuid.to_owned(), ..GpuReading::default() };
        let device = match self.nvml.device_by_uuid(uuid) {
            Ok(device) => device,
            Err(error) => {
                tracing::debug!("NVML does not know {uuid}: {error}");
                return reading;
            }
        };
        reading.utilization = known(device.utilization_rates()).map(|rates| f64::from(rates.gpu) / 100.0);
        let memory = known(device.memory_info());
        reading.memory_total_bytes = memory.as_ref().map(|memory| memory.total);
        reading.memory_used_bytes = memory.map(|memory| memory.used);
        reading.power_usage_watts = known(device.power_usage()).map(from_thousandths);
        reading.power_limit_watts = known(device.enforced_power_limit()).map(from_thousandths);
        reading.energy_joules = known(device.total_energy_consumption()).map(|millijoules| millijoules as f64 / 1e3);
        reading
    }
}

fn known<T>(result: Result<T, NvmlError>) -> Option<T> {
    result.ok()
}

fn from_thousandths(value: u32) -> f64 {
    f64::from(value) / 1e3
}
