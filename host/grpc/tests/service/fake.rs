//! Models whose behaviour their name tells, and a repository of them.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{
    DurationStatistic, IndexEntry, InferError, InferRequest, InferResponse, InferStatistics, InferenceService,
    LoadOverrides, ModelConfig, ModelControl, ModelIdentity, ModelState, ModelStatistics, NamedTensor, ResponseSender,
    ResponseStream, ServedModel, ServerState, Signature,
    config::{ModelInput, ModelOutput, TransactionPolicy},
    response_channel,
};
use nereid_tensor::{DataType, Tensor};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// A request that waits for the test to answer it.
pub(crate) struct Held {
    pub(crate) request: InferRequest,
    pub(crate) sender: ResponseSender,
}

/// What a model does with a request.
#[derive(Clone)]
enum Behaviour {
    /// Answers with its input.
    Echo,
    /// Answers with this many bytes.
    Grow(usize),
    Fail(InferError),
    Panic,
    /// Hands the request to the test.
    Hold(mpsc::UnboundedSender<Held>),
}

struct FakeModel {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
    behaviour: Behaviour,
}

/// The repository; the service port of the tests.
pub(crate) struct FakeService {
    models: BTreeMap<String, Arc<FakeModel>>,
    pub(crate) state: Mutex<ServerState>,
}

/// The control port: remembers what it was asked to do.
#[derive(Default)]
pub(crate) struct FakeControl {
    pub(crate) calls: Mutex<Vec<String>>,
}

// === impl FakeModel ===

impl FakeModel {
    fn new(name: &str, version: u64, decoupled: bool, behaviour: Behaviour) -> Self {
        let data_type = DataType::Int32.into();
        let config = ModelConfig {
            name: name.into(),
            backend: "fake".into(),
            max_batch_size: 8,
            inputs: vec![ModelInput { name: "IN".into(), data_type, dims: vec![-1], ..Default::default() }],
            outputs: vec![ModelOutput { name: "OUT".into(), data_type, dims: vec![-1], ..Default::default() }],
            transaction_policy: Some(TransactionPolicy { decoupled }),
            ..Default::default()
        };
        let signature = Signature::from_config(&config).unwrap();
        Self { identity: ModelIdentity::new(name, version), config, signature, behaviour }
    }
}

impl ServedModel for FakeModel {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        let checked = match self.signature.check(request) {
            Ok(checked) => checked,
            Err(error) => return ResponseStream::ready(Err(error)),
        };
        match &self.behaviour {
            Behaviour::Echo => ResponseStream::ready(Ok(output(checked.input("IN").unwrap().clone()))),
            Behaviour::Grow(bytes) => {
                let tensor = Tensor::new(DataType::Uint8, [*bytes as u64].into(), vec![0; *bytes].into());
                ResponseStream::ready(Ok(output(tensor.unwrap())))
            }
            Behaviour::Fail(error) => ResponseStream::ready(Err(error.clone())),
            Behaviour::Panic => panic!("the model was told to panic"),
            Behaviour::Hold(held) => {
                let (sender, stream) = response_channel();
                held.send(Held { request: checked.into_inner(), sender }).ok();
                stream
            }
        }
    }

    fn statistics(&self) -> ModelStatistics {
        let success = DurationStatistic { count: 3, total_ns: 30 };
        ModelStatistics {
            last_inference_ms: 5,
            inference_count: 4,
            execution_count: 3,
            inference: InferStatistics { success, ..InferStatistics::default() },
            ..ModelStatistics::new(self.identity.clone())
        }
    }
}

/// A response with one tensor called `OUT`.
pub(crate) fn output(tensor: Tensor) -> InferResponse {
    InferResponse::new(vec![NamedTensor::new("OUT", tensor)])
}

/// A response with one number.
pub(crate) fn number(number: i32) -> InferResponse {
    output(Tensor::from_elements([1, 1], &[number]).unwrap())
}

// === impl FakeService ===

impl FakeService {
    /// The models, and where the held requests arrive.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Held>) {
        let (held, receiver) = mpsc::unbounded_channel();
        let models = [
            FakeModel::new("echo", 3, false, Behaviour::Echo),
            FakeModel::new("grows", 1, false, Behaviour::Grow(2000)),
            FakeModel::new("fails", 1, false, Behaviour::Fail(InferError::unavailable("the queue is full"))),
            FakeModel::new("panics", 1, false, Behaviour::Panic),
            FakeModel::new("held", 1, false, Behaviour::Hold(held.clone())),
            FakeModel::new("decoupled", 1, true, Behaviour::Hold(held)),
        ];
        let models = models.into_iter().map(|model| (model.config.name.clone(), Arc::new(model))).collect();
        (Self { models, state: Mutex::new(ServerState::Ready) }, receiver)
    }
}

impl InferenceService for FakeService {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let Some(model) = self.models.get(name) else {
            return Err(InferError::not_found(format!("Request for unknown model: '{name}' is not found")));
        };
        match version {
            Some(version) if version != model.identity.version => Err(InferError::not_found(format!(
                "Request for unknown model: '{name}' version {version} is not found"
            ))),
            _ => Ok(model.clone()),
        }
    }

    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        let wanted = self.models.values().filter(|model| name.is_none_or(|name| *model.identity.name == *name));
        wanted.map(|model| model.clone() as Arc<dyn ServedModel>).collect()
    }

    fn server_state(&self) -> ServerState {
        *self.state.lock()
    }
}

// === impl FakeControl ===

impl ModelControl for FakeControl {
    fn index(&self) -> Vec<IndexEntry> {
        let entry = |name: &str, version, state, reason: &str| IndexEntry {
            name: name.into(),
            version,
            state,
            reason: reason.into(),
        };
        vec![
            entry("echo", Some(3), Some(ModelState::Ready), ""),
            entry("gone", Some(1), Some(ModelState::Unavailable), "unloaded"),
        ]
    }

    fn load(&self, name: &str, _: LoadOverrides) -> Result<(), InferError> {
        assert_ne!(name, "panics", "the control was told to panic");
        if name == "broken" {
            return Err(InferError::invalid_argument("load failed for model 'broken'"));
        }
        self.calls.lock().push(format!("load {name}"));
        Ok(())
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        self.calls.lock().push(format!("unload {name}, dependents: {unload_dependents}"));
        Ok(())
    }
}
