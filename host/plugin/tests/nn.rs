//! `wasi:nn`: a guest whose inference code was written for any host of that interface (`tests/guests/nn`) calls the models of
//! this one, as far as it may. The same with a real model and Triton's clients: `tests/clients/test_wasi_nn.py`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use nereid_inference::{
    CheckedRequest, ErrorKind, InferError, InferRequest, InferResponse, InferenceService, NamedTensor, ParameterValue,
    ResponseSender, ServiceHandle, Signature, TensorSpec,
};
use nereid_plugin::{CompiledPlugin, Grants, ModelGrant, NamePatterns, Plugin, PluginLimits, PluginSpec, SandboxPool};
use nereid_tensor::{DataType, Tensor};
use support::{
    Acme, ENGINE, IDENTITY, Server, compile, core, encode_for,
    languages::{built, numbers, pool_of, signature_of},
    pool, signature, spec, values,
};

static GUEST: LazyLock<Option<CompiledPlugin>> = LazyLock::new(|| built("nn.wasm"));

/// The guest, as the plugin of a model with these tensors; `None` where it was not built.
fn guest(signature: Signature, spec: PluginSpec) -> Option<SandboxPool> {
    Some(pool_of(GUEST.as_ref()?, PluginSpec { signature, ..spec }))
}

/// The guest as most tests have it: `X` in, `X` out, and every model of the service.
fn guest_of(service: &ServiceHandle) -> Option<SandboxPool> {
    guest(signature(), PluginSpec { service: service.clone(), ..spec() })
}

type Parameter<'a> = (&'a str, ParameterValue);

fn text(value: &str) -> ParameterValue {
    ParameterValue::String(value.to_owned())
}

