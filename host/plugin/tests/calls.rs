//! Ordinary calls: what guests are given, what they may do with it, and calls of other models.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nereid_inference::{ErrorKind, InferError, InferResponse, ParameterValue, SequenceFlags, SequenceId};
use nereid_plugin::{CallListener, PluginLimits, PluginSpec};
use support::*;

/// Calls the model named at 300 with its own inputs, and answers what that answers.
fn caller_of(model: &str) -> Vec<u8> {
    caller_with_timeout(model, None)
}

fn caller_with_timeout(model: &str, timeout_ms: Option<u32>) -> Vec<u8> {
    let record = call_record(3000, (300, model.len()), OWN_INPUTS);
    let (timed, ms) = (u8::from(timeout_ms.is_some()), timeout_ms.unwrap_or(0));
    let body = format!(
        "{record} (i32.store8 offset=48 (i32.const 3000) (i32.const {timed}))
         (i32.store offset=52 (i32.const 3000) (i32.const {ms}))
         (call $infer (i32.const 3000) (i32.const 1024)) (i32.const 1024)"
    );
    component_with(&[INFER], &body, &format!(r#"(data (i32.const 300) "{model}")"#))
}

#[tokio::test]
async fn a_tensor_that_is_passed_on_is_not_copied() {
    let pool = pool(&component(&[], IDENTITY), spec());
    let request = request(&[1.5, -2.0]);
    let response = pool.run(&request, || false).await.unwrap();
    let input = request.input("X").unwrap();
    let output = response.output("X").unwrap();
    assert_eq!(output.buffer().as_slice().as_ptr(), input.buffer().as_slice().as_ptr());
}

#[tokio::test]
async fn a_guest_writes_to_a_copy_of_its_input() {
    let write = "(f32.store (i32.const 400) (f32.const 9))
         (call $write (i32.load offset=8 (local.get $inputs)) (i32.const 4) (i32.const 400) (i32.const 4) (i32.const 500))";
    let pool = pool(&component(&[WRITE], &format!("{write} {IDENTITY}")), spec());
    let request = request(&[1.0, 2.0, 3.0]);
    let response = pool.run(&request, || false).await.unwrap();
    assert_eq!(values(&response), [1.0, 9.0, 3.0]);
    assert_eq!(request.input("X").unwrap().elements::<f32>().unwrap().as_ref(), [1.0, 2.0, 3.0]);
}

#[tokio::test]
async fn whoever_listens_hears_what_each_call_used() {
    let (server, service) = Server::start();
    // Works on the guest's own thread, and not for the guest.
    let others = Duration::from_millis(300);
    server.serve("other", move |request, sender| {
        std::thread::sleep(others);
        sender.respond(Ok(InferResponse::new(request.inputs)));
    });
    let reports = Arc::new(Mutex::new(Vec::new()));
    let heard = reports.clone();
    let listener = CallListener::new(move |report| heard.lock().unwrap().push(report));
    let listened =
        |bytes: &[u8]| pool(bytes, PluginSpec { listener: Some(listener.clone()), service: service.clone(), ..spec() });
    listened(&caller_of("other")).run(&request(&[1.0]), || false).await.unwrap();
    listened(&component(&[], "unreachable")).run(&request(&[1.0]), || false).await.unwrap_err();
    let reports = reports.lock().unwrap();
    let used: Vec<_> = reports.iter().map(|report| (report.imports.clone(), report.model_calls)).collect();
    assert_eq!(used, [([("inference.infer", 1)].into(), 1), ([].into(), 0)]);
    assert!(reports.iter().all(|report| report.memory_bytes >= 65_536), "{reports:?}");
    assert!(reports.iter().all(|report| !report.cpu_time.is_zero() && report.cpu_time < others), "{reports:?}");
}

/// Counts its calls in a global, and answers with an error once there were three.
const COUNTING: &str = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
     (if (i32.ge_u (global.get $calls) (i32.const 3)) (then unreachable))";

#[tokio::test]
async fn a_guest_is_reused_and_a_fresh_one_per_call_forgets() {
    let bytes = component_with(&[], &format!("{COUNTING} {IDENTITY}"), "(global $calls (mut i32) (i32.const 0))");
    for (fresh_guest_per_call, served) in [(false, 2), (true, 5)] {
        let pool = pool(&bytes, PluginSpec { fresh_guest_per_call, ..spec() });
        let mut answers = 0;
        while answers < 5 && pool.run(&request(&[1.0]), || false).await.is_ok() {
            answers += 1;
        }
        assert_eq!(answers, served, "fresh guests: {fresh_guest_per_call}");
    }
}

#[tokio::test]
async fn a_guest_is_replaced_after_its_last_invocation() {
    let bytes = component_with(&[], &format!("{COUNTING} {IDENTITY}"), "(global $calls (mut i32) (i32.const 0))");
    let limits = PluginLimits { invocations_max: 2, ..PluginLimits::DEFAULT };
    let pool = pool(&bytes, PluginSpec { limits, ..spec() });
    for _ in 0..6 {
        pool.run(&request(&[1.0]), || false).await.unwrap();
    }
}

#[tokio::test]
async fn a_handle_kept_from_an_earlier_call_finds_nothing() {
    let body = "(local $kept i32)
         (local.set $kept (global.get $first))
         (if (i32.eqz (local.get $kept)) (then
           (global.set $first (i32.load offset=8 (local.get $inputs)))
           (return (call $ok_x (call $share (global.get $first))))))
         (call $ok_x (call $share (local.get $kept)))";
    let pool = pool(&component_with(&[SHARE], body, "(global $first (mut i32) (i32.const 0))"), spec());
    assert_eq!(values(&pool.run(&request(&[1.0]), || false).await.unwrap()), [1.0]);
    let error = pool.run(&request(&[2.0]), || false).await.unwrap_err();
    assert!(error.message().contains("kept from an earlier call"), "{error}");
}

#[tokio::test]
async fn a_guest_calls_a_model_and_answers_its_answer() {
    let (server, service) = Server::start();
    server.serve("double", |request, sender| {
        assert_eq!(request.callers.as_ref().unwrap().to_string(), "m");
        tokio::spawn(async move {
            let doubled: Vec<f32> =
                request.inputs[0].tensor.elements::<f32>().unwrap().iter().map(|value| value * 2.0).collect();
            sender.respond(Ok(InferResponse::new(infer_request(&doubled).inputs)));
        });
    });
    let pool = pool(&caller_of("double"), PluginSpec { service, ..spec() });
    assert_eq!(values(&pool.run(&request(&[1.0, 4.0]), || false).await.unwrap()), [2.0, 8.0]);
}

/// Calls `model` on a server where `m` calls it, and expects the error.
async fn check_failing_call(model: &str, expected: (ErrorKind, &str)) {
    let (server, service) = Server::start();
    server.serve("broken", |_, sender| sender.respond(Err(InferError::unavailable("out of order"))));
    server.serve("silent", |_, sender| drop(sender));
    let pool = pool(&caller_of(model), PluginSpec { service, ..spec() });
    let error = pool.run(&request(&[1.0]), || false).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), expected);
}

