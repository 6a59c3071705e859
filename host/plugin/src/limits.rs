//! What one plugin may use: one struct, on by default, with units and reasons.
//!
//! "Per call" is one request served by one guest. The effective limits are the smaller of what the plugin's owner asks
//! for and what the operator allows: [`PluginLimits::within`].

use std::{fmt, time::Duration};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The limits of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory of one guest, all its memories together. Growing beyond it fails as if the machine had no more.
    pub memory_bytes_max: u64,
    /// Elements of all tables of one guest together; tables hold function pointers.
    pub table_elements_max: u64,
    /// From the start of a call to its end, waiting for other models included.
    pub wall_time_max: Duration,
    /// Time per call that the guest, or the host on its behalf, occupies a thread. Waiting for other models does not count.
    pub cpu_time_max: Duration,
    /// Host memory per call behind tensors that the guest created or received from other models; inputs do not count.
    pub host_tensor_bytes_max: u64,
    /// Bytes of all outputs of one call.
    pub output_bytes_max: u64,
    /// Imported functions called per call.
    pub host_calls_max: u64,
    /// Open handles (tensors, requests, pending calls) at any moment of a call.
    pub handles_max: u32,
    /// Calls to other models per call.
    pub model_calls_max: u32,
    /// Calls to other models under way at any moment of a call.
    pub pending_calls_max: u32,
    /// Models in a chain of calls, the one that the client called included.
    pub call_depth_max: u32,
    /// Bytes of log lines per call; more is dropped.
    pub log_bytes_max: u64,
    /// Spans, events and attributes that a call adds to traces; more is dropped.
    pub spans_max: u32,
    /// Bytes of those.
    pub span_bytes_max: u64,
    /// Bytes of keys and values that the model keeps between calls, all its guests together.
    pub state_bytes_max: u64,
    /// Label sets of the model's own metrics, all its guests together.
    pub metric_series_max: u32,
    /// Time for a connection to a server that the plugin was granted, names and TLS included.
    pub http_connect_max: Duration,
    /// Time for one request to such a server, from the beginning to the last byte of the answer; the call's own end comes first.
    pub http_time_max: Duration,
    /// Bytes of the body of one such request.
    pub http_request_bytes_max: u64,
    /// Bytes of the body of the answer to it.
    pub http_response_bytes_max: u64,
    /// Such requests under way, all guests of one generation together.
    pub http_in_flight_max: u32,
    /// Calls after which a guest is replaced by a fresh one, so that a slow leak never grows old.
    pub invocations_max: u64,
    /// From the start of a readiness check to its end.
    pub readiness_time_max: Duration,
    /// From the start of `drain` to its end.
    pub drain_time_max: Duration,
}

/// How long a call may take, and the name of the limit that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit {
    pub(crate) max: Duration,
    key: &'static str,
}

// === impl PluginLimits ===

impl PluginLimits {
    /// What a plugin gets that asks for nothing.
    pub const DEFAULT: Self = Self {
        // A decoded 4K image as FP32 is 100 MB; language runtimes start at 20 MB.
        memory_bytes_max: 256 * MIB,
        // Debug builds of large runtimes have some 10 000.
        table_elements_max: 100_000,
        // Longer than any model call that a client waits for without streaming.
        wall_time_max: Duration::from_secs(30),
        // Decoding and resizing a 50-megapixel image in a sandbox takes about two seconds.
        cpu_time_max: Duration::from_secs(10),
        // Twice the guest's memory: everything that it can make, and the answers to it.
        host_tensor_bytes_max: 512 * MIB,
        // What fits the guest's memory once.
        output_bytes_max: 256 * MIB,
        // At 0.2 µs each a fifth of a second; a 16 GB tensor read in pieces of 64 KiB needs a quarter of them.
        host_calls_max: 1_000_000,
        // A batch of 1000 with ten tensors each.
        handles_max: 10_000,
        // A beam search over a hundred steps with ten beams.
        model_calls_max: 1000,
        // As many as a client's usual concurrency.
        pending_calls_max: 64,
        // Pipelines are two or three deep; eight leaves room and ends a runaway early.
        call_depth_max: 8,
        // A thousand lines.
        log_bytes_max: 64 * KIB,
        // A step for each of a hundred tokens, with its number.
        spans_max: 256,
        span_bytes_max: 64 * KIB,
        // Some ten thousand small entries.
        state_bytes_max: MIB,
        // A scrape of every plugin's metrics stays below that of the server's own.
        metric_series_max: 100,
        // A server on the other side of the world, with a packet lost.
        http_connect_max: Duration::from_secs(5),
        // As long as a call.
        http_time_max: Duration::from_secs(30),
        // A large picture.
        http_request_bytes_max: 16 * MIB,
        http_response_bytes_max: 16 * MIB,
        // As many as other models at one time.
        http_in_flight_max: 64,
        // Minutes under load, and replacing a guest costs ten microseconds.
        invocations_max: 100_000,
        // As long as orchestrators wait for a probe; batches wait for a check as for each other.
        readiness_time_max: Duration::from_secs(1),
        // A flush to a slow server, within the time that orchestrators give a server to end.
        drain_time_max: Duration::from_secs(5),
    };

