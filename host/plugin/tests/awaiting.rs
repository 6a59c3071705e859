//! Guests that await (`tests/guests/awaiter`): several models at once, several requests of a batch at once, under the limits that hold for
//! all guests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex},
};

use nereid_inference::{ErrorKind, response_channel};
use nereid_plugin::{Grants, ModelGrant, ModelGuest, PluginEngine, PluginKind, PluginLimits, PluginSpec};
use nereid_telemetry::{GuestEnd, ModelUsage};
use support::{
    Server,
    awaiter::{all, ask, execute, execute_for, row, serve_silent, signature, start, start_over, times},
    languages::{built, plugin, root},
    spec, values,
};
use tokio::sync::Barrier;

/// Models that answer when all of these have been asked, and not before.
fn serve_together(server: &Server, names: &'static [&'static str]) {
    let together = Arc::new(Barrier::new(names.len()));
    for (name, factor) in names.iter().zip([1.0, 10.0, 100.0]) {
        let together = together.clone();
        server.serve(name, move |request, sender| {
            let together = together.clone();
            tokio::spawn(async move {
                together.wait().await;
                sender.respond(Ok(times(factor, &request)));
            });
        });
    }
}

#[tokio::test]
async fn a_tensor_that_is_passed_on_is_not_copied() {
    let Some(mut guest) = start(|_| ()) else { return };
    let request = row("", "", &[1.5, -2.0]);
    let sent = request.inputs[0].tensor.clone();
    let answer = execute(&mut guest, vec![request]).await.remove(0).single().await.unwrap();
    assert_eq!(values(&answer), [1.5, -2.0]);
    assert_eq!(answer.output("X").unwrap().buffer().as_slice().as_ptr(), sent.buffer().as_slice().as_ptr());
}

#[tokio::test]
async fn models_that_are_awaited_together_work_at_the_same_time() {
    let server = Server::start();
    serve_together(&server.0, &["a", "b", "c"]);
    let Some(mut guest) = start_over(&server) else { return };
    for _ in 0..3 {
        assert_eq!(values(&ask(&mut guest, "sum", "a,b,c", &[1.0, 2.0]).await.unwrap()), [111.0, 222.0]);
    }
}

