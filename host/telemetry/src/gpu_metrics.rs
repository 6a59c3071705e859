//! What the devices say of themselves, for the page: on it where there are devices, and nowhere else. A figure that a device
//! does not have is absent rather than zero.

use std::{fmt, sync::Arc};

use crate::{
    model_metrics::Labels,
    page::{Head, Sample, Value},
};

/// Names the device that a series is about.
pub(crate) const GPU_LABEL: &str = "gpu_uuid";

/// Who tells what the devices said last, when the page is asked for.
#[derive(Clone)]
pub struct GpuSource(pub Arc<dyn Fn() -> GpuReadings + Send + Sync>);

/// All devices at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuReadings {
    pub devices: Vec<DeviceReading>,
    /// Page-locked memory of the host: how much there may be, and how much is in use.
    pub pinned_total_bytes: u64,
    pub pinned_used_bytes: u64,
}

/// One device at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceReading {
    /// The label.
    pub uuid: String,
    /// 0 to 1.
    pub utilization: Option<f64>,
    pub memory_total_bytes: Option<f64>,
    pub memory_used_bytes: Option<f64>,
    pub power_usage_watts: Option<f64>,
    pub power_limit_watts: Option<f64>,
    /// Since the server was started.
    pub energy_joules: Option<f64>,
    /// Copied by the server; what libraries copy by themselves is not among them.
    pub to_device_bytes: Option<f64>,
    pub to_host_bytes: Option<f64>,
}

pub(crate) struct GpuFamily {
    pub(crate) head: Head,
    pub(crate) samples: fn(&GpuReadings) -> Vec<Sample>,
}

/// Triton's names; source: its `metrics.cc`.
pub(crate) const GPU_FAMILIES: &[GpuFamily] = &[
    GpuFamily {
        head: Head::gauge("nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0)"),
        samples: |all| of_each(all, |device| device.utilization),
    },
    GpuFamily {
        head: Head::gauge("nv_gpu_memory_total_bytes", "GPU total memory, in bytes"),
        samples: |all| of_each(all, |device| device.memory_total_bytes),
    },
    GpuFamily {
        head: Head::gauge("nv_gpu_memory_used_bytes", "GPU used memory, in bytes"),
        samples: |all| of_each(all, |device| device.memory_used_bytes),
    },
    GpuFamily {
        head: Head::gauge("nv_gpu_power_usage", "GPU power usage in watts"),
        samples: |all| of_each(all, |device| device.power_usage_watts),
    },
    GpuFamily {
        head: Head::gauge("nv_gpu_power_limit", "GPU power management limit in watts"),
        samples: |all| of_each(all, |device| device.power_limit_watts),
    },
    GpuFamily {
        head: Head::counter("nv_energy_consumption", "GPU energy consumption in joules since the server started"),
        samples: |all| of_each(all, |device| device.energy_joules),
    },
    GpuFamily {
        head: Head::counter(
            "nereid_gpu_to_device_bytes_total",
            "Bytes that the server copied to the GPU, libraries' own copies apart",
        ),
        samples: |all| of_each(all, |device| device.to_device_bytes),
    },
    GpuFamily {
        head: Head::counter(
            "nereid_gpu_to_host_bytes_total",
            "Bytes that the server copied from the GPU, libraries' own copies apart",
        ),
        samples: |all| of_each(all, |device| device.to_host_bytes),
    },
    GpuFamily {
        head: Head::gauge("nv_pinned_memory_pool_total_bytes", "Pinned memory pool total memory size, in bytes"),
        samples: |all| vec![Sample::bare(all.pinned_total_bytes as f64)],
    },
    GpuFamily {
        head: Head::gauge("nv_pinned_memory_pool_used_bytes", "Pinned memory pool used memory size, in bytes"),
        samples: |all| vec![Sample::bare(all.pinned_used_bytes as f64)],
    },
];

fn of_each(all: &GpuReadings, figure: fn(&DeviceReading) -> Option<f64>) -> Vec<Sample> {
    let labelled = |device: &DeviceReading| {
        let labels = Some(Labels::one(GPU_LABEL, &device.uuid));
        Some(Sample { labels, value: Value::Number(figure(device)?) })
    };
    all.devices.iter().filter_map(labelled).collect()
}

impl fmt::Debug for GpuSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GpuSource")
    }
}
