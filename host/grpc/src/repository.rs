//! The repository: what is in it, loading and unloading.
//!
//! Loading takes seconds and blocks, so every call runs on the runtime's threads for blocking work.

use std::sync::Arc;

use nereid_inference::{InferError, LoadOverrides, ModelControl};
use nereid_protocol::grpc::{
    decode_load_request, encode_index,
    proto::{
        RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
        RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    },
    unload_dependents,
};

use crate::{frontend::Running, panic::panicked};

/// Who asks, in histories.
pub(crate) const REQUESTED_BY: &str = "grpc";

pub(crate) async fn index(
    running: &Running,
    request: RepositoryIndexRequest,
) -> Result<RepositoryIndexResponse, InferError> {
    blocking(running, move |control| encode_index(&request, &control.index())).await
}

pub(crate) async fn load(
    running: &Running,
    request: RepositoryModelLoadRequest,
) -> Result<RepositoryModelLoadResponse, InferError> {
    let (model_name, overrides) = decode_load_request(request)?;
    let overrides = LoadOverrides { requested_by: REQUESTED_BY.to_owned(), ..overrides };
    blocking(running, move |control| control.load(&model_name, overrides)).await?;
    Ok(RepositoryModelLoadResponse {})
}

pub(crate) async fn unload(
    running: &Running,
    request: RepositoryModelUnloadRequest,
) -> Result<RepositoryModelUnloadResponse, InferError> {
    let dependents = unload_dependents(&request)?;
    blocking(running, move |control| control.unload(&request.model_name, dependents)).await?;
    Ok(RepositoryModelUnloadResponse {})
}

/// Calls the repository where blocking is allowed.
pub(crate) async fn blocking<T, F>(running: &Running, work: F) -> Result<T, InferError>
where
    T: Send + 'static,
    F: FnOnce(&dyn ModelControl) -> Result<T, InferError> + Send + 'static,
{
    let control = Arc::clone(&running.control);
    match tokio::task::spawn_blocking(move || work(&*control)).await {
        Ok(result) => result,
        Err(failed) if failed.is_panic() => Err(panicked(&*failed.into_panic())),
        Err(_) => Err(InferError::unavailable("Server exiting")),
    }
}