#[tokio::test]
async fn requests_of_a_batch_are_served_at_the_same_time_and_fail_alone() {
    let server = Server::start();
    serve_together(&server.0, &["a", "b"]);
    let Some(mut guest) = start_over(&server) else { return };
    let batch = vec![
        row("sum", "a", &[1.0]),
        row("refuse", "", &[1.0]),
        row("sum", "b", &[1.0]),
        row("sum", "nowhere", &[1.0]),
        row("", "", &[4.0]),
    ];
    let mut answers = Vec::new();
    for stream in execute(&mut guest, batch).await {
        answers.push(
            stream
                .single()
                .await
                .map(|answer| values(&answer))
                .map_err(|error| (error.kind(), error.message().to_owned())),
        );
    }
    let failed = |kind, text: &str| Err((kind, format!("plugin 'model.wasm' of model 'm': {text}")));
    let unknown = "Request for unknown model: 'nowhere' is not found";
    let expected = [
        Ok(vec![1.0]),
        failed(ErrorKind::InvalidArgument, "X is not to my taste"),
        Ok(vec![10.0]),
        failed(ErrorKind::NotFound, unknown),
        Ok(vec![4.0]),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn streams_are_awaited_together() {
    let server = Server::start();
    let together = Arc::new(Barrier::new(2));
    for (name, count) in [("two", 2), ("three", 3)] {
        let together = together.clone();
        server.0.serve(name, move |request, mut sender| {
            let together = together.clone();
            tokio::spawn(async move {
                for index in 0..count {
                    if index < 2 {
                        together.wait().await;
                    }
                    sender.send(Ok(times(1.0, &request))).await;
                }
                sender.finish();
            });
        });
    }
    let Some(mut guest) = start_over(&server) else { return };
    let counted = ask(&mut guest, "count answers", "two,three", &[1.0]).await.unwrap();
    assert_eq!(values(&counted), [2.0, 3.0]);
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled() {
    let server = Server::start();
    server.0.serve("quick", |request, sender| {
        tokio::spawn(async move { sender.respond(Ok(times(2.0, &request))) });
    });
    let mut slow = serve_silent(&server.0, "slow");
    let usage = Arc::new(ModelUsage::default());
    let counted = |spec: &mut PluginSpec| {
        spec.service = server.1.clone();
        spec.usage = usage.clone();
    };
    let Some(mut guest) = start(counted) else { return };
    assert_eq!(values(&ask(&mut guest, "take the first", "slow,quick", &[3.0]).await.unwrap()), [6.0]);
    slow.recv().await.unwrap().cancelled().await;
    let error = ask(&mut guest, "patience", "slow", &[3.0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().ends_with("model 'slow' did not answer within the call's timeout-ms"), "{error}");
    slow.recv().await.unwrap().cancelled().await;
    assert_eq!((usage.guests().living(), usage.guests().retired(GuestEnd::Handles)), (1, 0), "and costs nothing");
}

#[tokio::test]
async fn clients_who_read_slowly_keep_only_their_own_request_waiting() {
    let Some(mut guest) = start(|spec| spec.decoupled = true) else { return };
    let many: Vec<f32> = (0..100).map(|number| number as f32).collect();
    let requests: Vec<_> =
        [&many[..], &many[..3]].map(|numbers| signature().check(row("deliver", "", numbers)).unwrap()).into();
    let (senders, mut streams): (Vec<_>, Vec<_>) = requests.iter().map(|_| response_channel()).unzip();
    let executing = tokio::spawn(async move { execute_for(&mut guest, requests, senders).await });
    // Nobody reads the first before the second has all of its responses.
    let (second, first) = (streams.pop().unwrap(), streams.pop().unwrap());
    assert_eq!(all(second).await, many[..3]);
    assert!(!executing.is_finished());
    assert_eq!(all(first).await, many);
    executing.await.unwrap();
}

#[tokio::test]
async fn who_is_asked_sees_who_waits_and_nobody_is_asked_who_does() {
    let server = Server::start();
    let chains = Arc::new(Mutex::new(Vec::new()));
    let heard = chains.clone();
    server.0.serve("a", move |request, sender| {
        heard.lock().unwrap().push(request.callers.as_ref().unwrap().to_string());
        sender.respond(Ok(times(1.0, &request)));
    });
    server.0.serve("m", |_, _| panic!("it waits for this"));
    let Some(mut guest) = start_over(&server) else { return };
    ask(&mut guest, "sum", "a", &[1.0]).await.unwrap();
    assert_eq!(*chains.lock().unwrap(), ["m"]);
    let error = ask(&mut guest, "sum", "a,m", &[1.0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.message().contains("because it waits for this call itself: m -> m"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_not_granted_is_not_called() {
    let server = Server::start();
    server.0.serve("b", |_, _| panic!("it is not granted"));
    let granted = |spec: &mut PluginSpec| {
        let models = ModelGrant { asked: ["a*"].into_iter().collect(), ..ModelGrant::all() };
        spec.service = server.1.clone();
        spec.grants = Grants { models, ..Grants::default() };
    };
    let Some(mut guest) = start(granted) else { return };
    let error = ask(&mut guest, "sum", "b", &[1.0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
}

#[tokio::test]
async fn calls_under_way_are_limited() {
    let server = Server::start();
    let mut asked = serve_silent(&server.0, "silent");
    let limited = |spec: &mut PluginSpec| {
        spec.service = server.1.clone();
        spec.limits = PluginLimits { pending_calls_max: 2, ..spec.limits };
    };
    let Some(mut guest) = start(limited) else { return };
    let error = ask(&mut guest, "take the first", "silent,silent,silent", &[1.0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.message().ends_with("2 calls to other models are under way, the limit (pending_calls)"), "{error}");
    for _ in 0..2 {
        asked.recv().await.unwrap().cancelled().await;
    }
}

#[tokio::test]
async fn a_guest_may_refuse_to_start() {
    let Some(compiled) = built("awaiter.wasm") else { return };
    let parameters = BTreeMap::from([("refuse".to_owned(), "no table".to_owned())]);
    let refused = ModelGuest::start(plugin(&compiled, PluginSpec { parameters, ..spec() }), "m_0_0");
    let error = refused.err().unwrap().to_string();
    assert!(error.contains("cannot be initialised: no table"), "{error}");
}

#[test]
fn a_second_start_finds_the_code_of_what_awaits() {
    let Some(_) = built("awaiter.wasm") else { return };
    let bytes = fs::read(root().join("target/guests/awaiter.wasm")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let written = || {
        let engine = PluginEngine::start(Some(cache.clone())).unwrap();
        assert_eq!(engine.compile("model.wasm", &bytes).unwrap().kind(), PluginKind::AsyncModel);
        let [artefact] =
            fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
        (fs::metadata(&artefact).unwrap().ino(), artefact)
    };
    assert_eq!(written(), written(), "one artefact, and nothing is written a second time");
}
