//! Loading: the interpreter is found, the configuration completed by the model, and each instance started.

use std::{
    env,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use nereid_backend::{Backend, BatchForms, Instance, InstanceSpec, LoadedModel};
use nereid_config::parse_json;
use nereid_inference::{
    ControlHandle, InferError, ModelConfig, ModelIdentity, ModelSource, NAMESPACE_SEPARATOR, ServiceHandle, Signature,
    config::InstanceKind,
};
use nereid_telemetry::CustomMetrics;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    context::ModelContext,
    execution_environment::Environments,
    instance::PythonInstance,
    launch::{Launch, write_runner},
    limits::PythonLimits,
    runner::{Plan, Runner},
    settings::PythonSettings,
    shared_code::{self, RUNTIME, SharedCode},
    supervisor::{Supervisor, Watch},
};

/// The model's file in a version directory.
const DEFAULT_MODEL_FILENAME: &str = "model.py";

/// Whom models call, and whom they ask for models.
#[derive(Clone, Debug, Default)]
pub struct PythonPorts {
    pub service: ServiceHandle,
    pub control: ControlHandle,
    /// Where models' own metrics go.
    pub metrics: Arc<CustomMetrics>,
}

/// The backend called `python`.
#[derive(Debug)]
pub struct PythonBackend {
    settings: PythonSettings,
    limits: PythonLimits,
    ports: PythonPorts,
    runner: OnceLock<Result<Arc<TempDir>, InferError>>,
    environments: Environments,
}

struct PythonModel {
    context: Arc<ModelContext>,
    instances: Mutex<Vec<Weak<Watch>>>,
}

// === impl PythonBackend ===

impl PythonBackend {
    /// A backend that looks for its interpreter when the first model is loaded.
    pub fn new(settings: PythonSettings, limits: PythonLimits, ports: PythonPorts) -> Self {
        Self { settings, limits, ports, runner: OnceLock::new(), environments: Environments::default() }
    }

    fn context(&self, source: &ModelSource, signature: Signature) -> Result<Arc<ModelContext>, InferError> {
        let config = source.config.clone();
        let identity = source.identity.clone();
        let written = self.runner.get_or_init(|| {
            write_runner().map(Arc::new).map_err(|error| {
                InferError::internal(format!("cannot write the files that run Python models: {error}"))
            })
        });
        let model_directory = absolute(&source.model_directory)?;
        let version_directory = absolute(&source.version_directory)?;
        let shared_code = SharedCode::of_model(&config, &absolute(&self.settings.backend_directory)?)?;
        let of_backend = shared_code.as_ref().and_then(SharedCode::environment);
        let environment = self.environments.of_model(&config, &model_directory, of_backend)?;
        let interpreter = match &environment {
            Some(environment) => environment.interpreter(),
            None => self.settings.executable.clone(),
        };
        let launch = Launch {
            origin: format!("'{}'", interpreter.display()),
            interpreter: find_interpreter(&interpreter)?,
            confinement: self.settings.confinement.of_model(&config)?,
            runner: written.clone()?,
            model_directory: model_directory.clone(),
            shared_code: shared_code.clone(),
            environment,
        };
        Ok(Arc::new(ModelContext {
            file: shared_code.map_or_else(|| version_directory.join(file_name(&config)), |code| code.file()),
            version_directory,
            model_directory,
            launch,
            signature,
            limits: self.limits.clone(),
            service: self.ports.service.clone(),
            control: self.ports.control.clone(),
            meters: self.ports.metrics.of_model(&full_name(&identity)),
            identity,
            config,
            runtime: Handle::try_current().ok(),
            told: Mutex::default(),
        }))
    }
}