#[tokio::test]
async fn errors_of_called_models_reach_the_client_with_their_kind() {
    let text = "plugin 'model.wasm' of model 'm': Request for unknown model: 'nowhere' is not found";
    check_failing_call("nowhere", (ErrorKind::NotFound, text)).await;
    let text = "plugin 'model.wasm' of model 'm': calling model 'broken': out of order";
    check_failing_call("broken", (ErrorKind::Unavailable, text)).await;
    let text = "plugin 'model.wasm' of model 'm': calling model 'silent': the model dropped the request without a final \
                response";
    check_failing_call("silent", (ErrorKind::Internal, text)).await;
}

#[tokio::test]
async fn a_plugin_that_calls_itself_gets_an_error_with_the_chain() {
    let (server, service) = Server::start();
    for (name, called) in [("m", "other"), ("other", "m")] {
        let model = nereid_inference::ModelIdentity::new(name, 1);
        server.serve_plugin(name, pool(&caller_of(called), PluginSpec { model, service: service.clone(), ..spec() }));
    }
    let answer = nereid_inference::InferenceService::model(&*server, "m", None).unwrap().infer(infer_request(&[1.0]));
    let error = answer.single().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(error.message().ends_with("it waits for this call itself: m -> other -> m"), "{error}");
}

#[tokio::test]
async fn a_chain_beyond_the_depth_limit_is_refused_with_the_chain() {
    let (_server, service) = Server::start();
    let limits = PluginLimits { call_depth_max: 1, ..PluginLimits::DEFAULT };
    let pool = pool(&caller_of("next"), PluginSpec { limits, service, ..spec() });
    let error = pool.run(&request(&[1.0]), || false).await.unwrap_err();
    assert!(error.message().ends_with("longest allowed (call_depth): m -> next"), "{error}");
}

