//! Steps of the plugin's own in the trace of a request: in the collector's spans, and in trace files.
//!
//! ```no_run
//! use nereid_sdk::trace;
//!
//! let decoding = trace::span("decode").with("images", 3_i64);
//! // … what takes time
//! decoding.event("half of them", &[]);
//! drop(decoding); // ends it, as the end of its scope would
//! ```
//!
//! A request that is not traced has no spans: beginning one costs one call of the host, and everything else nothing.

use crate::{
    Value,
    bindings::nereid::plugin::{tracing as host, types::Parameter},
};

/// A step that takes time. It ends when it is dropped, or with the call.
#[derive(Debug)]
pub struct Span(Option<host::Span>);

/// Begins a span of the request under way; of a batch, of the first request that is traced. [`crate::Request::span`] is that of one.
pub fn span(name: &str) -> Span {
    Span(host::Span::begin(name))
}

// === impl Span ===

impl Span {
    pub(crate) fn new(begun: Option<host::Span>) -> Self {
        Self(begun)
    }

    /// Whether it is recorded: worth asking before what it costs to find an attribute.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span within this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(self.0.as_ref().and_then(|span| span.child(name)))
    }

    /// The same with an attribute.
    #[must_use]
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds an attribute. Of two of one name the later counts.
    pub fn set(&self, name: &str, value: impl Into<Value>) {
        if let Some(span) = &self.0 {
            span.set(name, &value.into());
        }
    }

    /// Notes that something happened now.
    pub fn event(&self, name: &str, attributes: &[(&str, Value)]) {
        if let Some(span) = &self.0 {
            let parameter =
                |(name, value): &(&str, Value)| Parameter { name: (*name).to_owned(), value: value.clone() };
            let attributes: Vec<Parameter> = attributes.iter().map(parameter).collect();
            span.event(name, &attributes);
        }
    }
}
