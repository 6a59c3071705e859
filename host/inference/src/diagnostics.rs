//! The port through which an operator watches the server: request traces and the log, and their settings while it runs.

use std::{str::FromStr, sync::Arc};

use crate::{InferError, ModelIdentity, RequestTrace};

/// What frontends ask of whoever keeps traces and the log.
pub trait Diagnostics: Send + Sync {
    /// The trace of a request that has just come in for `model`, when it is to be traced.
    ///
    /// `header` finds a header of the request, or its metadata, by its name in lower case; it is asked only when traces
    /// can be continued from elsewhere. Costs one atomic load while nothing is traced.
    fn start_trace<'h>(
        &self,
        model: &ModelIdentity,
        header: &dyn Fn(&str) -> Option<&'h str>,
    ) -> Option<Arc<dyn RequestTrace>>;

    /// The settings in effect for `model`, or for every model that has none of its own.
    fn trace_settings(&self, model: Option<&str>) -> TraceSettings;

    /// Changes them for requests to come.
    ///
    /// # Errors
    /// `InvalidArgument` when nothing could be traced with the outcome although its level says so.
    fn change_trace_settings(&self, model: Option<&str>, change: &TraceChange) -> Result<(), InferError>;

    /// What is logged.
    fn log_settings(&self) -> LogSettings;

    /// Changes it at once.
    fn change_log_settings(&self, change: &LogChange);
}

/// How requests are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    pub level: TraceLevel,
    /// Every how many requests one is traced; 0 traces only what is continued from elsewhere.
    pub rate: u32,
    /// Traces still to be taken; -1 for no end.
    pub count: i32,
    /// Traces per file; 0 writes one file.
    pub log_frequency: u32,
    pub mode: TraceMode,
    /// Where traces are written in the mode [`TraceMode::Triton`]; empty for nowhere.
    pub file: String,
    /// Further settings of the mode, as the operator wrote them.
    pub mode_settings: Vec<(String, String)>,
}

/// What is recorded of a traced request; neither is `OFF`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceLevel {
    pub timestamps: bool,
    pub tensors: bool,
}

/// What becomes of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMode {
    /// A line in a file of Triton's format.
    #[default]
    Triton,
    /// Spans for an OpenTelemetry collector.
    OpenTelemetry,
}

/// New values for trace settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceChange {
    pub level: Change<TraceLevel>,
    pub rate: Change<u32>,
    pub count: Change<i32>,
    pub log_frequency: Change<u32>,
}

/// What becomes of one setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    #[default]
    Keep,
    /// Back to what it is without having been set: a model's to the server's, the server's to the command line's.
    Clear,
    Set(T),
}

/// What is logged, how, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub info: bool,
    pub warning: bool,
    pub error: bool,
    /// 0 for none; 1 adds a line per request, 2 and above everything.
    pub verbose_level: u32,
    pub format: LogFormat,
    /// The path as the operator wrote it; `None` for standard error.
    pub file: Option<String>,
}

/// How a line of the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Default,
    Iso8601,
}

/// New values for what is logged; `None` keeps the old one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogChange {
    pub info: Option<bool>,
    pub warning: Option<bool>,
    pub error: Option<bool>,
    pub verbose_level: Option<u32>,
    pub format: Option<LogFormat>,
}

// === impl TraceLevel ===

impl TraceLevel {
    /// Nothing is traced.
    pub const OFF: Self = Self { timestamps: false, tensors: false };

    /// Whether nothing is traced.
    pub fn is_off(self) -> bool {
        self == Self::OFF
    }

    /// The words on the wire.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let words = [(self.is_off(), "OFF"), (self.timestamps, "TIMESTAMPS"), (self.tensors, "TENSORS")];
        words.into_iter().filter_map(|(applies, word)| applies.then_some(word))
    }
}

// === impl TraceMode ===

impl TraceMode {
    /// The word on the wire and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Triton => "triton",
            Self::OpenTelemetry => "opentelemetry",
        }
    }
}

// === impl Change ===

impl<T: Copy> Change<T> {
    /// What stands after the change where `before` stood, `None` meaning that nothing was set.
    pub fn applied(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

// === impl LogFormat ===

impl LogFormat {
    /// The word on the wire and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Iso8601 => "ISO8601",
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Default, Self::Iso8601].into_iter().find(|format| format.name() == name);
        known.ok_or_else(|| format!("expected 'default' or 'ISO8601', got '{name}'"))
    }
}
