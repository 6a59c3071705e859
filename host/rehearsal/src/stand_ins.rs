//! The models that a plugin calls while it is tried: answers that a case gives, or models of a server that runs.
//!
//! A model that neither has is not found, and the text says how to give it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nereid_client::RemoteModels;
use nereid_inference::{
    InferError, InferRequest, InferResponse, InferenceService, ModelConfig, ModelIdentity, ModelStatistics,
    ResponseSender, ResponseStream, ServedModel, ServerState, Signature, response_channel,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::case::{Reply, StandIn};

/// Whom the plugin calls.
pub(crate) struct StandIns {
    given: Mutex<BTreeMap<String, Arc<Given>>>,
    server: Option<Arc<RemoteModels>>,
    runtime: Handle,
}

/// The answers of one model in one case.
struct Given {
    stand_in: StandIn,
    calls: AtomicUsize,
}

enum Answers {
    Given(Arc<Given>),
    Of(Arc<RemoteModels>, Option<u64>),
}

/// A model as the plugin meets it.
struct StandInModel {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
    answers: Answers,
    runtime: Handle,
}

// === impl StandIns ===

impl StandIns {
    pub(crate) fn new(server: Option<Arc<RemoteModels>>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { given: Mutex::default(), server, runtime })
    }

    /// From now on the models answer what this case says.
    pub(crate) fn play(&self, models: &BTreeMap<String, StandIn>) {
        let given = models.iter().map(|(name, stand_in)| {
            (name.clone(), Arc::new(Given { stand_in: stand_in.clone(), calls: AtomicUsize::new(0) }))
        });
        *self.given.lock() = given.collect();
    }

    fn answers(&self, name: &str, version: Option<u64>) -> Result<Answers, InferError> {
        if let Some(given) = self.given.lock().get(name) {
            return Ok(Answers::Given(given.clone()));
        }
        let server = self.server.clone().ok_or_else(|| {
            InferError::not_found(format!(
                "model '{name}' is neither among the 'models' of the case nor is there a server: give its answers in the \
                 case, or a server that has it with --server"
            ))
        });
        Ok(Answers::Of(server?, version))
    }
}

impl InferenceService for StandIns {
    fn model(&self, name: &str, version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        Ok(Arc::new(StandInModel {
            identity: ModelIdentity::new(name, version.unwrap_or(1)),
            config: ModelConfig { name: name.to_owned(), ..ModelConfig::default() },
            signature: Signature { model_name: name.into(), inputs: vec![], outputs: vec![], max_batch_size: 0 },
            answers: self.answers(name, version)?,
            runtime: self.runtime.clone(),
        }))
    }

    fn ready_models(&self, _name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        Vec::new()
    }

    fn server_state(&self) -> ServerState {
        ServerState::Ready
    }
}

// === impl Given ===

impl Given {
    fn next(&self, model: &str) -> Reply {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match &self.stand_in {
            StandIn::Always(reply) => reply.clone(),
            StandIn::InTurn(replies) => replies.get(call).cloned().unwrap_or_else(|| {
                let count = replies.len();
                Err(InferError::unavailable(format!(
                    "model '{model}' was called more often than the {count} times that the case has answers for"
                )))
            }),
        }
    }
}

// === impl StandInModel ===

impl ServedModel for StandInModel {
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
        let (sender, stream) = response_channel();
        match &self.answers {
            Answers::Given(given) => {
                let reply = given.next(&self.identity.name);
                self.runtime.spawn(give(sender, reply, request));
            }
            Answers::Of(server, version) => {
                let (server, version, model) = (server.clone(), *version, self.identity.name.clone());
                self.runtime.spawn(async move {
                    let reply = ask(&server, (&model, version), &request).await;
                    give(sender, reply, request).await;
                });
            }
        }
        stream
    }

    fn statistics(&self) -> ModelStatistics {
        ModelStatistics::new(self.identity.clone())
    }
}

async fn ask(server: &RemoteModels, model: (&str, Option<u64>), request: &InferRequest) -> Reply {
    let wanted: Vec<String> = request.requested_outputs.iter().map(ToString::to_string).collect();
    let answered = server.infer(model, &request.inputs, &wanted).await;
    let responses = answered.map_err(|error| InferError::unavailable(format!("model '{}': {error}", model.0)))?;
    Ok(responses.into_iter().map(InferResponse::new).collect())
}

/// Sends the responses, those outputs of each that were asked for.
async fn give(mut sender: ResponseSender, reply: Reply, request: InferRequest) {
    let mut responses = match reply {
        Ok(responses) => responses,
        Err(error) => return sender.respond(Err(error)),
    };
    let wanted = &request.requested_outputs;
    let last = responses.pop();
    for response in responses {
        sender.send(Ok(only(response, wanted))).await;
    }
    match last {
        Some(response) => sender.respond(Ok(only(response, wanted))),
        None => sender.finish(),
    }
}

fn only(mut response: InferResponse, wanted: &[Arc<str>]) -> InferResponse {
    response.outputs.retain(|output| wanted.is_empty() || wanted.contains(&output.name));
    response
}
