//! What can go wrong, in words: loading a plugin ([`PluginError`]) and calling it ([`explain`]).
//!
//! A load error speaks to the plugin's author: what the file is, what was expected, what to do. A call error speaks to the
//! client and says who failed, at what, where in the guest, and which limit has which number.

use std::{fmt::Write, time::Duration};

use nereid_inference::{ErrorKind, InferError};
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::state::PluginState;

/// Guest functions named in the text of a trap.
const FRAMES_SHOWN_MAX: usize = 6;

/// Frames of a language's own panic machinery say nothing about where the plugin failed.
const MACHINERY: [&str; 9] = [
    "core::panicking",
    "std::panicking",
    "core::result::unwrap_failed",
    "core::option::",
    "std::sys",
    "std::process::abort",
    "std::alloc",
    "alloc::alloc",
    "__rust",
];

/// Why a component cannot be served.
#[derive(Debug, Error)]
pub enum PluginError {
    #[error("the plugin host cannot start: {0}")]
    Engine(String),
    #[error("the plugin cache directory '{directory}' cannot be used: {reason}")]
    Cache { directory: String, reason: String },
    #[error("'{origin}' is not a WebAssembly component: {found}. {advice}")]
    NotAComponent { origin: String, found: String, advice: String },
    #[error("'{origin}' is damaged or uses what this server does not support: {reason}. Build or copy the file again")]
    Damaged { origin: String, reason: String },
    #[error("'{origin}' imports what this server does not offer:\n{}", .missing.join("\n"))]
    Imports { origin: String, missing: Vec<String> },
    #[error("'{origin}' does not export what a plugin must: expected {expected}, found {found}. {advice}")]
    Exports { origin: String, expected: String, found: String, advice: String },
    #[error(
        "'{origin}' was built against another draft of the plugin contract: {reason}. Build it again with this server's SDK"
    )]
    Contract { origin: String, reason: String },
    #[error("'{origin}' cannot be started: {reason}")]
    Start { origin: String, reason: String },
}

/// Why the host ended a call.
#[derive(Clone, Debug, Error)]
pub(crate) enum Stop {
    #[error("was ended at its deadline of {0:?} (deadline_ms)")]
    WallTime(Duration),
    #[error("was ended after {0:?} of computing (cpu_ms)")]
    CpuTime(Duration),
    #[error("was ended after {0} calls to the host (host_calls)")]
    HostCalls(u64),
    #[error("was ended because its client is gone")]
    Cancelled,
    #[error("called another model while it was being started, before there was a request")]
    NotServing,
    #[error("waited for a clock while it was being started, before there was a request")]
    WaitedWhileStarting,
    #[error("used a handle of type '{0}' that it kept from an earlier call; handles end with their call")]
    StaleHandle(&'static str),
}

// === impl PluginError ===

impl PluginError {
    pub(crate) fn engine(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

impl From<PluginError> for InferError {
    fn from(error: PluginError) -> Self {
        match error {
            PluginError::Engine(_) | PluginError::Cache { .. } => Self::internal(error.to_string()),
            _ => Self::invalid_argument(error.to_string()),
        }
    }
}

// === impl Stop ===

impl Stop {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::WallTime(_) | Self::CpuTime(_) => ErrorKind::DeadlineExceeded,
            Self::HostCalls(_) => ErrorKind::ResourceExhausted,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::NotServing | Self::WaitedWhileStarting | Self::StaleHandle(_) => ErrorKind::Internal,
        }
    }
}

/// What came of a call that the guest did not return from.
pub(crate) fn explain(state: &PluginState, error: &wasmtime::Error) -> InferError {
    let (kind, what) = classify(state, error);
    let mut text = format!("{} {what}", state.spec.subject());
    state.log.end_call();
    if let Some(words) = state.log.last_words() {
        let _ = write!(text, "; {words}");
    }
    if let Some(functions) = error.downcast_ref::<WasmBacktrace>().and_then(guest_functions) {
        let _ = write!(text, "; in {functions}");
    }
    InferError::new(kind, text)
}

fn classify(state: &PluginState, error: &wasmtime::Error) -> (ErrorKind, String) {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return (stop.kind(), stop.to_string());
    }
    if let Some(refused) = error.downcast_ref::<InferError>() {
        return (refused.kind(), format!("was ended: {refused}"));
    }
    if let Some(wasmtime_wasi::I32Exit(code)) = error.downcast_ref() {
        return (ErrorKind::Internal, format!("ended itself with exit code {code}"));
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return (ErrorKind::Unavailable, "found no free sandbox: too many plugins run at the same time".to_owned());
    }
    let refusal = state.meter.refusal.as_ref().or(state.call.refusal.as_ref());
    let Some(trap) = error.downcast_ref::<Trap>() else {
        let kind = refusal.map_or(ErrorKind::Internal, |_| ErrorKind::ResourceExhausted);
        return (kind, format!("failed: {}", refusal.cloned().unwrap_or_else(|| root_causes(error))));
    };
    match refusal {
        Some(refusal) => (ErrorKind::ResourceExhausted, format!("trapped after a refusal: {refusal}")),
        None => (ErrorKind::Internal, format!("trapped: {}", trap_text(*trap))),
    }
}

fn trap_text(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "it reached code marked unreachable (a panic or a failed assertion)".to_owned(),
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory".to_owned(),
        Trap::StackOverflow => "its call stack is exhausted (an endless recursion?)".to_owned(),
        Trap::IntegerDivisionByZero => "it divided by zero".to_owned(),
        Trap::CannotEnterComponent => "it was entered again after it had failed".to_owned(),
        other => other.to_string(),
    }
}

/// The causes without the backtrace that wasmtime puts on top.
fn root_causes(error: &wasmtime::Error) -> String {
    let causes: Vec<String> =
        error.chain().skip(usize::from(error.is::<WasmBacktrace>())).map(|c| c.to_string()).collect();
    causes.join(": ")
}

/// The functions that the guest was in, innermost first, without a language's panic machinery.
fn guest_functions(backtrace: &WasmBacktrace) -> Option<String> {
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let telling = names.filter(|name| !MACHINERY.iter().any(|machinery| name.contains(machinery)));
    let shown: Vec<String> = telling.take(FRAMES_SHOWN_MAX).collect();
    (!shown.is_empty()).then(|| shown.join(" < "))
}
