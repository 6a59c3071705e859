//! The one list of RPCs with their categories, which decide who may use them.
//!
//! A test compares it with the compiled descriptors: an RPC that is served stands here.

use nereid_access::Category;

/// Every RPC by its path, the frequent ones first.
pub(crate) const RPCS: &[(&str, Category)] = &[
    ("/inference.GRPCInferenceService/ModelInfer", Category::Inference),
    ("/inference.GRPCInferenceService/ModelStreamInfer", Category::Inference),
    ("/inference.GRPCInferenceService/ServerLive", Category::Health),
    ("/inference.GRPCInferenceService/ServerReady", Category::Health),
    ("/inference.GRPCInferenceService/ModelReady", Category::Health),
    ("/grpc.health.v1.Health/Check", Category::Health),
    ("/grpc.health.v1.Health/Watch", Category::Health),
    ("/inference.GRPCInferenceService/ServerMetadata", Category::Metadata),
    ("/inference.GRPCInferenceService/ModelMetadata", Category::Metadata),
    ("/inference.GRPCInferenceService/ModelConfig", Category::ModelConfig),
    ("/inference.GRPCInferenceService/ModelStatistics", Category::Statistics),
    ("/inference.GRPCInferenceService/RepositoryIndex", Category::ModelRepository),
    ("/inference.GRPCInferenceService/RepositoryModelLoad", Category::ModelRepository),
    ("/inference.GRPCInferenceService/RepositoryModelUnload", Category::ModelRepository),
    ("/inference.GRPCInferenceService/SystemSharedMemoryStatus", Category::SharedMemory),
    ("/inference.GRPCInferenceService/SystemSharedMemoryRegister", Category::SharedMemory),
    ("/inference.GRPCInferenceService/SystemSharedMemoryUnregister", Category::SharedMemory),
    ("/inference.GRPCInferenceService/CudaSharedMemoryStatus", Category::SharedMemory),
    ("/inference.GRPCInferenceService/CudaSharedMemoryRegister", Category::SharedMemory),
    ("/inference.GRPCInferenceService/CudaSharedMemoryUnregister", Category::SharedMemory),
    ("/inference.GRPCInferenceService/TraceSetting", Category::Trace),
    ("/inference.GRPCInferenceService/LogSettings", Category::Logging),
    ("/nereid.ModelGenerations/History", Category::Statistics),
    ("/nereid.ModelGenerations/RollBack", Category::ModelRepository),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Category::Metadata),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Category::Metadata),
];

/// The category of a path; `None` for one that no service has.
pub(crate) fn category(path: &str) -> Option<Category> {
    RPCS.iter().find(|(known, _)| *known == path).map(|(_, category)| *category)
}
