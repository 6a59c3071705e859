//! The models of this process, and what loads them.

use std::sync::Arc;

use nereid_backend::Backend;
use nereid_inference::{Diagnostics, InferError, InferenceService, ModelControl, ServiceHandle};
use nereid_pipeline::{Loader, LoaderSettings};
use nereid_repository::{Repository, RepositoryLimits, RepositorySettings, StartReport};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use nereid_telemetry::Telemetry;
use tokio::{runtime::Handle, task::spawn_blocking};

use crate::{
    arguments::{ControlMode, ModelArguments, ServeArguments},
    backends::backends,
    error::ServerError,
};

/// Backends, loader and repository, put together.
pub(crate) struct Host {
    pub(crate) repository: Arc<Repository>,
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
    ) -> Result<Self, ServerError> {
        let service = ServiceHandle::default();
        let backends = backends(&arguments.backends, &service)?;
        let limits = arguments.limits()?;
        let loader = Loader::new(LoaderSettings {
            backends: backends.clone(),
            telemetry: Arc::clone(telemetry),
            service: service.clone(),
            rules: arguments.instances.rules(),
            runtime: Handle::current(),
            limits: limits.pipeline,
        });
        let settings = RepositorySettings { limits: limits.repository, ..repository_settings(&arguments.models) };
        let repository = Repository::new(settings, loader);
        let settings = SharedMemorySettings { limits: limits.shared_memory, ..arguments.services.shared_memory() };
        let shared_memory = SharedMemory::new(settings);
        let host = Self { repository, backends, diagnostics, shared_memory };
        service.set(&host.ports().0);
        Ok(host)
    }

    /// What frontends are given.
    pub(crate) fn ports(&self) -> (Arc<dyn InferenceService>, Arc<dyn ModelControl>) {
        (Arc::clone(&self.repository) as _, Arc::clone(&self.repository) as _)
    }

    /// Loads what is to be served at the start. A model that fails is not an error of this.
    pub(crate) async fn load(&self) -> Result<StartReport, ServerError> {
        let repository = Arc::clone(&self.repository);
        let loading = spawn_blocking(move || repository.start()).await;
        let report = loading.map_err(|error| InferError::internal(format!("loading the models failed: {error}")))??;
        Ok(report)
    }

    /// Drops every model; waits for their threads.
    pub(crate) async fn unload(self) {
        if let Err(error) = spawn_blocking(move || drop(self)).await {
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
