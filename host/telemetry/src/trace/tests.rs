//! Traces from their settings to their files and spans.

mod own_steps;

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::{
    Activity, Change, ModelIdentity, RequestTrace, TensorActivity, TraceChange, TraceLevel, TraceMode, TraceSettings,
};
use nereid_tensor::Tensor;
use opentelemetry::{
    SpanId,
    trace::{SpanContext, TraceFlags, TraceId, TraceState, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use parking_lot::Mutex;

use super::{
    clock::monotonic_ns,
    recording::{Record, TracedRequest},
    setting::{Setting, Values},
    spans::write_spans,
    *,
};

const TIMESTAMPS: TraceLevel = TraceLevel { timestamps: true, tensors: false };

fn traces(change: impl FnOnce(&mut TraceSettings)) -> Arc<Traces> {
    let mut options = TraceOptions::default();
    options.settings.rate = 1;
    change(&mut options.settings);
    Traces::start(options).unwrap()
}

fn begin(traces: &Traces, model: &str) -> Option<Arc<dyn RequestTrace>> {
    traces.begin(&ModelIdentity::new(model, 1), &|_| None)
}

/// Traces as many requests as are traced of `requests`, and says how many that were.
fn trace_requests(traces: &Traces, requests: usize) -> usize {
    (0..requests)
        .filter_map(|_| begin(traces, "m"))
        .inspect(|t| t.event(Activity::RequestStart, Instant::now()))
        .count()
}

/// Ids of the traces in a file, which must be a JSON array of objects.
fn ids_in(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.starts_with("[{") && text.ends_with("}]"), "{text}");
    let headers = text.lines().filter(|line| line.contains("\"model_name\""));
    let id = |line: &str| line.split("\"id\":").nth(1)?.split(',').next()?.parse().ok();
    headers.map(|line| id(line).unwrap()).collect()
}

fn record(requests: Vec<TracedRequest>, level: TraceLevel) -> Record {
    let values = Values { level, rate: 1, count: -1, log_frequency: 0 };
    Record { setting: Arc::new(Setting::new(0, values, None)), continued: None, requests }
}

fn set_rate(rate: u32) -> TraceChange {
    TraceChange { rate: Change::Set(rate), ..TraceChange::default() }
}

#[test]
fn models_have_what_is_set_for_them_and_inherit_the_rest() {
    let traces = traces(|settings| settings.file = "unused".into());
    let rates = |model| (traces.settings(Some(model)).rate, traces.settings(None).rate);
    assert_eq!(rates("m"), (1, 1));
    traces.change(Some("m"), &set_rate(12)).unwrap();
    assert_eq!(rates("m"), (12, 1));
    traces.change(None, &TraceChange { log_frequency: Change::Set(9), ..set_rate(56) }).unwrap();
    assert_eq!(rates("m"), (12, 56));
    assert_eq!(traces.settings(Some("m")).log_frequency, 9);
    traces.change(None, &TraceChange { rate: Change::Clear, ..TraceChange::default() }).unwrap();
    assert_eq!(rates("m"), (12, 1));
    traces.change(Some("m"), &TraceChange { rate: Change::Clear, ..TraceChange::default() }).unwrap();
    assert_eq!((rates("m"), rates("other")), ((1, 1), (1, 1)));
    traces.close();
}

#[test]
fn settings_with_which_nothing_can_be_traced_are_refused() {
    let level = TraceChange { level: Change::Set(TIMESTAMPS), ..TraceChange::default() };
    let refused = |traces: &Traces, change| traces.change(None, change).unwrap_err().message().to_owned();
    let start = "Attempting to set invalid trace setting :";
    assert_eq!(refused(&traces(|_| {}), &level), format!("{start}trace file name is not given"));
    let traces = traces(|settings| (settings.file, settings.level) = ("unused".into(), TIMESTAMPS));
    assert_eq!(refused(&traces, &set_rate(0)), format!("{start}sample rate must be non-zero"));
    traces.change(None, &TraceChange { level: Change::Set(TraceLevel::OFF), ..set_rate(0) }).unwrap();
    traces.close();
}

#[test]
fn the_count_goes_down_and_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| {
        (settings.level, settings.count, settings.file) = (TIMESTAMPS, 3, file.display().to_string());
    });
    assert_eq!(trace_requests(&traces, 2), 2);
    assert_eq!(traces.settings(None).count, 1);
    assert_eq!(trace_requests(&traces, 5), 1);
    assert_eq!(traces.settings(None).count, 0);
    traces.close();
    // The last trace of the count completes a file.
    assert_eq!(ids_in(&file.with_extension("0")), [1, 2, 3]);
    assert!(!file.exists());
}

#[test]
fn a_log_frequency_fills_one_file_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| {
        (settings.level, settings.log_frequency) = (TIMESTAMPS, 2);
        settings.file = file.display().to_string();
    });
    trace_requests(&traces, 5);
    traces.close();
    let numbered = |number: &str| ids_in(&file.with_extension(number));
    assert_eq!((numbered("0"), numbered("1"), numbered("2")), (vec![1, 2], vec![3, 4], vec![5]));
    assert!(!file.exists());
}

