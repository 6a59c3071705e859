//! The protocol over gRPC, streams of decoupled models included.

mod repository;

use std::{str::FromStr as _, time::Duration};

use nereid_grpc::{
    generated::grpc_inference_service_client::GrpcInferenceServiceClient,
    generated_generations::model_generations_client::ModelGenerationsClient,
};
use nereid_inference::NamedTensor;
use nereid_protocol::grpc::proto::{
    InferParameter, ModelConfigRequest, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    RepositoryIndexRequest,
    infer_parameter::ParameterChoice,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    model_metadata_response::TensorMetadata,
};
use nereid_tensor::{Shape, Tensor};
use tonic::{
    Status,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::{Channel, Endpoint as ChannelEndpoint},
};

use crate::{
    arguments::HeaderArgument,
    connection::{Answer, InferCall},
    connector::Connector,
    description::{Description, Layout, TensorDescription},
    destination::Destination,
    endpoint::Endpoint,
    error::ClientError,
    http::root_cause,
};

/// Largest message: what the server sends at most.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// A client of one server.
pub(crate) struct GrpcClient {
    endpoint: Endpoint,
    headers: Vec<HeaderArgument>,
    client: GrpcInferenceServiceClient<Channel>,
    generations: ModelGenerationsClient<Channel>,
}

// === impl GrpcClient ===

impl GrpcClient {
    /// Connects, or says why not.
    pub(crate) async fn connect(destination: &Destination, timeout: Duration) -> Result<Self, ClientError> {
        let Destination { endpoint, headers, .. } = destination.clone();
        let unreachable = |error: tonic::transport::Error| ClientError::Unreachable {
            endpoint: endpoint.clone(),
            reason: root_cause(&error),
        };
        let connector = Connector(destination.encryption("h2")?);
        let scheme = if endpoint.is_encrypted { "https" } else { "http" };
        let channel =
            ChannelEndpoint::from_shared(format!("{scheme}://{}", endpoint.authority)).map_err(unreachable)?;
        let channel = channel.connect_timeout(timeout).connect_with_connector(connector).await.map_err(unreachable)?;
        let client = GrpcInferenceServiceClient::new(channel.clone());
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { endpoint, headers, client, generations: ModelGenerationsClient::new(channel) })
    }

    pub(crate) async fn describe(&self, model: &str, version: Option<u64>) -> Result<Description, ClientError> {
        let mut client = self.client.clone();
        let (name, version) = (model.to_owned(), version_text(version));
        let request = ModelMetadataRequest { name: name.clone(), version: version.clone() };
        let metadata = client.model_metadata(self.request(request)?).await.map_err(refused)?.into_inner();
        let request = self.request(ModelConfigRequest { name, version })?;
        let config = client.model_config(request).await.map_err(refused)?.into_inner().config.unwrap_or_default();

        let tensor = |tensor: TensorMetadata| -> Result<TensorDescription, ClientError> {
            let input = config.input.iter().find(|input| input.name == tensor.name);
            let data_type = tensor.datatype.parse();
            Ok(TensorDescription {
                data_type: data_type.map_err(|error| self.bad_answer(format!("tensor '{}': {error}", tensor.name)))?,
                name: tensor.name,
                dims: tensor.shape,
                layout: input.and_then(|input| Layout::from_format(input.format().as_str_name())),
                is_optional: input.is_some_and(|input| input.optional),
            })
        };
        Ok(Description {
            name: metadata.name,
            inputs: metadata.inputs.into_iter().map(tensor).collect::<Result<_, _>>()?,
            outputs: metadata.outputs.into_iter().map(tensor).collect::<Result<_, _>>()?,
            has_batching: config.max_batch_size > 0,
            is_decoupled: config.model_transaction_policy.as_ref().is_some_and(|policy| policy.decoupled),
        })
    }

    /// Names of the models that are ready.
    pub(crate) async fn ready_models(&self) -> Result<Vec<String>, ClientError> {
        let request = self.request(RepositoryIndexRequest { ready: true, ..Default::default() })?;
        let index = self.client.clone().repository_index(request).await.map_err(refused)?;
        Ok(index.into_inner().models.into_iter().map(|model| model.name).collect())
    }

    pub(crate) async fn infer(&self, call: &InferCall<'_>) -> Result<Answer, ClientError> {
        let request = self.request(encode(call))?;
        let response = self.client.clone().model_infer(request).await.map_err(refused)?;
        self.decode(response.into_inner())
    }

    /// Sends one request on a stream and gives each answer to `each` as it comes.
    pub(crate) async fn stream(
        &self,
        call: &InferCall<'_>,
        each: &mut (dyn FnMut(Answer) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        let request = self.request(futures_util::stream::iter([encode(call)]))?;
        let mut answers = self.client.clone().model_stream_infer(request).await.map_err(refused)?.into_inner();
        while let Some(answer) = answers.message().await.map_err(refused)? {
            if !answer.error_message.is_empty() {
                return Err(ClientError::Refused { status: "an error".to_owned(), message: answer.error_message });
            }
            if let Some(response) = answer.infer_response.filter(|response| !response.outputs.is_empty()) {
                each(self.decode(response)?)?;
            }
        }
        Ok(())
    }

    /// A message with the headers of every request.
    fn request<T>(&self, message: T) -> Result<tonic::Request<T>, ClientError> {
        let mut request = tonic::Request::new(message);
        for HeaderArgument { name, value } in &self.headers {
            let unsendable = || ClientError::Arguments(format!("--header {name}: cannot be sent over gRPC"));
            let key = AsciiMetadataKey::from_str(name).map_err(|_| unsendable())?;
            request.metadata_mut().insert(key, AsciiMetadataValue::from_str(value).map_err(|_| unsendable())?);
        }
        Ok(request)
    }

    fn decode(&self, response: ModelInferResponse) -> Result<Answer, ClientError> {
        if response.outputs.len() != response.raw_output_contents.len() {
            let (outputs, contents) = (response.outputs.len(), response.raw_output_contents.len());
            return Err(self.bad_answer(format!("{outputs} outputs have {contents} raw contents")));
        }
        let outputs = response.outputs.into_iter().zip(response.raw_output_contents).map(|(output, contents)| {
            let problem = |text: String| self.bad_answer(format!("output '{}': {text}", output.name));
            let data_type =
                output.datatype.parse().map_err(|error: nereid_tensor::UnknownDataType| problem(error.to_string()))?;
            let shape = Shape::from_signed(&output.shape).map_err(|error| problem(error.to_string()))?;
            let tensor = Tensor::new(data_type, shape, contents.into()).map_err(|error| problem(error.to_string()))?;
            Ok(NamedTensor::new(output.name.as_str(), tensor))
        });
        let outputs = outputs.collect::<Result<_, ClientError>>()?;
        Ok(Answer { model: response.model_name, version: response.model_version, outputs })
    }

    fn bad_answer(&self, problem: String) -> ClientError {
        ClientError::BadAnswer { endpoint: self.endpoint.clone(), problem }
    }
}

