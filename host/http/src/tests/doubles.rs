//! Models that echo, hold, or panic, and a repository that remembers what it was told.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use nereid_inference::{
    GenerationRecord, GenerationState, IndexEntry, InferError, InferRequest, InferResponse, InferenceService,
    LoadOverrides, LoadStep, ModelConfig, ModelControl, ModelHistory, ModelIdentity, ModelState, ModelStatistics,
    ResponseSender, ResponseStream, ServedModel, ServerState, Signature, TensorSpec, config::TransactionPolicy,
    response_channel,
};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use nereid_telemetry::ServerDiagnostics;
use nereid_tensor::DataType;
use tokio::sync::mpsc;
use tower_service::Service;

use crate::{HttpFrontend, HttpLimits, HttpSettings, router};

/// What a model does with a request.
pub(super) enum Behaviour {
    Echo,
    Panic,
    /// Hands the sender to the test, which answers or watches.
    Hold(mpsc::UnboundedSender<ResponseSender>),
    Fail(InferError),
    /// Sends these and ends the stream.
    Script(Vec<Result<InferResponse, InferError>>),
}

pub(super) struct Double {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
    behaviour: Behaviour,
}

pub(super) struct Doubles {
    models: Vec<Arc<Double>>,
    state: ServerState,
}

/// Every call, in the words of the trait.
pub(super) struct ControlDouble(mpsc::UnboundedSender<String>);

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Model `name`, version 1, with one FP32 tensor `X` in and out.
pub(super) fn double(name: &str, behaviour: Behaviour) -> Double {
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    Double {
        identity: ModelIdentity::new(name, 1),
        config: ModelConfig { name: name.into(), backend: "double".into(), ..ModelConfig::default() },
        signature: Signature {
            model_name: name.into(),
            inputs: vec![spec.clone()],
            outputs: vec![spec],
            max_batch_size: 0,
        },
        behaviour,
    }
}

pub(super) fn frontend(models: Vec<Double>) -> HttpFrontend {
    frontend_in(models, ServerState::Ready).0
}

pub(super) fn frontend_in(models: Vec<Double>, state: ServerState) -> (HttpFrontend, mpsc::UnboundedReceiver<String>) {
    let (calls, seen) = mpsc::unbounded_channel();
    let limits = HttpLimits { input_bytes_max: 4096, ..HttpLimits::default() };
    let frontend = HttpFrontend {
        service: Arc::new(Doubles { models: models.into_iter().map(Arc::new).collect(), state }),
        control: Arc::new(ControlDouble(calls)),
        diagnostics: ServerDiagnostics::detached(),
        shared_memory: SharedMemory::new(SharedMemorySettings::new(true)),
        settings: HttpSettings { limits, ..HttpSettings::new("triton", "9.9") },
    };
    (frontend, seen)
}

pub(super) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// A request without a socket.
pub(super) async fn ask(frontend: HttpFrontend, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&router(frontend), request.body(Body::from(body.to_vec())).unwrap()).await
}

// === impl Double ===

impl Double {
    pub(super) fn decoupled(mut self) -> Self {
        self.config.transaction_policy = Some(TransactionPolicy { decoupled: true });
        self
    }
}

impl ServedModel for Double {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// One that fails everything says so.
    fn readiness(&self) -> Result<(), InferError> {
        match &self.behaviour {
            Behaviour::Fail(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        match &self.behaviour {
            Behaviour::Echo => ResponseStream::ready(
                self.signature.check(request).map(|request| InferResponse::new(request.into_inner().inputs)),
            ),
            Behaviour::Panic => panic!("told to panic"),
            Behaviour::Hold(senders) => {
                let (sender, stream) = response_channel();
                senders.send(sender).unwrap();
                stream
            }
            Behaviour::Fail(error) => ResponseStream::ready(Err(error.clone())),
            Behaviour::Script(script) => {
                let (mut sender, stream) = response_channel();
                let script = script.clone();
                tokio::spawn(async move {
                    for response in script {
                        sender.send(response).await;
                    }
                    sender.finish();
                });
                stream
            }
        }
    }

    fn statistics(&self) -> ModelStatistics {
        ModelStatistics::new(self.identity.clone())
    }
}

// === impl Doubles ===

impl InferenceService for Doubles {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.models.iter().find(|model| &*model.identity.name == name);
        let unknown = || InferError::not_found(format!("Request for unknown model: '{name}' is not found"));
        let model = model.ok_or_else(unknown)?;
        match version {
            None | Some(1) => Ok(model.clone()),
            Some(version) => {
                let text = format!("Request for unknown model: '{name}' version {version} is not found");
                Err(InferError::not_found(text))
            }
        }
    }

    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        let wanted = |model: &&Arc<Double>| name.is_none_or(|name| &*model.identity.name == name);
        self.models.iter().filter(wanted).map(|model| model.clone() as Arc<dyn ServedModel>).collect()
    }

    fn server_state(&self) -> ServerState {
        self.state
    }
}

// === impl ControlDouble ===

impl ModelControl for ControlDouble {
    fn index(&self) -> Vec<IndexEntry> {
        let entry = |version, state, reason: &str| IndexEntry {
            name: "m".into(),
            version: Some(version),
            state: Some(state),
            reason: reason.into(),
        };
        vec![entry(1, ModelState::Ready, ""), entry(2, ModelState::Unavailable, "unloaded")]
    }

    fn load(&self, name: &str, overrides: LoadOverrides) -> Result<(), InferError> {
        let files = overrides.files.iter().map(|(path, content)| format!(" {path}={}", content.len()));
        let config = overrides.config.unwrap_or_default();
        self.0.send(format!("load {name}{config}{}", files.collect::<String>())).unwrap();
        match name {
            "broken" => Err(InferError::internal("failed to load 'broken', failed to poll from model repository")),
            _ => Ok(()),
        }
    }

    fn unload(&self, name: &str, unload_dependents: bool) -> Result<(), InferError> {
        self.0.send(format!("unload {name} {unload_dependents}")).unwrap();
        Ok(())
    }

    fn history(&self, name: &str) -> Result<Vec<ModelHistory>, InferError> {
        let record = GenerationRecord {
            number: 3,
            at: UNIX_EPOCH + Duration::from_secs(5),
            requested_by: "http".to_owned(),
            is_override: true,
            versions: vec![(1, Some("ab12".to_owned())), (2, None)],
            state: GenerationState::RolledBack { reason: "it was bad".to_owned() },
            times: [(LoadStep::Compile, Duration::from_millis(2))].into(),
        };
        Ok(vec![ModelHistory { model: name.to_owned(), generations: vec![record] }])
    }

    fn roll_back(&self, name: &str, requested_by: &str) -> Result<(), InferError> {
        self.0.send(format!("roll back {name} for {requested_by}")).unwrap();
        Ok(())
    }
}
