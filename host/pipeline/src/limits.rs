//! What is kept per model besides the model itself.

nereid_inference::limits! {
    /// Limits of the models that a [`crate::Loader`] loads.
    pub struct PipelineLimits {
        /// 80 bytes each; a busy model fills them in a second, which is enough to see what its batches wait for.
        decisions_max: Count = 256,
            "decision-log", "decisions of one model that are kept for `/v2/debug`; 80 bytes each";
    }
}
