//! Serving: a listener, the services, and a clean end.

use std::{io, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::pb::health_server::HealthServer;

use crate::{
    access::Guard,
    connections::Connections,
    deadline::Deadline,
    frontend::{GrpcFrontend, Running},
    generated::grpc_inference_service_server::GrpcInferenceServiceServer,
    generated_generations::model_generations_server::ModelGenerationsServer,
    generations::GenerationRpcs,
    health::StandardHealth,
    incoming::incoming,
    panic::CatchPanic,
    reflection::add_reflection,
    service::InferenceRpcs,
    trace::TraceSending,
};

/// Serves until `shutdown` is ready and everything that was under way then has ended.
///
/// From then on connections take no new requests and streams no new messages; what was taken is answered. A request
/// that never ends keeps the server up: the caller limits how long it waits.
///
/// # Errors
/// The reflection service was asked for and cannot be built.
pub async fn serve(
    listener: TcpListener,
    frontend: GrpcFrontend,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let settings = frontend.settings.clone();
    let stopping = CancellationToken::new();
    let running = Arc::new(Running::new(frontend, stopping.clone()));
    let service = CatchPanic(Guard::new(Deadline(TraceSending(routes(running)?)), settings.policy.clone()));
    let connections = Connections::new(&settings, stopping.clone());
    let serving =
        connections.serve(incoming(listener, settings.tls.clone(), settings.connections.tcp_keepalive), service);
    let signal = async {
        shutdown.await;
        stopping.cancel();
    };
    tokio::join!(serving, signal);
    Ok(())
}

/// The one list of services.
fn routes(running: Arc<Running>) -> io::Result<Routes> {
    let settings = &running.settings;
    let has_reflection = settings.reflection;
    let mut inference = GrpcInferenceServiceServer::new(InferenceRpcs(running.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Deflate)
        .max_decoding_message_size(settings.limits.message_bytes_max)
        .max_encoding_message_size(settings.limits.message_bytes_max);
    if settings.compress_responses {
        inference = inference.send_compressed(CompressionEncoding::Gzip);
    }
    let generations = ModelGenerationsServer::new(GenerationRpcs(running.clone()));
    let health = HealthServer::new(StandardHealth(running));
    let routes = Routes::new(health).add_service(inference).add_service(generations);
    let routes = if has_reflection { add_reflection(routes)? } else { routes };
    Ok(routes.prepare())
}
