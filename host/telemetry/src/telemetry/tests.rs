//! The page as scrapers see it.

mod gpus;

use std::time::Duration;

use super::*;
use crate::{CacheHit, FailureReason, MemoryReading, RequestDurations};

/// Asserts that the page's model series are exactly these lines, in this order; buckets apart, which are many.
fn check(telemetry: &Telemetry, expected: &str) {
    let page = telemetry.render();
    let lines = page.lines().filter(|line| line.contains("model=") && !line.contains("_bucket{"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let expected = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(lines, expected);
}

fn value_of(telemetry: &Telemetry, series: &str) -> Option<f64> {
    let page = telemetry.render();
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn identity(version: u64) -> ModelIdentity {
    ModelIdentity::new("digits", version)
}

#[test]
fn a_loaded_model_has_every_series_at_zero() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let _metrics = telemetry.model(&identity(1), &ModelConfig::default());
    check(
        &telemetry,
        r#"
        nv_inference_request_success{model="digits",version="1"} 0
        nv_inference_request_failure{model="digits",reason="REJECTED",version="1"} 0
        nv_inference_request_failure{model="digits",reason="CANCELED",version="1"} 0
        nv_inference_request_failure{model="digits",reason="BACKEND",version="1"} 0
        nv_inference_request_failure{model="digits",reason="OTHER",version="1"} 0
        nv_inference_count{model="digits",version="1"} 0
        nv_inference_exec_count{model="digits",version="1"} 0
        nv_inference_request_duration_us{model="digits",version="1"} 0
        nv_inference_queue_duration_us{model="digits",version="1"} 0
        nv_inference_compute_input_duration_us{model="digits",version="1"} 0
        nv_inference_compute_infer_duration_us{model="digits",version="1"} 0
        nv_inference_compute_output_duration_us{model="digits",version="1"} 0
        nv_inference_pending_request_count{model="digits",version="1"} 0
        nv_model_load_duration_secs{model="digits",version="1"} 0
        nereid_execution_rows_total{model="digits",version="1"} 0
        nereid_batch_size_sum{model="digits",version="1"} 0
        nereid_batch_size_count{model="digits",version="1"} 0
        "#,
    );
}

#[test]
fn a_model_of_a_namespace_is_labelled_with_it() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let within =
        |namespace: &str| telemetry.model(&identity(1).within(Some(namespace.into())), &ModelConfig::default());
    let (one, _other) = (within("/models/a"), within("/models/b"));
    one.record_execution(2);
    let series =
        |namespace| format!(r#"nv_inference_exec_count{{model="digits",namespace="{namespace}",version="1"}}"#);
    assert_eq!(value_of(&telemetry, &series("/models/a")), Some(1.0));
    assert_eq!(value_of(&telemetry, &series("/models/b")), Some(0.0));
}

#[test]
fn what_is_recorded_is_on_the_page() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let metrics = telemetry.model(&identity(3), &ModelConfig::default());
    let durations = RequestDurations {
        request: Duration::from_micros(100),
        queue: Duration::from_micros(40),
        compute_input: Duration::from_nanos(1_500),
        compute_infer: Duration::from_micros(50),
        compute_output: Duration::from_nanos(500),
    };
    metrics.record_success(8, &durations);
    metrics.record_success(2, &durations);
    metrics.record_failure(FailureReason::Cancelled);
    metrics.record_failure(FailureReason::Other);
    metrics.record_failure(FailureReason::Other);
    metrics.record_execution(11);
    metrics.add_pending(5);
    metrics.add_pending(-2);
    metrics.set_load_duration(Duration::from_millis(1_500));
    metrics.record_first_response(Duration::from_millis(1));
    check(
        &telemetry,
        r#"
        nv_inference_request_success{model="digits",version="3"} 2
        nv_inference_request_failure{model="digits",reason="REJECTED",version="3"} 0
        nv_inference_request_failure{model="digits",reason="CANCELED",version="3"} 1
        nv_inference_request_failure{model="digits",reason="BACKEND",version="3"} 0
        nv_inference_request_failure{model="digits",reason="OTHER",version="3"} 2
        nv_inference_count{model="digits",version="3"} 10
        nv_inference_exec_count{model="digits",version="3"} 1
        nv_inference_request_duration_us{model="digits",version="3"} 200
        nv_inference_queue_duration_us{model="digits",version="3"} 80
        nv_inference_compute_input_duration_us{model="digits",version="3"} 3
        nv_inference_compute_infer_duration_us{model="digits",version="3"} 100
        nv_inference_compute_output_duration_us{model="digits",version="3"} 1
        nv_inference_pending_request_count{model="digits",version="3"} 3
        nv_model_load_duration_secs{model="digits",version="3"} 1.5
        nereid_execution_rows_total{model="digits",version="3"} 11
        nereid_batch_size_sum{model="digits",version="3"} 11
        nereid_batch_size_count{model="digits",version="3"} 1
        "#,
    );
    let bucket = |le: &str| {
        value_of(&telemetry, &format!(r#"nereid_batch_size_bucket{{model="digits",version="3",le="{le}"}}"#))
    };
    assert_eq!(["1", "8", "16", "1024", "+Inf"].map(bucket), [0.0, 0.0, 1.0, 1.0, 1.0].map(Some));
}

#[test]
fn series_vanish_with_the_last_clone() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let metrics = telemetry.model(&identity(1), &ModelConfig::default());
    let clone = metrics.clone();
    drop(metrics);
    assert_eq!(value_of(&telemetry, r#"nv_inference_count{model="digits",version="1"}"#), Some(0.0));
    drop(clone);
    check(&telemetry, "");
    assert!(!telemetry.render().contains("nv_inference_count"), "a family without series is left out");
}

#[test]
fn two_generations_of_a_version_share_one_series_and_the_newer_keeps_it() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let success = r#"nv_inference_request_success{model="digits",version="1"}"#;
    let old = telemetry.model(&identity(1), &ModelConfig::default());
    old.record_success(1, &RequestDurations::default());
    let new = telemetry.model(&identity(1), &ModelConfig::default());
    new.record_success(1, &RequestDurations::default());
    assert_eq!(telemetry.render().matches(success).count(), 1);
    drop(old);
    assert_eq!(value_of(&telemetry, success), Some(2.0));
    drop(new);
    assert_eq!(value_of(&telemetry, success), None);
    let _later = telemetry.model(&identity(1), &ModelConfig::default());
    assert_eq!(value_of(&telemetry, success), Some(0.0), "a version that was unloaded starts again");
}

#[test]
fn versions_are_counted_apart() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let first = telemetry.model(&identity(1), &ModelConfig::default());
    let _second = telemetry.model(&identity(2), &ModelConfig::default());
    first.record_execution(1);
    assert_eq!(value_of(&telemetry, r#"nv_inference_exec_count{model="digits",version="1"}"#), Some(1.0));
    assert_eq!(value_of(&telemetry, r#"nv_inference_exec_count{model="digits",version="2"}"#), Some(0.0));
}

#[test]
fn tags_become_labels_and_odd_ones_keep_the_page_readable() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let tags = [("team", "vision"), ("cost centre", "a\"b\\c\nd")];
    let metric_tags = tags.map(|(tag, value)| (tag.to_owned(), value.to_owned())).into();
    let _tagged = telemetry.model(&identity(1), &ModelConfig { metric_tags, ..ModelConfig::default() });
    let series = r#"nv_inference_count{_cost_centre="a\"b\\c\nd",_team="vision",model="digits",version="1"}"#;
    assert_eq!(value_of(&telemetry, series), Some(0.0));
}

#[test]
fn each_family_has_its_help_and_type_once() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    let _first = telemetry.model(&identity(1), &ModelConfig::default());
    let _second = telemetry.model(&identity(2), &ModelConfig::default());
    let page = telemetry.render();
    let help = "# HELP nv_inference_request_success Number of successful inference requests, all batch sizes\n\
                # TYPE nv_inference_request_success counter\n";
    assert_eq!(page.matches(help).count(), 1);
    assert_eq!(page.matches("# TYPE nv_inference_pending_request_count gauge\n").count(), 1);
}

#[test]
fn the_machine_is_on_the_page() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    telemetry.sample_host();
    let utilization = value_of(&telemetry, "nv_cpu_utilization").unwrap();
    assert!((0.0..=1.0).contains(&utilization), "{utilization}");
    let total = value_of(&telemetry, "nv_cpu_memory_total_bytes").unwrap();
    let used = value_of(&telemetry, "nv_cpu_memory_used_bytes").unwrap();
    assert!(0.0 < used && used < total, "{used} of {total}");
}

/// A page with every kind of latency metric, after requests of 1, 2, … 100 ms.
fn after_a_hundred_requests(settings: MetricsSettings) -> String {
    let telemetry = Telemetry::new(settings);
    let metrics = telemetry.model(&identity(1), &ModelConfig::default());
    for milliseconds in 1..=100 {
        let request = Duration::from_millis(milliseconds);
        metrics.record_success(1, &RequestDurations { request, ..RequestDurations::default() });
        metrics.record_first_response(request * 10);
    }
    telemetry.render()
}

/// Asserts that the page has these lines.
fn check_lines(page: &str, expected: &str) {
    for line in expected.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
    }
}

#[test]
fn histograms_and_summaries_are_kept_when_they_are_switched_on() {
    let page = after_a_hundred_requests(MetricsSettings {
        histogram_latencies: true,
        summary_latencies: true,
        summary_quantiles: vec![0.5, 0.999],
        ..MetricsSettings::default()
    });
    check_lines(
        &page,
        r#"
        # TYPE nv_inference_first_response_histogram_ms histogram
        nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="100"} 10
        nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="500"} 50
        nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="2000"} 100
        nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="5000"} 100
        nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="+Inf"} 100
        nv_inference_first_response_histogram_ms_sum{model="digits",version="1"} 50500
        nv_inference_first_response_histogram_ms_count{model="digits",version="1"} 100
        # TYPE nv_inference_request_summary_us summary
        nv_inference_request_summary_us{model="digits",version="1",quantile="0.5"} 50015
        nv_inference_request_summary_us{model="digits",version="1",quantile="0.999"} 100031
        nv_inference_request_summary_us_sum{model="digits",version="1"} 5050000
        nv_inference_request_summary_us_count{model="digits",version="1"} 100
        nv_inference_queue_summary_us{model="digits",version="1",quantile="0.5"} 0
        nv_inference_request_duration_us{model="digits",version="1"} 5050000
        "#,
    );
}