fn asking(inputs: Vec<NamedTensor>, parameters: &[Parameter<'_>]) -> InferRequest {
    let mut request = InferRequest::new(inputs);
    for (name, value) in parameters {
        request.parameters.insert(*name, value.clone());
    }
    request
}

/// `X` holding 1 and 2, for the graph of this name.
fn for_graph(graph: &str, more: &[Parameter<'_>]) -> CheckedRequest {
    let request =
        asking(vec![NamedTensor::new("X", numbers(&[1.0, 2.0]))], &[&[("graph", text(graph))], more].concat());
    signature().check(request).unwrap()
}

async fn ask(pool: &SandboxPool, graph: &str, more: &[Parameter<'_>]) -> Result<InferResponse, InferError> {
    pool.run(&for_graph(graph, more), || false).await
}

/// Answers a request with its inputs, if they fit these tensors.
fn echo(signature: &Signature) -> impl Fn(InferRequest, ResponseSender) + Send + Sync + use<> {
    let signature = signature.clone();
    move |request, sender| {
        sender.respond(signature.check(request).map(|checked| InferResponse::new(checked.get().inputs.clone())));
    }
}

/// One tensor of each type that the interface has, three elements each.
fn samples() -> [Tensor; 7] {
    let raw = |data_type, bytes: [u8; 6]| Tensor::new(data_type, [3].into(), bytes.to_vec().into()).unwrap();
    [
        raw(DataType::Fp16, [0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc]),
        raw(DataType::Bf16, [0x80, 0x3f, 0x01, 0x00, 0x80, 0xff]),
        Tensor::from_elements([3], &[0.1_f32, f32::MIN_POSITIVE, f32::NEG_INFINITY]).unwrap(),
        Tensor::from_elements([3], &[0.1_f64, f64::MIN_POSITIVE, f64::INFINITY]).unwrap(),
        Tensor::from_elements([3], &[0_u8, 128, 255]).unwrap(),
        Tensor::from_elements([3], &[-1_i32, i32::MIN, i32::MAX]).unwrap(),
        Tensor::from_elements([3], &[-1_i64, i64::MIN, (1 << 53) + 1]).unwrap(),
    ]
}

#[tokio::test]
async fn every_type_of_the_interface_goes_to_a_model_and_comes_back() {
    for sample in samples() {
        let (server, service) = Server::start();
        let signature = signature_of(sample.data_type());
        server.serve_as("echo", signature.clone(), echo(&signature));
        let Some(pool) = guest(signature.clone(), PluginSpec { service, ..spec() }) else { return };
        let request = asking(vec![NamedTensor::new("X", sample.clone())], &[("graph", text("echo:1"))]);
        let answer = pool.run(&signature.check(request).unwrap(), || false).await.unwrap();
        let found = &answer.output("X").unwrap();
        assert_eq!((found.data_type(), found.shape()), (sample.data_type(), sample.shape()));
        assert_eq!(found.buffer().as_slice(), sample.buffer().as_slice());
    }
}

/// Two tensors that a mistake in their order would show.
fn pair() -> Signature {
    let tensor =
        |name: &str| TensorSpec { name: name.into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    let (left, right) = (tensor("LEFT"), tensor("RIGHT"));
    Signature {
        model_name: "pair".into(),
        inputs: vec![left.clone(), right.clone()],
        outputs: vec![left, right],
        max_batch_size: 0,
    }
}

/// What the model `pair` was given, when the guest calls `LEFT` = 1 and `RIGHT` = 2 by these names.
async fn given_as(names: &str) -> Option<Result<Vec<f32>, String>> {
    let (server, service) = Server::start();
    server.serve_as("pair", pair(), |request, sender| {
        let checked = pair().check(request);
        // The other way round than its configuration says.
        sender.respond(checked.map(|checked| InferResponse::new(checked.get().inputs.iter().rev().cloned().collect())));
    });
    let pool = guest(pair(), PluginSpec { service, ..spec() })?;
    let inputs = vec![NamedTensor::new("LEFT", numbers(&[1.0])), NamedTensor::new("RIGHT", numbers(&[2.0]))];
    let request = asking(inputs, &[("graph", text("pair")), ("names", text(names))]);
    let answer = pool.run(&pair().check(request).unwrap(), || false).await;
    Some(answer.map_err(|error| error.message().to_owned()).map(|response| {
        assert_eq!(response.parameters.get("order"), Some(&text("LEFT,RIGHT")));
        ["LEFT", "RIGHT"].iter().map(|name| response.output(name).unwrap().elements::<f32>().unwrap()[0]).collect()
    }))
}

#[tokio::test]
async fn inputs_are_known_by_name_by_position_and_by_order_and_outputs_come_in_order() {
    for (names, expected) in [
        ("", [1.0, 2.0]),
        ("RIGHT,LEFT", [2.0, 1.0]),
        ("0,1", [1.0, 2.0]),
        ("1,0", [2.0, 1.0]),
        ("in,more", [1.0, 2.0]),
    ] {
        let Some(found) = given_as(names).await else { return };
        assert_eq!(found, Ok(expected.to_vec()), "{names}");
    }
    for (names, expected) in [
        ("LEFT,more", "InvalidArgument: model 'pair' has no input 'more': its inputs are LEFT, RIGHT,"),
        ("0,7", "InvalidArgument: model 'pair' has no input '7'"),
        ("LEFT,0", "InvalidArgument: two tensors are given for input 'LEFT' of model 'pair'"),
    ] {
        let Some(found) = given_as(names).await else { return };
        let message = found.unwrap_err();
        assert!(message.contains(expected), "{names}: {message}");
    }
}

#[tokio::test]
async fn a_computation_is_on_the_account_of_the_request_that_it_serves() {
    let (server, service) = Server::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    server.serve("seen", move |request, sender| {
        let tenant = request.tenant.as_ref().map(|tenant| tenant.name().to_string());
        let chain = request.callers.as_ref().map(|callers| callers.to_string());
        note.lock().unwrap().push((request.id.clone(), request.priority, tenant, chain));
        sender.respond(Ok(InferResponse::new(request.inputs)));
    });
    let Some(pool) = guest_of(&service) else { return };
    let inputs = vec![NamedTensor::new("X", numbers(&[1.0]))];
    let request = InferRequest {
        id: "r1".to_owned(),
        priority: 3,
        tenant: Some(Arc::new(Acme)),
        ..asking(inputs, &[("graph", text("seen")), ("times", ParameterValue::Int(2))])
    };
    pool.run(&signature().check(request).unwrap(), || false).await.unwrap();
    let one = ("r1".to_owned(), 3, Some("acme".to_owned()), Some("m".to_owned()));
    assert_eq!(*seen.lock().unwrap(), [one.clone(), one]);
}

/// The guest hears of a failure by its code and words, and is used again.
async fn check_failure(spec: PluginSpec, graph: &str, more: &[Parameter<'_>], expected: &str) {
    let Some(pool) = guest(signature(), spec) else { return };
    for _ in 0..2 {
        let error = ask(&pool, graph, more).await.unwrap_err();
        let expected = format!("plugin 'model.wasm' of model 'm': ErrorCode::{expected}");
        assert!(error.message().starts_with(&expected), "{error}\nexpected: {expected}");
    }
}

#[tokio::test]
async fn failures_have_the_codes_of_the_interface_and_words() {
    let (server, service) = Server::start();
    server.serve_as("echo", signature(), echo(&signature()));
    server.serve("away", |_, sender| sender.respond(Err(InferError::unavailable("its engine is away"))));
    server.serve_as("texts", signature_of(DataType::Bytes), echo(&signature()));
    server.serve("many", |request, mut sender| {
        tokio::spawn(async move {
            sender.send(Ok(InferResponse::new(request.inputs.clone()))).await;
            sender.respond(Ok(InferResponse::new(request.inputs)));
        });
    });
    let spec = || PluginSpec { service: service.clone(), ..spec() };
    for (graph, more, expected) in [
        ("nobody", &[][..], "NotFound: Request for unknown model: 'nobody' is not found"),
        ("", &[], "NotFound: "),
        ("echo", &[("spoil", text("type"))], "InvalidArgument: calling model 'echo': [request id: <id_unknown>] "),
        ("echo", &[("spoil", text("length"))], "InvalidArgument: tensor 'X': "),
        ("away", &[], "RuntimeError: calling model 'away': its engine is away"),
        ("texts", &[], "UnsupportedOperation: output 'X' is of BYTES, which wasi:nn has no type for"),
        ("many", &[], "RuntimeError: calling model 'many': expected a single response, got several"),
        ("echo", &[("bytes", ParameterValue::Int(1))], "UnsupportedOperation: a model cannot be loaded from bytes"),
    ] {
        check_failure(spec(), graph, more, expected).await;
    }
}

#[tokio::test]
async fn only_granted_models_are_graphs() {
    let (server, service) = Server::start();
    server.serve_as("echo", signature(), echo(&signature()));
    let granting = |asked: &str, allowed: &str| {
        let allowed = vec![NamePatterns::from_iter([allowed])];
        let models = ModelGrant { asked: NamePatterns::from_iter([asked]), allowed };
        PluginSpec { service: service.clone(), grants: Grants { models, ..Grants::default() }, ..spec() }
    };
    for (asked, allowed, expected) in [
        ("other", "*", "Security: it may not call model 'echo': list it under [grants] models in its plugin.toml"),
        ("*", "other", "Security: it may not call model 'echo': the server's operator does not allow it"),
    ] {
        check_failure(granting(asked, allowed), "echo", &[], expected).await;
        check_failure(granting(asked, allowed), "echo:1", &[], expected).await;
    }
    let Some(pool) = guest(signature(), granting("ec*", "*o")) else { return };
    assert_eq!(values(&ask(&pool, "echo:1", &[]).await.unwrap()), [1.0, 2.0]);
}

#[tokio::test]
async fn a_model_that_waits_already_is_no_graph_to_compute_with() {
    let (server, service) = Server::start();
    let Some(pool) = guest_of(&service) else { return };
    server.serve_plugin("m", pool);
    let request = for_graph("m", &[]).into_inner();
    let error = server.model("m", None).unwrap().infer(request).single().await.unwrap_err();
    let expected = "RuntimeError: model 'm' cannot be called, because it waits for this call itself: m -> m";
    assert!(error.message().ends_with(expected), "{error}");
    let limits = PluginLimits { call_depth_max: 1, ..PluginLimits::DEFAULT };
    server.serve_as("echo", signature(), echo(&signature()));
    let expected = "RuntimeError: a chain of 1 models is the longest allowed (call_depth): m -> echo";
    check_failure(PluginSpec { service, limits, ..spec() }, "echo", &[], expected).await;
}

/// The test has one thread, and no model answers before all computations are under way.
#[tokio::test]
async fn a_computation_holds_no_thread() {
    const CALLS: usize = 24;
    let (server, service) = Server::start();
    let waiting = Mutex::new(Vec::new());
    server.serve("gate", move |request, sender| {
        let mut waiting = waiting.lock().unwrap();
        waiting.push((request, sender));
        if waiting.len() == CALLS {
            for (request, sender) in waiting.drain(..) {
                sender.respond(Ok(InferResponse::new(request.inputs)));
            }
        }
    });
    let Some(pool) = guest_of(&service) else { return };
    let answers = join_all((0..CALLS).map(|_| ask(&pool, "gate", &[]))).await;
    assert!(answers.iter().all(|answer| values(answer.as_ref().unwrap()) == [1.0, 2.0]));
}

#[tokio::test]
async fn waiting_for_a_computation_is_not_computing_and_ends_with_the_call() {
    let (server, service) = Server::start();
    let held: Arc<Mutex<Vec<ResponseSender>>> = Arc::default();
    let keep = held.clone();
    server.serve("never", move |_, sender| keep.lock().unwrap().push(sender));
    let limits = PluginLimits {
        wall_time_max: Duration::from_millis(400),
        cpu_time_max: Duration::from_millis(300),
        ..PluginLimits::DEFAULT
    };
    let Some(pool) = guest(signature(), PluginSpec { limits, service, ..spec() }) else { return };
    let error = ask(&pool, "never", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message().contains("deadline of 400ms"), "{error}");
    assert!(held.lock().unwrap()[0].is_cancelled(), "the request goes with its caller");
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_computation_with_it() {
    let (server, service) = Server::start();
    let held: Arc<Mutex<Vec<ResponseSender>>> = Arc::default();
    let keep = held.clone();
    server.serve("slow", move |_, sender| keep.lock().unwrap().push(sender));
    let Some(pool) = guest_of(&service) else { return };
    let mut running = Box::pin(ask(&pool, "slow", &[]));
    while held.lock().unwrap().is_empty() {
        assert!(futures_util::poll!(running.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(!held.lock().unwrap()[0].is_cancelled());
    drop(running);
    assert!(held.lock().unwrap()[0].is_cancelled());
}

#[tokio::test]
async fn computations_count_as_calls_of_models_and_tensors_as_memory() {
    let (server, service) = Server::start();
    server.serve_as("echo", signature(), echo(&signature()));
    let limited = |limits: PluginLimits| PluginSpec { limits, service: service.clone(), ..spec() };
    let twice = [("times", ParameterValue::Int(2))];
    let calls = PluginLimits { model_calls_max: 1, ..PluginLimits::DEFAULT };
    let expected = "RuntimeError: more than 1 calls to other models in one call (model_calls)";
    check_failure(limited(calls), "echo", &twice, expected).await;
    let handles = PluginLimits { handles_max: 5, ..PluginLimits::DEFAULT };
    let Some(pool) = guest(signature(), limited(handles)) else { return };
    let error = ask(&pool, "echo", &[("hold", ParameterValue::Int(9))]).await.unwrap_err();
    assert!(error.message().contains("5 handles are open, the limit (handles)"), "{error}");
    // The request's own input is free of charge; the guest's copy of it is not.
    let memory = PluginLimits { host_tensor_bytes_max: 7, ..PluginLimits::DEFAULT };
    let Some(pool) = guest(signature(), limited(memory)) else { return };
    let error = ask(&pool, "echo", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(error.message().contains("8 more bytes of tensors exceed the limit of 7 bytes"), "{error}");
}

#[tokio::test]
async fn memory_is_given_back_between_computations() {
    let (server, service) = Server::start();
    server.serve_as("echo", signature(), echo(&signature()));
    let limits = PluginLimits { host_tensor_bytes_max: 40, ..PluginLimits::DEFAULT };
    let Some(pool) = guest(signature(), PluginSpec { limits, service, ..spec() }) else { return };
    ask(&pool, "echo", &[("times", ParameterValue::Int(50))]).await.unwrap();
}

#[tokio::test]
async fn a_graph_outlives_its_call_and_means_whatever_serves_by_its_name() {
    let (server, service) = Server::start();
    let generation = |answer: f32| {
        move |_: InferRequest, sender: ResponseSender| {
            sender.respond(Ok(InferResponse::new(vec![NamedTensor::new("X", numbers(&[answer]))])));
        }
    };
    server.serve("swapped", generation(1.0));
    server.serve("other", generation(-1.0));
    let Some(pool) = guest_of(&service) else { return };
    let keep = [("keep", ParameterValue::Int(1))];
    assert_eq!(values(&ask(&pool, "swapped", &keep).await.unwrap()), [1.0]);
    server.serve("swapped", generation(2.0));
    // The guest has a graph already, and loads no other.
    assert_eq!(values(&ask(&pool, "other", &keep).await.unwrap()), [2.0]);
}

#[tokio::test]
async fn a_guest_that_closes_no_graph_is_replaced_before_it_fails() {
    let (server, service) = Server::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    server.serve("echo", move |request, sender| {
        count.fetch_add(1, Ordering::SeqCst);
        sender.respond(Ok(InferResponse::new(request.inputs)));
    });
    let limits = PluginLimits { handles_max: 20, ..PluginLimits::DEFAULT };
    let Some(pool) = guest(signature(), PluginSpec { limits, service, ..spec() }) else { return };
    for _ in 0..100 {
        ask(&pool, "echo", &[("hold", ParameterValue::Int(2))]).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 100);
}

/// A guest that loads the graph `later` while it is started, and then gives its inputs back.
fn early() -> Vec<u8> {
    let load = r#"(import "wasi:nn/graph@0.2.0-rc-2024-10-28" "load-by-name" (func $load (param i32 i32 i32)))"#;
    let definitions = r#"(data (i32.const 300) "later")
      (func (export "_initialize")
        (call $load (i32.const 300) (i32.const 5) (i32.const 400))
        (if (i32.load8_u (i32.const 400)) (then unreachable)))"#;
    let (_, interfaces) = include_str!("../../../tests/guests/nn/wit/wasi-nn.wit").split_once(";\n").unwrap();
    let wit = format!(
        "package nereid:test;
         world guest {{ include nereid:plugin/transform-plugin@1.0.0; import wasi:nn/graph@0.2.0-rc-2024-10-28; }}
         package wasi:nn@0.2.0-rc-2024-10-28 {{ {interfaces} }}"
    );
    encode_for(&core(&[load], IDENTITY, definitions), "guest", Some(&wit))
}

#[tokio::test]
async fn a_guest_that_is_started_loads_what_is_granted_before_it_is_there() {
    let (_server, service) = Server::start();
    let started = pool(&early(), PluginSpec { service: service.clone(), ..spec() });
    assert_eq!(values(&started.run(&for_graph("later", &[]), || false).await.unwrap()), [1.0, 2.0]);
    let spec = PluginSpec { service, grants: Grants::default(), ..spec() };
    let plugin = Plugin::new(&ENGINE, compile(&early()), spec);
    let refused = SandboxPool::start(plugin, "m_0_0").map(drop).unwrap_err();
    assert!(refused.to_string().contains("trapped"), "{refused}");
}
