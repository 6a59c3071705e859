//! The gRPC frontend over two models that need no repository: `echo` answers with its inputs, `repeat` (decoupled)
//! answers with its inputs as often as its parameter `times` says. For trying clients: `tests/tritonclient_check.py`.
//!
//! Prints its address and serves until its standard input ends.

use std::{io::Read, sync::Arc};

use nereid_grpc::{GrpcFrontend, GrpcSettings, serve};
use nereid_inference::{
    IndexEntry, InferError, InferRequest, InferResponse, InferenceService, ModelConfig, ModelControl, ModelIdentity,
    ModelState, ModelStatistics, ParameterValue, ResponseStream, ServedModel, ServerState, Signature,
    config::{ModelInput, ModelOutput, TransactionPolicy},
    response_channel,
};
use nereid_tensor::DataType;

struct EchoModel {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
}

struct EchoService {
    models: Vec<Arc<EchoModel>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Arc::new(EchoService { models: vec![echo_model("echo", false)?, echo_model("repeat", true)?] });
    let settings = GrpcSettings::new("echo", env!("CARGO_PKG_VERSION"));
    let frontend = GrpcFrontend { service: service.clone(), control: service, settings };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let input_ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    serve(listener, frontend, async move {
        input_ended.await.ok();
    })
    .await?;
    Ok(())
}

/// A model with one input and one output of each type; the configuration says nothing that the frontend checks.
fn echo_model(name: &str, decoupled: bool) -> Result<Arc<EchoModel>, InferError> {
    let input = |data_type: DataType| ModelInput {
        name: data_type.name().into(),
        data_type: data_type.into(),
        dims: vec![-1],
        optional: true,
        ..ModelInput::default()
    };
    let output = |data_type: DataType| ModelOutput {
        name: data_type.name().into(),
        data_type: data_type.into(),
        dims: vec![-1],
        ..ModelOutput::default()
    };
    let config = ModelConfig {
        name: name.into(),
        backend: "echo".into(),
        inputs: DataType::ALL.map(input).into(),
        outputs: DataType::ALL.map(output).into(),
        transaction_policy: Some(TransactionPolicy { decoupled }),
        ..ModelConfig::default()
    };
    let signature = Signature::from_config(&config)?;
    Ok(Arc::new(EchoModel { identity: ModelIdentity::new(name, 1), config, signature }))
}

// === impl EchoModel ===

impl ServedModel for EchoModel {
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
        let request = match self.signature.check(request) {
            Ok(checked) => checked.into_inner(),
            Err(error) => return ResponseStream::ready(Err(error)),
        };
        let response = InferResponse { outputs: request.inputs, parameters: request.parameters };
        if !self.config.is_decoupled() {
            return ResponseStream::ready(Ok(response));
        }
        let (mut sender, stream) = response_channel();
        let times = match response.parameters.get("times") {
            Some(ParameterValue::Int(times)) => *times,
            _ => 1,
        };
        tokio::spawn(async move {
            for _ in 0..times {
                if !sender.send(Ok(response.clone())).await {
                    break;
                }
            }
            sender.finish();
        });
        stream
    }

    fn statistics(&self) -> ModelStatistics {
        ModelStatistics {
            identity: self.identity.clone(),
            last_inference_ms: 0,
            inference_count: 0,
            execution_count: 0,
            inference: Default::default(),
            batches: Vec::new(),
        }
    }
}

// === impl EchoService ===

impl InferenceService for EchoService {
    fn model(&self, name: &str, _: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let model = self.models.iter().find(|model| model.config.name == name);
        let unknown = || InferError::not_found(format!("Request for unknown model: '{name}' is not found"));
        Ok(model.ok_or_else(unknown)?.clone())
    }

    fn ready_models(&self, name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        let wanted = self.models.iter().filter(|model| name.is_none_or(|name| model.config.name == name));
        wanted.map(|model| model.clone() as Arc<dyn ServedModel>).collect()
    }

    fn server_state(&self) -> ServerState {
        ServerState::Ready
    }
}

impl ModelControl for EchoService {
    fn index(&self) -> Vec<IndexEntry> {
        let ready = |model: &Arc<EchoModel>| IndexEntry {
            name: model.config.name.clone(),
            version: Some(model.identity.version),
            state: Some(ModelState::Ready),
            reason: String::new(),
        };
        self.models.iter().map(ready).collect()
    }

    fn load(&self, _: &str) -> Result<(), InferError> {
        Err(InferError::unavailable("explicit model load / unload is not offered by this example"))
    }

    fn unload(&self, _: &str, _: bool) -> Result<(), InferError> {
        Err(InferError::unavailable("explicit model load / unload is not offered by this example"))
    }
}