#[test]
fn without_latency_counters_requests_are_still_counted() {
    let page = after_a_hundred_requests(MetricsSettings { counter_latencies: false, ..MetricsSettings::default() });
    assert!(!page.contains("_duration_us"), "{page}");
    assert!(!page.contains("summary") && !page.contains("histogram_ms"), "{page}");
    check_lines(&page, r#"nv_inference_request_success{model="digits",version="1"} 100"#);
}

#[test]
fn an_idle_model_has_summaries_without_values() {
    let telemetry = Telemetry::new(MetricsSettings { summary_latencies: true, ..MetricsSettings::default() });
    let _metrics = telemetry.model(&identity(1), &ModelConfig::default());
    check_lines(
        &telemetry.render(),
        r#"
        nv_inference_request_summary_us{model="digits",version="1",quantile="0.5"} NaN
        nv_inference_request_summary_us_count{model="digits",version="1"} 0
        "#,
    );
}

#[test]
fn the_machine_is_left_out_on_demand() {
    let telemetry = Telemetry::new(MetricsSettings { host_usage: false, ..MetricsSettings::default() });
    telemetry.sample_host();
    assert!(!telemetry.render().contains("nv_cpu"));
}

/// A page after two hits and a miss of a model that caches.
fn after_hits_and_a_miss(settings: MetricsSettings) -> String {
    let telemetry = Telemetry::new(settings);
    let metrics = telemetry.model(&identity(1), &ModelConfig::default());
    metrics.count_cache();
    let us = Duration::from_micros;
    metrics.record_success(1, &RequestDurations { request: us(100), queue: us(5), ..RequestDurations::default() });
    metrics.record_cache_miss(us(3), us(4));
    for _ in 0..2 {
        metrics.record_cache_hit(&CacheHit { request: us(10), queue: us(1), lookup: us(2) });
    }
    telemetry.render()
}

#[test]
fn hits_and_misses_are_on_the_page_of_a_model_that_caches() {
    let page = after_hits_and_a_miss(MetricsSettings { summary_latencies: true, ..MetricsSettings::default() });
    check_lines(
        &page,
        r#"
        # TYPE nv_cache_num_hits_per_model counter
        nv_inference_request_success{model="digits",version="1"} 3
        nv_inference_count{model="digits",version="1"} 1
        nv_inference_request_duration_us{model="digits",version="1"} 124
        nv_inference_queue_duration_us{model="digits",version="1"} 7
        nv_cache_num_hits_per_model{model="digits",version="1"} 2
        nv_cache_num_misses_per_model{model="digits",version="1"} 1
        nv_cache_hit_duration_per_model{model="digits",version="1"} 4
        nv_cache_miss_duration_per_model{model="digits",version="1"} 7
        # TYPE nv_cache_hit_summary_per_model summary
        nv_cache_hit_summary_per_model{model="digits",version="1",quantile="0.5"} 2
        nv_cache_hit_summary_per_model_count{model="digits",version="1"} 2
        nv_cache_miss_summary_per_model_sum{model="digits",version="1"} 7
        nv_inference_queue_summary_us_count{model="digits",version="1"} 3
        nv_inference_compute_infer_summary_us_count{model="digits",version="1"} 1
        "#,
    );
    assert!(!page.contains("nv_inference_request_summary_us"), "{page}");
}

#[test]
fn durations_of_the_cache_are_latency_counters() {
    let page = after_hits_and_a_miss(MetricsSettings { counter_latencies: false, ..MetricsSettings::default() });
    check_lines(&page, r#"nv_cache_num_hits_per_model{model="digits",version="1"} 2"#);
    assert!(!page.contains("_duration_us") && !page.contains("_duration_per_model"), "{page}");
    assert!(!page.contains("summary"), "{page}");
}

#[test]
fn a_memory_budget_is_on_the_page_where_there_is_one() {
    let telemetry = Telemetry::new(MetricsSettings::default());
    assert!(!telemetry.render().contains("nereid_memory_"));
    let reading = MemoryReading {
        budget_bytes: 100,
        models: vec![(identity(1), 60)],
        loading_bytes: 20,
        in_flight_bytes: 5,
        refusals: vec![("load", 2), ("request", 0)],
    };
    telemetry.show_memory(MemorySource(Arc::new(move || reading.clone())));
    let values = [
        ("nereid_memory_budget_bytes", 100.0),
        (r#"nereid_memory_model_bytes{model="digits",version="1"}"#, 60.0),
        ("nereid_memory_loading_bytes", 20.0),
        ("nereid_memory_in_flight_bytes", 5.0),
        (r#"nereid_memory_refusals_total{reason="load"}"#, 2.0),
        (r#"nereid_memory_refusals_total{reason="request"}"#, 0.0),
    ];
    for (series, value) in values {
        assert_eq!(value_of(&telemetry, series), Some(value), "{series}");
    }
}
