//! From a version's directory to a loaded model: the component's file, the configuration, and `plugin.toml`.
//!
//! The engine starts with the first plugin, so that a server without plugins reserves and runs nothing.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use nereid_backend::{Backend, BatchForms, LoadedModel};
use nereid_inference::{
    ControlHandle, InferError, LoadStep, ModelConfig, ModelIdentity, ModelSource, NAMESPACE_SEPARATOR, ServiceHandle,
    Signature,
};
use nereid_plugin::{
    CallListener, CompiledPlugin, Grants, LifeSettings, Plugin, PluginEngine, PluginError, PluginKind, PluginLimits,
    PluginSpec, StateStore, ask_for_completion,
};
use nereid_telemetry::{CustomMetrics, PluginUsage};
use parking_lot::Mutex;

use crate::{complete, life_settings, model::WasmModel, plugin_file, policy::SharedPolicy};

/// The component's file in a version directory.
const DEFAULT_MODEL_FILENAME: &str = "model.wasm";

/// The configuration parameter that asks for a fresh guest per request when it is `false`.
const INSTANCE_REUSE: &str = "instance_reuse";

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// Where compiled plugins are kept between starts; `None` compiles them at every start.
    pub cache_directory: Option<PathBuf>,
    /// Where the key lies that they are sealed with; `None` for beside that directory.
    pub cache_key_file: Option<PathBuf>,
    /// What a plugin gets that asks for nothing.
    pub limits: PluginLimits,
    /// What no plugin gets more of, whatever its `plugin.toml` asks for.
    pub policy: SharedPolicy,
    /// Where the plugins' own metrics go.
    pub metrics: Arc<CustomMetrics>,
    /// Where what they use is counted.
    pub usage: Arc<PluginUsage>,
    /// Who hears what each call used; a server has nobody who asks.
    pub listener: Option<CallListener>,
}

/// Whom plugins call, and whom they ask for models.
#[derive(Clone, Debug, Default)]
pub struct PluginPorts {
    pub service: ServiceHandle,
    pub control: ControlHandle,
}

/// The backend called `wasm`.
pub struct WasmBackend {
    pub(crate) settings: PluginSettings,
    pub(crate) ports: PluginPorts,
    engine: OnceLock<Result<PluginEngine, InferError>>,
    /// By model; what all generations of one share, for as long as there are any.
    states: Mutex<BTreeMap<Arc<str>, Weak<StateStore>>>,
}

// === impl PluginSettings ===

impl PluginSettings {
    /// The default limits and policy, and metrics that nobody reads.
    pub fn new(cache_directory: Option<PathBuf>) -> Self {
        let limits = PluginLimits::DEFAULT;
        Self {
            cache_directory,
            cache_key_file: None,
            limits,
            policy: SharedPolicy::default(),
            metrics: Arc::default(),
            usage: Arc::default(),
            listener: None,
        }
    }
}

// === impl WasmBackend ===

impl WasmBackend {
    /// A backend whose plugins call these.
    pub fn new(settings: PluginSettings, ports: PluginPorts) -> Self {
        Self { settings, ports, engine: OnceLock::new(), states: Mutex::default() }
    }

