//! A running frontend and a client that is connected to it.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use nereid_grpc::{
    GrpcFrontend, GrpcSettings, generated::grpc_inference_service_client::GrpcInferenceServiceClient, serve,
};
use nereid_protocol::grpc::proto::{
    InferParameter, ModelInferRequest, ModelStreamInferResponse, infer_parameter::ParameterChoice,
    model_infer_request::InferInputTensor,
};
use nereid_shared_memory::{SharedMemory, SharedMemorySettings};
use nereid_telemetry::ServerDiagnostics;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::fake::{FakeControl, FakeService, Held};

/// How long a test waits for what must happen; only a failure takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) client: GrpcInferenceServiceClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) service: Arc<FakeService>,
    pub(crate) control: Arc<FakeControl>,
    held: mpsc::UnboundedReceiver<Held>,
    shutdown: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

/// A stream as its client sees it.
pub(crate) struct ClientStream {
    pub(crate) requests: mpsc::UnboundedSender<ModelInferRequest>,
    pub(crate) responses: Streaming<ModelStreamInferResponse>,
}

/// What happened, unless it takes too long.
pub(crate) async fn within<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.expect("this should have happened long ago")
}

/// A request with one number for `model`.
pub(crate) fn request(model: &str, id: &str) -> ModelInferRequest {
    let input =
        InferInputTensor { name: "IN".into(), datatype: "INT32".into(), shape: vec![1, 1], ..Default::default() };
    ModelInferRequest {
        model_name: model.into(),
        id: id.into(),
        inputs: vec![input],
        raw_input_contents: vec![Bytes::from_static(&[7, 0, 0, 0])],
        ..Default::default()
    }
}

/// A request that asks to be told the end of its responses.
pub(crate) fn request_with_empty_final(model: &str, id: &str) -> ModelInferRequest {
    let mut request = request(model, id);
    let wanted = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    request.parameters.insert("triton_enable_empty_final_response".into(), wanted);
    request
}

#[track_caller]
pub(crate) fn assert_status<T>(result: Result<T, Status>, code: Code, text: &str) {
    let status = result.err().expect("this should have been refused");
    assert_eq!((status.code(), status.message()), (code, text));
}

// === impl Fixture ===

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut GrpcSettings)) -> Self {
        let mut settings = GrpcSettings::new("nereid", "1.2.3");
        adjust(&mut settings);
        let (service, held) = FakeService::new();
        let (service, control) = (Arc::new(service), Arc::new(FakeControl::default()));
        let shared_memory = SharedMemory::new(SharedMemorySettings::new(true));
        let frontend = GrpcFrontend {
            service: service.clone(),
            control: control.clone(),
            diagnostics: ServerDiagnostics::detached(),
            shared_memory,
            settings,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, frontend, async move {
            stopped.await.ok();
        }));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let client = GrpcInferenceServiceClient::new(channel.clone());
        Self { address, client, channel, service, control, held, shutdown, server }
    }

    /// The next request that a model holds.
    pub(crate) async fn held(&mut self) -> Held {
        within(self.held.recv()).await.unwrap()
    }

    /// Opens a stream.
    pub(crate) async fn stream(&mut self) -> ClientStream {
        self.stream_with_metadata(&[]).await
    }

    pub(crate) async fn stream_with_metadata(&mut self, metadata: &[(&'static str, &'static str)]) -> ClientStream {
        let (requests, messages) = mpsc::unbounded_channel();
        let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(messages);
        let mut request = Request::new(messages);
        for (key, value) in metadata {
            request.metadata_mut().insert(*key, value.parse().unwrap());
        }
        let responses = within(self.client.model_stream_infer(request)).await.unwrap().into_inner();
        ClientStream { requests, responses }
    }

    /// Closes the client's connection; the server goes on until the test ends.
    pub(crate) fn disconnect(self) -> JoinHandle<io::Result<()>> {
        std::mem::forget(self.shutdown);
        self.server
    }

    /// Asks the server to stop.
    pub(crate) fn stop(self) -> JoinHandle<io::Result<()>> {
        self.shutdown.send(()).unwrap();
        self.server
    }
}

// === impl Held ===

impl Held {
    /// Returns when nobody listens to the responses any more.
    pub(crate) async fn cancelled(mut self) {
        within(async {
            while self.sender.send(Ok(crate::fake::number(0))).await {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

// === impl ClientStream ===

impl ClientStream {
    pub(crate) fn send(&self, request: ModelInferRequest) {
        self.requests.send(request).unwrap();
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<ModelStreamInferResponse>, Status> {
        within(self.responses.message()).await
    }

    /// The next message, in short: id, number if there is one, whether it is final, error if it is one.
    pub(crate) async fn answer(&mut self) -> String {
        let message = self.next().await.unwrap().expect("the stream ended");
        let response = message.infer_response.unwrap();
        let number = response
            .raw_output_contents
            .first()
            .map_or("-".to_owned(), |bytes| i32::from_le_bytes(bytes.as_ref().try_into().unwrap()).to_string());
        let last = match &response.parameters["triton_final_response"].parameter_choice {
            Some(ParameterChoice::BoolParam(true)) => " final",
            _ => "",
        };
        format!("{} {number}{last} {}", response.id, message.error_message).trim_end().to_owned()
    }
}
