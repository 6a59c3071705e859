//! Guests that await (`tests/guests/awaiter`) and ask models that are plugins themselves. `submit` begins such a model within the guest's own
//! call, on its thread, as far as the model gets without waiting; `infer` begins it elsewhere. Neither may panic, hang or hold the guest up.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    cell::Cell,
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use nereid_inference::{
    ErrorKind, InferError, InferRequest, InferResponse, ModelIdentity, ParameterValue, ResponseSender, ServiceHandle,
};
use nereid_plugin::{ModelGuest, PluginLimits, PluginSpec};
use support::{
    IDENTITY, INFER, OWN_INPUTS, Server,
    awaiter::{ask, execute_for, serve_silent, signature, start, start_over, times},
    call_record, component, component_with,
    languages::{built, models, plugin},
    pool, spec, values,
};
use tokio::{
    runtime::Builder,
    sync::{self, Barrier},
    time::timeout,
};

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    /// Whether this thread is polling the guest that asks.
    static ASKS_HERE: Cell<bool> = const { Cell::new(false) };
}

type Served = (Arc<Server>, ServiceHandle);

/// On one thread for everybody, and on several.
fn on_each_runtime<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async { timeout(PATIENCE, test()).await.unwrap() });
    }
}

/// As the scheduler serves a plugin: begun on the thread of whoever asks, and spawned when it waits.
fn serve_here<F: Future<Output = ()> + Send + 'static>(
    (server, _): &Served,
    name: &str,
    answer: impl Fn(InferRequest, ResponseSender) -> F + Send + Sync + 'static,
) {
    server.serve_as(name, signature(), move |request, sender| {
        let mut answering = Box::pin(answer(request, sender));
        if answering.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(answering);
        }
    });
}

fn spec_of(name: &str, service: &ServiceHandle) -> PluginSpec {
    PluginSpec { model: ModelIdentity::new(name, 1), signature: signature(), service: service.clone(), ..spec() }
}

