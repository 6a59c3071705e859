//! What is kept per model besides the model itself.

nereid_inference::limits! {
    /// Limits of the models that a [`crate::Loader`] loads.
    pub struct PipelineLimits {
        /// 80 bytes each; a busy model fills them in a second, which is enough to see what its batches wait for.
        decisions_max: Count = 256,
            "decision-log", "decisions of one model that are kept for `/v2/debug`; 80 bytes each";
        /// Bytes of their inputs.
        kept_request_bytes_max: Bytes = 1 << 20,
            "kept-request-bytes", "requests of one model that are kept to try the next generation with; a larger one is not kept";
        /// Responses of one decoupled step that have not left; as many as fill a large batch of the step after it.
        ensemble_inflight_max: Count = 64,
            "ensemble-inflight", "responses of a decoupled step on their way through one request of an ensemble; fills a large batch. `max_inflight_requests` replaces it";
        /// Bytes of their tensors.
        ensemble_bytes_max: Bytes = 256 << 20,
            "ensemble-bytes", "their tensors, over all requests of one ensemble; beyond it each request has one response of a decoupled step on its way";
    }
}
