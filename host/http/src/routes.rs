//! The one list of routes. A new resource is a file and a line here.

use std::sync::Arc;

use axum::{
    Router,
    routing::{any, get, post},
};
use http::{Response, StatusCode, Uri};

use crate::{
    FrameBody, HttpFrontend, config, error::error_response, generate, health, infer, metadata, model_path::ModelPath,
    repository, statistics, unserved,
};

/// Every route, answered by `frontend`.
pub fn router(frontend: HttpFrontend) -> Router {
    shared_router(Arc::new(frontend))
}

pub(crate) fn shared_router(frontend: Arc<HttpFrontend>) -> Router {
    let routes = Router::new()
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/v2", get(metadata::server))
        .route("/v2/models/stats", get(statistics::all))
        .route("/v2/models/{model}", get(metadata::model))
        .route("/v2/models/{model}/versions/{version}", get(metadata::model))
        .route("/v2/models/{model}/ready", get(health::model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(health::model_ready))
        .route("/v2/models/{model}/config", get(config::model))
        .route("/v2/models/{model}/versions/{version}/config", get(config::model))
        .route("/v2/models/{model}/stats", get(statistics::model))
        .route("/v2/models/{model}/versions/{version}/stats", get(statistics::model))
        .route("/v2/models/{model}/infer", post(infer::handle))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer::handle))
        .route("/v2/models/{model}/generate", post(generate::single))
        .route("/v2/models/{model}/versions/{version}/generate", post(generate::single))
        .route("/v2/models/{model}/generate_stream", post(generate::stream))
        .route("/v2/models/{model}/versions/{version}/generate_stream", post(generate::stream))
        .route("/v2/repository/index", post(repository::index))
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload))
        .route("/v2/repository/{repository}/index", post(repository::index))
        .route("/v2/repository/{repository}/models/{model}/load", post(repository::named_repository))
        .route("/v2/repository/{repository}/models/{model}/unload", post(repository::named_repository));
    let routes = unserved::PATHS.iter().fold(routes, |routes, path| routes.route(path, any(unserved::refuse)));
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(frontend)
}

async fn not_found() -> Response<FrameBody> {
    error_response(StatusCode::NOT_FOUND, "Not Found")
}

/// A path that names no model is unknown, whatever the method.
async fn method_not_allowed(uri: Uri) -> Response<FrameBody> {
    if uri.path().starts_with("/v2/models/") && ModelPath::parse(uri.path()).is_none() {
        return not_found().await;
    }
    error_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
