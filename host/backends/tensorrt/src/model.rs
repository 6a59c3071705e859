//! One loaded version: an engine on each device where it has instances, shared by them.

use std::{
    ffi::CString,
    sync::{Arc, Weak},
};

use nereid_backend::{Instance, InstanceSpec, LoadedModel};
use nereid_gpu::Gpus;
use nereid_inference::{InferError, MemoryKind, MemoryUsage, ModelSource, Signature, TensorSpec, config::InstanceKind};
use nereid_tensor::{DataType, Shape};
use parking_lot::Mutex;

use crate::{
    backend,
    ffi::{Context, Engine},
    graph_shapes::{self, GraphShapes, Requested},
    graphs::{Graphs, Site},
    instance::TensorrtInstance,
    library::TensorrtSettings,
    profiles::{self, Profile},
    tensors::{self, Declared, EngineTensor},
};

/// What every execution of a model does alike.
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    /// In the order of the engine.
    pub(crate) inputs: Vec<PlannedTensor>,
    /// All outputs of the engine: it writes each, wanted or not.
    pub(crate) outputs: Vec<PlannedTensor>,
    /// Those that instances use.
    pub(crate) profiles: Vec<Profile>,
    /// What CUDA graphs are captured for.
    pub(crate) graphs: Vec<GraphShapes>,
    /// Whether instances keep their processors while they wait for the device.
    pub(crate) spins: bool,
}

/// One input or output.
pub(crate) struct PlannedTensor {
    pub(crate) name: Arc<str>,
    pub(crate) c_name: CString,
    pub(crate) data_type: DataType,
}

/// Memory of a device that an instance occupies for as long as it lives.
struct Occupied {
    device_id: i32,
    bytes: u64,
    instance: Weak<()>,
}

/// A version that can make instances.
pub(crate) struct TensorrtModel {
    settings: TensorrtSettings,
    source: ModelSource,
    gpus: Gpus,
    plan: Arc<Plan>,
    engines: Mutex<Vec<Arc<Engine>>>,
    /// What the contexts of instances occupy.
    occupied: Mutex<Vec<Occupied>>,
}

// === impl Plan ===

impl Plan {
    /// The plan for a configuration that agrees with the engine.
    ///
    /// # Errors
    /// An input that nobody gives, or a profile that there is not.
    pub(crate) fn new(source: &ModelSource, declared: &Declared) -> Result<Self, InferError> {
        let config = &source.config;
        let invalid = |text: String| InferError::invalid_argument(format!("model '{}': {text}", config.name));
        let signature = Signature::of_backend(config)?;
        let given = |tensor: &EngineTensor| find(&signature.inputs, tensor);
        if let Some(missing) = declared.inputs.iter().find(|tensor| given(tensor).is_none()) {
            return Err(invalid(format!("input '{}' of the engine is given by nobody", missing.text())));
        }
        let groups = config.instance_groups.iter().filter(|group| group.kind == InstanceKind::Gpu);
        let names: Vec<String> = groups.flat_map(|group| group.profiles.clone()).collect();
        let selected = profiles::selected(&names, declared.profiles.len()).map_err(invalid)?;
        let planned = |tensors: &[EngineTensor]| tensors.iter().filter_map(PlannedTensor::new).collect();
        let profiles: Vec<Profile> =
            selected.iter().filter_map(|place| declared.profiles.get(*place).cloned()).collect();
        let Requested { graphs, refused } =
            graph_shapes::requested(config, &declared.inputs, &profiles).map_err(invalid)?;
        for text in refused {
            tracing::warn!("model '{}': {text}; executions of its shapes are started one by one", config.name);
        }
        Ok(Self {
            model_name: config.name.clone(),
            batching: config.has_batching(),
            inputs: planned(&declared.inputs),
            outputs: planned(&declared.outputs),
            profiles,
            graphs,
            spins: config.optimization.as_ref().and_then(|it| it.cuda.as_ref()).is_some_and(|it| it.busy_wait_events),
        })
    }
}

// === impl PlannedTensor ===

impl PlannedTensor {
    fn new(tensor: &EngineTensor) -> Option<Self> {
        Some(Self { name: tensor.text().into(), c_name: tensor.name.clone(), data_type: tensor.data_type? })
    }
}

// === impl TensorrtModel ===