    pub(crate) fn engine(&self) -> Result<&PluginEngine, InferError> {
        let started = self.engine.get_or_init(|| {
            let PluginSettings { cache_directory, cache_key_file, .. } = &self.settings;
            let engine = PluginEngine::start_with_key(cache_directory.clone(), cache_key_file.clone());
            let engine = engine.or_else(|error| match error {
                // A read-only disk costs time at every start, and must not cost the plugins.
                PluginError::Cache { .. } => {
                    tracing::warn!("plugins are compiled at every start: {error}");
                    PluginEngine::start(None)
                }
                other => Err(other),
            });
            engine.map_err(InferError::from)
        });
        started.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn settle(&self, source: &ModelSource) -> Result<(PluginLimits, Grants), InferError> {
        let asked = plugin_file::read(&source.model_directory)?;
        self.settings.policy.get().settle(source, asked, &self.settings.limits)
    }

    /// Whoever listens to every call, to see what each does, wants none refused for what others did.
    fn life(&self, config: &ModelConfig) -> Result<LifeSettings, InferError> {
        let mut life = life_settings::read(config)?;
        if self.settings.listener.is_some() {
            life.breaker.failures = 0;
        }
        Ok(life)
    }

    pub(crate) fn state_of(&self, model: &Arc<str>) -> Arc<StateStore> {
        let mut states = self.states.lock();
        states.retain(|_, state| state.strong_count() > 0);
        if let Some(state) = states.get(model).and_then(Weak::upgrade) {
            return state;
        }
        let state = Arc::new(StateStore::new());
        states.insert(model.clone(), Arc::downgrade(&state));
        state
    }

    /// What the plugin's guests are told.
    fn spec(
        &self,
        source: &ModelSource,
        signature: Signature,
        (limits, grants): (PluginLimits, Grants),
    ) -> Result<PluginSpec, InferError> {
        let full_name = full_name(&source.identity);
        Ok(PluginSpec {
            plugin: file_name(&source.config).to_owned(),
            model: source.identity.clone(),
            signature,
            decoupled: source.config.is_decoupled(),
            parameters: source.config.parameters.clone(),
            limits,
            grants,
            service: self.ports.service.clone(),
            control: self.ports.control.clone(),
            state: self.state_of(&full_name),
            meters: self.settings.metrics.of_model(&full_name),
            usage: self.settings.usage.of_model(&full_name),
            listener: self.settings.listener.clone(),
            fresh_guest_per_call: wants_fresh_guests(&source.config)?,
            life: self.life(&source.config)?,
        })
    }

    fn compile(&self, source: &ModelSource) -> Result<CompiledPlugin, InferError> {
        let path = source.version_directory.join(file_name(&source.config));
        source.clock.time(LoadStep::Compile, || self.compile_file(&path))
    }

    /// Compiles what lies there, or finds it compiled.
    pub(crate) fn compile_file(&self, path: &Path) -> Result<CompiledPlugin, InferError> {
        let origin = path.display().to_string();
        let bytes = fs::read(path).map_err(|error| {
            InferError::invalid_argument(format!("the plugin file '{origin}' cannot be read: {error}"))
                .with_source(error)
        })?;
        Ok(self.engine()?.compile(&origin, &bytes)?)
    }
}

impl Backend for WasmBackend {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_MODEL_FILENAME
    }

    /// A plugin that knows its configuration is asked. Every component is compiled, and what it asks for compared with what it may
    /// have, so that what is wrong is found here.
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        check_fields(&source.config)?;
        let (limits, grants) = self.settle(source)?;
        let compiled = self.compile(source)?;
        check_http(&compiled, &grants)?;
        if !compiled.completes_config() {
            check_tensors(&source.config)?;
            return Ok(source.config.clone());
        }
        let signature = Signature { model_name: source.identity.name.clone(), ..Signature::default() };
        let spec = self.spec(source, signature, (limits, grants))?;
        let subject = spec.subject();
        let plugin = Plugin::new(self.engine()?, compiled, spec);
        let said = ask_for_completion(&plugin, &complete::written(&source.config))?;
        let completed = complete::complete(&subject, &source.config, said.unwrap_or_default())?;
        check_tensors(&completed)?;
        Ok(completed)
    }

    fn supports_decoupled(&self) -> bool {
        true
    }

    fn guards_swaps(&self) -> bool {
        true
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        check_fields(&source.config)?;
        check_tensors(&source.config)?;
        let (limits, grants) = self.settle(source)?;
        let compiled = self.compile(source)?;
        check_kind(&source.config, compiled.kind())?;
        check_http(&compiled, &grants)?;
        let spec = self.spec(source, Signature::of_backend(&source.config)?, (limits, grants))?;
        Ok(Arc::new(WasmModel::new(Plugin::new(self.engine()?, compiled, spec))))
    }
}

