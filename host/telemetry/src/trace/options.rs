//! What the operator wants traced when the server starts.

use std::{io, time::Duration};

use nereid_inference::{TraceLevel, TraceMode, TraceSettings};

/// Every how many requests one is traced, unless said otherwise; Triton's default.
const RATE: u32 = 1_000;

/// Where a collector on this machine listens; the standard's default.
const COLLECTOR_URL: &str = "http://localhost:4318/v1/traces";

/// The name under which collectors show this server, unless the operator has another; Triton's.
const SERVICE_NAME: &str = "triton-inference-server";

/// Traces at the start, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    pub settings: TraceSettings,
    pub open_telemetry: OpenTelemetryOptions,
}

/// How spans reach a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTelemetryOptions {
    /// Where spans are posted, in OTLP over HTTP.
    pub url: String,
    /// What describes this server; later ones win.
    pub resource: Vec<(String, String)>,
    /// Spans that wait to be sent; beyond them spans are lost.
    pub queue_spans_max: usize,
    /// Spans in one message.
    pub batch_spans_max: usize,
    /// How long a span waits for company before it is sent.
    pub delay_max: Duration,
}

/// Why traces cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("a thread for traces cannot be started: {0}")]
    Thread(#[from] io::Error),
    #[error("spans cannot be sent to '{url}': {problem}")]
    Collector { url: String, problem: String },
}

// === impl TraceOptions ===

impl Default for TraceOptions {
    /// Nothing is traced.
    fn default() -> Self {
        let settings = TraceSettings {
            level: TraceLevel::OFF,
            rate: RATE,
            count: -1,
            log_frequency: 0,
            mode: TraceMode::Triton,
            file: String::new(),
            mode_settings: Vec::new(),
        };
        let resource = vec![("service.name".to_owned(), SERVICE_NAME.to_owned())];
        let open_telemetry = OpenTelemetryOptions {
            url: COLLECTOR_URL.to_owned(),
            resource,
            queue_spans_max: 2_048,
            batch_spans_max: 512,
            delay_max: Duration::from_secs(5),
        };
        Self { settings, open_telemetry }
    }
}
