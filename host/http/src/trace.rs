//! What a traced request tells of its way in and out. Nothing is done, and no clock read, for one that is not traced.

use std::{sync::Arc, time::Instant};

use http::HeaderMap;
use nereid_inference::{Activity, ModelIdentity, RequestTrace};

use crate::HttpFrontend;

/// The trace of a request, if it has one.
#[derive(Clone, Debug)]
pub(crate) struct HttpTrace(Option<Arc<dyn RequestTrace>>);

/// A response on its way out; sent when this is dropped.
#[derive(Debug)]
pub(crate) struct Sending(Arc<dyn RequestTrace>);

// === impl HttpTrace ===

impl HttpTrace {
    /// Asks whether the request is to be traced.
    pub(crate) fn start(frontend: &HttpFrontend, model: &ModelIdentity, headers: &HeaderMap) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self(frontend.diagnostics.start_trace(model, &header))
    }

    /// The whole body is there.
    pub(crate) fn received(&self, since: Instant) {
        if let Some(trace) = &self.0 {
            trace.event(Activity::HttpRecvStart, since);
            trace.event(Activity::HttpRecvEnd, Instant::now());
        }
    }

    /// For the request to the model.
    pub(crate) fn handle(&self) -> Option<Arc<dyn RequestTrace>> {
        self.0.clone()
    }

    /// The model has given a response.
    pub(crate) fn response_complete(&self) {
        if let Some(trace) = &self.0 {
            trace.event(Activity::InferResponseComplete, Instant::now());
        }
    }

    /// The response begins to be sent.
    pub(crate) fn sending(self) -> Option<Sending> {
        let trace = self.0?;
        trace.event(Activity::HttpSendStart, Instant::now());
        Some(Sending(trace))
    }
}

// === impl Sending ===

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.event(Activity::HttpSendEnd, Instant::now());
    }
}