impl Backend for PythonBackend {
    fn name(&self) -> &'static str {
        "python"
    }

    fn default_model_filename(&self) -> &'static str {
        DEFAULT_MODEL_FILENAME
    }

    /// Those of Python-based backends.
    fn adopts(&self, config: &ModelConfig) -> bool {
        shared_code::is_meant(config, &self.settings.backend_directory)
    }

    /// The model is imported, in a process of its own, and asked.
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        check_config(&source.config)?;
        let context = self.context(source, Signature::default())?;
        let instance = InstanceSpec { name: source.config.name.clone(), kind: InstanceKind::Cpu, device_id: 0 };
        // The calling thread may belong to a pool, whose threads come and go, and the process ends with its parent's.
        let plan = Plan { model: context, instance };
        let completed = std::thread::scope(|scope| {
            let completing = scope.spawn(|| Runner::complete(&plan));
            completing.join().unwrap_or_else(|_| Err(InferError::internal("completing the configuration panicked")))
        })?;
        let completed = parse_json(&completed).map_err(|error| {
            InferError::invalid_argument(format!("auto_complete_config of model '{}' made {error}", source.config.name))
        })?;
        let has_own_file = matches!(&*source.config.backend, "" | "python");
        // What else a model may have written there is its own business.
        Ok(ModelConfig {
            runtime: if has_own_file { source.config.runtime.clone() } else { RUNTIME.to_owned() },
            max_batch_size: completed.max_batch_size,
            inputs: completed.inputs,
            outputs: completed.outputs,
            scheduling: completed.scheduling,
            transaction_policy: completed.transaction_policy,
            ..source.config.clone()
        })
    }

    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        check_config(&source.config)?;
        let context = self.context(source, Signature::of_backend(&source.config)?)?;
        Ok(Arc::new(PythonModel { context, instances: Mutex::default() }))
    }

    fn supports_decoupled(&self) -> bool {
        true
    }

    fn guards_swaps(&self) -> bool {
        true
    }
}

// === impl PythonModel ===

impl LoadedModel for PythonModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let supervisor = Supervisor::start(Plan { model: self.context.clone(), instance: spec.clone() })?;
        let mut instances = self.instances.lock();
        instances.retain(|watch| watch.strong_count() > 0);
        instances.push(Arc::downgrade(supervisor.watch()));
        Ok(Instance::Blocking(Box::new(PythonInstance { model: self.context.clone(), supervisor })))
    }

    fn readiness(&self) -> Result<(), InferError> {
        let instances: Vec<_> = self.instances.lock().iter().filter_map(Weak::upgrade).collect();
        instances.iter().try_for_each(|watch| watch.readiness())
    }
}

fn file_name(config: &ModelConfig) -> &str {
    match config.default_model_filename.as_str() {
        "" => DEFAULT_MODEL_FILENAME,
        name => name,
    }
}

/// The name that is unique in the server.
fn full_name(identity: &ModelIdentity) -> Arc<str> {
    match &identity.namespace {
        Some(namespace) => format!("{namespace}{NAMESPACE_SEPARATOR}{}", identity.name).into(),
        None => identity.name.clone(),
    }
}

fn check_config(config: &ModelConfig) -> Result<(), InferError> {
    BatchForms::refuse_batch_tensors(config, "python")
}

/// A process has another working directory.
fn absolute(path: &Path) -> Result<PathBuf, InferError> {
    std::path::absolute(path).map_err(|error| InferError::internal(format!("'{}': {error}", path.display())))
}

/// The interpreter's own path; a name is looked for as a shell does.
fn find_interpreter(executable: &Path) -> Result<PathBuf, InferError> {
    let is_program =
        |path: &PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let found = match executable.components().count() {
        1 => {
            let folders = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&folders).map(|folder| folder.join(executable)).find(is_program)
        }
        _ => absolute(executable).ok().filter(is_program),
    };
    found.ok_or_else(|| {
        InferError::unavailable(format!(
            "Python models need an interpreter with numpy, and there is no program '{}': install one (apt-get install \
             python3-numpy), or name it with --backend-config=python,python-executable=PATH",
            executable.display()
        ))
    })
}

#[cfg(test)]
mod tests;
