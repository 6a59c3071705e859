//! The one list of routes. A new resource is a file and a line here; its category decides who may use it.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, any, get, post},
};
use http::{Response, StatusCode, Uri};
use nereid_access::Category;

use crate::{
    FrameBody, HttpFrontend, access, config, decisions, diagnostics, error::error_response, generate, generations,
    health, infer, metadata, model_path::ModelPath, repository, shared_memory, statistics,
};

/// Handlers by method, before they know their frontend.
pub(crate) type Handlers = MethodRouter<Arc<HttpFrontend>>;

/// One path and what is behind it.
pub(crate) struct Route {
    /// In the router's notation.
    pub(crate) path: &'static str,
    pub(crate) category: Category,
    handlers: fn() -> Handlers,
}

/// Every route, in the order of the reference. The router is built from this list and nothing else.
pub(crate) const ROUTES: &[Route] = &[
    route("/v2/health/live", Category::Health, || get(health::live)),
    route("/v2/health/ready", Category::Health, || get(health::ready)),
    route("/v2", Category::Metadata, || get(metadata::server)),
    route("/v2/models/stats", Category::Statistics, || get(statistics::all)),
    route("/v2/models/{model}", Category::Metadata, || get(metadata::model)),
    route("/v2/models/{model}/versions/{version}", Category::Metadata, || get(metadata::model)),
    route("/v2/models/{model}/ready", Category::Health, || get(health::model_ready)),
    route("/v2/models/{model}/versions/{version}/ready", Category::Health, || get(health::model_ready)),
    route("/v2/models/{model}/config", Category::ModelConfig, || get(config::model)),
    route("/v2/models/{model}/versions/{version}/config", Category::ModelConfig, || get(config::model)),
    route("/v2/models/{model}/stats", Category::Statistics, || get(statistics::model)),
    route("/v2/models/{model}/versions/{version}/stats", Category::Statistics, || get(statistics::model)),
    route("/v2/models/{model}/infer", Category::Inference, || post(infer::handle)),
    route("/v2/models/{model}/versions/{version}/infer", Category::Inference, || post(infer::handle)),
    route("/v2/models/{model}/generate", Category::Inference, || post(generate::single)),
    route("/v2/models/{model}/versions/{version}/generate", Category::Inference, || post(generate::single)),
    route("/v2/models/{model}/generate_stream", Category::Inference, || post(generate::stream)),
    route("/v2/models/{model}/versions/{version}/generate_stream", Category::Inference, || post(generate::stream)),
    route("/v2/models/{model}/trace/setting", Category::Trace, || {
        get(diagnostics::model_trace_settings).post(diagnostics::change_model_trace_settings)
    }),
    route("/v2/trace/setting", Category::Trace, || {
        get(diagnostics::trace_settings).post(diagnostics::change_trace_settings)
    }),
    route("/v2/logging", Category::Logging, || get(diagnostics::log_settings).post(diagnostics::change_log_settings)),
    route("/v2/debug/models/{model}/decisions", Category::Statistics, || get(decisions::model)),
    route("/v2/debug/models/{model}/versions/{version}/decisions", Category::Statistics, || get(decisions::model)),
    route("/v2/debug/models/{model}/generations", Category::Statistics, || get(generations::history)),
    route("/v2/repository/index", Category::ModelRepository, || post(repository::index)),
    route("/v2/repository/models/{model}/load", Category::ModelRepository, || post(repository::load)),
    route("/v2/repository/models/{model}/unload", Category::ModelRepository, || post(repository::unload)),
    route("/v2/repository/models/{model}/rollback", Category::ModelRepository, || post(generations::roll_back)),
    route("/v2/repository/{repository}/index", Category::ModelRepository, || post(repository::index)),
    route("/v2/repository/{repository}/models/{model}/load", Category::ModelRepository, || {
        post(repository::named_repository)
    }),
    route("/v2/repository/{repository}/models/{model}/unload", Category::ModelRepository, || {
        post(repository::named_repository)
    }),
    route("/v2/systemsharedmemory/status", Category::SharedMemory, || get(shared_memory::system_status)),
    route("/v2/systemsharedmemory/register", Category::SharedMemory, || post(shared_memory::system_register)),
    route("/v2/systemsharedmemory/unregister", Category::SharedMemory, || post(shared_memory::system_unregister)),
    route("/v2/systemsharedmemory/region/{region}/status", Category::SharedMemory, || {
        get(shared_memory::system_status)
    }),
    route("/v2/systemsharedmemory/region/{region}/register", Category::SharedMemory, || {
        post(shared_memory::system_register)
    }),
    route("/v2/systemsharedmemory/region/{region}/unregister", Category::SharedMemory, || {
        post(shared_memory::system_unregister)
    }),
    route("/v2/cudasharedmemory/status", Category::SharedMemory, || get(shared_memory::cuda_status)),
    route("/v2/cudasharedmemory/register", Category::SharedMemory, || post(shared_memory::cuda_register)),
    route("/v2/cudasharedmemory/unregister", Category::SharedMemory, || post(shared_memory::cuda_unregister)),
    route("/v2/cudasharedmemory/region/{region}/status", Category::SharedMemory, || get(shared_memory::cuda_status)),
    route("/v2/cudasharedmemory/region/{region}/register", Category::SharedMemory, || {
        post(shared_memory::cuda_register)
    }),
    route("/v2/cudasharedmemory/region/{region}/unregister", Category::SharedMemory, || {
        post(shared_memory::cuda_unregister)
    }),
];

const fn route(path: &'static str, category: Category, handlers: fn() -> Handlers) -> Route {
    Route { path, category, handlers }
}

/// Every route, answered by `frontend`.
pub fn router(frontend: HttpFrontend) -> Router {
    shared_router(Arc::new(frontend))
}

/// The access check lies around each route's methods and around what answers the others, so that it comes before the
/// method is looked at, and around the answer to unknown paths.
pub(crate) fn shared_router(frontend: Arc<HttpFrontend>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        // The router answers HEAD as a GET without its body; for Triton it is a method like any other.
        let handlers = (route.handlers)().head(method_not_allowed).fallback(method_not_allowed);
        router = router.route(route.path, access::guarded(handlers, Some(route.category), &frontend));
    }
    let unknown = access::guarded(any(not_found), None, &frontend).with_state(frontend.clone());
    router.fallback_service(unknown).with_state(frontend)
}

async fn not_found() -> Response<FrameBody> {
    error_response(StatusCode::NOT_FOUND, "Not Found")
}

/// A path that names no model is unknown, whatever the method.
async fn method_not_allowed(uri: Uri) -> Response<FrameBody> {
    if ModelPath::names_no_model(uri.path()) {
        return not_found().await;
    }
    error_response(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
