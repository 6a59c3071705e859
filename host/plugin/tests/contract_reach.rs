//! The rest of the list for all languages: what a plugin reaches beyond its tensors. The guests are those of `contract.rs`; each
//! says in words what it found.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Instant,
};

use nereid_inference::{
    Activity, ControlHandle, IndexEntry, InferError, InferRequest, InferResponse, LoadOverrides, ModelControl,
    ModelIdentity, ModelState, NamedTensor, ParameterValue, RequestTrace, SequenceFlags, SequenceId, TensorActivity,
    TraceSpan,
};
use nereid_plugin::{
    FolderGrant, Grants, HttpGrant, HttpRule, ModelGrant, NamePatterns, PluginLimits, PluginSpec, SandboxPool, Secret,
};
use nereid_tensor::{DataType, Tensor};
use support::{
    Acme, Server,
    languages::{ask, asking, numbers, plugins, pool_of, run},
    spec, values,
};

const INPUT: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

fn said(response: &InferResponse) -> String {
    match response.parameters.get("said") {
        Some(ParameterValue::String(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// Asks every language for `mode`, each with a specification of its own, and expects the same words.
async fn check(mode: &str, spec: impl Fn() -> PluginSpec, expected: &str) {
    for (language, compiled) in plugins() {
        let response = ask(&pool_of(compiled, spec()), mode, &INPUT).await;
        let found = response.unwrap_or_else(|error| panic!("{} {mode}: {error}", language.name));
        assert_eq!(said(&found), expected, "{} {mode}", language.name);
    }
}

#[tokio::test]
async fn every_operation_of_the_host_is_there() {
    let expected = "\
normalise [2,3] 0 2 4 6 8 10
affine [2,3] 11 41 91 41 101 181
round [2,3] 0 1 2 2 2 3
transpose [3,2] 1 4 2 5 3 6
concat [4,3] 1 2 3 4 5 6 1 2 3 4 5 6
stack [2,2,3] 1 2 3 4 5 6 1 2 3 4 5 6
split [2,2] 2 3 5 6
pad [3,4] 9 9 9 9 1 2 3 9 4 5 6 9
softmax [2] 50 50
argmax [2] 2 2
top-k [2,2] 3 2 6 5
top-k [2,2] 2 1 2 1
suppress [2] 1 2
suppress [1] 1
crop [2,2,1] 2 3 5 6
resize [1,6,1] 4 4 5 5 6 6
first [1,2,3] 1 2 3 4 5 6
last [2,3,1] 1 2 3 4 5 6
base64 Y2F0 ZG9n dog
blob [3] 100 111 103
decode [1,1,3] 200 200 200";
    check("operations", spec, expected).await;
}

#[tokio::test]
async fn state_is_kept_changed_once_counted_and_forgotten() {
    check("state", spec, "one true true false two 2 -3 a,n true false true true").await;
}

#[tokio::test]
async fn metrics_count_and_refuse_what_they_must() {
    check("metrics", spec, "2 2 invalid-argument").await;
}

#[tokio::test]
async fn granted_folders_are_read_and_written_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let granted = || {
        let scratch = FolderGrant::open("/scratch".to_owned(), folder.path().to_owned(), true).unwrap();
        PluginSpec { grants: Grants { folders: vec![scratch], ..Grants::default() }, ..spec() }
    };
    check("files", granted, "hello ell a.txt:5:false not-found permission").await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "every guest removes what it wrote");
}

/// Three words, cut at spaces.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
    "model": { "type": "WordLevel", "vocab": { "[UNK]": 0, "cat": 1, "dog": 2 }, "unk_token": "[UNK]" }
}"#;

#[tokio::test]
async fn texts_become_tokens_and_texts_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER).unwrap();
    let granted = || {
        let scratch = FolderGrant::open("/scratch".to_owned(), folder.path().to_owned(), false).unwrap();
        PluginSpec { grants: Grants { folders: vec![scratch], ..Grants::default() }, ..spec() }
    };
    let expected = "\
size 3 2 false cat
ids [2,3] 1 2 0 2 0 0
mask [2,3] 1 1 0 1 1 0
types [2,4] 0 0 1 1 0 0 1 1
decoded cat dog|dog [UNK]
cut [2,1] 2 0
refused not-found";
    check("tokenizers", granted, expected).await;
}

