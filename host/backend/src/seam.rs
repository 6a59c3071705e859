//! The traits, by moment: a backend loads a version, the loaded model makes instances, an instance executes batches.

use std::{future::Future, pin::Pin, sync::Arc};

use nereid_inference::{InferError, MemoryUsage, ModelConfig, ModelSource, config::InstanceKind};

use crate::Batch;

/// One runtime: ONNX Runtime, the plugin host, tree forests, …
///
/// A backend exists from the start of the process, whether or not its library is installed; what is missing is an error
/// of [`Backend::load`] that names the library, where it was looked for, and the one command that installs it.
pub trait Backend: Send + Sync {
    /// The word in a configuration's `backend` field, for example `onnxruntime`.
    fn name(&self) -> &'static str;

    /// The model's file in a version directory when the configuration names none, for example `model.onnx`; empty when
    /// the backend needs no file. Also what a model without a configuration is recognised by.
    fn default_model_filename(&self) -> &'static str;

    /// Usual files of a backend that reads several kinds, in the order in which it looks for them. A model without a
    /// configuration is recognised by these too; which of them a model has is for the backend to find.
    fn model_filenames(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it serves this model, whose configuration names a `runtime`, or a backend that is not here: code that the
    /// operator put under that name for many models. May look for files; blocks.
    fn adopts(&self, _config: &ModelConfig) -> bool {
        false
    }

    /// Fills in what the configuration leaves open from the model file. May read files; blocks.
    ///
    /// # Errors
    /// The file cannot be read, or contradicts what the configuration does say.
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError>;

    /// Loads one version. May take seconds; blocks.
    ///
    /// # Errors
    /// Whatever keeps the version from being served.
    fn load(&self, source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError>;

    /// Whether its library, as installed, computes on CUDA devices: models without a written kind of instance run there
    /// then. Asked for only where there is a device; may load the library; blocks. Instances of `KIND_GPU` come anyway, and
    /// get an error that says what is missing.
    fn prefers_gpus(&self) -> bool {
        false
    }

    /// Whether its models may answer a request any number of times; a configuration that says so of the models of
    /// another backend is refused.
    fn supports_decoupled(&self) -> bool {
        false
    }

    /// Whether a new generation of one of its models is watched unless the configuration says otherwise: its models are
    /// programs, whose faults show when they are called.
    fn guards_swaps(&self) -> bool {
        false
    }

    /// Whether its library keeps weights in this process's memory, and reads them in every run: they are put into huge
    /// pages then.
    fn keeps_weights(&self) -> bool {
        false
    }
}

/// One version in memory, shared by its instances.
pub trait LoadedModel: Send + Sync {
    /// Makes an instance. Called once per instance before the model becomes ready; blocks.
    ///
    /// # Errors
    /// The place does not exist or cannot hold another instance.
    fn new_instance(&self, spec: &InstanceSpec) -> Result<Instance, InferError>;

    /// Whether the version and its instances can serve now, as far as that is known: asked for by health checks, at any
    /// time and also during executions, so it answers at once from what the backend keeps. A version that is not ready is
    /// still given requests.
    ///
    /// # Errors
    /// Why it is not ready; the log and the repository index show it. `Unavailable` is what passes by itself: the server as a whole
    /// goes on being ready.
    fn readiness(&self) -> Result<(), InferError> {
        Ok(())
    }

    /// No further request is routed to the version: what its instances keep back for batches to come is to be answered. Requests
    /// under way may still be executed. Called once, within the runtime; never blocks.
    fn retire(&self) {}

    /// Whether a request may be executed once more without anybody outside of this server noticing. Then the last one that was
    /// answered is tried on the generation that takes this one's place, unless the configuration says otherwise.
    fn may_repeat_requests(&self) -> bool {
        false
    }

    /// The BLAKE3 hash of the model's own file, in hexadecimal digits, for the model's history; `None` where the backend does
    /// not read the file as a whole anyway.
    fn digest(&self) -> Option<&str> {
        None
    }

    /// Memory that the version and its instances occupy now, one row per device, as far as that can be measured. Asked
    /// for by readers of statistics, never by a request.
    fn memory_usage(&self) -> Vec<MemoryUsage> {
        vec![]
    }
}

/// Which instance is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Unique within the server, for example `digits_cnn_0_1`.
    pub name: String,
    pub kind: InstanceKind,
    /// Device ordinal; 0 on the CPU.
    pub device_id: i32,
}

/// Something that executes one batch at a time, in one of two ways.
pub enum Instance {
    /// Occupies a thread while it computes; gets a thread of its own.
    Blocking(Box<dyn BlockingInstance>),
    /// Never blocks a thread for long; runs on the runtime's workers, at once when it is idle.
    Task(Box<dyn TaskInstance>),
}

/// An instance that computes on the calling thread. It is called by one thread at a time: mostly its own, and by the
/// requests' own threads once its executions are known to be brief.
pub trait BlockingInstance: Send {
    /// Executes the batch, answering each request through [`Batch::respond`] or a sender taken from it.
    fn execute(&mut self, batch: &mut Batch);

    /// Whether an execution may wait for what the runtime's workers do, for other models above all. It always has its own
    /// thread then, however brief its executions are: a worker that waits for workers may wait for ever.
    fn may_wait(&self) -> bool {
        false
    }

    /// Whether it takes inputs in memory of any device; for others they are brought to the host first.
    fn takes_device_memory(&self) -> bool {
        false
    }
}

/// An instance that computes as a future.
pub trait TaskInstance: Send {
    /// Executes the batch, answering each request through [`Batch::respond`] or a sender taken from it.
    fn execute<'a>(&'a mut self, batch: &'a mut Batch) -> ExecuteFuture<'a>;

    /// Whether it takes inputs in memory of any device; for others they are brought to the host first.
    fn takes_device_memory(&self) -> bool {
        false
    }
}

/// An execution under way.
pub type ExecuteFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
