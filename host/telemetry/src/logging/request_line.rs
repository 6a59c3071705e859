//! The line that verbose level 1 adds for every inference request that was answered.
//!
//! Costs one atomic load while it is switched off.

use std::{fmt::Display, time::Instant};

/// A request on its way to its line, when it gets one.
#[derive(Debug, Default)]
pub struct RequestLine(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Protocol and kind of request.
    what: &'static str,
    received: Instant,
    model: String,
    version: u64,
    id: String,
}

// === impl RequestLine ===

impl RequestLine {
    /// A request that comes in now; `what` is as in `HTTP infer request`.
    pub fn begin(what: &'static str, model: &str) -> Self {
        let kept = || Kept { what, received: Instant::now(), model: model.to_owned(), version: 0, id: String::new() };
        Self(tracing::enabled!(tracing::Level::DEBUG).then(|| Box::new(kept())))
    }

    /// What becomes known once the request is read.
    pub fn identify(&mut self, version: u64, id: &str) {
        if let Some(kept) = &mut self.0 {
            kept.version = version;
            kept.id = id.to_owned();
        }
    }

    /// Writes the line, once. `status` is the protocol's word for how the request ended.
    pub fn end(&mut self, status: impl Display) {
        let Some(kept) = self.0.take() else { return };
        let Kept { what, received, model, version, id } = *kept;
        let microseconds = received.elapsed().as_micros();
        // A request that never reached a model has no version.
        let version = if version == 0 { String::new() } else { format!(" version {version}") };
        tracing::debug!("{what} request '{id}' of model '{model}'{version}: {status} after {microseconds} us");
    }
}

impl Drop for RequestLine {
    /// Nobody waited for the answer: the client is gone.
    fn drop(&mut self) {
        self.end("not answered");
    }
}
