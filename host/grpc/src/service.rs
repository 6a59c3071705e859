//! Every RPC of the service, each one line: what it calls. The files beside this one hold what they do.

use std::sync::Arc;

use nereid_access::OnAccount;
use nereid_inference::InferError;
use nereid_protocol::grpc::proto;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    diagnostics, error::status, frontend::Running, generated::grpc_inference_service_server::GrpcInferenceService,
    health, infer, metadata, repository, shared_memory, statistics, stream::InferStream,
};

/// The service over one running frontend.
pub(crate) struct InferenceRpcs(pub(crate) Arc<Running>);

/// What an RPC answers.
type Answer<T> = Result<Response<T>, Status>;

// === impl InferenceRpcs ===

#[tonic::async_trait]
impl GrpcInferenceService for InferenceRpcs {
    type ModelStreamInferStream = InferStream;

    async fn server_live(&self, _: Request<proto::ServerLiveRequest>) -> Answer<proto::ServerLiveResponse> {
        answer(health::server_live(&self.0))
    }

    async fn server_ready(&self, _: Request<proto::ServerReadyRequest>) -> Answer<proto::ServerReadyResponse> {
        answer(health::server_ready(&self.0))
    }

    async fn model_ready(&self, request: Request<proto::ModelReadyRequest>) -> Answer<proto::ModelReadyResponse> {
        answer(health::model_ready(&self.0, request.get_ref()))
    }

    async fn server_metadata(&self, _: Request<proto::ServerMetadataRequest>) -> Answer<proto::ServerMetadataResponse> {
        answer(Ok(metadata::server_metadata(&self.0)))
    }

    async fn model_metadata(
        &self,
        request: Request<proto::ModelMetadataRequest>,
    ) -> Answer<proto::ModelMetadataResponse> {
        answer(metadata::model_metadata(&self.0, request.get_ref()))
    }

    async fn model_config(&self, request: Request<proto::ModelConfigRequest>) -> Answer<proto::ModelConfigResponse> {
        answer(metadata::model_config(&self.0, request.get_ref()))
    }

    async fn model_statistics(
        &self,
        request: Request<proto::ModelStatisticsRequest>,
    ) -> Answer<proto::ModelStatisticsResponse> {
        answer(statistics::model_statistics(&self.0, request.get_ref()))
    }

    async fn model_infer(&self, request: Request<proto::ModelInferRequest>) -> Answer<proto::ModelInferResponse> {
        let (metadata, extensions, message) = request.into_parts();
        let tenant = OnAccount::of(&extensions);
        infer::model_infer(&self.0, (metadata.as_ref(), tenant), message).await.map_err(|error| status(&error))
    }

    async fn model_stream_infer(&self, request: Request<Streaming<proto::ModelInferRequest>>) -> Answer<InferStream> {
        Ok(Response::new(InferStream::new(self.0.clone(), request)))
    }

    async fn repository_index(
        &self,
        request: Request<proto::RepositoryIndexRequest>,
    ) -> Answer<proto::RepositoryIndexResponse> {
        answer(repository::index(&self.0, request.into_inner()).await)
    }

    async fn repository_model_load(
        &self,
        request: Request<proto::RepositoryModelLoadRequest>,
    ) -> Answer<proto::RepositoryModelLoadResponse> {
        answer(repository::load(&self.0, request.into_inner()).await)
    }

    async fn repository_model_unload(
        &self,
        request: Request<proto::RepositoryModelUnloadRequest>,
    ) -> Answer<proto::RepositoryModelUnloadResponse> {
        answer(repository::unload(&self.0, request.into_inner()).await)
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<proto::SystemSharedMemoryStatusRequest>,
    ) -> Answer<proto::SystemSharedMemoryStatusResponse> {
        answer(shared_memory::system_status(&self.0, request.get_ref()))
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<proto::SystemSharedMemoryRegisterRequest>,
    ) -> Answer<proto::SystemSharedMemoryRegisterResponse> {
        answer(shared_memory::system_register(&self.0, request.into_inner()))
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<proto::SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<proto::SystemSharedMemoryUnregisterResponse> {
        answer(shared_memory::system_unregister(&self.0, request.get_ref()))
    }

    async fn cuda_shared_memory_status(
        &self,
        request: Request<proto::CudaSharedMemoryStatusRequest>,
    ) -> Answer<proto::CudaSharedMemoryStatusResponse> {
        answer(shared_memory::cuda_status(&self.0, request.get_ref()))
    }

    async fn cuda_shared_memory_register(
        &self,
        request: Request<proto::CudaSharedMemoryRegisterRequest>,
    ) -> Answer<proto::CudaSharedMemoryRegisterResponse> {
        answer(shared_memory::cuda_register(&self.0, request.into_inner()))
    }

    async fn cuda_shared_memory_unregister(
        &self,
        request: Request<proto::CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<proto::CudaSharedMemoryUnregisterResponse> {
        answer(shared_memory::cuda_unregister(&self.0, request.get_ref()))
    }

    async fn trace_setting(&self, request: Request<proto::TraceSettingRequest>) -> Answer<proto::TraceSettingResponse> {
        answer(diagnostics::trace_setting(&self.0, request.get_ref()))
    }

    async fn log_settings(&self, request: Request<proto::LogSettingsRequest>) -> Answer<proto::LogSettingsResponse> {
        answer(diagnostics::log_settings(&self.0, request.get_ref()))
    }
}

fn answer<T>(result: Result<T, InferError>) -> Answer<T> {
    result.map(Response::new).map_err(|error| status(&error))
}
