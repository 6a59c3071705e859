//! Forests on CUDA devices: a kernel of our own, compiled when the first forest goes to a device of its kind.
//!
//! Promises: the sums of the processor to the last bit, and the same in every run; link functions within the rounding of the
//! device's `exp`. Refuses by name: a device that is not there, one without room for the forest, a missing compiler. Costs:
//! one copy of the forest in the device's memory, for all instances there.

mod device_forest;
mod instance;
mod job;
mod kernel;
mod nvrtc;
mod plan;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Once},
};

use nereid_forest::{FlatForest, Forest};
use nereid_gpu::{Gpu, Gpus};
use nereid_inference::{ErrorKind, InferError, ModelConfig, config::InstanceKind};

use crate::{
    gpu::{device_forest::DeviceForest, instance::GpuInstance, kernel::Kernels},
    instance::Plan,
    shape::AnswerShape,
};

static NOT_USABLE: Once = Once::new();

/// The devices of this process, and the kernel on each of them.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    gpus: Gpus,
    kernels: Arc<Kernels>,
}

/// One forest on all devices that its configuration names, by their ordinals.
#[derive(Debug, Default)]
pub(crate) struct DeviceForests {
    forests: BTreeMap<i32, Arc<DeviceForest>>,
}

// === impl Devices ===

impl Devices {
    /// The kernel's compiler is `nvrtc`, or looked for where it usually is.
    pub(crate) fn new(gpus: Gpus, nvrtc: Option<PathBuf>) -> Self {
        Self { gpus, kernels: Arc::new(Kernels::new(nvrtc)) }
    }

    /// Whether forests can be evaluated on a device. Why they cannot, where there is one, is logged once.
    pub(crate) fn are_usable(&self) -> bool {
        if self.gpus.all().is_empty() {
            return false;
        }
        let compiler = self.kernels.compiler();
        if let Err(missing) = &compiler {
            NOT_USABLE.call_once(|| tracing::warn!("forests without a written kind run on the processor: {missing}"));
        }
        compiler.is_ok()
    }

    /// Uploads a forest to the devices that the configuration names.
    ///
    /// # Errors
    /// A device is not there or has no room, or the kernel cannot be compiled.
    pub(crate) fn place(
        &self,
        forest: &Forest,
        shape: AnswerShape,
        config: &ModelConfig,
    ) -> Result<DeviceForests, InferError> {
        let groups = config.instance_groups.iter().filter(|group| group.kind == InstanceKind::Gpu);
        let mut forests = BTreeMap::new();
        for device_id in groups.flat_map(|group| &group.gpus) {
            if forests.contains_key(device_id) {
                continue;
            }
            let gpu = self.gpu(*device_id, &config.name)?;
            forests.insert(*device_id, Arc::new(self.upload(gpu, forest, shape, &config.name)?));
        }
        Ok(DeviceForests { forests })
    }

    fn gpu(&self, device_id: i32, model_name: &str) -> Result<&Arc<Gpu>, InferError> {
        self.gpus.get(device_id).ok_or_else(|| {
            let why = self.gpus.absence().map_or_else(
                || format!("there is no GPU {device_id}, only {:?}", self.gpus.all()),
                |absence| format!("there is no GPU: {absence}"),
            );
            InferError::unsupported(format!(
                "model '{model_name}': its configuration asks for kind: KIND_GPU on GPU {device_id}, but {why}; use kind: KIND_CPU"
            ))
        })
    }

    fn upload(
        &self,
        gpu: &Arc<Gpu>,
        forest: &Forest,
        shape: AnswerShape,
        model_name: &str,
    ) -> Result<DeviceForest, InferError> {
        let kernel =
            self.kernels.of(gpu).map_err(|error| InferError::unavailable(format!("model '{model_name}': {error}")))?;
        DeviceForest::upload(gpu, kernel, FlatForest::new(forest), shape).map_err(|error| {
            InferError::new(ErrorKind::ResourceExhausted, format!("model '{model_name}': {error}; use kind: KIND_CPU"))
        })
    }
}

// === impl DeviceForests ===

impl DeviceForests {
    /// An instance on a device.
    ///
    /// # Errors
    /// The forest is not there, or the device gives no stream.
    pub(crate) fn instance(
        &self,
        plan: &Arc<Plan>,
        device_id: i32,
        instance_name: &str,
    ) -> Result<GpuInstance, InferError> {
        let named = |problem: String| {
            InferError::unsupported(format!("instance '{instance_name}' of model '{}': {problem}", plan.model_name))
        };
        let forest = self.forests.get(&device_id).ok_or_else(|| {
            named(format!("the forest is not on GPU {device_id}, which no instance_group of kind: KIND_GPU names"))
        })?;
        GpuInstance::new(Arc::clone(plan), Arc::clone(forest)).map_err(|error| named(error.to_string()))
    }

    /// Bytes of each device's memory.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (i32, usize)> {
        self.forests.iter().map(|(device_id, forest)| (*device_id, forest.bytes()))
    }
}
