//! A trace as spans: `InferRequest`, below it a span per model, below that `compute`, and below that the steps of the model's own;
//! every moment is an event of the span that it belongs to.

use std::{collections::HashMap, time::Instant};

use nereid_inference::{Activity, ParameterValue, SpanId};
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::SdkTracer;

use super::{
    clock::TimeOfDay,
    recording::{Record, TracedRequest},
};

type Moments = Vec<(Activity, Instant)>;

/// Hands every span of the trace to the tracer.
pub(crate) fn write_spans(tracer: &SdkTracer, record: &Record) {
    let time_of_day = TimeOfDay::read();
    let spans = Spans { tracer, time_of_day };
    let Some(first) = record.requests.first() else { return };
    let outermost = moments(first, |activity| belongs_to(activity) == Place::Frontend);
    let above = record.continued.clone();
    let root = spans.write("InferRequest".to_owned(), above, &with_ends(outermost, first), vec![]);
    let mut models: HashMap<u64, SpanContext> = HashMap::new();
    for request in &record.requests {
        let entered = moments(request, |activity| belongs_to(activity) == Place::Model);
        if entered.is_empty() {
            continue;
        }
        let above = models.get(&request.parent_id).unwrap_or(&root).clone();
        let name = request.model.name.to_string();
        let model = spans.write(name, Some(above), &entered, attributes(request));
        let computed = moments(request, |activity| belongs_to(activity) == Place::Compute);
        let mut around = model.clone();
        if !computed.is_empty() {
            around = spans.write("compute".to_owned(), Some(model.clone()), &computed, vec![]);
        }
        spans.write_own(request, &around);
        models.insert(request.id, model);
    }
}

/// Whose moment it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Frontend,
    Model,
    Compute,
}

struct Spans<'a> {
    tracer: &'a SdkTracer,
    time_of_day: TimeOfDay,
}

fn belongs_to(activity: Activity) -> Place {
    match activity {
        Activity::RequestStart | Activity::QueueStart | Activity::RequestEnd => Place::Model,
        Activity::ComputeStart | Activity::ComputeInputEnd | Activity::ComputeOutputStart | Activity::ComputeEnd => {
            Place::Compute
        }
        Activity::HttpRecvStart
        | Activity::HttpRecvEnd
        | Activity::GrpcWaitReadStart
        | Activity::GrpcWaitReadEnd
        | Activity::InferResponseComplete
        | Activity::HttpSendStart
        | Activity::HttpSendEnd
        | Activity::GrpcSendStart
        | Activity::GrpcSendEnd => Place::Frontend,
    }
}

fn moments(request: &TracedRequest, belongs: impl Fn(Activity) -> bool) -> Moments {
    request.sorted_events().into_iter().filter(|(activity, _)| belongs(*activity)).collect()
}

/// The outermost span's own moments, or, when it has none, those of its request: it must not be shorter than its children.
fn with_ends(own: Moments, first: &TracedRequest) -> Moments {
    if own.is_empty() { first.sorted_events() } else { own }
}

fn attributes(request: &TracedRequest) -> Vec<KeyValue> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut attributes = vec![
        KeyValue::new("triton.model_name", request.model.name.to_string()),
        KeyValue::new("triton.model_version", number(request.model.version)),
        KeyValue::new("triton.trace_id", number(request.id)),
        KeyValue::new("triton.trace_parent_id", number(request.parent_id)),
    ];
    if !request.request_id.is_empty() {
        attributes.push(KeyValue::new("triton.request_id", request.request_id.clone()));
    }
    attributes
}

fn key_value((name, value): &(String, ParameterValue)) -> KeyValue {
    let value = match value {
        ParameterValue::Bool(value) => Value::from(*value),
        ParameterValue::Int(value) => Value::from(*value),
        // The protocol has no larger whole numbers.
        ParameterValue::Uint(value) => {
            i64::try_from(*value).map_or_else(|_| Value::from(value.to_string()), Value::from)
        }
        ParameterValue::Double(value) => Value::from(*value),
        ParameterValue::String(text) => Value::from(text.clone()),
    };
    KeyValue::new(name.clone(), value)
}

// === impl Spans ===

impl Spans<'_> {
    /// The steps of the model's own.
    fn write_own(&self, request: &TracedRequest, around: &SpanContext) {
        let mut written: HashMap<SpanId, SpanContext> = HashMap::new();
        for own in request.sorted_spans() {
            let above = own.above.and_then(|above| written.get(&above)).unwrap_or(around);
            let builder = SpanBuilder::from_name(own.name.clone())
                .with_kind(SpanKind::Internal)
                .with_start_time(self.time_of_day.of(own.started))
                .with_attributes(own.attributes.iter().map(key_value));
            let mut span =
                self.tracer.build_with_context(builder, &Context::new().with_remote_span_context(above.clone()));
            for event in &own.events {
                let attributes = event.attributes.iter().map(key_value).collect();
                span.add_event_with_timestamp(event.name.clone(), self.time_of_day.of(event.at), attributes);
            }
            written.insert(own.id, span.span_context().clone());
            span.end_with_timestamp(self.time_of_day.of(own.ended));
        }
    }

    /// A span from the first of its moments to the last.
    fn write(
        &self,
        name: String,
        above: Option<SpanContext>,
        moments: &[(Activity, Instant)],
        attributes: Vec<KeyValue>,
    ) -> SpanContext {
        let parent = match above {
            Some(above) => Context::new().with_remote_span_context(above),
            None => Context::new(),
        };
        let now = Instant::now();
        let started = moments.first().map_or(now, |(_, at)| *at);
        let ended = moments.last().map_or(now, |(_, at)| *at);
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(self.time_of_day.of(started))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &parent);
        for (activity, at) in moments {
            span.add_event_with_timestamp(activity.name(), self.time_of_day.of(*at), vec![]);
        }
        let context = span.span_context().clone();
        span.end_with_timestamp(self.time_of_day.of(ended));
        context
    }
}
