//! The models of this process, and what loads them.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_backend_wasm::{PluginPorts, SharedPolicy};
use nereid_gpu::Gpus;
use nereid_inference::{Diagnostics, InferError, InferenceService, ModelControl};
use nereid_memory::{HugePages, MemoryBudget};
use nereid_pipeline::{CacheUse, GpuRules, InstanceRules, Loader, LoaderSettings};
use nereid_repository::{OnDemand, Repository, RepositoryLimits, RepositorySettings, StartReport};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use nereid_telemetry::Telemetry;
use tokio::{runtime::Handle, task::spawn_blocking};

use crate::{
    arguments::{ControlMode, ModelArguments, ServeArguments},
    backends::{Backends, backends},
    error::ServerError,
};

/// Backends, loader and repository, put together.
pub(crate) struct Host {
    pub(crate) repository: Arc<Repository>,
    /// In front of the repository, where models are loaded on demand.
    on_demand: Option<Arc<OnDemand>>,
    pub(crate) backends: Vec<Arc<dyn Backend>>,
    pub(crate) diagnostics: Arc<dyn Diagnostics>,
    pub(crate) shared_memory: SharedMemory,
}

// === impl Host ===

impl Host {
    /// Puts them together without touching a model. Needs the runtime.
    ///
    /// # Errors
    /// A setting that no backend understands, or a repository that cannot be read.
    pub(crate) fn assemble(
        arguments: &ServeArguments,
        telemetry: &Arc<Telemetry>,
        diagnostics: Arc<dyn Diagnostics>,
        (cache, memory, gpus): (Option<CacheUse>, Option<MemoryBudget>, Gpus),
        policy: SharedPolicy,
    ) -> Result<Self, ServerError> {
        let ports = PluginPorts::default();
        let limits = arguments.limits()?;
        let Backends { list: backends, agents, strategies } =
            backends(&arguments.backends, ports.clone(), (policy, limits.python, &gpus), telemetry)?;
        let gpu_rules = GpuRules { gpus: gpus.clone(), load_limits: arguments.gpu.load_limits() };
        let loader = Loader::new(LoaderSettings {
            backends: backends.clone(),
            telemetry: Arc::clone(telemetry),
            service: ports.service.clone(),
            rules: InstanceRules { gpus: gpu_rules, ..arguments.instances.rules() },
            runtime: Handle::current(),
            limits: limits.pipeline,
            cache,
            memory,
            huge_pages: arguments.models.huge_pages.then(HugePages::where_allowed).flatten(),
            agents: Some(agents),
            strategies: Some(strategies),
        });
        let settings = RepositorySettings { limits: limits.repository, ..repository_settings(&arguments.models) };
        let repository = Repository::new(settings, loader);
        let is_on_demand = arguments.models.model_control_mode == ControlMode::OnDemand;
        let on_demand = is_on_demand.then(|| OnDemand::new(Arc::clone(&repository)));
        let settings = SharedMemorySettings { limits: limits.shared_memory, ..arguments.services.shared_memory() };
        let shared_memory = SharedMemory::new(settings).with_gpus(gpus);
        let host = Self { repository, on_demand, backends, diagnostics, shared_memory };
        let (service, control) = host.ports();
        ports.service.set(&service);
        ports.control.set(&control);
        host.repository.watch_swaps()?;
        Ok(host)
    }

    /// What frontends are given.
    pub(crate) fn ports(&self) -> (Arc<dyn InferenceService>, Arc<dyn ModelControl>) {
        match &self.on_demand {
            Some(on_demand) => (Arc::clone(on_demand) as _, Arc::clone(on_demand) as _),
            None => (Arc::clone(&self.repository) as _, Arc::clone(&self.repository) as _),
        }
    }

    /// Loads what is to be served at the start. A model that fails is not an error of this.
    pub(crate) async fn load(&self) -> Result<StartReport, ServerError> {
        let (repository, on_demand) = (Arc::clone(&self.repository), self.on_demand.clone());
        let start = move || on_demand.map_or_else(|| repository.start(), |on_demand| on_demand.start());
        let loading = spawn_blocking(start).await;
        let report = loading.map_err(|error| InferError::internal(format!("loading the models failed: {error}")))??;
        Ok(report)
    }

    /// Drops every model; waits for their threads.
    pub(crate) async fn unload(self) {
        let unload = move || {
            if let Some(on_demand) = &self.on_demand {
                on_demand.close();
            }
            drop(self);
        };
        if let Err(error) = spawn_blocking(unload).await {
            tracing::error!("unloading the models failed: {error}");
        }
    }
}

fn repository_settings(arguments: &ModelArguments) -> RepositorySettings {
    RepositorySettings {
        paths: arguments.model_repositories.clone(),
        has_namespaces: arguments.model_namespacing,
        control_mode: match arguments.model_control_mode {
            ControlMode::None => nereid_repository::ControlMode::None,
            ControlMode::Poll => nereid_repository::ControlMode::Poll,
            ControlMode::Explicit => nereid_repository::ControlMode::Explicit,
            ControlMode::OnDemand => nereid_repository::ControlMode::OnDemand,
        },
        load_models: arguments.load_models.clone(),
        auto_complete: !arguments.disable_auto_complete_config,
        strict_readiness: arguments.strict_readiness,
        load_thread_count: arguments.model_load_thread_count.get(),
        load_retry_count: arguments.model_load_retry_count,
        config_name: arguments.model_config_name.clone(),
        limits: RepositoryLimits::default(),
    }
}
