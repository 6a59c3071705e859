//! `/v2/systemsharedmemory/…` and `/v2/cudasharedmemory/…`: register, look at and unregister regions.
//!
//! Checks run in Triton's order: whether shared memory is allowed, the region's name, the body. Status needs no
//! permission: it shows what is registered, which without one is nothing.

use std::{pin::pin, sync::Arc};

use axum::{
    body::Body as AxumBody,
    extract::{Path, State},
};
use bytes::Bytes;
use http::{Request, Response};
use nereid_inference::InferError;
use nereid_protocol::http::{
    decode_cuda_register_request, decode_register_request, encode_cuda_regions, encode_system_regions,
};
use nereid_shared_memory::SharedMemoryError;

use crate::{
    FrameBody, HttpFrontend,
    body::{BodyLimits, gather},
    error::{Refusal, json_response},
};

type Answer = Result<Response<FrameBody>, Refusal>;

/// The region of the path; paths that speak of all regions have none.
type Region = Option<Path<String>>;

/// `GET …/status`, with or without a region.
pub(crate) async fn system_status(State(frontend): State<Arc<HttpFrontend>>, region: Region) -> Answer {
    Ok(json_response(encode_system_regions(&frontend.shared_memory.status(name(&region))?)))
}

/// `POST …/register`; a region must be named.
pub(crate) async fn system_register(
    State(frontend): State<Arc<HttpFrontend>>,
    region: Region,
    request: Request<AxumBody>,
) -> Answer {
    let body = read(&frontend, request).await?;
    frontend.shared_memory.check_allowed()?;
    let Path(name) = region.ok_or(SharedMemoryError::NoName { memory: "system" })?;
    frontend.shared_memory.register(decode_register_request(name, &body)?)?;
    Ok(json_response(Vec::new()))
}

/// `POST …/unregister`: one region, or all.
pub(crate) async fn system_unregister(
    State(frontend): State<Arc<HttpFrontend>>,
    region: Region,
    request: Request<AxumBody>,
) -> Answer {
    read(&frontend, request).await?;
    frontend.shared_memory.unregister(name(&region))?;
    Ok(json_response(Vec::new()))
}

/// `GET …/status`, with or without a region.
pub(crate) async fn cuda_status(State(frontend): State<Arc<HttpFrontend>>, region: Region) -> Answer {
    Ok(json_response(encode_cuda_regions(&frontend.shared_memory.cuda_status(name(&region))?)))
}

/// `POST …/register`; a region must be named. Without a device it is refused, whatever the body says.
pub(crate) async fn cuda_register(
    State(frontend): State<Arc<HttpFrontend>>,
    region: Region,
    request: Request<AxumBody>,
) -> Answer {
    let body = read(&frontend, request).await?;
    let name = name(&region).unwrap_or_default();
    frontend.shared_memory.check_cuda(name)?;
    frontend.shared_memory.register_cuda(decode_cuda_register_request(name.to_owned(), &body)?)?;
    Ok(json_response(Vec::new()))
}

/// `POST …/unregister`: one region, or all.
pub(crate) async fn cuda_unregister(
    State(frontend): State<Arc<HttpFrontend>>,
    region: Region,
    request: Request<AxumBody>,
) -> Answer {
    read(&frontend, request).await?;
    frontend.shared_memory.unregister_cuda(name(&region))?;
    Ok(json_response(Vec::new()))
}

fn name(region: &Region) -> Option<&str> {
    region.as_ref().map(|Path(name)| name.as_str())
}

async fn read(frontend: &HttpFrontend, request: Request<AxumBody>) -> Result<Bytes, Refusal> {
    gather(pin!(request.into_body()), BodyLimits::new(&frontend.settings), 0).await
}

impl From<SharedMemoryError> for Refusal {
    fn from(error: SharedMemoryError) -> Self {
        InferError::from(error).into()
    }
}
