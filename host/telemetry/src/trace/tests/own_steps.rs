//! Steps of a model's own: in a trace file, as spans, and no more of them than are kept.

use std::time::{Duration, Instant};

use nereid_inference::{Activity, ModelIdentity, ParameterValue, SpanEvent, SpanId, TraceLevel, TraceSpan};

use super::{
    super::{clock::monotonic_ns, json, recording::TracedRequest},
    TIMESTAMPS, begin, record, spans_of, traces,
};

fn step(name: &str, above: Option<SpanId>, started: Instant, ended: Instant) -> TraceSpan {
    let (name, id) = (name.to_owned(), SpanId::next());
    TraceSpan { id, above, name, started, ended, attributes: Vec::new(), events: Vec::new() }
}

/// A request whose model has a step within a step.
fn request(start: Instant) -> TracedRequest {
    let at = |nanoseconds| start + Duration::from_nanos(nanoseconds);
    let mut request = TracedRequest::new(7, 0, ModelIdentity::new("m", 1));
    request.events = vec![
        (Activity::RequestStart, at(0)),
        (Activity::ComputeStart, at(10)),
        (Activity::ComputeEnd, at(90)),
        (Activity::RequestEnd, at(100)),
    ];
    let mut outer = step("decode", None, at(20), at(80));
    outer.attributes = vec![
        ("images".to_owned(), ParameterValue::Int(3)),
        ("kind".to_owned(), ParameterValue::String("a\"b".to_owned())),
        ("share".to_owned(), ParameterValue::Double(f64::NAN)),
    ];
    let rows = vec![("rows".to_owned(), ParameterValue::Uint(u64::MAX))];
    outer.events = vec![SpanEvent { name: "half".to_owned(), at: at(50), attributes: rows }];
    // Delivered when it ends, before the one around it.
    request.spans = vec![step("resize", Some(outer.id), at(30), at(40)), outer];
    request
}

#[test]
fn a_step_is_a_custom_activity_in_a_trace_file() {
    let start = Instant::now();
    let text = json::trace_text(&record(vec![request(start)], TIMESTAMPS));
    let ns = monotonic_ns(start);
    let moments = [
        ("REQUEST_START", 0),
        ("COMPUTE_START", 10),
        ("decode_START", 20),
        ("resize_START", 30),
        ("resize_END", 40),
        ("half", 50),
        ("decode_END", 80),
        ("COMPUTE_END", 90),
        ("REQUEST_END", 100),
    ];
    let mut expected = r#"{"id":7,"model_name":"m","model_version":1}"#.to_owned();
    for (name, after) in moments {
        expected += &format!(",\n{{\"id\":7,\"timestamps\":[{{\"name\":\"{name}\",\"ns\":{}}}]}}", ns + after);
    }
    expected += ",\n{\"id\":7,\"span\":\"decode\",\"attributes\":{\"images\":3,\"kind\":\"a\\\"b\",\"share\":\"NaN\"}}";
    assert_eq!(text, expected);
}

#[test]
fn steps_are_spans_below_compute_and_below_each_other() {
    let spans = spans_of(&record(vec![request(Instant::now())], TIMESTAMPS));
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let id = |name: &str| named(name).span_context.span_id();
    assert_eq!(named("decode").parent_span_id, id("compute"));
    assert_eq!(named("resize").parent_span_id, id("decode"));
    let lasted = |name: &str| named(name).end_time.duration_since(named(name).start_time).unwrap();
    assert_eq!((lasted("decode"), lasted("resize")), (Duration::from_nanos(60), Duration::from_nanos(10)));
    let attributes: Vec<String> =
        named("decode").attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    assert_eq!(attributes, ["images=3", "kind=a\"b", "share=NaN"]);
    let event = named("decode").events.iter().next().unwrap();
    assert_eq!((&*event.name, event.attributes[0].value.to_string()), ("half", u64::MAX.to_string()));
}

#[test]
fn a_trace_keeps_no_more_of_steps_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| (settings.level, settings.file) = (TIMESTAMPS, file.display().to_string()));
    let trace = begin(&traces, "m").unwrap();
    assert!(trace.takes_spans());
    let now = Instant::now();
    for _ in 0..1_000 {
        trace.span(step(&"x".repeat(10_000), None, now, now));
    }
    drop(trace);
    traces.close();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("_START").count(), (1 << 20) / 10_000, "as many as a megabyte of names holds");
}

#[test]
fn without_timestamps_there_are_no_steps() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t").display().to_string();
    let tensors = TraceLevel { timestamps: false, tensors: true };
    let traces = traces(|settings| (settings.level, settings.file) = (tensors, file));
    assert!(!begin(&traces, "m").unwrap().takes_spans());
}
