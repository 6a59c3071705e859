//! The ports: what frontends and plugins may ask of the models, and what the repository may ask of the loader.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
};

use crate::{
    DecisionLog, Generation, InferError, InferRequest, LoadClock, LoadOverrides, ModelConfig, ModelHistory,
    ModelStatistics, RepositoryAgents, ResponseStream, Signature,
};

/// Stands between a namespace and a name where a model of one namespace is asked for: `/models/a::digits`.
pub const NAMESPACE_SEPARATOR: &str = "::";

/// Which model answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelIdentity {
    pub name: Arc<str>,
    pub version: u64,
    /// The repository that it lies in, with `--model-namespacing`; shown by metrics only.
    pub namespace: Option<Arc<str>>,
}

/// One loaded generation of one model version.
///
/// Dropping the last reference drains it: what was admitted is still answered.
pub trait ServedModel: Send + Sync {
    /// Name and version.
    fn identity(&self) -> &ModelIdentity;

    /// The effective configuration: completed, with defaults filled in.
    fn config(&self) -> &ModelConfig;

    /// The tensors it takes and gives.
    fn signature(&self) -> &Signature;

    /// Text per index of the output called `output`, for the classification extension; empty without a label file.
    fn labels(&self, _output: &str) -> &[Arc<str>] {
        &[]
    }

    /// Checks the request against the signature and hands it to the model's scheduler.
    ///
    /// Never blocks. Every outcome, refusals included, arrives on the stream. Dropping the stream cancels the request.
    fn infer(&self, request: InferRequest) -> ResponseStream;

    /// Whether its backend says that it can serve now; a version that is loaded may have lost what it needs. Never
    /// blocks.
    ///
    /// # Errors
    /// Why it cannot.
    fn readiness(&self) -> Result<(), InferError> {
        Ok(())
    }

    /// No further request is routed to it, now or later: what it keeps back for requests to come should be answered. Requests under
    /// way may still be handed to it. Never blocks; may be called more than once.
    fn retire(&self) {}

    /// What was counted since it was loaded.
    fn statistics(&self) -> ModelStatistics;

    /// Why its last batches went when they did; empty for a model without a scheduler of its own.
    fn decisions(&self) -> DecisionLog {
        DecisionLog::default()
    }

    /// A digest of all that this generation is made of: the same in every process that serves the same files, another
    /// when anything in them differs. `None` where nobody needs it or it cannot be known. May read files; blocks.
    fn fingerprint(&self) -> Option<[u8; 32]> {
        None
    }

    /// What matters when another generation takes its place; `None` when it is simply replaced: nobody watches how its
    /// successor fares, and it has no sequences.
    fn generation(&self) -> Option<&dyn Generation> {
        None
    }

    /// This very generation with the instances that `config` asks for, which differs from its own in the instance groups
    /// and the version policy alone. Requests under way go on, also on instances that leave. `None` when it cannot change
    /// while it serves, and is to be loaded anew. Blocks while instances are made.
    ///
    /// # Errors
    /// An instance cannot be made. Nothing has changed then.
    fn reconfigured(&self, _config: &ModelConfig) -> Result<Option<Arc<dyn ServedModel>>, InferError> {
        Ok(None)
    }
}

/// What every frontend and every plugin call uses.
pub trait InferenceService: Send + Sync {
    /// The ready version asked for, or the highest ready one. With namespacing, `NAMESPACE::NAME` is a name too.
    ///
    /// # Errors
    /// `NotFound` for an unknown model or version, `Unavailable` for one that is not ready; with namespacing,
    /// `InvalidArgument` for a name that is unknown or that several namespaces have.
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError>;

    /// As [`InferenceService::model`], of which its backend also says that it can serve.
    ///
    /// # Errors
    /// Those of the look-up, or the backend's.
    fn ready_model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.model(name, version)?;
        model.readiness().map(|()| model)
    }

    /// Every ready version of the model called `name`, or of all models, ordered by name and version.
    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>>;

    /// Whether the process is up, and whether it takes requests.
    fn server_state(&self) -> ServerState;
}

/// What an operator may do to the repository while the server runs.
pub trait ModelControl: Send + Sync {
    /// Every model known, with the state of each version.
    fn index(&self) -> Vec<IndexEntry>;

    /// Loads, or reloads, a model and returns when it is ready or has failed. Blocks the calling thread.
    ///
    /// # Errors
    /// The model control mode forbids it, the model does not exist, or it failed to load.
    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError>;

    /// Starts to unload a model; requests under way finish. An unknown model is no error.
    ///
    /// # Errors
    /// The model control mode forbids it.
    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError>;

    /// The generations of every model of that name that are remembered.
    ///
    /// # Errors
    /// `NotFound`: nothing is known of such a model.
    fn history(&self, name: &str) -> Result<Vec<ModelHistory>, InferError> {
        Err(InferError::unsupported(format!("the generations of model '{name}' are not remembered here")))
    }