#[test]
fn without_a_frequency_one_file_is_whole_after_every_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let mut files = files::TraceFiles::new(file.clone());
    for id in 1..=3 {
        let mut request = TracedRequest::new(id, 0, ModelIdentity::new("m", 1));
        request.events = vec![(Activity::RequestStart, Instant::now())];
        files.add(&record(vec![request], TIMESTAMPS));
        assert_eq!(ids_in(&file), (1..=id).collect::<Vec<_>>());
    }
}

#[test]
fn a_changed_setting_begins_to_count_anew_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| {
        (settings.level, settings.file) = (TIMESTAMPS, file.display().to_string());
    });
    let frequency = |log_frequency| TraceChange { log_frequency: Change::Set(log_frequency), ..TraceChange::default() };
    traces.change(Some("m"), &frequency(10)).unwrap();
    trace_requests(&traces, 3);
    begin(&traces, "other");
    traces.change(Some("m"), &frequency(2)).unwrap();
    trace_requests(&traces, 2);
    traces.close();
    assert_eq!(ids_in(&file), [4]);
    let mut numbered = [ids_in(&file.with_extension("0")), ids_in(&file.with_extension("1"))];
    numbered.sort();
    assert_eq!(numbered, [vec![1, 2, 3], vec![5, 6]]);
}

#[test]
fn a_trace_is_complete_when_the_last_who_holds_it_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| (settings.level, settings.file) = (TIMESTAMPS, file.display().to_string()));
    let client = begin(&traces, "ensemble").unwrap();
    let (first, never) = (client.child(), client.child());
    first.enter(&ModelIdentity::new("step", 2), "id");
    drop((client, never));
    let grandchild = first.child();
    grandchild.enter(&ModelIdentity::new("called", 3), "");
    drop((first, grandchild));
    traces.close();
    let expected = r#"[{"id":1,"model_name":"ensemble","model_version":1},
{"id":2,"model_name":"step","model_version":2,"request_id":"id","parent_id":1},
{"id":4,"model_name":"called","model_version":3,"parent_id":2}]"#;
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}

#[test]
fn moments_and_tensors_are_objects_of_tritons_format() {
    let start = Instant::now();
    let mut request = TracedRequest::new(7, 0, ModelIdentity::new("a\"b", 2));
    request.events = vec![(Activity::QueueStart, start + Duration::from_nanos(5)), (Activity::RequestStart, start)];
    let numbers = Tensor::from_elements([1, 3], &[0.5_f32, -1.0, 1e10]).unwrap();
    let texts = Tensor::from_byte_strings([2], &["x\"", ""]).unwrap();
    let switches = Tensor::new(
        nereid_tensor::DataType::Bool,
        [2].into(),
        Tensor::from_elements([2], &[1_u8, 0]).unwrap().into_buffer(),
    );
    request.tensors = vec![
        (TensorActivity::QueueInput, "IN".into(), numbers),
        (TensorActivity::QueueInput, "TEXT".into(), texts),
        (TensorActivity::BackendOutput, "OUT".into(), switches.unwrap()),
    ];
    let both = TraceLevel { timestamps: true, tensors: true };
    let ns = monotonic_ns(start);
    let expected = format!(
        r#"{{"id":7,"model_name":"a\"b","model_version":2}},
{{"id":7,"timestamps":[{{"name":"REQUEST_START","ns":{ns}}}]}},
{{"id":7,"timestamps":[{{"name":"QUEUE_START","ns":{}}}]}},
{{"id":7,"activity":"TENSOR_QUEUE_INPUT","tensor":{{"name":"IN","data":"0.5,-1,10000000000","shape":"1,3","dtype":"FP32"}}}},
{{"id":7,"activity":"TENSOR_QUEUE_INPUT","tensor":{{"name":"TEXT","data":"\"x\"\",\"\"","shape":"2","dtype":"BYTES"}}}},
{{"id":7,"activity":"TENSOR_BACKEND_OUTPUT","tensor":{{"name":"OUT","data":"1,0","shape":"2","dtype":"BOOL"}}}}"#,
        ns + 5
    );
    assert_eq!(json::trace_text(&record(vec![request], both)), expected);
}

#[test]
fn levels_decide_what_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    let traces = traces(|settings| {
        settings.level = TraceLevel { timestamps: false, tensors: true };
        settings.file = file.display().to_string();
    });
    let trace = begin(&traces, "m").unwrap();
    trace.event(Activity::RequestStart, Instant::now());
    trace.tensor(TensorActivity::QueueInput, &"X".into(), &Tensor::from_elements([1], &[1_i32]).unwrap());
    drop(trace);
    traces.close();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("timestamps") && text.contains("TENSOR_QUEUE_INPUT"), "{text}");
}