#[tokio::test]
async fn waiting_for_a_model_is_not_computing_and_ends_at_the_deadline() {
    let (server, service) = Server::start();
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = held.clone();
    server.serve("never", move |_, sender| keep.lock().unwrap().push(sender));
    let limits = PluginLimits {
        wall_time_max: Duration::from_millis(150),
        cpu_time_max: Duration::from_millis(100),
        ..PluginLimits::DEFAULT
    };
    let pool = pool(&caller_of("never"), PluginSpec { limits, service, ..spec() });
    let error = pool.run(&request(&[1.0]), || false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().contains("deadline of 150ms"), "{error}");
    assert!(held.lock().unwrap()[0].is_cancelled(), "the child request goes with its caller");
}

#[tokio::test]
async fn dropping_a_call_cancels_the_calls_it_made() {
    let (server, service) = Server::start();
    let (asked, cancelled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, seen) = (asked.clone(), cancelled.clone());
    server.serve("slow", move |_, sender| {
        count.fetch_add(1, Ordering::SeqCst);
        let seen = seen.clone();
        tokio::spawn(async move {
            while !sender.is_cancelled() {
                tokio::task::yield_now().await;
            }
            seen.store(true, Ordering::SeqCst);
        });
    });
    let pool = pool(&caller_of("slow"), PluginSpec { service, ..spec() });
    let request = request(&[1.0]);
    let mut running = Box::pin(pool.run(&request, || false));
    while asked.load(Ordering::SeqCst) == 0 {
        assert!(futures_util::poll!(running.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    drop(running);
    while !cancelled.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_calls_run_in_one_pool_at_the_same_time() {
    let (server, service) = Server::start();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let keep = waiting.clone();
    // Answers nobody until all ten are there.
    server.serve("gate", move |request, sender| {
        let mut waiting = keep.lock().unwrap();
        waiting.push((request, sender));
        if waiting.len() == 10 {
            for (request, sender) in waiting.drain(..) {
                sender.respond(Ok(InferResponse::new(request.inputs)));
            }
        }
    });
    let pool = pool(&caller_of("gate"), PluginSpec { service, ..spec() });
    let requests: Vec<_> = (0..10).map(|number| request(&[number as f32])).collect();
    let answers = futures_util::future::join_all(requests.iter().map(|request| pool.run(request, || false))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(values(&answer.unwrap()), [number as f32]);
    }
}

#[tokio::test]
async fn a_guest_that_leaks_handles_is_replaced_before_it_fails() {
    let body = format!("(drop (call $share (i32.load offset=8 (local.get $inputs)))) {IDENTITY}");
    let limits = PluginLimits { handles_max: 10, ..PluginLimits::DEFAULT };
    let pool = pool(&component(&[SHARE], &body), PluginSpec { limits, ..spec() });
    for _ in 0..5000 {
        pool.run(&request(&[1.0]), || false).await.unwrap();
    }
}

#[tokio::test]
async fn a_guest_that_waits_no_longer_hears_so_and_goes_on() {
    let (server, service) = Server::start();
    let held = Mutex::new(Vec::new());
    server.serve("never", move |_, sender| held.lock().unwrap().push(sender));
    let pool = pool(&caller_with_timeout("never", Some(20)), PluginSpec { service, ..spec() });
    let error = pool.run(&request(&[1.0]), || false).await.unwrap_err();
    let expected = "plugin 'model.wasm' of model 'm': model 'never' did not answer within the call's timeout-ms";
    assert_eq!((error.kind(), error.message()), (ErrorKind::DeadlineExceeded, expected));
}

/// Waits for either of the calls at 4100 and 4200, and answers with what came first.
const RACE: &str = "(if (i32.load8_u (i32.const 4200)) (then unreachable))
     (i32.store (i32.const 4300) (i32.load offset=4 (i32.const 4100)))
     (i32.store (i32.const 4304) (i32.load offset=4 (i32.const 4200)))
     (call $wait_any (i32.const 4300) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 4400))
     (if (i32.load8_u (i32.const 4400)) (then unreachable))
     (if (i32.eqz (i32.load8_u offset=4 (i32.const 4400))) (then unreachable))
     (local.set $winner (i32.shl (i32.load offset=8 (i32.const 4400)) (i32.const 2)))
     (call $receive (i32.load offset=4300 (local.get $winner)) (i32.const 4500))
     (if (i32.load8_u (i32.const 4500)) (then unreachable))
     (if (i32.eqz (i32.load8_u offset=4 (i32.const 4500))) (then unreachable))
     (call $ok (i32.load offset=8 (i32.const 4500)) (i32.load offset=12 (i32.const 4500)))";

/// Submits its input to `slow` and to `fast`, before the race.
fn racing() -> String {
    let slow = call_record(3000, (300, 4), ("(i32.const 4000)", "(i32.const 1)"));
    let fast = call_record(3200, (304, 4), OWN_INPUTS);
    format!(
        "(local $winner i32)
         (i32.store (i32.const 4000) (i32.const 16))
         (i32.store (i32.const 4004) (i32.const 1))
         (i32.store (i32.const 4008) (call $share (i32.load offset=8 (local.get $inputs))))
         {slow} (call $submit (i32.const 3000) (i32.const 4100))
         (if (i32.load8_u (i32.const 4100)) (then unreachable))
         {fast} (call $submit (i32.const 3200) (i32.const 4200)) {RACE}"
    )
}

#[tokio::test]
async fn of_two_calls_at_a_time_the_first_answer_wins_and_the_other_is_cancelled() {
    let (server, service) = Server::start();
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = held.clone();
    server.serve("slow", move |_, sender| keep.lock().unwrap().push(sender));
    server.serve("fast", |_, sender| {
        tokio::spawn(async { sender.respond(Ok(InferResponse::new(infer_request(&[42.0]).inputs))) });
    });
    let definitions = r#"(data (i32.const 300) "slowfast")"#;
    let bytes = component_with(&[SHARE, SUBMIT, WAIT_ANY, RECEIVE], &racing(), definitions);
    let pool = pool(&bytes, PluginSpec { service, ..spec() });
    assert_eq!(values(&pool.run(&request(&[1.0]), || false).await.unwrap()), [42.0]);
    assert!(held.lock().unwrap()[0].is_cancelled());
}

#[tokio::test]
async fn parameters_of_the_request_are_given_and_those_of_the_response_are_taken() {
    let parameters =
        r#"(import "nereid:plugin/serving@1.0.0" "[method]request.parameters" (func $parameters (param i32 i32)))"#;
    let body = "(drop (call $ok (local.get $inputs) (local.get $count)))
         (call $parameters (local.get $request) (i32.const 1036))
         (i32.const 1024)";
    let pool = pool(&component(&[parameters], body), spec());
    let mut request = infer_request(&[1.0]);
    for (name, value) in [
        ("b", ParameterValue::Bool(true)),
        ("i", ParameterValue::Int(-5)),
        ("u", ParameterValue::Uint(u64::MAX)),
        ("d", ParameterValue::Double(0.5)),
        ("s", ParameterValue::String("text".into())),
    ] {
        request.parameters.insert(name, value);
    }
    let expected = request.parameters.clone();
    let response = pool.run(&signature().check(request).unwrap(), || false).await.unwrap();
    assert_eq!(response.parameters, expected);
}

/// Calls `seen` as request `seen` of priority 2, first of the sequence of this number.
fn caller_in_sequence(number: u64) -> Vec<u8> {
    let record = call_record(3000, (300, 4), OWN_INPUTS);
    let body = format!(
        "{record}
         (i32.store8 offset=56 (i32.const 3000) (i32.const 1))
         (i32.store offset=60 (i32.const 3000) (i32.const 300))
         (i32.store offset=64 (i32.const 3000) (i32.const 4))
         (i32.store8 offset=72 (i32.const 3000) (i32.const 1))
         (i64.store offset=80 (i32.const 3000) (i64.const 2))
         (i32.store8 offset=88 (i32.const 3000) (i32.const 1))
         (i64.store offset=104 (i32.const 3000) (i64.const {number}))
         (i32.store8 offset=112 (i32.const 3000) (i32.const 1))
         (call $infer (i32.const 3000) (i32.const 1024)) (i32.const 1024)"
    );
    component_with(&[INFER], &body, r#"(data (i32.const 300) "seen")"#)
}

#[tokio::test]
async fn a_call_says_its_own_id_priority_and_place_in_a_sequence() {
    let (server, service) = Server::start();
    let seen = Arc::new(Mutex::new(None));
    let note = seen.clone();
    server.serve("seen", move |request, sender| {
        *note.lock().unwrap() = Some((request.id.clone(), request.priority, request.sequence.clone()));
        sender.respond(Ok(InferResponse::new(request.inputs)));
    });
    let pool = pool(&caller_in_sequence(7), PluginSpec { service: service.clone(), ..spec() });
    pool.run(&request(&[1.0]), || false).await.unwrap();
    let flags = SequenceFlags { id: SequenceId::Number(7), start: true, end: false };
    assert_eq!(*seen.lock().unwrap(), Some(("seen".to_owned(), 2, Some(flags))));
}

#[tokio::test]
async fn a_sequence_that_no_client_could_name_is_refused() {
    let (_server, service) = Server::start();
    let pool = pool(&caller_in_sequence(0), PluginSpec { service, ..spec() });
    let error = pool.run(&request(&[1.0]), || false).await.unwrap_err();
    assert_eq!(error.message(), "plugin 'model.wasm' of model 'm': a sequence's id cannot be 0");
}

#[tokio::test]
async fn a_call_that_is_cancelled_gives_nothing_more() {
    let (server, service) = Server::start();
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = held.clone();
    server.serve("slow", move |_, sender| keep.lock().unwrap().push(sender));
    let record = call_record(3000, (300, 4), ("(i32.const 0)", "(i32.const 0)"));
    let body = format!(
        "{record} (call $submit (i32.const 3000) (i32.const 4100))
         (if (i32.load8_u (i32.const 4100)) (then unreachable))
         (call $cancel (i32.load offset=4 (i32.const 4100)))
         (call $receive (i32.load offset=4 (i32.const 4100)) (i32.const 4500))
         (if (i32.load8_u (i32.const 4500)) (then unreachable))
         (if (i32.load8_u offset=4 (i32.const 4500)) (then unreachable))
         {IDENTITY}"
    );
    let bytes = component_with(&[SUBMIT, CANCEL, RECEIVE], &body, r#"(data (i32.const 300) "slow")"#);
    let pool = pool(&bytes, PluginSpec { service, ..spec() });
    pool.run(&request(&[1.0]), || false).await.unwrap();
    assert!(held.lock().unwrap()[0].is_cancelled());
}
