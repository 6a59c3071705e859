//! One face over both protocols.

use std::time::Duration;

use nereid_inference::NamedTensor;

use crate::{
    description::Description, destination::Destination, endpoint::Protocol, error::ClientError, grpc::GrpcClient,
    http::HttpClient,
};

/// A way to one server.
pub(crate) enum Connection {
    Http(HttpClient),
    Grpc(GrpcClient),
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InferCall<'a> {
    pub(crate) model: &'a str,
    pub(crate) version: Option<u64>,
    pub(crate) inputs: &'a [NamedTensor],
    /// Empty for all of them.
    pub(crate) outputs: &'a [String],
    /// The largest so many values of each output, with their labels, instead of the output.
    pub(crate) classes: Option<u32>,
}

/// One response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) outputs: Vec<NamedTensor>,
}

// === impl Connection ===

impl Connection {
    /// Over gRPC connects; over HTTP the first call does.
    pub(crate) async fn open(destination: &Destination, timeout: Duration) -> Result<Self, ClientError> {
        match destination.endpoint.protocol {
            Protocol::Http => Ok(Self::Http(HttpClient::new(destination)?)),
            Protocol::Grpc => Ok(Self::Grpc(GrpcClient::connect(destination, timeout).await?)),
        }
    }

    pub(crate) async fn describe(&self, model: &str, version: Option<u64>) -> Result<Description, ClientError> {
        match self {
            Self::Http(client) => client.describe(model, version).await,
            Self::Grpc(client) => client.describe(model, version).await,
        }
    }

    pub(crate) async fn ready_models(&self) -> Result<Vec<String>, ClientError> {
        match self {
            Self::Http(client) => client.ready_models().await,
            Self::Grpc(client) => client.ready_models().await,
        }
    }

    /// Gives every answer of the model to `each`; over HTTP, and of a model that is not decoupled, there is one.
    pub(crate) async fn infer(
        &self,
        call: &InferCall<'_>,
        description: &Description,
        each: &mut (dyn FnMut(Answer) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        match self {
            Self::Http(_) if description.is_decoupled => Err(ClientError::Arguments(format!(
                "model '{}' gives any number of responses to a request: call it with --url grpc://HOST:PORT",
                description.name
            ))),
            Self::Http(client) => each(client.infer(call).await?),
            Self::Grpc(client) if description.is_decoupled => client.stream(call, each).await,
            Self::Grpc(client) => each(client.infer(call).await?),
        }
    }
}

// === impl InferCall ===

impl InferCall<'_> {
    /// Bytes of all inputs.
    pub(crate) fn byte_size(&self) -> usize {
        self.inputs.iter().map(|input| input.tensor.byte_size()).sum()
    }
}