fn encode(call: &InferCall<'_>) -> ModelInferRequest {
    let inputs = call.inputs.iter().map(|input| InferInputTensor {
        name: input.name.to_string(),
        datatype: input.tensor.data_type().name().to_owned(),
        shape: input.tensor.shape().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect(),
        ..Default::default()
    });
    let classes = call.classes.map(|classes| {
        let parameter_choice = Some(ParameterChoice::Int64Param(classes.into()));
        ("classification".to_owned(), InferParameter { parameter_choice })
    });
    let outputs = call.outputs.iter().map(|name| InferRequestedOutputTensor {
        name: name.clone(),
        parameters: classes.clone().into_iter().collect(),
    });
    ModelInferRequest {
        model_name: call.model.to_owned(),
        model_version: version_text(call.version),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        raw_input_contents: call.inputs.iter().map(|input| input.tensor.buffer().clone().into_bytes()).collect(),
        ..Default::default()
    }
}

fn version_text(version: Option<u64>) -> String {
    version.map(|version| version.to_string()).unwrap_or_default()
}

/// A connection that ends is a status too; what ended it lies below.
fn refused(status: Status) -> ClientError {
    let cause = std::error::Error::source(&status).map(root_cause);
    let message = match cause {
        Some(cause) if cause != status.message() => format!("{}: {cause}", status.message()),
        _ => status.message().to_owned(),
    };
    ClientError::Refused { status: format!("{:?}", status.code()), message }
}
