//! Spans on their way to a collector: OTLP over HTTP, in batches.
//!
//! Batches are made by OpenTelemetry's own processor, on its thread; the requests run on the server's runtime. A collector
//! that is away costs the spans that do not fit the queue, and one line in the log until it is back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::Handle;

use super::{
    options::{OpenTelemetryOptions, TraceError},
    recording::Record,
    spans::write_spans,
};

/// The name of the instrumentation, which Triton's spans have.
const TRACER: &str = "triton-server";

/// How long one message to the collector may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the spans that are left may take when the server ends.
const LAST_SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Events of one span; a stream of responses has one each.
const EVENTS_MAX: u32 = 1_024;

/// Makes spans and sends them.
pub(crate) struct SpanExport {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The exporter, on a runtime: the processor's thread has none.
#[derive(Debug)]
struct OnRuntime {
    exporter: Arc<OtlpExporter>,
    runtime: Handle,
    url: String,
    is_failing: AtomicBool,
}

// === impl SpanExport ===

impl SpanExport {
    /// Starts to send spans from `runtime`.
    ///
    /// # Errors
    /// The address cannot be one of a collector.
    pub(crate) fn start(options: &OpenTelemetryOptions, runtime: Handle) -> Result<Self, TraceError> {
        let url = options.url.clone();
        let failed = |problem: String| TraceError::Collector { url: url.clone(), problem };
        if !url.starts_with("http://") {
            return Err(failed("expected an address that begins with http://".to_owned()));
        }
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&url)
            .with_timeout(SEND_TIMEOUT)
            .build();
        let exporter = exporter.map_err(|error| failed(error.to_string()))?;
        let exporter = OnRuntime { exporter: Arc::new(exporter), runtime, url, is_failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(options.queue_spans_max)
            .with_max_export_batch_size(options.batch_spans_max)
            .with_scheduled_delay(options.delay_max)
            .build();
        let attributes = options.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            // Which requests are traced is decided before there is a span.
            .with_sampler(Sampler::AlwaysOn)
            .with_max_events_per_span(EVENTS_MAX)
            .with_resource(Resource::builder().with_attributes(attributes).build())
            .build();
        let tracer = provider.tracer(TRACER);
        Ok(Self { provider, tracer })
    }

    pub(crate) fn add(&self, record: &Record) {
        write_spans(&self.tracer, record);
    }

    /// Sends what is left.
    pub(crate) fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SEND_TIMEOUT) {
            tracing::warn!("the last spans may not have reached the collector: {error}");
        }
    }
}

// === impl OnRuntime ===

impl OnRuntime {
    fn note(&self, spans: usize, outcome: &OTelSdkResult) {
        match outcome {
            Ok(()) if self.is_failing.swap(false, Relaxed) => {
                tracing::info!("the collector at '{}' takes spans again", self.url);
            }
            Err(error) if !self.is_failing.swap(true, Relaxed) => {
                tracing::warn!("{spans} spans are lost, the collector at '{}' did not take them: {error}", self.url);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for OnRuntime {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let (exporter, spans) = (self.exporter.clone(), batch.len());
        let sending = self.runtime.spawn(async move { exporter.export(batch).await });
        async move {
            let outcome = sending.await.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
            self.note(spans, &outcome);
            outcome
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(exporter) = Arc::get_mut(&mut self.exporter) {
            exporter.set_resource(resource);
        }
    }
}
