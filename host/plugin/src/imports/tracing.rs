//! `tracing`: steps of the guest's own in the trace of its request.
//!
//! Promises: a span ends, at the latest, with its call; what one call adds to traces is limited. Costs, for a request that is not traced,
//! one call of the guest that finds nothing.

use std::{mem, sync::Arc, time::Instant};

use nereid_inference::{ParameterValue, RequestTrace, SpanEvent, SpanId, TraceSpan};
use wasmtime::component::Resource;

use crate::{
    bindings::nereid::plugin::{
        tracing::{Host, HostSpan},
        types::{Parameter, Value},
    },
    convert,
    failure::Stop,
    imports::serving::RequestHandle,
    state::PluginState,
};

/// Longest name of a span, an event or an attribute; what is longer is cut.
const NAME_CHARS_MAX: usize = 256;

/// Longest text of an attribute; what is longer is cut.
const TEXT_CHARS_MAX: usize = 4096;

/// Bytes that an entry takes besides its texts.
const ENTRY_BYTES: u64 = 64;

/// A span that the guest began. Dropped, it is over.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct SpanHandle {
    trace: Arc<dyn RequestTrace>,
    /// `None` when it has ended.
    span: Option<TraceSpan>,
}

/// What the call under way has added to traces.
#[derive(Default)]
pub(crate) struct SpanBudget {
    entries: u32,
    bytes: u64,
    is_spent: bool,
}

type Handle = Resource<SpanHandle>;

// === impl SpanHandle ===

impl SpanHandle {
    fn end(&mut self) {
        if let Some(span) = self.span.take() {
            self.trace.span(TraceSpan { ended: Instant::now(), ..span });
        }
    }
}

impl Drop for SpanHandle {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl PluginState ===

impl PluginState {
    fn begin_span(
        &mut self,
        trace: Option<Arc<dyn RequestTrace>>,
        above: Option<SpanId>,
        name: &str,
    ) -> Option<Handle> {
        let trace = trace.filter(|trace| trace.takes_spans())?;
        let name = shortened(name, NAME_CHARS_MAX);
        if self.check_handles().is_err() || !self.admit_span_entry(name.len()) {
            return None;
        }
        let now = Instant::now();
        let span = TraceSpan {
            id: SpanId::next(),
            above,
            name,
            started: now,
            ended: now,
            attributes: Vec::new(),
            events: Vec::new(),
        };
        Some(Resource::new_own(self.spans.insert(SpanHandle { trace, span: Some(span) })))
    }

    fn span(&mut self, import: &'static str, handle: &Handle) -> wasmtime::Result<&mut SpanHandle> {
        self.enter(import)?;
        self.spans.get_mut(handle.rep()).ok_or_else(|| Stop::StaleHandle("span").into())
    }

    /// Whether the call may add one more entry with texts of so many bytes.
    fn admit_span_entry(&mut self, text_bytes: usize) -> bool {
        let (entries_max, bytes_max) = (self.limits().spans_max, self.limits().span_bytes_max);
        let budget = &mut self.call.span_budget;
        budget.entries = budget.entries.saturating_add(1);
        budget.bytes = budget.bytes.saturating_add(ENTRY_BYTES + text_bytes as u64);
        if budget.entries <= entries_max && budget.bytes <= bytes_max {
            return true;
        }
        if !mem::replace(&mut budget.is_spent, true) {
            tracing::warn!(
                "{} adds more than {entries_max} spans, events and attributes, or {bytes_max} bytes, to the trace of one call: the \
                 rest is dropped (spans, span_kib)",
                self.spec.subject()
            );
        }
        false
    }

    fn admit_attribute(&mut self, name: &str, value: Value) -> Option<(String, ParameterValue)> {
        let name = shortened(name, NAME_CHARS_MAX);
        let value = match convert::value_in(value) {
            ParameterValue::String(text) => ParameterValue::String(shortened(&text, TEXT_CHARS_MAX)),
            other => other,
        };
        let text_bytes = if let ParameterValue::String(text) = &value { text.len() } else { 0 };
        self.admit_span_entry(name.len() + text_bytes).then_some((name, value))
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

impl Host for PluginState {}

impl HostSpan for PluginState {
    fn begin(&mut self, name: String) -> wasmtime::Result<Option<Handle>> {
        self.enter("tracing.span.begin")?;
        let trace = self.call.serving.as_ref().and_then(|serving| serving.trace.clone());
        Ok(self.begin_span(trace, None, &name))
    }

    fn begin_for(&mut self, request: Resource<RequestHandle>, name: String) -> wasmtime::Result<Option<Handle>> {
        self.enter("tracing.span.begin-for")?;
        let request = self.requests.get(request.rep()).ok_or(Stop::StaleHandle("request"))?;
        let trace = request.trace();
        Ok(self.begin_span(trace, None, &name))
    }

    fn child(&mut self, handle: Handle, name: String) -> wasmtime::Result<Option<Handle>> {
        let parent = self.span("tracing.span.child", &handle)?;
        let Some(above) = parent.span.as_ref().map(|span| span.id) else { return Ok(None) };
        let trace = parent.trace.clone();
        Ok(self.begin_span(Some(trace), Some(above), &name))
    }

    fn set(&mut self, handle: Handle, name: String, value: Value) -> wasmtime::Result<()> {
        self.span("tracing.span.set", &handle)?;
        let Some((name, value)) = self.admit_attribute(&name, value) else { return Ok(()) };
        if let Some(span) = self.spans.get_mut(handle.rep()).and_then(|handle| handle.span.as_mut()) {
            span.attributes.retain(|(known, _)| *known != name);
            span.attributes.push((name, value));
        }
        Ok(())
    }

    fn event(&mut self, handle: Handle, name: String, attributes: Vec<Parameter>) -> wasmtime::Result<()> {
        self.span("tracing.span.event", &handle)?;
        let name = shortened(&name, NAME_CHARS_MAX);
        if !self.admit_span_entry(name.len()) {
            return Ok(());
        }
        let admitted =
            attributes.into_iter().map_while(|attribute| self.admit_attribute(&attribute.name, attribute.value));
        let event = SpanEvent { name, at: Instant::now(), attributes: admitted.collect() };
        if let Some(span) = self.spans.get_mut(handle.rep()).and_then(|handle| handle.span.as_mut()) {
            span.events.push(event);
        }
        Ok(())
    }

    fn end(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.span("tracing.span.end", &handle)?.end();
        Ok(())
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.spans.remove(handle.rep());
        Ok(())
    }
}