#[test]
fn traces_that_come_too_fast_are_left_out_and_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t");
    // Named pipes block their writer until somebody reads.
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let traces = traces(|settings| (settings.level, settings.file) = (TIMESTAMPS, file.display().to_string()));
    assert_eq!(trace_requests(&traces, 3_000), 3_000);
    let reader = std::thread::spawn(move || fs::read_to_string(file).unwrap());
    traces.close();
    drop(traces);
    let written = reader.join().unwrap().matches("model_name").count();
    assert!((1..2_000).contains(&written), "{written}");
}

/// Keeps spans instead of sending them.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

fn spans_of(record: &Record) -> Vec<SpanData> {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_simple_exporter(kept.clone());
    let provider = provider.build();
    write_spans(&provider.tracer("test"), record);
    kept.0.lock().clone()
}

#[test]
fn spans_nest_as_requests_do() {
    let start = Instant::now();
    let at = |nanoseconds| start + Duration::from_nanos(nanoseconds);
    let mut ensemble = TracedRequest::new(1, 0, ModelIdentity::new("ensemble", 1));
    ensemble.request_id = "r".into();
    ensemble.events = vec![
        (Activity::HttpRecvStart, at(0)),
        (Activity::RequestStart, at(10)),
        (Activity::QueueStart, at(20)),
        (Activity::RequestEnd, at(90)),
        (Activity::HttpSendEnd, at(100)),
    ];
    let mut step = TracedRequest::new(2, 1, ModelIdentity::new("step", 3));
    step.events = vec![
        (Activity::RequestStart, at(30)),
        (Activity::ComputeStart, at(40)),
        (Activity::ComputeEnd, at(50)),
        (Activity::RequestEnd, at(60)),
    ];
    let mut record = record(vec![ensemble, step], TIMESTAMPS);
    let elsewhere = SpanContext::new(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([8; 8]),
        TraceFlags::default(),
        true,
        TraceState::default(),
    );
    record.continued = Some(elsewhere);
    let spans = spans_of(&record);
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let parent = |name: &str| named(name).parent_span_id;
    let id = |name: &str| named(name).span_context.span_id();
    assert_eq!(spans.len(), 4);
    assert!(spans.iter().all(|span| span.span_context.trace_id() == TraceId::from_bytes([7; 16])));
    assert_eq!(parent("InferRequest"), SpanId::from_bytes([8; 8]));
    assert_eq!(parent("ensemble"), id("InferRequest"));
    assert_eq!(parent("step"), id("ensemble"));
    assert_eq!(parent("compute"), id("step"));
    let events = |name: &str| named(name).events.iter().map(|event| event.name.to_string()).collect::<Vec<_>>();
    assert_eq!(events("InferRequest"), ["HTTP_RECV_START", "HTTP_SEND_END"]);
    assert_eq!(events("step"), ["REQUEST_START", "REQUEST_END"]);
    assert_eq!(events("compute"), ["COMPUTE_START", "COMPUTE_END"]);
    let lasted = |name: &str| named(name).end_time.duration_since(named(name).start_time).unwrap();
    assert_eq!(lasted("InferRequest"), Duration::from_nanos(100));
    assert_eq!(lasted("compute"), Duration::from_nanos(10));
    let attribute = |key: &str| {
        let attributes = &named("ensemble").attributes;
        attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.to_string())
    };
    assert_eq!(attribute("triton.model_name").as_deref(), Some("ensemble"));
    assert_eq!(attribute("triton.request_id").as_deref(), Some("r"));
    assert_eq!(attribute("triton.trace_parent_id").as_deref(), Some("0"));
}

#[tokio::test]
async fn only_the_opentelemetry_mode_continues_traces() {
    let context = "00-0af7651916cd43dd8448eb211c12666c-b7ad6b7169242424-00";
    let header = |name: &str| (name == "traceparent").then_some(context);
    let model = ModelIdentity::new("m", 1);
    let mut options = TraceOptions::default();
    (options.settings.level, options.settings.rate, options.settings.mode) = (TIMESTAMPS, 0, TraceMode::OpenTelemetry);
    options.open_telemetry.url = "http://127.0.0.1:9/v1/traces".into();
    let traces = Traces::start(options.clone()).unwrap();
    assert!(traces.begin(&model, &|_| None).is_none());
    assert!(traces.begin(&model, &|_| Some("not a context")).is_none());
    assert!(traces.begin(&model, &header).is_some());
    options.open_telemetry.url = "collector:4318".into();
    let error = Traces::start(options).err().unwrap();
    assert_eq!(
        error.to_string(),
        "spans cannot be sent to 'collector:4318': expected an address that begins with http://"
    );
    let triton = super::tests::traces(|settings| {
        (settings.level, settings.rate, settings.file) = (TIMESTAMPS, 1_000, "unused".into());
    });
    assert!(triton.begin(&model, &header).is_none());
}
