//! What is remembered of one traced request until it is over.
//!
//! Complete when nobody holds it any more: the frontend that sends the answer, the model, its steps and calls. Then it goes
//! to whoever writes it.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use nereid_inference::{Activity, ModelIdentity, RequestTrace, TensorActivity, TraceSpan};
use nereid_tensor::Tensor;
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;

use super::{setting::Setting, writer::Sink};

/// Requests, events and tensors remembered of one trace; an endless stream of responses must not fill the memory.
const ENTRIES_MAX: usize = 16_384;

/// Bytes of the texts of models' own steps remembered of one trace; a model that is executed again and again adds to them each time.
const SPAN_TEXT_BYTES_MAX: usize = 1 << 20;

/// A trace that is complete.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) setting: Arc<Setting>,
    /// Where it was continued from.
    pub(crate) continued: Option<SpanContext>,
    /// The request of the client first.
    pub(crate) requests: Vec<TracedRequest>,
}

/// One request to one model.
#[derive(Debug)]
pub(crate) struct TracedRequest {
    pub(crate) id: u64,
    /// 0 for the client's.
    pub(crate) parent_id: u64,
    pub(crate) model: ModelIdentity,
    pub(crate) request_id: String,
    pub(crate) events: Vec<(Activity, Instant)>,
    pub(crate) tensors: Vec<(TensorActivity, Arc<str>, Tensor)>,
    /// Steps of the model's own, in the order in which they ended.
    pub(crate) spans: Vec<TraceSpan>,
}

/// Gives every traced request of the process its number.
#[derive(Debug, Default)]
pub(crate) struct TraceIds(AtomicU64);

/// One request's access to the trace that it is part of.
#[derive(Debug)]
pub(crate) struct RequestRecorder {
    recording: Arc<Recording>,
    id: u64,
    index: usize,
}

#[derive(Debug)]
struct Recording {
    setting: Arc<Setting>,
    sink: Sink,
    ids: Arc<TraceIds>,
    continued: Option<SpanContext>,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    requests: Vec<TracedRequest>,
    entries: usize,
    span_text_bytes: usize,
}

// === impl TraceIds ===

impl TraceIds {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }
}

// === impl RequestRecorder ===

impl RequestRecorder {
    /// Begins the trace of a client's request.
    pub(crate) fn begin(
        setting: Arc<Setting>,
        sink: Sink,
        ids: Arc<TraceIds>,
        model: &ModelIdentity,
        continued: Option<SpanContext>,
    ) -> Self {
        let id = ids.next();
        let requests = vec![TracedRequest::new(id, 0, model.clone())];
        let noted = Mutex::new(Noted { requests, ..Noted::default() });
        Self { recording: Arc::new(Recording { setting, sink, ids, continued, noted }), id, index: 0 }
    }

    /// Adds to this request's part, as long as there is room.
    fn note(&self, add: impl FnOnce(&mut TracedRequest)) {
        let mut noted = self.recording.noted.lock();
        if noted.entries < ENTRIES_MAX
            && let Some(request) = noted.requests.get_mut(self.index)
        {
            add(request);
            noted.entries += 1;
        }
    }
}

impl RequestTrace for RequestRecorder {
    fn enter(&self, model: &ModelIdentity, request_id: &str) {
        self.note(|request| {
            request.model = model.clone();
            request.request_id = request_id.to_owned();
        });
    }

    fn event(&self, activity: Activity, at: Instant) {
        if self.recording.setting.level.timestamps {
            self.note(|request| request.events.push((activity, at)));
        }
    }

    fn tensor(&self, activity: TensorActivity, name: &Arc<str>, tensor: &Tensor) {
        if self.recording.setting.level.tensors {
            self.note(|request| request.tensors.push((activity, name.clone(), tensor.clone())));
        }
    }

    fn takes_spans(&self) -> bool {
        self.recording.setting.level.timestamps
    }

    fn span(&self, span: TraceSpan) {
        let mut noted = self.recording.noted.lock();
        let text_bytes = noted.span_text_bytes + span.text_bytes();
        // Its events are entries as others are.
        let entries = noted.entries + 1 + span.events.len();
        if entries <= ENTRIES_MAX
            && text_bytes <= SPAN_TEXT_BYTES_MAX
            && let Some(request) = noted.requests.get_mut(self.index)
        {
            request.spans.push(span);
            (noted.entries, noted.span_text_bytes) = (entries, text_bytes);
        }
    }

    fn child(&self) -> Arc<dyn RequestTrace> {
        let id = self.recording.ids.next();
        let mut noted = self.recording.noted.lock();
        let index = noted.requests.len();
        if noted.entries < ENTRIES_MAX {
            // Named when it enters its model; one that never does has no name, and is left out.
            noted.requests.push(TracedRequest::new(id, self.id, ModelIdentity::new("", 0)));
            noted.entries += 1;
        }
        drop(noted);
        Arc::new(Self { recording: self.recording.clone(), id, index })
    }
}

// === impl Recording ===

impl Drop for Recording {
    fn drop(&mut self) {
        let mut requests = mem::take(&mut self.noted.get_mut().requests);
        requests.retain(|request| !request.model.name.is_empty());
        let (setting, continued) = (self.setting.clone(), self.continued.take());
        self.sink.deliver(Record { setting, continued, requests });
    }
}

// === impl Record ===

impl Record {
    /// Bytes of tensors that it keeps alive, and of the texts of models' own steps.
    pub(crate) fn content_bytes(&self) -> usize {
        let tensors = self.requests.iter().flat_map(|request| &request.tensors);
        let spans = self.requests.iter().flat_map(|request| &request.spans);
        tensors.map(|(_, _, tensor)| tensor.byte_size()).chain(spans.map(TraceSpan::text_bytes)).sum()
    }
}

// === impl TracedRequest ===

impl TracedRequest {
    pub(crate) fn new(id: u64, parent_id: u64, model: ModelIdentity) -> Self {
        Self {
            id,
            parent_id,
            model,
            request_id: String::new(),
            events: Vec::new(),
            tensors: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Steps of the model's own, each after the one that it is a part of.
    pub(crate) fn sorted_spans(&self) -> Vec<&TraceSpan> {
        let mut spans: Vec<&TraceSpan> = self.spans.iter().collect();
        spans.sort_by_key(|span| span.id);
        spans
    }

    /// The moments in their order.
    pub(crate) fn sorted_events(&self) -> Vec<(Activity, Instant)> {
        let mut events = self.events.clone();
        events.sort_by_key(|(activity, at)| (*at, *activity));
        events
    }
}