/// A guest that does the same with every request.
fn serve_guest(served: &Served, name: &str, guest: ModelGuest, parameters: &[(&'static str, &str)]) {
    let guest = Arc::new(sync::Mutex::new(guest));
    let parameters: Vec<_> = parameters.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    serve_here(served, name, move |mut request, sender| {
        for (name, text) in &parameters {
            request.parameters.insert(*name, ParameterValue::String(text.clone()));
        }
        let guest = guest.clone();
        async move { execute_for(&mut *guest.lock().await, vec![signature().check(request).unwrap()], vec![sender]).await }
    });
}

/// One of `awaiter`.
fn serve_awaiter(served: &Served, name: &str, mode: &str, models: &str) -> Option<()> {
    serve_limited_awaiter(served, name, (mode, models), PluginLimits::DEFAULT)
}

fn serve_limited_awaiter(
    served: &Served,
    name: &str,
    (mode, models): (&str, &str),
    limits: PluginLimits,
) -> Option<()> {
    let guest = start(|spec| *spec = PluginSpec { limits, ..spec_of(name, &served.1) })?;
    serve_guest(served, name, guest, &[("do", mode), ("models", models)]);
    Some(())
}

/// One of the world that executes batches by returning.
fn serve_model(served: &Served, name: &str) -> Option<()> {
    let (_, compiled) = models().next()?;
    let guest = ModelGuest::start(plugin(compiled, spec_of(name, &served.1)), "m_0_0").unwrap();
    serve_guest(served, name, guest, &[("mode", "pass")]);
    Some(())
}

/// One of the world with one function.
fn serve_transform(served: &Served, name: &str, component: &[u8]) {
    let pool = Arc::new(pool(component, spec_of(name, &served.1)));
    serve_here(served, name, move |request, sender| {
        let pool = pool.clone();
        async move {
            let answer = pool.run(&signature().check(request).unwrap(), || sender.is_cancelled()).await;
            sender.respond(answer);
        }
    });
}

/// A transform that calls this model with its own inputs, waits, and answers what that answers.
fn caller_of(model: &str) -> Vec<u8> {
    let record = call_record(3000, (300, model.len()), OWN_INPUTS);
    let body = format!("{record} (call $infer (i32.const 3000) (i32.const 1024)) (i32.const 1024)");
    component_with(&[INFER], &body, &format!(r#"(data (i32.const 300) "{model}")"#))
}

/// Asks the guest while this thread knows that it does.
async fn ask_here(guest: &mut ModelGuest, mode: &str, models: &str) -> Result<InferResponse, InferError> {
    let mut asking = pin!(ask(guest, mode, models, &[2.0]));
    poll_fn(|context| {
        ASKS_HERE.set(true);
        let poll = asking.as_mut().poll(context);
        ASKS_HERE.set(false);
        poll
    })
    .await
}

/// A model that notes whether it was begun within the guest's call.
fn serve_noting(served: &Served, name: &str, begun_within: &Arc<Mutex<Vec<bool>>>) {
    let begun_within = begun_within.clone();
    served.0.serve_as(name, signature(), move |request, sender| {
        begun_within.lock().unwrap().push(ASKS_HERE.get());
        sender.respond(Ok(times(1.0, &request)));
    });
}

#[test]
fn plugins_of_every_world_are_asked_by_submit_and_by_infer() {
    on_each_runtime(|| async {
        let served = Server::start();
        serve_transform(&served, "transform", &component(&[], IDENTITY));
        let (Some(()), Some(())) = (serve_model(&served, "model"), serve_awaiter(&served, "awaiting", "", "")) else {
            return;
        };
        let Some(mut guest) = start_over(&served) else { return };
        for _ in 0..3 {
            let names = "transform,model,awaiting,model,transform,awaiting";
            let counted = ask(&mut guest, "count answers", names, &[2.0]).await.unwrap();
            assert_eq!(values(&counted), [1.0; 6]);
            assert_eq!(values(&ask(&mut guest, "sum", names, &[2.0]).await.unwrap()), [12.0]);
        }
    });
}

/// What the others rely on: that `submit` does begin a model within the guest's call.
#[tokio::test]
async fn submit_begins_a_model_within_the_guests_call_and_infer_does_not() {
    let served = Server::start();
    let begun_within = Arc::new(Mutex::new(Vec::new()));
    serve_noting(&served, "noting", &begun_within);
    let Some(mut guest) = start_over(&served) else { return };
    ask_here(&mut guest, "count answers", "noting").await.unwrap();
    ask_here(&mut guest, "sum", "noting").await.unwrap();
    assert_eq!(*begun_within.lock().unwrap(), [true, false]);
}

#[test]
fn a_guest_that_submits_to_itself_is_told_the_chain() {
    on_each_runtime(|| async {
        let served = Server::start();
        if serve_awaiter(&served, "relay", "count answers", "m").is_none() {
            return;
        }
        served.0.serve("m", |_, _| panic!("it waits for this"));
        serve_transform(&served, "returning", &caller_of("m"));
        let Some(mut guest) = start_over(&served) else { return };
        for (asked, chain) in
            [("m", "m -> m"), ("relay", "m -> relay -> m"), ("relay,m", "m -> "), ("returning", "m -> returning -> m")]
        {
            let error = ask(&mut guest, "count answers", asked, &[2.0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
            assert!(error.message().contains("'m' cannot be called, because it waits for this call itself"), "{error}");
            assert!(error.message().contains(chain), "{asked}: {error}");
        }
        assert_eq!(values(&ask(&mut guest, "", "", &[2.0]).await.unwrap()), [2.0]);
    });
}

/// Each plugin that is asked waits for a model of its own, and none of these answers before all of them were asked.
#[test]
fn several_plugins_that_wait_are_asked_by_submit_at_once() {
    on_each_runtime(|| async {
        let served = Server::start();
        let together = Arc::new(Barrier::new(3));
        for name in ["a", "b", "c"] {
            let together = together.clone();
            serve_here(&served, name, move |request, sender| {
                let together = together.clone();
                async move {
                    together.wait().await;
                    sender.respond(Ok(times(1.0, &request)));
                }
            });
        }
        serve_transform(&served, "of a", &caller_of("a"));
        for (name, mode, model) in [("of b", "sum", "b"), ("of c", "count answers", "c")] {
            if serve_awaiter(&served, name, mode, model).is_none() {
                return;
            }
        }
        let Some(mut guest) = start_over(&served) else { return };
        for _ in 0..3 {
            let counted = ask(&mut guest, "count answers", "of a,of b,of c", &[2.0]).await.unwrap();
            assert_eq!(values(&counted), [1.0; 3]);
        }
    });
}

#[test]
fn a_plugin_that_panics_within_submit_fails_alone() {
    on_each_runtime(|| async {
        let served = Server::start();
        serve_transform(&served, "trapping", &component(&[], "unreachable"));
        if serve_awaiter(&served, "panicking", "panic", "").is_none() {
            return;
        }
        let Some(mut guest) = start_over(&served) else { return };
        for asked in ["panicking", "trapping"] {
            let error = ask(&mut guest, "count answers", asked, &[2.0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
            assert!(error.message().contains(&format!("calling model '{asked}'")), "{error}");
            assert_eq!(values(&ask(&mut guest, "", "", &[2.0]).await.unwrap()), [2.0]);
        }
    });
}

#[test]
fn a_plugin_that_computes_for_long_does_not_hold_submit_up() {
    on_each_runtime(|| async {
        let served = Server::start();
        let limits = PluginLimits { cpu_time_max: Duration::from_millis(400), ..PluginLimits::DEFAULT };
        if serve_limited_awaiter(&served, "spinning", ("spin", ""), limits).is_none() {
            return;
        }
        let spun = Arc::new(AtomicBool::new(false));
        let (mark, look) = (spun.clone(), spun.clone());
        let spinning = served.1.get().unwrap().model("spinning", None).unwrap();
        // Stands before it, to see when it has ended.
        serve_here(&served, "watched", move |request, sender| {
            let (answers, mark) = (spinning.infer(request), mark.clone());
            async move {
                let answer = answers.single().await;
                mark.store(true, Ordering::SeqCst);
                sender.respond(answer);
            }
        });
        let asked_meanwhile = Arc::new(AtomicBool::new(false));
        let note = asked_meanwhile.clone();
        served.0.serve_as("quick", signature(), move |request, sender| {
            note.store(!look.load(Ordering::SeqCst), Ordering::SeqCst);
            sender.respond(Ok(times(1.0, &request)));
        });
        let Some(mut guest) = start_over(&served) else { return };
        let error = ask(&mut guest, "count answers", "watched,quick", &[2.0]).await.unwrap_err();
        assert!(error.message().contains("was ended after 400ms of computing (cpu_ms)"), "{error}");
        assert!(asked_meanwhile.load(Ordering::SeqCst), "quick was asked when the other had ended");
    });
}

/// A check that asks a model which does not answer in time says so, and the guest that asked is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_readiness_check_awaits_a_model_within_its_limit() {
    let served = Server::start();
    let Some(compiled) = built("contract_full_awaiting.wasm") else { return };
    let mut asked = serve_silent(&served.0, "asked");
    let limits = PluginLimits { readiness_time_max: Duration::from_millis(300), ..PluginLimits::DEFAULT };
    let parameters = BTreeMap::from([("asks".to_owned(), "asked".to_owned())]);
    let plugin = plugin(&compiled, PluginSpec { limits, parameters, ..spec_of("m", &served.1) });
    let mut guest = ModelGuest::start(plugin.clone(), "m_0_0").unwrap();
    assert!(plugin.readiness().is_err(), "it has not been asked yet");
    asked.recv().await.unwrap().respond(Ok(InferResponse::default()));
    until(|| plugin.readiness().is_ok()).await;
    // Whoever asks has it asked again, after a while; now nobody answers.
    let unanswered = loop {
        let _ = plugin.readiness();
        if let Ok(unanswered) = timeout(Duration::from_millis(20), asked.recv()).await {
            break unanswered.unwrap();
        }
    };
    let is_late = |error: InferError| error.message().contains("was ended at its deadline of 300ms (readiness_ms)");
    until(|| plugin.readiness().err().is_some_and(is_late)).await;
    timeout(PATIENCE, unanswered.cancelled()).await.unwrap();
    assert_eq!(values(&ask(&mut guest, "", "", &[2.0]).await.unwrap()), [2.0]);
}

/// Asks until it is so.
async fn until(is_so: impl Fn() -> bool) {
    let asking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
}
