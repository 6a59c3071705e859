//! What can go wrong, in words: loading a plugin ([`PluginError`]) and calling it ([`explain`]).
//!
//! A load error speaks to the plugin's author: what the file is, what was expected, what to do. A call error speaks to the
//! client and says who failed, at what, where in the guest, and which limit has which number.

use std::{fmt::Write, time::Duration};

use nereid_inference::{ErrorKind, InferError};
use nereid_telemetry::GuestEnd;
use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::{breaker::CallEnd, limits::TimeLimit, state::PluginState};

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
    #[error("was ended at its deadline of {0}")]
    WallTime(TimeLimit),
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

/// Why a call has no answer, and what that says about its guest.
#[derive(Debug)]
pub(crate) struct CallFailure {
    pub(crate) error: InferError,
    pub(crate) end: CallEnd,
}

/// What is to be said of a call that the guest did not return from.
struct Verdict {
    kind: ErrorKind,
    text: String,
    guest: GuestEnd,
    call: CallEnd,
}

// === impl CallFailure ===

impl CallFailure {
    /// Nothing is known of the guest.
    pub(crate) fn unknown(error: InferError) -> Self {
        Self { error, end: CallEnd::Unknown }
    }

    /// The guest is lost over it.
    pub(crate) fn lost(error: InferError) -> Self {
        Self { error, end: CallEnd::Lost }
    }
}

/// An error that the guest returned from, or that is not the guest's.
impl From<InferError> for CallFailure {
    fn from(error: InferError) -> Self {
        Self { error, end: CallEnd::Returned }
    }
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

    fn guest_end(&self) -> GuestEnd {
        match self {
            Self::WallTime(_) | Self::CpuTime(_) | Self::HostCalls(_) => GuestEnd::Limit,
            Self::Cancelled => GuestEnd::Cancelled,
            Self::NotServing | Self::WaitedWhileStarting | Self::StaleHandle(_) => GuestEnd::Trap,
        }
    }
}

/// What came of a call that the guest did not return from; the guest's end is noted.
pub(crate) fn explain(state: &mut PluginState, error: &wasmtime::Error) -> CallFailure {
    let verdict = classify(state, error);
    state.life.retire(verdict.guest);
    let mut text = format!("{} {}", state.spec.subject(), verdict.text);
    state.log.end_call();
    if let Some(words) = state.log.last_words() {
        let _ = write!(text, "; {words}");
    }
    if let Some(functions) = error.downcast_ref::<WasmBacktrace>().and_then(guest_functions) {
        let _ = write!(text, "; in {functions}");
    }
    CallFailure { error: InferError::new(verdict.kind, text), end: verdict.call }
}

fn classify(state: &PluginState, error: &wasmtime::Error) -> Verdict {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        let guest = stop.guest_end();
        let call = if guest == GuestEnd::Cancelled { CallEnd::Unknown } else { CallEnd::Lost };
        return Verdict { kind: stop.kind(), text: stop.to_string(), guest, call };
    }
    let lost = |kind, text, guest| Verdict { kind, text, guest, call: CallEnd::Lost };
    if let Some(refused) = error.downcast_ref::<InferError>() {
        return lost(refused.kind(), format!("was ended: {refused}"), GuestEnd::Trap);
    }
    if let Some(wasmtime_wasi::I32Exit(code)) = error.downcast_ref() {
        return lost(ErrorKind::Internal, format!("ended itself with exit code {code}"), GuestEnd::Trap);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        let text = "found no free sandbox: too many plugins run at the same time".to_owned();
        return Verdict { kind: ErrorKind::Unavailable, text, guest: GuestEnd::Start, call: CallEnd::Unknown };
    }
    let refusal = state.meter.refusal.as_ref().or(state.call.refusal.as_ref());
    let (kind, guest) = match refusal {
        Some(_) => (ErrorKind::ResourceExhausted, GuestEnd::Limit),
        None => (ErrorKind::Internal, GuestEnd::Trap),
    };
    let text = match (error.downcast_ref::<Trap>(), refusal) {
        (None, Some(refusal)) => format!("failed: {refusal}"),
        (None, None) => format!("failed: {}", root_causes(error)),
        (Some(_), Some(refusal)) => format!("trapped after a refusal: {refusal}"),
        (Some(trap), None) => format!("trapped: {}", trap_text(*trap)),
    };
    lost(kind, text, guest)
}

fn trap_text(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => "it reached code marked unreachable (a panic or a failed assertion)".to_owned(),
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory".to_owned(),
        Trap::StackOverflow => "its call stack is exhausted (an endless recursion?)".to_owned(),
        Trap::IntegerDivisionByZero => "it divided by zero".to_owned(),
        Trap::AsyncDeadlock => "it awaits something that nothing will end".to_owned(),
        Trap::NoAsyncResult => "it ended a function that awaits without a result".to_owned(),
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