/// The name that is unique in the server.
fn full_name(identity: &ModelIdentity) -> Arc<str> {
    match &identity.namespace {
        Some(namespace) => format!("{namespace}{NAMESPACE_SEPARATOR}{}", identity.name).into(),
        None => identity.name.clone(),
    }
}

/// A component that is built to call servers, and may call none, is a mistake that should not wait for a request.
fn check_http(compiled: &CompiledPlugin, grants: &Grants) -> Result<(), InferError> {
    if !compiled.calls_servers() || !grants.http.rules.is_empty() {
        return Ok(());
    }
    Err(InferError::permission(format!(
        "'{}' imports wasi:http, which calls other servers, and its plugin.toml lists none: list them under [grants] http, for example \
         http = [\"api.example.com\"]",
        compiled.origin()
    )))
}

/// What only a plugin can do that executes batches.
fn check_kind(config: &ModelConfig, kind: PluginKind) -> Result<(), InferError> {
    let iterates = config.sequences().is_some_and(|sequences| sequences.iterative_sequence);
    let needs = match kind {
        PluginKind::Model | PluginKind::AsyncModel => None,
        PluginKind::Transform if config.is_decoupled() => Some("model_transaction_policy { decoupled: true }"),
        PluginKind::Transform if iterates => Some("sequence_batching { iterative_sequence: true }"),
        PluginKind::Transform => None,
        PluginKind::Agent | PluginKind::Batching => return Err(not_a_model(&config.name, kind)),
    };
    needs.map_or(Ok(()), |field| {
        Err(InferError::invalid_argument(format!(
            "model '{}': {field} needs a plugin built for the world model-plugin; this one is built for transform-plugin, \
             whose function answers each request once",
            config.name
        )))
    })
}

/// What is to be done with a component that answers no requests.
pub(crate) fn not_a_model(model: &str, kind: PluginKind) -> InferError {
    let advice = match kind {
        PluginKind::Batching => {
            "call it batchstrategy.wasm, and put it into the folder of the model whose batches it is to form"
        }
        _ => "put it into the folder of --repoagent-directory, and name it in model_repository_agents",
    };
    let world = kind.world();
    InferError::invalid_argument(format!(
        "model '{model}': this component is built for the world {world}, which serves no requests: {advice}"
    ))
}

fn file_name(config: &ModelConfig) -> &str {
    match config.default_model_filename.as_str() {
        "" => DEFAULT_MODEL_FILENAME,
        name => name,
    }
}

/// What a plugin's configuration must say, if the plugin does not.
fn check_tensors(config: &ModelConfig) -> Result<(), InferError> {
    let missing = match (config.inputs.is_empty(), config.outputs.is_empty()) {
        (false, false) => None,
        (true, false) => Some("input"),
        (false, true) => Some("output"),
        (true, true) => Some("input and output"),
    };
    if let Some(missing) = missing {
        return Err(InferError::invalid_argument(format!(
            "model '{}' declares no {missing}: a plugin's tensors cannot be read from its file, so config.pbtxt must list \
             them, for example input [ {{ name: \"X\" data_type: TYPE_FP32 dims: [ -1 ] }} ], or the plugin export `completion`",
            config.name
        )));
    }
    Ok(())
}

/// What no plugin can say of itself.
fn check_fields(config: &ModelConfig) -> Result<(), InferError> {
    BatchForms::refuse_batch_tensors(config, "wasm")?;
    life_settings::read(config)?;
    wants_fresh_guests(config).map(drop)
}

fn wants_fresh_guests(config: &ModelConfig) -> Result<bool, InferError> {
    match config.parameter(INSTANCE_REUSE) {
        None | Some("true") => Ok(false),
        Some("false") => Ok(true),
        Some(other) => Err(InferError::invalid_argument(format!(
            "model '{}': parameter '{INSTANCE_REUSE}' is '{other}', expected 'true' or 'false'",
            config.name
        ))),
    }
}
