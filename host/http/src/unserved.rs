//! Endpoints of Triton that this server knows by name and does not serve yet: 501 with the name, never a made-up answer.

use http::{Response, StatusCode, Uri};

use crate::{FrameBody, error::error_response};

/// Paths in the router's notation.
pub(crate) const PATHS: &[&str] = &[
    "/v2/models/{model}/trace/setting",
    "/v2/trace/setting",
    "/v2/logging",
    "/v2/systemsharedmemory/status",
    "/v2/systemsharedmemory/unregister",
    "/v2/systemsharedmemory/region/{region}/status",
    "/v2/systemsharedmemory/region/{region}/register",
    "/v2/systemsharedmemory/region/{region}/unregister",
    "/v2/cudasharedmemory/status",
    "/v2/cudasharedmemory/unregister",
    "/v2/cudasharedmemory/region/{region}/status",
    "/v2/cudasharedmemory/region/{region}/register",
    "/v2/cudasharedmemory/region/{region}/unregister",
];

/// The answer to all of them.
pub(crate) async fn refuse(uri: Uri) -> Response<FrameBody> {
    let text = format!("the endpoint '{}' is not offered by this server", uri.path());
    error_response(StatusCode::NOT_IMPLEMENTED, &text)
}
