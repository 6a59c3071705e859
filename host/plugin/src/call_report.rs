//! What one call used, for those who ask: the author of a plugin, not the server.
//!
//! A call that nobody asked about pays one branch per import. One that somebody did pays a lock and a look into a small map.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    failure::Stop,
    state::{CallState, PluginState},
};

/// What a guest used in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallReport {
    /// How long the guest, or an operation of the host for it, occupied a thread.
    pub cpu_time: Duration,
    /// Linear memory at the end of the call; it never shrinks, so that this is also the most there was.
    pub memory_bytes: u64,
    /// Calls of other models.
    pub model_calls: u32,
    /// How often each import was called: `tensors.read`, `inference.pending.receive`; `wasi` is all of WASI together.
    pub imports: BTreeMap<&'static str, u64>,
}

/// Hears what each call of a plugin used, when the call is over, well or not. Is called where the guest runs: must be quick.
#[derive(Clone)]
pub struct CallListener(Arc<dyn Fn(CallReport) + Send + Sync>);

/// Collects what the call under way uses.
pub(crate) struct CallReporter {
    // Asked through shared references too; the guest's own thread is the only one that does.
    imports: Mutex<BTreeMap<&'static str, u64>>,
    listener: CallListener,
}

// === impl CallListener ===

impl CallListener {
    /// One that passes each report on.
    pub fn new(listener: impl Fn(CallReport) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }
}

impl fmt::Debug for CallListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallListener")
    }
}

// === impl CallReporter ===

impl CallReporter {
    pub(crate) fn new(listener: &CallListener) -> Box<Self> {
        Box::new(Self { imports: Mutex::default(), listener: listener.clone() })
    }

    fn count(&self, import: &'static str) {
        *self.imports.lock().entry(import).or_default() += 1;
    }

    fn finish(self, call: &CallState, memory_bytes: u64) {
        (self.listener.0)(CallReport {
            cpu_time: call.clock.cpu_time(),
            memory_bytes,
            model_calls: call.model_calls,
            imports: self.imports.into_inner(),
        });
    }
}

// === impl PluginState ===

impl PluginState {
    /// The first step of the import of that name: counts it.
    pub(crate) fn enter(&mut self, import: &'static str) -> wasmtime::Result<()> {
        self.call.host_calls += 1;
        self.note_import(import);
        if self.call.host_calls > self.limits().host_calls_max {
            return Err(Stop::HostCalls(self.limits().host_calls_max).into());
        }
        Ok(())
    }

    /// Counts an import for the report alone.
    pub(crate) fn note_import(&self, import: &'static str) {
        if let Some(reporter) = &self.call.reporter {
            reporter.count(import);
        }
    }

    /// The guest has returned, well or not: whoever listens hears what it used.
    pub(crate) fn report_call(&mut self) {
        if let Some(reporter) = self.call.reporter.take() {
            reporter.finish(&self.call, self.meter.memory_bytes as u64);
        }
    }
}
