//! Turns a directory and a configuration into a served model: finds the backend, or builds the ensemble.

use std::sync::Arc;

use nereid_backend::{Backend, BatchForms};
use nereid_inference::{
    InferError, ModelConfig, ModelIdentity, ModelLoader, ModelSource, RepositoryAgents, ServedModel, ServiceHandle,
    Signature, UsableGpus,
};
use nereid_memory::{HugePages, MemoryBudget};
use nereid_telemetry::{Telemetry, check_metric_control};
use tokio::runtime::Handle;

use crate::{
    InstanceRules, PipelineLimits,
    cache_use::CacheUse,
    ensemble::Ensemble,
    instances::wanted_instances,
    kept_requests::{self, Shelves},
    model::BackendModel,
    scheduling::scheduler_settings,
    strategy::{self, StrategySources},
    swap_guard,
};

/// The word that a configuration's `platform` has for ensembles.
const ENSEMBLE_PLATFORM: &str = "ensemble";

/// Legacy `platform` values and the backends that serve them; source: Triton's `model_config_utils.cc`.
const PLATFORM_BACKENDS: [(&str, &str); 4] = [
    ("onnxruntime_onnx", "onnxruntime"),
    ("tensorrt_plan", "tensorrt"),
    ("pytorch_libtorch", "pytorch"),
    ("torch_aoti", "pytorch"),
];

/// Loads models over a fixed list of backends.
pub struct Loader {
    settings: LoaderSettings,
    /// What is kept of the models' traffic.
    shelves: Shelves,
}

/// What a loader works with.
pub struct LoaderSettings {
    pub backends: Vec<Arc<dyn Backend>>,
    pub telemetry: Arc<Telemetry>,
    /// Through which ensembles find their members.
    pub service: ServiceHandle,
    pub rules: InstanceRules,
    /// On which models are executed.
    pub runtime: Handle,
    pub limits: PipelineLimits,
    /// Where models that ask for it keep their answers.
    pub cache: Option<CacheUse>,
    /// What models and requests may take; `None` for whatever there is.
    pub memory: Option<MemoryBudget>,
    /// Gathers weights into huge pages; `None` leaves them as libraries allocate them.
    pub huge_pages: Option<HugePages>,
    /// Who is asked before models are loaded that name agents.
    pub agents: Option<Arc<dyn RepositoryAgents>>,
    /// Where batching strategies come from; `None` leaves batches to rows and shapes.
    pub strategies: Option<StrategySources>,
}

// === impl Loader ===

impl Loader {
    /// A loader with these settings.
    pub fn new(settings: LoaderSettings) -> Arc<Self> {
        Arc::new(Self { settings, shelves: Shelves::default() })
    }

    /// The backend that the configuration names, or that the version's files show.
    fn backend(&self, source: &ModelSource) -> Result<&dyn Backend, InferError> {
        let config = &source.config;
        // A `runtime` says more than the name, which another backend may have.
        if !config.runtime.is_empty()
            && let Some(backend) = self.backend_that_adopts(config)
        {
            return Ok(backend);
        }
        let by_platform = PLATFORM_BACKENDS.iter().find(|(platform, _)| *platform == config.platform);
        let name = match (config.backend.as_str(), by_platform) {
            ("", Some((_, backend))) => *backend,
            ("", None) if !config.platform.is_empty() => {
                return Err(invalid(format!("unexpected platform type '{}' for {}", config.platform, config.name)));
            }
            ("", None) => return self.backend_by_files(source),
            (backend, Some((platform, expected))) if backend != *expected => {
                return Err(invalid(format!("unexpected 'platform' and 'backend' pair, got:{platform}, {backend}")));
            }
            (backend, _) => backend,
        };
        self.backend_named(name).or_else(|| self.backend_that_adopts(config)).ok_or_else(|| {
            let known: Vec<&str> = self.settings.backends.iter().map(|backend| backend.name()).collect();
            invalid(format!(
                "unable to find backend '{name}' for model '{}': this server has the backends {}; where those written in Python \
                 are is said with --backend-directory=DIR",
                config.name,
                known.join(", ")
            ))
        })
    }

    fn backend_that_adopts(&self, config: &ModelConfig) -> Option<&dyn Backend> {
        self.settings.backends.iter().find(|backend| backend.adopts(config)).map(|backend| &**backend)
    }

    fn backend_named(&self, name: &str) -> Option<&dyn Backend> {
        self.settings.backends.iter().find(|backend| backend.name() == name).map(|backend| &**backend)
    }

