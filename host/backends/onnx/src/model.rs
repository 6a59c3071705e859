//! One loaded version: a session for each place where it has instances.
//!
//! One session per place and not per instance: `Run` is thread safe, two threads on one session and on one each have the
//! same throughput (digits_cnn_large on the CPU, batch 1 and 16: equal within 5 %), and each further session would hold
//! another copy of the weights. With TensorRT each instance has its own, because an engine executes one batch at a time.
//! A session stays until the version goes, also when its last instance is taken away; the next instance there gets it.

use std::sync::Arc;

use nereid_backend::{Instance, InstanceSpec, LoadedModel};
use nereid_gpu::{Gpu, Gpus};
use nereid_inference::{InferError, MemoryKind, MemoryUsage, ModelSource};
use ort::session::Session;
use parking_lot::Mutex;

use crate::{
    agree,
    device::Device,
    instance::OnnxInstance,
    library::OnnxSettings,
    memory,
    model_file::{ModelFile, Opening},
    options::SessionOptions,
    place::Place,
    plan::Plan,
    providers::GpuProviders,
    shrinkage::ArenaShrinkage,
};

/// What sessions of a version are opened with.
pub(crate) struct Sessions {
    pub(crate) settings: OnnxSettings,
    pub(crate) source: ModelSource,
    pub(crate) options: SessionOptions,
    pub(crate) providers: GpuProviders,
    opened: Mutex<Vec<Opened>>,
}

struct Opened {
    place: Place,
    session: Arc<Session>,
}

/// A version that can make instances.
pub(crate) struct OnnxModel {
    pub(crate) sessions: Sessions,
    pub(crate) gpus: Gpus,
    pub(crate) shrinkage: ArenaShrinkage,
    pub(crate) plan: Arc<Plan>,
}

// === impl Sessions ===

impl Sessions {
    /// No session yet.
    ///
    /// # Errors
    /// Options that the configuration cannot mean.
    pub(crate) fn new(settings: &OnnxSettings, source: &ModelSource) -> Result<Self, InferError> {
        let options = SessionOptions::from_config(&source.config)?;
        let providers = GpuProviders::from_config(&source.config)?;
        let (settings, source) = (settings.clone(), source.clone());
        Ok(Self { settings, source, options, providers, opened: Mutex::default() })
    }

    /// The file opened at this place, its session kept for the first instance there.
    ///
    /// # Errors
    /// Whatever keeps the file from being opened there, or a configuration that contradicts it.
    pub(crate) fn open(&self, place: Place) -> Result<ModelFile, InferError> {
        let file = self.read(place)?;
        self.opened.lock().push(Opened { place, session: file.session.clone() });
        Ok(file)
    }

    fn read(&self, place: Place) -> Result<ModelFile, InferError> {
        let gpu = match place {
            Place::Cpu => None,
            Place::Gpu(device_id) => Some((&self.providers, device_id)),
        };
        let file = ModelFile::open(&self.settings, &self.source, Opening { options: self.options, gpu })?;
        agree::check(&self.source.config, file.declared(), &file.file_name)?;
        Ok(file)
    }

    /// A session for one more instance at this place. Opening one takes long, and holds nobody up who looks at the others.
    fn take(&self, place: Place) -> Result<Arc<Session>, InferError> {
        let is_shared = place == Place::Cpu || !self.providers.has_engines();
        let is_free = |opened: &Opened| is_shared || Arc::strong_count(&opened.session) == 1;
        let fits = |opened: &&Opened| opened.place == place && is_free(opened);
        if let Some(found) = self.opened.lock().iter().find(fits) {
            return Ok(found.session.clone());
        }
        let session = self.read(place)?.session;
        self.opened.lock().push(Opened { place, session: session.clone() });
        Ok(session)
    }

    /// Where there are sessions, and what they occupy.
    fn memory_usage(&self) -> Vec<MemoryUsage> {
        let mut usage = Vec::new();
        for Opened { place, session, .. } in &*self.opened.lock() {
            // A session on a GPU computes on the processor what its providers do not.
            add(&mut usage, (MemoryKind::Cpu, 0), memory::bytes_in_use(session, Place::Cpu));
            if let Place::Gpu(device_id) = *place {
                add(&mut usage, (MemoryKind::Gpu, i64::from(device_id)), memory::bytes_in_use(session, *place));
            }
        }
        usage
    }
}

// === impl OnnxModel ===

impl OnnxModel {
    /// The device of an instance; `None` on the CPU.
    fn gpu(&self, spec: &InstanceSpec) -> Result<Option<&Arc<Gpu>>, InferError> {
        let Place::Gpu(device_id) = Place::of(spec) else { return Ok(None) };
        self.gpus.get(device_id).map(Some).ok_or_else(|| {
            let found = match self.gpus.absence() {
                Some(absence) => absence.to_owned(),
                None => format!("this server uses {:?}", self.gpus),
            };
            InferError::unavailable(format!(
                "instance '{}' of model '{}' is for GPU {device_id}, which there is not: {found}; use kind: KIND_CPU",
                spec.name, self.plan.model_name
            ))
        })
    }

    fn failed(&self, spec: &InstanceSpec, text: &str) -> InferError {
        let (instance, model) = (&spec.name, &self.plan.model_name);
        InferError::internal(format!("instance '{instance}' of model '{model}': {text}"))
    }
}

impl LoadedModel for OnnxModel {
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError> {
        let (place, gpu) = (Place::of(spec), self.gpu(spec)?);
        let session = self.sessions.take(place)?;
        let device = gpu.map(Device::new).transpose().map_err(|text| self.failed(spec, &text))?;
        let run_options = self.shrinkage.run_options(place).map_err(|error| self.failed(spec, error.message()))?;
        let instance = OnnxInstance { session, plan: self.plan.clone(), run_options, device };
        Ok(Instance::Blocking(Box::new(instance)))
    }

    fn memory_usage(&self) -> Vec<MemoryUsage> {
        self.sessions.memory_usage()
    }
}

/// Adds to the row of that device.
fn add(usage: &mut Vec<MemoryUsage>, (kind, device_id): (MemoryKind, i64), bytes: Option<u64>) {
    let Some(bytes) = bytes else { return };
    match usage.iter_mut().find(|row| row.kind == kind && row.device_id == device_id) {
        Some(row) => row.bytes += bytes,
        None => usage.push(MemoryUsage { kind, device_id, bytes }),
    }
}
