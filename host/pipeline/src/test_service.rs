//! A repository for tests: models by name, loaded by the real loader over fake backends.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use nereid_backend::{
    Backend,
    fake::{FakeBackend, FakeBehaviour},
};
use nereid_inference::{
    InferError, InferRequest, InferResponse, InferenceService, LoadClock, ModelConfig, ModelIdentity, ModelLoader,
    ModelSource, NamedTensor, ServedModel, ServerState, ServiceHandle,
    config::{EnsembleScheduling, EnsembleStep, ModelInput, ModelOutput, Scheduling},
};
use nereid_memory::MemoryBudget;
use nereid_telemetry::{MetricsSettings, Telemetry};
use nereid_tensor::{DataType, Tensor};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{CacheUse, InstanceRules, Loader, LoaderSettings, PipelineLimits};

/// Models by name; every one has version 1.
#[derive(Default)]
pub(crate) struct Models {
    models: Mutex<BTreeMap<String, Arc<dyn ServedModel>>>,
}

/// A service, the loader that fills it, and the telemetry that both feed.
pub(crate) struct World {
    pub(crate) service: Arc<dyn InferenceService>,
    models: Arc<Models>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// What a loader works with, beside the backend.
#[derive(Default)]
struct Means {
    rules: InstanceRules,
    cache: Option<CacheUse>,
    memory: Option<MemoryBudget>,
    limits: PipelineLimits,
    /// Beside the fake.
    backends: Vec<Arc<dyn Backend>>,
}

impl InferenceService for Models {
    fn model(&self, name: &str, _version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.models.lock().get(name).cloned();
        model.ok_or_else(|| InferError::not_found(format!("Request for unknown model: '{name}' is not found")))
    }

    fn ready_models(&self, _name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        self.models.lock().values().cloned().collect()
    }

    fn server_state(&self) -> ServerState {
        ServerState::Ready
    }
}

impl World {
    pub(crate) fn new(behaviour: FakeBehaviour) -> Self {
        Self::with(behaviour, Means::default())
    }

    pub(crate) fn with_rules(behaviour: FakeBehaviour, rules: InstanceRules) -> Self {
        Self::with(behaviour, Means { rules, ..Means::default() })
    }

    /// As [`World::new`], with a response cache.
    pub(crate) fn with_cache(behaviour: FakeBehaviour, cache: Option<CacheUse>) -> Self {
        Self::with(behaviour, Means { cache, ..Means::default() })
    }

    /// As [`World::new`], with a memory budget.
    pub(crate) fn with_memory(behaviour: FakeBehaviour, memory: MemoryBudget) -> Self {
        Self::with(behaviour, Means { memory: Some(memory), ..Means::default() })
    }

    /// As [`World::new`], with limits of its own.
    pub(crate) fn with_limits(behaviour: FakeBehaviour, limits: PipelineLimits) -> Self {
        Self::with(behaviour, Means { limits, ..Means::default() })
    }

    /// As [`World::new`], with more backends.
    pub(crate) fn with_backends(behaviour: FakeBehaviour, backends: Vec<Arc<dyn Backend>>) -> Self {
        Self::with(behaviour, Means { backends, ..Means::default() })
    }

    fn with(behaviour: FakeBehaviour, means: Means) -> Self {
        let Means { rules, cache, memory, limits, backends: others } = means;
        let models = Arc::new(Models::default());
        let service: Arc<dyn InferenceService> = models.clone();
        let handle = ServiceHandle::default();
        handle.set(&service);
        let telemetry = Telemetry::new(MetricsSettings { histogram_latencies: true, ..MetricsSettings::default() });
        let fake: Arc<dyn Backend> = Arc::new(FakeBackend { behaviour });
        let backends = std::iter::once(fake).chain(others).collect();
        let loader = Loader::new(LoaderSettings {
            backends,
            telemetry: telemetry.clone(),
            service: handle,
            rules,
            runtime: Handle::current(),
            limits,
            cache,
            memory,
            huge_pages: None,
            agents: None,
            strategies: None,
        });
        Self { service, models, loader, telemetry }
    }

    /// Loads a model and puts it into service.
    pub(crate) fn load(&self, config: ModelConfig) -> Result<Arc<dyn ServedModel>, InferError> {
        self.load_source(source(config))
    }

    /// As [`World::load`], for a model that has files.
    pub(crate) fn load_source(&self, source: ModelSource) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.loader.load(source)?;
        self.models.models.lock().insert(model.identity().name.to_string(), model.clone());
        Ok(model)
    }

    pub(crate) async fn infer(&self, model: &str, inputs: Vec<NamedTensor>) -> Result<InferResponse, InferError> {
        self.service.model(model, None)?.infer(InferRequest::new(inputs)).single().await
    }
}

pub(crate) fn source(config: ModelConfig) -> ModelSource {
    ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: PathBuf::from("nowhere"),
        version_directory: PathBuf::from("nowhere/1"),
        config,
        clock: LoadClock::default(),
    }
}

/// A batching echo from `X` to `Y`, both FP32 of `width` columns.
pub(crate) fn echo(name: &str, width: i64) -> ModelConfig {
    ModelConfig {
        name: name.into(),
        backend: "fake".into(),
        max_batch_size: 8,
        inputs: vec![input("X", DataType::Fp32, width)],
        outputs: vec![output("Y", DataType::Fp32, width)],
        ..ModelConfig::default()
    }
}

/// An ensemble from `IN` to `OUT`, both FP32 of two columns.
pub(crate) fn ensemble(name: &str, steps: Vec<EnsembleStep>) -> ModelConfig {
    ModelConfig {
        name: name.into(),
        platform: "ensemble".into(),
        max_batch_size: 8,
        inputs: vec![input("IN", DataType::Fp32, 2)],
        outputs: vec![output("OUT", DataType::Fp32, 2)],
        scheduling: Some(Scheduling::Ensemble(EnsembleScheduling { steps, ..EnsembleScheduling::default() })),
        ..ModelConfig::default()
    }
}

/// A step that maps the member's `X` and `Y`.
pub(crate) fn step(model: &str, from: &str, to: &str) -> EnsembleStep {
    EnsembleStep {
        model_name: model.into(),
        model_version: -1,
        input_map: [("X".to_owned(), from.to_owned())].into(),
        output_map: [("Y".to_owned(), to.to_owned())].into(),
        ..EnsembleStep::default()
    }
}

pub(crate) fn input(name: &str, data_type: DataType, width: i64) -> ModelInput {
    ModelInput { name: name.into(), data_type: data_type.into(), dims: vec![width], ..ModelInput::default() }
}

pub(crate) fn output(name: &str, data_type: DataType, width: i64) -> ModelOutput {
    ModelOutput { name: name.into(), data_type: data_type.into(), dims: vec![width], ..ModelOutput::default() }
}

pub(crate) fn tensor(name: &str, values: &[f32]) -> NamedTensor {
    NamedTensor::new(name, Tensor::from_elements([1, values.len() as u64], values).unwrap())
}