    /// Only some backends give other than one response.
    fn check_decoupled(&self, config: &ModelConfig, backend: &dyn Backend) -> Result<(), InferError> {
        if !config.is_decoupled() || backend.supports_decoupled() {
            return Ok(());
        }
        let able =
            self.settings.backends.iter().filter(|backend| backend.supports_decoupled()).map(|backend| backend.name());
        Err(InferError::unsupported(format!(
            "model '{}' has model_transaction_policy {{ decoupled: true }}, but the backend '{}' gives exactly one \
             response to a request; remove it, or use one of the backends {}",
            config.name,
            backend.name(),
            able.collect::<Vec<_>>().join(", ")
        )))
    }

    /// The backend whose usual file lies in the version's directory, or that the directory's name ends with.
    fn backend_by_files(&self, source: &ModelSource) -> Result<&dyn Backend, InferError> {
        let has_file = |backend: &&Arc<dyn Backend>| {
            usual_files(&***backend).any(|filename| source.version_directory.join(filename).exists())
        };
        if let Some(backend) = self.settings.backends.iter().find(has_file) {
            return Ok(&**backend);
        }
        let name = &source.identity.name;
        let by_name = name.rsplit_once('.').and_then(|(_, backend)| self.backend_named(backend));
        by_name.ok_or_else(|| {
            let files: Vec<&str> = self.settings.backends.iter().flat_map(|backend| usual_files(&**backend)).collect();
            invalid(format!(
                "Invalid model name: Could not determine backend for model '{name}' with no backend in model \
                 configuration. Expected model name of the form 'model.<backend_name>'. Write 'backend' into \
                 config.pbtxt, or put one of {} into {}",
                files.join(", "),
                source.version_directory.display()
            ))
        })
    }
}

impl ModelLoader for Loader {
    fn gpus(&self, config: &ModelConfig) -> UsableGpus {
        let ids: Vec<i32> = self.settings.rules.gpus.gpus.all().iter().map(|gpu| gpu.ordinal()).collect();
        let are_preferred = !ids.is_empty() && self.backend_named(&config.backend).is_some_and(Backend::prefers_gpus);
        UsableGpus { ids, are_preferred }
    }

    fn agents(&self) -> Option<&dyn RepositoryAgents> {
        self.settings.agents.as_deref()
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        if is_ensemble(&source.config) {
            return Ok(source.config.clone());
        }
        let backend = self.backend(source)?;
        let mut source = source.clone();
        if source.config.backend.is_empty() {
            source.config.backend = backend.name().to_owned();
        }
        if source.config.default_model_filename.is_empty() {
            source.config.default_model_filename = backend.default_model_filename().to_owned();
        }
        backend.complete_config(&source)
    }

    fn validate(&self, source: &ModelSource, peers: &dyn Fn(&str) -> Option<ModelConfig>) -> Result<(), InferError> {
        check_metric_control(&source.config)?;
        if is_ensemble(&source.config) {
            return Ensemble::validate(&source.config, peers);
        }
        Signature::of_backend(&source.config)?;
        BatchForms::of(&source.config)?;
        let backend = self.backend(source)?;
        self.check_decoupled(&source.config, backend)?;
        swap_guard::settings(&source.config, backend.guards_swaps())?;
        kept_requests::wanted(&source.config)?;
        wanted_instances(&source.config)?;
        let strategies = self.settings.strategies.as_ref().and_then(|sources| sources.folder.as_deref());
        strategy::find(source, strategies, backend.name())?;
        scheduler_settings(source).map(|_| ())
    }

    fn forget_traffic(&self, model: &ModelIdentity) {
        self.shelves.forget(model);
    }

    fn load(&self, source: ModelSource) -> Result<Arc<dyn ServedModel>, InferError> {
        let LoaderSettings { runtime, cache, .. } = &self.settings;
        let _within = runtime.enter();
        if cache.is_none() && source.config.caches_responses() {
            tracing::info!("model '{}' asks for the response cache, and --cache-config names none", source.identity);
        }
        if is_ensemble(&source.config) {
            return Ok(Arc::new(Ensemble::load(source, &self.settings)?));
        }
        let backend = self.backend(&source)?;
        self.check_decoupled(&source.config, backend)?;
        let shelf = self.shelves.of(&source.identity);
        Ok(Arc::new(BackendModel::load(source, backend, (&self.settings, shelf))?))
    }
}

/// The files that a backend's models usually have; none for one that needs no file.
fn usual_files(backend: &dyn Backend) -> impl Iterator<Item = &'static str> {
    let default = Some(backend.default_model_filename()).filter(|file| !file.is_empty());
    default.into_iter().chain(backend.model_filenames().iter().copied())
}

fn is_ensemble(config: &ModelConfig) -> bool {
    config.platform == ENSEMBLE_PLATFORM || config.ensemble().is_some()
}

fn invalid(text: String) -> InferError {
    InferError::invalid_argument(text)
}

#[cfg(test)]
mod tests;