#[tokio::test]
async fn granted_secrets_are_told_and_others_are_not() {
    let granted = || {
        let secrets = [("token".to_owned(), Secret::new(*b"s3cret"))].into();
        PluginSpec { grants: Grants { secrets, ..Grants::default() }, ..spec() }
    };
    check("secrets", granted, "s3cret permission").await;
}

/// Answers one request per connection: what came to `/echo`, turned round, and 404 to all else.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = BufReader::new(stream.unwrap());
        let (mut head, mut line) = (Vec::new(), String::new());
        while stream.read_line(&mut line).unwrap() > 2 {
            head.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or("none").to_owned();
        let mut body = vec![0; header("content-length: ").parse().unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        body.reverse();
        let method = head[0].split(' ').next().unwrap();
        let is_found = head[0].contains(" /echo ");
        let status = if is_found { "200 OK" } else { "404 Not Found" };
        let word = header("x-word: ");
        let head = format!(
            "HTTP/1.1 {status}\r\nX-Method: {method}\r\nX-Word: {word}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).unwrap();
    }
}

#[tokio::test]
async fn granted_servers_are_called_and_others_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener));
    let granted = || {
        let rules = vec![HttpRule::parse(&server, false).unwrap()];
        let grants = Grants { http: HttpGrant::new(rules, Arc::default()), ..Grants::default() };
        PluginSpec { grants, parameters: [("server".to_owned(), server.clone())].into(), ..spec() }
    };
    check("http", granted, "200 POST hi gnip 404 permission").await;
}

/// Remembers what it is asked.
#[derive(Default)]
struct Repository(Mutex<Vec<String>>);

impl ModelControl for Repository {
    fn index(&self) -> Vec<IndexEntry> {
        let entry = |name: &str| IndexEntry {
            name: name.to_owned(),
            version: Some(1),
            state: Some(ModelState::Ready),
            reason: String::new(),
        };
        vec![entry("other"), entry("denied")]
    }

    fn load(&self, name: &str, _: LoadOverrides) -> Result<(), InferError> {
        self.0.lock().unwrap().push(format!("load {name}"));
        Ok(())
    }

    fn unload(&self, name: &str, _: bool) -> Result<(), InferError> {
        self.0.lock().unwrap().push(format!("unload {name}"));
        Ok(())
    }
}

#[tokio::test]
async fn granted_models_are_loaded_and_unloaded_and_others_are_not() {
    let repository = Arc::new(Repository::default());
    let control = ControlHandle::default();
    control.set(&(repository.clone() as Arc<dyn ModelControl>));
    let granted = || {
        let asked = NamePatterns::from_iter(["other"]);
        let model_control = ModelGrant { asked, allowed: vec![NamePatterns::all()] };
        PluginSpec { control: control.clone(), grants: Grants { model_control, ..Grants::default() }, ..spec() }
    };
    check("control", granted, "other:1:ready permission").await;
    let asked = repository.0.lock().unwrap();
    assert_eq!(asked.len(), 2 * plugins().count());
    assert!(asked.chunks(2).all(|pair| pair == ["load other", "unload other"]), "{asked:?}");
}

#[tokio::test]
async fn a_plugin_knows_its_request() {
    for (language, compiled) in plugins() {
        let request = InferRequest {
            id: "r1".to_owned(),
            priority: 3,
            requested_outputs: vec!["X".into()],
            sequence: Some(SequenceFlags { id: SequenceId::Text("s".to_owned()), start: true, end: false }),
            tenant: Some(Arc::new(Acme)),
            ..asking("request", numbers(&INPUT))
        };
        let found = run(&pool_of(compiled, spec()), DataType::Fp32, request).await.unwrap();
        assert_eq!(said(&found), "r1 1 3 acme s true false true 1 true", "{}", language.name);
    }
}

#[tokio::test]
async fn every_response_of_a_call_is_received() {
    for (language, compiled) in plugins() {
        let (server, service) = Server::start();
        server.serve("many", |request, mut sender| {
            let input: Vec<f32> = request.inputs[0].tensor.elements::<f32>().unwrap().to_vec();
            tokio::spawn(async move {
                for factor in 1..=3_u8 {
                    let answer: Vec<f32> = input.iter().map(|value| value * f32::from(factor)).collect();
                    let tensor = Tensor::from_elements([answer.len() as u64], &answer).unwrap();
                    sender.send(Ok(InferResponse::new(vec![NamedTensor::new("X", tensor)]))).await;
                }
                sender.finish();
            });
        });
        let pool = pool_of(compiled, PluginSpec { service, ..spec() });
        let found = ask(&pool, "responses", &[1.0, 2.0]).await.unwrap();
        assert_eq!(values(&found), [3.0, 6.0, 9.0], "{}", language.name);
    }
}