impl TensorrtModel {
    /// The model of an engine that is on its first device already.
    ///
    /// # Errors
    /// The configuration contradicts the engine.
    pub(crate) fn new(
        source: &ModelSource,
        (settings, gpus): (&TensorrtSettings, &Gpus),
        engine: Arc<Engine>,
    ) -> Result<Self, InferError> {
        let invalid = |text: String| InferError::invalid_argument(format!("model '{}': {text}", source.config.name));
        let declared = engine.declared().map_err(invalid)?;
        tensors::check(&source.config, &declared).map_err(invalid)?;
        let plan = Plan::new(source, &declared)?;
        Ok(Self {
            settings: settings.clone(),
            source: source.clone(),
            gpus: gpus.clone(),
            plan: Arc::new(plan),
            engines: Mutex::new(vec![engine]),
            occupied: Mutex::default(),
        })
    }

    /// The engine on that device. Opening one takes long, and holds nobody up who looks at the others.
    fn engine(&self, device_id: i32) -> Result<Arc<Engine>, InferError> {
        if let Some(engine) = self.engines.lock().iter().find(|engine| engine.gpu().ordinal() == device_id) {
            return Ok(Arc::clone(engine));
        }
        let engine = backend::open(&self.source, &self.settings, self.gpus.get(device_id), &self.gpus)?;
        let invalid =
            |text: String| InferError::invalid_argument(format!("model '{}': {text}", self.source.config.name));
        let declared = engine.declared().map_err(invalid)?;
        tensors::check(&self.source.config, &declared).map_err(invalid)?;
        let same_profiles = Plan::new(&self.source, &declared)?.profiles == self.plan.profiles;
        if !same_profiles {
            return Err(invalid(format!("the plan for GPU {device_id} has other profiles than the first device's")));
        }
        self.engines.lock().push(Arc::clone(&engine));
        Ok(engine)
    }
}

impl LoadedModel for TensorrtModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let subject = format!("instance '{}' of model '{}'", spec.name, self.plan.model_name);
        if spec.kind != InstanceKind::Gpu {
            let text = format!("{subject}: TensorRT plans run on GPUs only; use kind: KIND_GPU");
            return Err(InferError::unsupported(text));
        }
        let engine = self.engine(spec.device_id)?;
        let failed = |text: String| InferError::internal(format!("{subject}: {text}"));
        let plan = &self.plan;
        let stream = engine.gpu().stream().map_err(|error| failed(error.to_string()))?.spinning(plan.spins);
        // Contexts of an instance execute one after the other, and compute in the same memory.
        let needed = plan.profiles.iter().map(|profile| engine.context_bytes(profile.index)).max().unwrap_or_default();
        let scratch = stream.allocate(usize::try_from(needed).unwrap_or(usize::MAX));
        let scratch = Arc::new(scratch.map_err(|error| failed(format!("memory to compute in on {error}")))?);
        stream.synchronise().map_err(|error| failed(error.to_string()))?;
        let context = |profile: &Profile| Context::new(&engine, profile.index, (&stream, &scratch));
        let contexts = plan.profiles.iter().map(context).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let graphs =
            Graphs::capture(&Site { subject: &subject, plan, engine: &engine, stream: &stream, scratch: &scratch });
        let (bytes, alive) = (needed + graphs.bytes(), Arc::new(()));
        let occupied = Occupied { device_id: spec.device_id, bytes, instance: Arc::downgrade(&alive) };
        self.occupied.lock().push(occupied);
        let instance = TensorrtInstance { plan: Arc::clone(plan), graphs, contexts, stream, _alive: alive };
        Ok(Instance::Blocking(Box::new(instance)))
    }

    fn memory_usage(&self) -> Vec<MemoryUsage> {
        let mut usage: Vec<MemoryUsage> = Vec::new();
        let mut occupied = self.occupied.lock();
        occupied.retain(|each| each.instance.strong_count() > 0);
        for Occupied { device_id, bytes, .. } in &*occupied {
            let (device_id, bytes) = (i64::from(*device_id), *bytes);
            match usage.iter_mut().find(|row| row.device_id == device_id) {
                Some(row) => row.bytes += bytes,
                None => usage.push(MemoryUsage { kind: MemoryKind::Gpu, device_id, bytes }),
            }
        }
        usage
    }
}

/// Of a tensor in this shape; `None` beyond what can be addressed.
pub(crate) fn byte_size(planned: &PlannedTensor, shape: &[i64]) -> Option<usize> {
    Shape::from_signed(shape).ok()?.byte_size(planned.data_type)
}

fn find<'s>(specs: &'s [TensorSpec], tensor: &EngineTensor) -> Option<&'s TensorSpec> {
    specs.iter().find(|spec| *spec.name == *tensor.text())
}
