//! The settings of all scopes, and the decision whether a request is traced.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use nereid_inference::{InferError, ModelIdentity, RequestTrace, TraceChange, TraceLevel, TraceMode, TraceSettings};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{
    export::SpanExport,
    files::TraceFiles,
    options::{TraceError, TraceOptions},
    recording::{RequestRecorder, TraceIds},
    scopes::Scopes,
    setting::{Setting, Values},
    writer::{self, Output, Sink},
};

/// Traces of the whole process.
pub struct Traces {
    /// Whether any scope traces anything: all that a request looks at while none does.
    is_active: AtomicBool,
    table: ArcSwap<Table>,
    scopes: Mutex<Scopes>,
    ids: Arc<TraceIds>,
    setting_ids: AtomicU64,
    /// What cannot be changed while the server runs.
    start: TraceSettings,
    sink: Option<Sink>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Settings in effect, by model.
struct Table {
    server: Arc<Setting>,
    models: HashMap<String, Arc<Setting>>,
}

/// The headers of a request, for the propagator.
struct Headers<'f, 'h>(&'f dyn Fn(&str) -> Option<&'h str>);

// === impl Traces ===

impl Traces {
    /// Starts to trace, as far as the options say so. Spans are sent from the runtime that this is called in.
    ///
    /// # Errors
    /// A thread cannot be started, or spans have nowhere to go.
    pub fn start(options: TraceOptions) -> Result<Arc<Self>, TraceError> {
        let TraceOptions { settings, open_telemetry } = options;
        let output = match settings.mode {
            TraceMode::Triton if settings.file.is_empty() => None,
            TraceMode::Triton => Some(Output::Files(TraceFiles::new(PathBuf::from(&settings.file)))),
            TraceMode::OpenTelemetry => Some(Output::Spans(SpanExport::start(&open_telemetry, Handle::current())?)),
        };
        let (sink, thread) = output.map(writer::start).transpose()?.unzip();
        let traces = Self::over(settings, sink, thread);
        let values = traces.values(None);
        if let Some(why_idle) = traces.why_idle(values).filter(|_| !values.level.is_off()) {
            tracing::warn!("requests are not traced although the trace level says so: {why_idle}");
        }
        Ok(Arc::new(traces))
    }

    /// No traces, whatever is set later.
    pub fn off() -> Arc<Self> {
        Arc::new(Self::over(TraceOptions::default().settings, None, None))
    }

    fn over(start: TraceSettings, sink: Option<Sink>, thread: Option<JoinHandle<()>>) -> Self {
        let TraceSettings { level, rate, count, log_frequency, .. } = start;
        let traces = Self {
            is_active: AtomicBool::new(false),
            table: ArcSwap::from_pointee(Table::off()),
            scopes: Mutex::new(Scopes::new(Values { level, rate, count, log_frequency })),
            ids: Arc::default(),
            setting_ids: AtomicU64::new(0),
            start,
            sink,
            writer: Mutex::new(thread),
        };
        traces.publish(&traces.scopes.lock());
        traces
    }

    /// The trace of a request that has just come in, when it is to be traced.
    pub(crate) fn begin<'h>(
        &self,
        model: &ModelIdentity,
        header: &dyn Fn(&str) -> Option<&'h str>,
    ) -> Option<Arc<dyn RequestTrace>> {
        if !self.is_active.load(Relaxed) {
            return None;
        }
        let table = self.table.load();
        let setting = table.models.get(&*model.name).unwrap_or(&table.server);
        let sink = setting.sink()?;
        let continued = match self.start.mode {
            TraceMode::Triton => None,
            TraceMode::OpenTelemetry => continued_from(header),
        };
        let is_traced = setting.sample(continued.is_some());
        is_traced.then(|| {
            let (setting, sink, ids) = (setting.clone(), sink.clone(), self.ids.clone());
            Arc::new(RequestRecorder::begin(setting, sink, ids, model, continued)) as Arc<dyn RequestTrace>
        })
    }

    pub(crate) fn settings(&self, model: Option<&str>) -> TraceSettings {
        let Values { level, rate, count, log_frequency } = self.values(model);
        TraceSettings { level, rate, count, log_frequency, ..self.start.clone() }
    }

    pub(crate) fn change(&self, model: Option<&str>, change: &TraceChange) -> Result<(), InferError> {
        let mut scopes = self.scopes.lock();
        let changed = scopes.changed(model, change, &|model| self.values(model));
        let server = changed.server_values();
        let all = std::iter::once(server).chain(changed.model_values(server).map(|(_, values)| values));
        for values in all.filter(|values| !values.level.is_off()) {
            if let Some(why_idle) = self.why_idle(values) {
                let text = format!("Attempting to set invalid trace setting :{why_idle}");
                return Err(InferError::invalid_argument(text));
            }
        }
        self.publish(&changed);
        *scopes = changed;
        Ok(())
    }

    /// Ends all tracing and returns when what is complete is written. Blocks the calling thread.
    pub fn close(&self) {
        self.is_active.store(false, Relaxed);
        self.table.store(Arc::new(Table::off()));
        if let Some(sink) = &self.sink {
            sink.close();
        }
        let thread = self.writer.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes traces panicked; traces are lost");
        }
    }

    fn values(&self, model: Option<&str>) -> Values {
        let table = self.table.load();
        model.and_then(|model| table.models.get(model)).unwrap_or(&table.server).values()
    }

    fn why_idle(&self, values: Values) -> Option<&'static str> {
        values.why_idle(self.start.mode, !self.start.file.is_empty())
    }

    /// Puts new settings into effect.
    fn publish(&self, scopes: &Scopes) {
        let setting = |values| {
            let id = self.setting_ids.fetch_add(1, Relaxed);
            Arc::new(Setting::new(id, values, self.sink.clone()))
        };
        let server = scopes.server_values();
        let models = scopes.model_values(server).map(|(name, values)| (name.to_owned(), setting(values)));
        let table = Table { models: models.collect(), server: setting(server) };
        let is_active = table.models.values().chain([&table.server]).any(|setting| setting.sink().is_some());
        self.table.store(Arc::new(table));
        self.is_active.store(is_active, Relaxed);
    }
}

/// The trace that a request is part of already, by its W3C headers.
fn continued_from<'h>(header: &dyn Fn(&str) -> Option<&'h str>) -> Option<SpanContext> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(header));
    let continued = context.span().span_context().clone();
    continued.is_valid().then_some(continued)
}

// === impl Table ===

impl Table {
    fn off() -> Self {
        let values = Values { level: TraceLevel::OFF, rate: 0, count: 0, log_frequency: 0 };
        Self { server: Arc::new(Setting::new(0, values, None)), models: HashMap::new() }
    }
}

// === impl Headers ===

impl Extractor for Headers<'_, '_> {
    fn get(&self, key: &str) -> Option<&str> {
        (self.0)(key)
    }

    fn keys(&self) -> Vec<&str> {
        vec![]
    }
}
