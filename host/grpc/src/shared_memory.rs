//! Regions of shared memory: status, register, unregister. An empty name stands for all regions.

use nereid_inference::InferError;
use nereid_protocol::grpc::{
    decode_cuda_register_request, decode_register_request, encode_cuda_regions, encode_system_regions,
    proto::{
        CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
        CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
        SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
        SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest, SystemSharedMemoryUnregisterResponse,
    },
};

use crate::frontend::Running;

pub(crate) fn system_status(
    running: &Running,
    request: &SystemSharedMemoryStatusRequest,
) -> Result<SystemSharedMemoryStatusResponse, InferError> {
    Ok(encode_system_regions(running.shared_memory.status(named(&request.name))?))
}

pub(crate) fn system_register(
    running: &Running,
    request: SystemSharedMemoryRegisterRequest,
) -> Result<SystemSharedMemoryRegisterResponse, InferError> {
    running.shared_memory.register(decode_register_request(request))?;
    Ok(SystemSharedMemoryRegisterResponse {})
}

pub(crate) fn system_unregister(
    running: &Running,
    request: &SystemSharedMemoryUnregisterRequest,
) -> Result<SystemSharedMemoryUnregisterResponse, InferError> {
    running.shared_memory.unregister(named(&request.name))?;
    Ok(SystemSharedMemoryUnregisterResponse {})
}

pub(crate) fn cuda_status(
    running: &Running,
    request: &CudaSharedMemoryStatusRequest,
) -> Result<CudaSharedMemoryStatusResponse, InferError> {
    Ok(encode_cuda_regions(running.shared_memory.cuda_status(named(&request.name))?))
}

pub(crate) fn cuda_register(
    running: &Running,
    request: CudaSharedMemoryRegisterRequest,
) -> Result<CudaSharedMemoryRegisterResponse, InferError> {
    running.shared_memory.register_cuda(decode_cuda_register_request(request))?;
    Ok(CudaSharedMemoryRegisterResponse {})
}

pub(crate) fn cuda_unregister(
    running: &Running,
    request: &CudaSharedMemoryUnregisterRequest,
) -> Result<CudaSharedMemoryUnregisterResponse, InferError> {
    running.shared_memory.unregister_cuda(named(&request.name))?;
    Ok(CudaSharedMemoryUnregisterResponse {})
}

fn named(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}
