//! What is told of GPUs, and what models execute there.

use super::*;
use crate::{DeviceReading, GpuReadings};

#[test]
fn what_runs_on_a_gpu_is_counted_there_and_what_a_model_has_once_is_not() {
    let settings = MetricsSettings { histogram_latencies: true, summary_latencies: true, ..MetricsSettings::default() };
    let telemetry = Telemetry::new(settings);
    let model = telemetry.model(&identity(1), &ModelConfig::default());
    let on_gpus = ["GPU-1", "GPU-2"].map(|uuid| telemetry.model_on(&model, uuid));
    on_gpus[0].record_success(1, &RequestDurations::default());
    on_gpus[0].record_failure(FailureReason::Backend);
    // Those of a reload are the same.
    telemetry.model_on(&model, "GPU-2").record_execution(3);
    model.record_failure(FailureReason::Rejected);
    model.add_pending(5);
    let page = telemetry.render();
    check_lines(
        &page,
        r#"
        nv_inference_request_success{gpu_uuid="GPU-1",model="digits",version="1"} 1
        nv_inference_request_success{gpu_uuid="GPU-2",model="digits",version="1"} 0
        nv_inference_request_success{model="digits",version="1"} 0
        nv_inference_request_failure{gpu_uuid="GPU-1",model="digits",reason="BACKEND",version="1"} 1
        nv_inference_request_failure{model="digits",reason="REJECTED",version="1"} 1
        nv_inference_exec_count{gpu_uuid="GPU-1",model="digits",version="1"} 0
        nv_inference_exec_count{gpu_uuid="GPU-2",model="digits",version="1"} 1
        nv_inference_pending_request_count{model="digits",version="1"} 5
        "#,
    );
    let once = [
        "nv_inference_pending_request_count{",
        "nv_model_load_duration_secs{",
        "nv_inference_first_response_histogram_ms",
    ];
    let of_gpus = |line: &&str| line.contains("gpu_uuid") && once.iter().any(|family| line.starts_with(family));
    assert_eq!(page.lines().filter(of_gpus).collect::<Vec<_>>(), [""; 0]);
    let summaries = |page: &str| {
        let family = "nv_inference_request_summary_us_count{";
        page.lines().filter(|line| line.starts_with(family) && line.contains("gpu_uuid")).count()
    };
    assert_eq!(summaries(&page), 2);
    model.count_cache();
    assert_eq!(summaries(&telemetry.render()), 0, "left out for models that cache, wherever they run");
    drop((model, on_gpus));
    assert!(!telemetry.render().contains("digits"));
}

#[test]
fn devices_are_on_the_page_with_the_figures_that_they_have() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    assert!(!telemetry.render().contains("nv_gpu") && !telemetry.render().contains("pinned"));
    let whole = DeviceReading {
        uuid: "GPU-1".into(),
        utilization: Some(0.25),
        memory_total_bytes: Some(100.0),
        memory_used_bytes: Some(40.0),
        power_usage_watts: Some(61.5),
        power_limit_watts: Some(700.0),
        energy_joules: Some(12.5),
        to_device_bytes: Some(8.0),
        to_host_bytes: Some(0.0),
    };
    let slice = DeviceReading { uuid: "MIG-2".into(), memory_total_bytes: Some(10.0), ..DeviceReading::default() };
    let readings =
        GpuReadings { devices: vec![whole, slice], pinned_total_bytes: 268_435_456, pinned_used_bytes: 65_536 };
    telemetry.show_gpus(GpuSource(Arc::new(move || readings.clone())));
    let page = telemetry.render();
    check_lines(
        &page,
        r#"
        # TYPE nv_gpu_utilization gauge
        nv_gpu_utilization{gpu_uuid="GPU-1"} 0.25
        nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 100
        nv_gpu_memory_total_bytes{gpu_uuid="MIG-2"} 10
        nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 40
        nv_gpu_power_usage{gpu_uuid="GPU-1"} 61.5
        nv_gpu_power_limit{gpu_uuid="GPU-1"} 700
        # TYPE nv_energy_consumption counter
        nv_energy_consumption{gpu_uuid="GPU-1"} 12.5
        nereid_gpu_to_device_bytes_total{gpu_uuid="GPU-1"} 8
        nereid_gpu_to_host_bytes_total{gpu_uuid="GPU-1"} 0
        nv_pinned_memory_pool_total_bytes 268435456
        nv_pinned_memory_pool_used_bytes 65536
        "#,
    );
    assert!(!page.contains(r#"nv_gpu_utilization{gpu_uuid="MIG-2"}"#), "{page}");
}