    /// What a server allows unless its operator says otherwise.
    pub const CEILING: Self = Self {
        // All that 32-bit addresses reach.
        memory_bytes_max: 4 * GIB,
        // What the pool reserves per table.
        table_elements_max: 100_000,
        wall_time_max: Duration::from_secs(600),
        cpu_time_max: Duration::from_secs(600),
        host_tensor_bytes_max: 16 * GIB,
        output_bytes_max: 4 * GIB,
        host_calls_max: 100_000_000,
        handles_max: 100_000,
        model_calls_max: 100_000,
        pending_calls_max: 1000,
        call_depth_max: 32,
        log_bytes_max: 16 * MIB,
        spans_max: 10_000,
        span_bytes_max: MIB,
        state_bytes_max: GIB,
        metric_series_max: 10_000,
        http_connect_max: Duration::from_secs(60),
        http_time_max: Duration::from_secs(600),
        http_request_bytes_max: GIB,
        http_response_bytes_max: GIB,
        http_in_flight_max: 10_000,
        invocations_max: u32::MAX as u64,
        readiness_time_max: Duration::from_secs(60),
        drain_time_max: Duration::from_secs(600),
    };

    /// The smaller of both in every respect.
    #[must_use]
    pub fn within(&self, ceiling: &Self) -> Self {
        Self {
            memory_bytes_max: self.memory_bytes_max.min(ceiling.memory_bytes_max),
            table_elements_max: self.table_elements_max.min(ceiling.table_elements_max),
            wall_time_max: self.wall_time_max.min(ceiling.wall_time_max),
            cpu_time_max: self.cpu_time_max.min(ceiling.cpu_time_max),
            host_tensor_bytes_max: self.host_tensor_bytes_max.min(ceiling.host_tensor_bytes_max),
            output_bytes_max: self.output_bytes_max.min(ceiling.output_bytes_max),
            host_calls_max: self.host_calls_max.min(ceiling.host_calls_max),
            handles_max: self.handles_max.min(ceiling.handles_max),
            model_calls_max: self.model_calls_max.min(ceiling.model_calls_max),
            pending_calls_max: self.pending_calls_max.min(ceiling.pending_calls_max),
            call_depth_max: self.call_depth_max.min(ceiling.call_depth_max),
            log_bytes_max: self.log_bytes_max.min(ceiling.log_bytes_max),
            spans_max: self.spans_max.min(ceiling.spans_max),
            span_bytes_max: self.span_bytes_max.min(ceiling.span_bytes_max),
            state_bytes_max: self.state_bytes_max.min(ceiling.state_bytes_max),
            metric_series_max: self.metric_series_max.min(ceiling.metric_series_max),
            http_connect_max: self.http_connect_max.min(ceiling.http_connect_max),
            http_time_max: self.http_time_max.min(ceiling.http_time_max),
            http_request_bytes_max: self.http_request_bytes_max.min(ceiling.http_request_bytes_max),
            http_response_bytes_max: self.http_response_bytes_max.min(ceiling.http_response_bytes_max),
            http_in_flight_max: self.http_in_flight_max.min(ceiling.http_in_flight_max),
            invocations_max: self.invocations_max.min(ceiling.invocations_max),
            readiness_time_max: self.readiness_time_max.min(ceiling.readiness_time_max),
            drain_time_max: self.drain_time_max.min(ceiling.drain_time_max),
        }
    }

    /// Of a request's call.
    pub(crate) fn call_time(&self) -> TimeLimit {
        TimeLimit { max: self.wall_time_max, key: "deadline_ms" }
    }

    /// Of a readiness check.
    pub(crate) fn readiness_time(&self) -> TimeLimit {
        TimeLimit { max: self.readiness_time_max, key: "readiness_ms" }
    }

    /// Of `drain`.
    pub(crate) fn drain_time(&self) -> TimeLimit {
        TimeLimit { max: self.drain_time_max, key: "drain_ms" }
    }
}

// === impl TimeLimit ===

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.max, self.key)
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_wins_on_either_side() {
        let asked = PluginLimits { memory_bytes_max: 8 * GIB, call_depth_max: 2, ..PluginLimits::DEFAULT };
        let effective = asked.within(&PluginLimits::CEILING);
        assert_eq!((effective.memory_bytes_max, effective.call_depth_max), (4 * GIB, 2));
    }

    #[test]
    fn the_defaults_are_within_the_ceiling() {
        assert_eq!(PluginLimits::DEFAULT.within(&PluginLimits::CEILING), PluginLimits::DEFAULT);
    }
}
