//! Serving: a listener, the services, and a clean end.

use std::{io, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, transport::Server};
use tonic_health::pb::health_server::HealthServer;
use tower::layer::layer_fn;

use crate::{
    frontend::{GrpcFrontend, Running},
    generated::grpc_inference_service_server::GrpcInferenceServiceServer,
    health::StandardHealth,
    incoming::incoming,
    panic::CatchPanic,
    service::InferenceRpcs,
    settings::GrpcSettings,
};

/// Serves until `shutdown` is ready and everything that was under way then has ended.
///
/// From then on connections take no new requests and streams no new messages; what was taken is answered. A request
/// that never ends keeps the server up: the caller limits how long it waits.
///
/// # Errors
/// The settings are outside of what HTTP/2 allows.
pub async fn serve(
    listener: TcpListener,
    frontend: GrpcFrontend,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let settings = frontend.settings.clone();
    let stopping = CancellationToken::new();
    let running = Arc::new(Running::new(frontend, stopping.clone()));
    let inference = GrpcInferenceServiceServer::new(InferenceRpcs(running.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(settings.message_bytes_max)
        .max_encoding_message_size(settings.message_bytes_max);
    let signal = async move {
        shutdown.await;
        stopping.cancel();
    };
    transport(&settings)
        .layer(layer_fn(CatchPanic))
        .add_service(HealthServer::new(StandardHealth(running)))
        .add_service(inference)
        .serve_with_incoming_shutdown(incoming(listener, settings.tcp_keepalive), signal)
        .await
        .map_err(io::Error::other)
}

fn transport(settings: &GrpcSettings) -> Server {
    Server::builder()
        .max_concurrent_streams(settings.connection_streams_max)
        .initial_stream_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes)
        .max_frame_size(settings.frame_bytes_max)
        .http2_max_header_list_size(settings.header_bytes_max)
        .http2_keepalive_interval(Some(settings.keepalive_interval))
        .http2_keepalive_timeout(Some(settings.keepalive_timeout))
}