    /// Serves the generation before the one that is served now; returns when it does. Blocks the calling thread.
    /// `requested_by` is who asks, for the history.
    ///
    /// # Errors
    /// There is none, or what it was loaded from is gone.
    fn roll_back(&self, name: &str, _requested_by: &str) -> Result<(), InferError> {
        Err(InferError::unsupported(format!("model '{name}' cannot be rolled back here")))
    }
}

/// Turns a directory and a configuration into a served model. The repository calls it and knows nothing of backends.
pub trait ModelLoader: Send + Sync {
    /// Fills in what the configuration leaves open, from the model's own file. May read files; blocks.
    ///
    /// # Errors
    /// The model file cannot be read, or contradicts the configuration.
    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError>;

    /// Checks what can be known of a complete configuration without loading it. `peers` gives the complete
    /// configurations of the models that it may refer to.
    ///
    /// # Errors
    /// What would keep the model from being loaded.
    fn validate(&self, source: &ModelSource, peers: &dyn Fn(&str) -> Option<ModelConfig>) -> Result<(), InferError>;

    /// The CUDA devices that the instances of such a model may have.
    fn gpus(&self, _config: &ModelConfig) -> UsableGpus {
        UsableGpus::default()
    }

    /// Who is asked before models are loaded that name agents; `None` where there is nobody.
    fn agents(&self) -> Option<&dyn RepositoryAgents> {
        None
    }

    /// What was kept of a model's traffic is not tried on the generation that is loaded next: somebody wants that one back,
    /// whatever the one that serves has answered since.
    fn forget_traffic(&self, _model: &ModelIdentity) {}

    /// Loads one version and starts its instances. May take seconds; blocks.
    ///
    /// # Errors
    /// Whatever keeps the version from serving; the text names the cause.
    fn load(&self, source: ModelSource) -> Result<Arc<dyn ServedModel>, InferError>;
}

/// The CUDA devices of the server, as far as one model is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsableGpus {
    /// Ordinals of the devices that the server uses, ascending.
    pub ids: Vec<i32>,
    /// Whether the model's backend, as installed, computes on them: instances of `KIND_AUTO` run there then.
    pub are_preferred: bool,
}

/// What the loader gets to see of one model version.
#[derive(Clone, Debug)]
pub struct ModelSource {
    pub identity: ModelIdentity,
    /// The model's directory: `config.pbtxt`, labels, version directories.
    pub model_directory: PathBuf,
    /// The version's directory: the model's own file.
    pub version_directory: PathBuf,
    pub config: ModelConfig,
    /// What each step takes.
    pub clock: LoadClock,
}

/// Life of the process as health checks see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Up; first load still running.
    Starting,
    /// Every model that must be ready is.
    Ready,
    /// Up, but with strict readiness some model is not ready.
    NotReady,
    /// Draining.
    Exiting,
}

/// One row of the repository index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub name: String,
    /// `None` for a model that was never loaded.
    pub version: Option<u64>,
    pub state: Option<ModelState>,
    /// Why it is in this state; empty when there is nothing to say.
    pub reason: String,
}

/// State of one model version, in the index's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelState {
    Ready,
    Unavailable,
    Loading,
    Unloading,
}

/// A port that is named after those who will use it are made: ensembles and plugins call models of the very repository
/// that loads them.
pub struct PortHandle<T: ?Sized>(Arc<OnceLock<Weak<T>>>);

/// Whom ensembles and plugins call.
pub type ServiceHandle = PortHandle<dyn InferenceService>;

/// Whom plugins ask to load and unload models.
pub type ControlHandle = PortHandle<dyn ModelControl>;

// === impl PortHandle ===

impl<T: ?Sized> PortHandle<T> {
    /// Names the port; the first one counts. Only a weak reference is kept.
    pub fn set(&self, port: &Arc<T>) {
        let _ = self.0.set(Arc::downgrade(port));
    }

    /// The port.
    ///
    /// # Errors
    /// `Unavailable` before the port is named and after it is gone.
    pub fn get(&self) -> Result<Arc<T>, InferError> {
        let port = self.0.get().and_then(Weak::upgrade);
        port.ok_or_else(|| InferError::unavailable("the server is starting or exiting and serves no models"))
    }
}

impl<T: ?Sized> Clone for PortHandle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> Default for PortHandle<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: ?Sized> fmt::Debug for PortHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortHandle(set: {})", self.0.get().is_some())
    }
}

// === impl ModelIdentity ===

impl ModelIdentity {
    /// Name and version as one value.
    pub fn new(name: impl Into<Arc<str>>, version: u64) -> Self {
        Self { name: name.into(), version, namespace: None }
    }

    /// The same name and version in a namespace.
    #[must_use]
    pub fn within(self, namespace: Option<Arc<str>>) -> Self {
        Self { namespace, ..self }
    }
}

impl fmt::Display for ModelIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

// === impl ModelState ===

impl ModelState {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Loading => "LOADING",
            Self::Unloading => "UNLOADING",
        }
    }
}
