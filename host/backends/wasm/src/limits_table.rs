//! `[limits]` as files write it: in `plugin.toml` what a plugin asks for, in `nereid.toml` what it gets at most.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use nereid_plugin::PluginLimits;
use serde::Deserialize;

/// Keys are the names that error texts use for the limits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    memory_mib: Option<NonZeroU64>,
    table_elements: Option<NonZeroU64>,
    deadline_ms: Option<NonZeroU64>,
    cpu_ms: Option<NonZeroU64>,
    host_tensor_mib: Option<NonZeroU64>,
    output_mib: Option<NonZeroU64>,
    host_calls: Option<NonZeroU64>,
    handles: Option<NonZeroU32>,
    model_calls: Option<NonZeroU32>,
    pending_calls: Option<NonZeroU32>,
    call_depth: Option<NonZeroU32>,
    log_kib: Option<NonZeroU64>,
    spans: Option<NonZeroU32>,
    span_kib: Option<NonZeroU64>,
    state_kib: Option<NonZeroU64>,
    metric_series: Option<NonZeroU32>,
    http_connect_ms: Option<NonZeroU64>,
    http_timeout_ms: Option<NonZeroU64>,
    http_request_mib: Option<NonZeroU64>,
    http_response_mib: Option<NonZeroU64>,
    http_in_flight: Option<NonZeroU32>,
    invocations: Option<NonZeroU64>,
    readiness_ms: Option<NonZeroU64>,
    drain_ms: Option<NonZeroU64>,
}

// === impl LimitsTable ===

impl LimitsTable {
    /// What is written, and `defaults` where nothing is.
    pub fn over(self, defaults: &PluginLimits) -> PluginLimits {
        let number = |asked: Option<NonZeroU64>, default| asked.map_or(default, NonZeroU64::get);
        let small = |asked: Option<NonZeroU32>, default| asked.map_or(default, NonZeroU32::get);
        let bytes = |asked: Option<NonZeroU64>, shift: u32, default| {
            asked.map_or(default, |asked| asked.get().saturating_mul(1 << shift))
        };
        let time = |asked: Option<NonZeroU64>, default| asked.map_or(default, |ms| Duration::from_millis(ms.get()));
        PluginLimits {
            memory_bytes_max: bytes(self.memory_mib, 20, defaults.memory_bytes_max),
            table_elements_max: number(self.table_elements, defaults.table_elements_max),
            wall_time_max: time(self.deadline_ms, defaults.wall_time_max),
            cpu_time_max: time(self.cpu_ms, defaults.cpu_time_max),
            host_tensor_bytes_max: bytes(self.host_tensor_mib, 20, defaults.host_tensor_bytes_max),
            output_bytes_max: bytes(self.output_mib, 20, defaults.output_bytes_max),
            host_calls_max: number(self.host_calls, defaults.host_calls_max),
            handles_max: small(self.handles, defaults.handles_max),
            model_calls_max: small(self.model_calls, defaults.model_calls_max),
            pending_calls_max: small(self.pending_calls, defaults.pending_calls_max),
            call_depth_max: small(self.call_depth, defaults.call_depth_max),
            log_bytes_max: bytes(self.log_kib, 10, defaults.log_bytes_max),
            spans_max: small(self.spans, defaults.spans_max),
            span_bytes_max: bytes(self.span_kib, 10, defaults.span_bytes_max),
            state_bytes_max: bytes(self.state_kib, 10, defaults.state_bytes_max),
            metric_series_max: small(self.metric_series, defaults.metric_series_max),
            http_connect_max: time(self.http_connect_ms, defaults.http_connect_max),
            http_time_max: time(self.http_timeout_ms, defaults.http_time_max),
            http_request_bytes_max: bytes(self.http_request_mib, 20, defaults.http_request_bytes_max),
            http_response_bytes_max: bytes(self.http_response_mib, 20, defaults.http_response_bytes_max),
            http_in_flight_max: small(self.http_in_flight, defaults.http_in_flight_max),
            invocations_max: number(self.invocations, defaults.invocations_max),
            readiness_time_max: time(self.readiness_ms, defaults.readiness_time_max),
            drain_time_max: time(self.drain_ms, defaults.drain_time_max),
        }
    }
}
