//! One plugin as one generation of a model serves it: its code, what its guests are told, and whether they may be entered.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use nereid_inference::{ControlHandle, InferError, ModelIdentity, ServiceHandle, Signature};
use nereid_telemetry::{ModelMeters, ModelUsage};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    breaker::BreakerSettings,
    call_report::CallListener,
    compile::{CompiledPlugin, PluginKind},
    engine::PluginEngine,
    failure::PluginError,
    gate::Gate,
    grants::Grants,
    limits::PluginLimits,
    long_calls::Habit,
    reaper::IdleSettings,
    sandbox::Sandbox,
    seat::Seat,
    state_store::StateStore,
};

/// What a plugin is told about itself.
#[derive(Clone, Debug)]
pub struct PluginSpec {
    /// The name that errors give it: the component's file.
    pub plugin: String,
    pub model: ModelIdentity,
    pub signature: Signature,
    /// Whether a request may get any number of responses.
    pub decoupled: bool,
    /// The `parameters` of the model's configuration.
    pub parameters: BTreeMap<String, String>,
    pub limits: PluginLimits,
    /// What it may reach.
    pub grants: Grants,
    /// Whom it calls.
    pub service: ServiceHandle,
    /// Whom it asks for models.
    pub control: ControlHandle,
    /// What the model's guests keep between calls, in all of its generations.
    pub state: Arc<StateStore>,
    /// Where its own metrics go.
    pub meters: Arc<ModelMeters>,
    /// What it uses, for whom.
    pub usage: Arc<ModelUsage>,
    /// Who hears what each call used; a server has nobody who asks.
    pub listener: Option<CallListener>,
    /// Every call gets a fresh guest, so that nothing is remembered from one to the next.
    pub fresh_guest_per_call: bool,
    pub life: LifeSettings,
}

/// How long guests live, and when they are let rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LifeSettings {
    pub breaker: BreakerSettings,
    pub idle: IdleSettings,
}

/// A compiled component with everything that its guests are told.
pub struct Plugin {
    pub(crate) engine: PluginEngine,
    pub(crate) compiled: CompiledPlugin,
    pub(crate) spec: Arc<PluginSpec>,
    /// Linear memory of its guests, idle ones included.
    pub(crate) guests_bytes: Arc<AtomicU64>,
    pub(crate) gate: Gate,
    /// Of its `run` and `execute`.
    pub(crate) habit: Habit,
    /// Of the instances that execute batches.
    seats: Mutex<Vec<Weak<Seat>>>,
}

// === impl PluginSpec ===

impl PluginSpec {
    /// Who, as error texts begin.
    pub fn subject(&self) -> String {
        format!("plugin '{}' of model '{}'", self.plugin, self.model.name)
    }
}

// === impl Plugin ===

impl Plugin {
    /// A plugin that is ready to make guests.
    pub fn new(engine: &PluginEngine, compiled: CompiledPlugin, spec: PluginSpec) -> Arc<Self> {
        let spec = Arc::new(spec);
        let gate = Gate::new(spec.clone());
        let (guests_bytes, seats) = (Arc::default(), Mutex::default());
        Arc::new(Self { engine: engine.clone(), compiled, spec, guests_bytes, gate, habit: Habit::default(), seats })
    }

    /// Whether its guests may be entered now, and say that they can work, as far as that is known. Guests that have something to say
    /// are asked again; must be called within a runtime for that.
    ///
    /// # Errors
    /// They failed so often in a row that requests are refused for a while; or why one cannot work.
    pub fn readiness(&self) -> Result<(), InferError> {
        let now = Instant::now();
        self.gate.readiness(now)?;
        self.seats().iter().try_for_each(|seat| seat.readiness(now))
    }

    /// No further request is routed to it: guests that have something to do then are told so, in the background. Must be called
    /// within a runtime.
    pub fn retire(&self) {
        if let (true, Ok(runtime)) = (self.compiled.drains(), Handle::try_current()) {
            self.seats().into_iter().for_each(|seat| drop(runtime.spawn(seat.drain())));
        }
    }

    pub(crate) fn add_seat(&self, seat: &Arc<Seat>) {
        let mut seats = self.seats.lock();
        seats.retain(|seat| seat.strong_count() > 0);
        seats.push(Arc::downgrade(seat));
    }

    fn seats(&self) -> Vec<Arc<Seat>> {
        self.seats.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether it was granted anything by which a request leaves traces outside of this server or in what it serves: other
    /// servers, the control of models, folders to write to.
    pub fn reaches_outside(&self) -> bool {
        let Grants { http, model_control, folders, .. } = &self.spec.grants;
        let writes = folders.iter().any(|folder| folder.is_writable);
        !http.rules.is_empty() || !model_control.asked.is_empty() || writes
    }

    /// What it is built as.
    pub fn kind(&self) -> PluginKind {
        self.compiled.kind()
    }

    /// The BLAKE3 hash of the component's file, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        self.compiled.digest()
    }

    /// A guest for the instance of that name. Blocks the calling thread while it starts.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start_guest(self: &Arc<Self>, instance: &Arc<str>) -> Result<Sandbox, PluginError> {
        crate::sandbox::block_on(Sandbox::start(self, instance)).map_err(|failure| PluginError::Start {
            origin: self.compiled.origin().to_owned(),
            reason: failure.error.message().to_owned(),
        })
    }

    /// Bytes of machine code and of its guests' linear memory now. Code that two models share counts for both; pages of
    /// linear memory that a guest never touched count although the machine has not given them yet.
    pub fn memory_bytes(&self) -> u64 {
        self.compiled.code_bytes() + self.guests_bytes.load(Ordering::Relaxed)
    }
}
