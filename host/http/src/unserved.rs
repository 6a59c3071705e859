//! Endpoints of Triton that this server knows by name and does not serve yet: 501 with the name, never a made-up answer.

use axum::routing::get;
use http::{Response, StatusCode, Uri};

use crate::{FrameBody, error::error_response, routes::Handlers};

/// An endpoint that shows something and changes it.
pub(crate) fn setting() -> Handlers {
    get(refuse).post(refuse)
}

async fn refuse(uri: Uri) -> Response<FrameBody> {
    let text = format!("the endpoint '{}' is not offered by this server", uri.path());
    error_response(StatusCode::NOT_IMPLEMENTED, &text)
}
