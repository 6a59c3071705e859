//! The GPUs of this process, what the log says of them, and their figures on the metrics page.

use std::{sync::Arc, time::Duration};

use nereid_gpu::{GpuReading, Gpus, Readings};
use nereid_telemetry::{DeviceReading, GpuReadings, GpuSource, Telemetry};
use parking_lot::Mutex;
use tokio::{task::spawn_blocking, time::interval};

use crate::arguments::GpuArguments;

/// Looks for GPUs, and says in the log what there is.
pub(crate) fn discover(arguments: &GpuArguments) -> Gpus {
    if !arguments.allow_gpus {
        return Gpus::none();
    }
    let gpus = Gpus::discover(&arguments.settings());
    if let Some(absence) = gpus.absence() {
        tracing::info!("no GPUs: {absence}");
    }
    for gpu in gpus.all() {
        let (major, minor) = gpu.compute_capability();
        let memory = gpu.memory().map_or_else(
            |error| error.to_string(),
            |memory| format!("{} of {} MiB free", memory.free_bytes >> 20, memory.total_bytes >> 20),
        );
        tracing::info!(
            "GPU {}: {}, {}, compute capability {major}.{minor}, {memory}",
            gpu.ordinal(),
            gpu.name(),
            gpu.uuid()
        );
    }
    gpus
}

/// Shows the GPUs on the metrics page, read every so often; nothing where there are none.
pub(crate) fn show(gpus: &Gpus, telemetry: &Telemetry, every: Duration) {
    let Some(readings) = Readings::open(gpus) else { return };
    let readings = Arc::new(readings);
    let first = readings.read();
    let latest = Arc::new(Mutex::new(first.clone()));
    let (shown, devices) = (Arc::clone(&latest), gpus.clone());
    telemetry.show_gpus(GpuSource(Arc::new(move || on_page(&devices, &first, &shown.lock()))));
    tokio::spawn(async move {
        let mut ticks = interval(every);
        loop {
            ticks.tick().await;
            let readings = Arc::clone(&readings);
            let Ok(read) = spawn_blocking(move || readings.read()).await else { return };
            *latest.lock() = read;
        }
    });
}

fn on_page(gpus: &Gpus, first: &[GpuReading], latest: &[GpuReading]) -> GpuReadings {
    let pinned = gpus.pinned_usage();
    let all = gpus.all().iter().map(|gpu| gpu.copied_bytes());
    let devices = first.iter().zip(latest).zip(all).map(|((first, latest), (to_device, to_host))| DeviceReading {
        uuid: latest.uuid.clone(),
        utilization: latest.utilization,
        memory_total_bytes: latest.memory_total_bytes.map(|bytes| bytes as f64),
        memory_used_bytes: latest.memory_used_bytes.map(|bytes| bytes as f64),
        power_usage_watts: latest.power_usage_watts,
        power_limit_watts: latest.power_limit_watts,
        energy_joules: latest.energy_joules.zip(first.energy_joules).map(|(now, start)| now - start),
        to_device_bytes: Some(to_device as f64),
        to_host_bytes: Some(to_host as f64),
    });
    GpuReadings {
        devices: devices.collect(),
        pinned_total_bytes: pinned.total_bytes as u64,
        pinned_used_bytes: pinned.used_bytes as u64,
    }
}
