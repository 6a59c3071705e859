//! What the server keeps in the hands of Python models, unless a flag says otherwise.

use std::time::Duration;

const GIB: usize = 1024 * 1024 * 1024;

nereid_inference::limits! {
    /// Of every runner; `nereid limits` shows them.
    pub struct PythonLimits {
        /// A model that loads weights from a slow disk.
        start: Time = Duration::from_secs(300), "python-start", "until a Python model has run its initialize";
        /// Longer than any generation that a client waits for.
        execute: Time = Duration::from_secs(300), "python-execute", "one execute of a Python model; its process is ended then";
        /// Enough to write a file; what takes longer is not worth waiting for.
        finalize: Time = Duration::from_secs(10), "python-finalize", "open requests, then finalize, of a Python model that is unloaded";
        /// As many as a batch of a hundred requests with ten calls each.
        calls: Count = 1_000, "python-calls", "calls under way from one Python process: other models, metrics, responses";
        /// As many as a scrape of one plugin's metrics.
        series: Count = 100, "python-series", "metric series that one Python model makes of its own";
        /// Pipelines are two or three deep; eight leaves room and ends a runaway early.
        depth: Count = 8, "python-call-depth", "models in a chain of calls from a Python model";
        /// A batch of decoded 4K images.
        response: Bytes = GIB, "python-response", "tensors of one frame from a Python process";
        /// A thousand lines a second.
        log: Bytes = 256 * 1024, "python-log", "what one Python process writes to the log in a second";
    }
}