/// Remembers the spans that it is told.
#[derive(Debug, Default)]
struct Spans(Mutex<Vec<TraceSpan>>);

impl RequestTrace for Spans {
    fn enter(&self, _: &ModelIdentity, _: &str) {}

    fn event(&self, _: Activity, _: Instant) {}

    fn tensor(&self, _: TensorActivity, _: &Arc<str>, _: &Tensor) {}

    fn takes_spans(&self) -> bool {
        true
    }

    fn span(&self, span: TraceSpan) {
        self.0.lock().unwrap().push(span);
    }

    fn child(&self) -> Arc<dyn RequestTrace> {
        Arc::new(Self::default())
    }
}

/// Asks for `spans` under a trace, and gives what that was told, by name.
async fn spans_of(pool: &SandboxPool) -> (String, BTreeMap<String, TraceSpan>) {
    let spans = Arc::new(Spans::default());
    let request = InferRequest { trace: Some(spans.clone()), ..asking("spans", numbers(&INPUT)) };
    let found = run(pool, DataType::Fp32, request).await.unwrap();
    let told = spans.0.lock().unwrap().clone();
    (said(&found), told.into_iter().map(|span| (span.name.clone(), span)).collect())
}

#[tokio::test]
async fn steps_of_a_plugin_are_told_to_the_requests_trace() {
    for (language, compiled) in plugins() {
        let pool = pool_of(compiled, spec());
        let (recorded, spans) = spans_of(&pool).await;
        let names: Vec<&str> = spans.keys().map(String::as_str).collect();
        assert_eq!((&*recorded, names), ("true", vec!["inner", "of-request", "open", "outer"]), "{}", language.name);
        let (outer, inner) = (&spans["outer"], &spans["inner"]);
        let above = [inner.above, outer.above, spans["of-request"].above, spans["open"].above];
        assert_eq!(above, [Some(outer.id), None, None, None], "{}", language.name);
        let attribute = |name: &str, value| (name.to_owned(), value);
        let mut attributes = outer.attributes.clone();
        attributes.sort_by(|(left, _), (right, _)| left.cmp(right));
        let expected = [
            attribute("number", ParameterValue::Int(3)),
            attribute("sure", ParameterValue::Bool(true)),
            attribute("word", ParameterValue::String("x".to_owned())),
        ];
        assert_eq!(attributes, expected, "{}", language.name);
        assert_eq!(inner.attributes, [attribute("share", ParameterValue::Double(0.5))], "{}", language.name);
        let event = &outer.events[0];
        assert_eq!((outer.events.len(), &*event.name), (1, "half"), "{}", language.name);
        assert_eq!(event.attributes, [attribute("rows", ParameterValue::Int(2))], "{}", language.name);
        let times = [outer.started, event.at, inner.started, inner.ended, outer.ended];
        assert!(times.is_sorted(), "{}: {times:?}", language.name);
        let untraced = ask(&pool, "spans", &INPUT).await.unwrap();
        assert_eq!(said(&untraced), "false", "{}", language.name);
    }
}

#[tokio::test]
async fn what_a_call_adds_to_a_trace_is_limited() {
    for (language, compiled) in plugins() {
        let limits = PluginLimits { spans_max: 2, ..PluginLimits::DEFAULT };
        let pool = pool_of(compiled, PluginSpec { limits, ..spec() });
        for _ in 0..2 {
            let (_, spans) = spans_of(&pool).await;
            let names: Vec<&str> = spans.keys().map(String::as_str).collect();
            assert_eq!((names, spans["outer"].attributes.len()), (vec!["outer"], 1), "{}", language.name);
        }
        let limits = PluginLimits { span_bytes_max: 1, ..PluginLimits::DEFAULT };
        let (recorded, spans) = spans_of(&pool_of(compiled, PluginSpec { limits, ..spec() })).await;
        assert_eq!((&*recorded, spans.len()), ("false", 0), "{}", language.name);
    }
}
