//! The port of traces and the log, over those of this process.

use std::sync::Arc;

use nereid_inference::{
    Diagnostics, InferError, LogChange, LogFormat, LogSettings, ModelIdentity, RequestTrace, TraceChange, TraceSettings,
};

use crate::{LogControl, Traces};

/// Traces and the log of one server.
pub struct ServerDiagnostics {
    pub traces: Arc<Traces>,
    pub log: Arc<LogControl>,
}

// === impl ServerDiagnostics ===

impl ServerDiagnostics {
    /// Nothing is traced, and no log listens to the settings: for frontends in tests and benches.
    pub fn detached() -> Arc<Self> {
        let log = LogSettings {
            info: true,
            warning: true,
            error: true,
            verbose_level: 0,
            format: LogFormat::Default,
            file: None,
        };
        Arc::new(Self { traces: Traces::off(), log: Arc::new(LogControl::new(log)) })
    }
}

impl Diagnostics for ServerDiagnostics {
    fn start_trace<'h>(
        &self,
        model: &ModelIdentity,
        header: &dyn Fn(&str) -> Option<&'h str>,
    ) -> Option<Arc<dyn RequestTrace>> {
        self.traces.begin(model, header)
    }

    fn trace_settings(&self, model: Option<&str>) -> TraceSettings {
        self.traces.settings(model)
    }

    fn change_trace_settings(&self, model: Option<&str>, change: &TraceChange) -> Result<(), InferError> {
        self.traces.change(model, change)
    }

    fn log_settings(&self) -> LogSettings {
        self.log.settings()
    }

    fn change_log_settings(&self, change: &LogChange) {
        self.log.change(change);
    }
}
