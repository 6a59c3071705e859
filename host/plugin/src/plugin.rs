//! One plugin as one model serves it, and the warm guests of one of the model's instances.
//!
//! A guest is reused across calls, which costs two microseconds instead of ten; it is replaced after a trap, a limit, a
//! cancelled call, a number of calls, and when its memory has grown, because linear memory never shrinks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nereid_inference::{
    CheckedRequest, ControlHandle, InferError, InferResponse, ModelIdentity, ServiceHandle, Signature,
};
use nereid_telemetry::{ModelMeters, ModelUsage};
use parking_lot::Mutex;

use crate::{
    call_report::CallListener,
    compile::{CompiledPlugin, PluginKind},
    engine::PluginEngine,
    failure::PluginError,
    grants::Grants,
    limits::PluginLimits,
    metering::count_answer,
    sandbox::Sandbox,
    state_store::StateStore,
};

/// Idle guests kept per pool; more calls at a time than this are rare, and a fresh guest costs ten microseconds.
const IDLE_GUESTS_MAX: usize = 16;

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
}

/// A compiled component with everything that its guests are told.
pub struct Plugin {
    pub(crate) engine: PluginEngine,
    pub(crate) compiled: CompiledPlugin,
    pub(crate) spec: Arc<PluginSpec>,
    /// Linear memory of its guests, idle ones included.
    pub(crate) guests_bytes: Arc<AtomicU64>,
}

/// Guests of one plugin, for the calls of one model instance.
pub struct SandboxPool {
    plugin: Arc<Plugin>,
    instance: Arc<str>,
    idle: Mutex<Vec<Sandbox>>,
}

// === impl PluginSpec ===

impl PluginSpec {
    /// Who, as error texts begin.
    pub(crate) fn subject(&self) -> String {
        format!("plugin '{}' of model '{}'", self.plugin, self.model.name)
    }
}

// === impl Plugin ===

impl Plugin {
    /// A plugin that is ready to make guests.
    pub fn new(engine: &PluginEngine, compiled: CompiledPlugin, spec: PluginSpec) -> Arc<Self> {
        Arc::new(Self { engine: engine.clone(), compiled, spec: Arc::new(spec), guests_bytes: Arc::default() })
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
        crate::sandbox::block_on(Sandbox::start(self, instance)).map_err(|error| PluginError::Start {
            origin: self.compiled.origin().to_owned(),
            reason: error.message().to_owned(),
        })
    }

    /// Bytes of machine code and of its guests' linear memory now. Code that two models share counts for both; pages of
    /// linear memory that a guest never touched count although the machine has not given them yet.
    pub fn memory_bytes(&self) -> u64 {
        self.compiled.code_bytes() + self.guests_bytes.load(Ordering::Relaxed)
    }
}

// === impl SandboxPool ===

impl SandboxPool {
    /// A pool for the model's instance of that name, with one warm guest. Blocks the calling thread while the guest starts.
    ///
    /// # Errors
    /// The guest cannot be started.
    pub fn start(plugin: Arc<Plugin>, instance: &str) -> Result<Self, PluginError> {
        let instance = Arc::from(instance);
        let first = plugin.start_guest(&instance)?;
        Ok(Self { plugin, instance, idle: Mutex::new(vec![first]) })
    }

    /// Answers one request in a guest of its own. Any number of calls may run at the same time.
    ///
    /// `cancelled` is asked whenever the call is polled. Dropping the future ends the call, its guest and the requests that it
    /// made.
    ///
    /// # Errors
    /// The guest's own error, a trap, a limit, or an answer that does not fit the signature.
    pub async fn run(
        &self,
        request: &CheckedRequest,
        cancelled: impl Fn() -> bool + Send,
    ) -> Result<InferResponse, InferError> {
        let idle = self.idle.lock().pop();
        let guest = match idle {
            Some(guest) => guest,
            None => Sandbox::start(&self.plugin, &self.instance).await?,
        };
        let usage = self.plugin.spec.usage_for(request);
        let (guest, answer) = guest.run(&self.plugin, (request, &usage), cancelled).await;
        if let Some(guest) = guest {
            self.give_back(guest);
        }
        let wants = |name: &str| request.wants(name);
        let checked =
            answer.and_then(|response| crate::output::check(&self.plugin.spec, request.batch_size(), wants, response));
        count_answer(&usage, &checked);
        checked
    }

    fn give_back(&self, guest: Sandbox) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_GUESTS_MAX && !self.plugin.spec.fresh_guest_per_call {
            idle.push(guest);
        }
    }
}
