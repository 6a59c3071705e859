//! One list for all languages, of plugins with the whole life of a model: `tests/guests/contract_full` in each of them is asked the
//! same and must answer the same. What the server makes of it is tested in `tests/clients/test_full_model_plugins.py`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::{ErrorKind, InferError, InferResponse, ResponseStream, Signature, response_channel};
use nereid_plugin::{
    CompiledPlugin, ConfigDraft, ModelGuest, Outcome, Plugin, PluginLimits, PluginSpec, StateStore, TensorDraft,
    ask_for_completion,
};
use nereid_tensor::{DataType, Tensor};
use support::{
    languages::{asking, full_models, plugin, signature_of},
    spec, values,
};

fn signature() -> Signature {
    Signature { max_batch_size: 8, ..signature_of(DataType::Fp32) }
}

/// A check that hangs is over soon.
fn full(state: &Arc<StateStore>) -> PluginSpec {
    let limits = PluginLimits { readiness_time_max: Duration::from_millis(200), ..PluginLimits::DEFAULT };
    PluginSpec { signature: signature(), limits, state: state.clone(), ..spec() }
}

fn start(compiled: &CompiledPlugin, spec: PluginSpec) -> (Arc<Plugin>, ModelGuest) {
    let plugin = plugin(compiled, spec);
    let guest = ModelGuest::start(plugin.clone(), "m_0_0").unwrap();
    (plugin, guest)
}

/// Sends a request of one row with this number; the answer goes where a client would read it.
async fn send(guest: &mut ModelGuest, mode: &str, value: f32) -> ResponseStream {
    let request = signature().check(asking(mode, Tensor::from_elements([1, 1], &[value]).unwrap())).unwrap();
    let (sender, stream) = response_channel();
    for outcome in guest.execute(&[&request], vec![sender]).await {
        if let Outcome::Answered(sender, answer) = outcome {
            sender.respond(answer);
        }
    }
    stream
}

async fn ask(guest: &mut ModelGuest, mode: &str, value: f32) -> Result<InferResponse, InferError> {
    send(guest, mode, value).await.single().await
}

/// What the plugin's readiness becomes, asked until it is that; the harness ends a test that hangs.
async fn until(plugin: &Plugin, expected: impl Fn(&Result<(), InferError>) -> bool) -> Result<(), InferError> {
    loop {
        let said = plugin.readiness();
        if expected(&said) {
            return said;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> TensorDraft {
    TensorDraft { name: name.to_owned(), data_type: Some(data_type), dims: Some(dims.to_vec()), optional: false }
}

#[test]
fn a_configuration_is_completed_from_what_is_written() {
    let open = TensorDraft { name: "OPEN".to_owned(), ..TensorDraft::default() };
    let kept = TensorDraft { optional: true, ..tensor("KEPT", DataType::Bool, &[4, -1]) };
    let written = ConfigDraft { inputs: vec![open, kept.clone()], decoupled: Some(true), ..ConfigDraft::default() };
    let expected = ConfigDraft {
        max_batch_size: 8,
        inputs: vec![
            tensor("OPEN", DataType::Int64, &[2, 3]),
            kept,
            tensor("X", DataType::Fp32, &[-1]),
            TensorDraft { optional: true, ..tensor("W", DataType::Bytes, &[1]) },
        ],
        outputs: vec![tensor("X", DataType::Fp32, &[-1])],
        dynamic_batching: true,
        decoupled: Some(false),
    };
    for (language, compiled) in full_models() {
        let completed = ask_for_completion(&plugin(compiled, spec()), &written).unwrap();
        assert_eq!(completed, Some(expected.clone()), "{}", language.name);
    }
}

#[test]
fn a_plugin_may_refuse_to_complete() {
    for (language, compiled) in full_models() {
        let parameters = BTreeMap::from([("unknown".to_owned(), "yes".to_owned())]);
        let plugin = plugin(compiled, PluginSpec { parameters, ..spec() });
        let error = ask_for_completion(&plugin, &ConfigDraft::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}: {error}", language.name);
        assert_eq!(error.message(), "plugin 'model.wasm' of model 'm': nothing is known", "{}", language.name);
    }
}

#[tokio::test]
async fn an_instance_says_when_it_cannot_work_and_when_it_can_again() {
    for (language, compiled) in full_models() {
        let (plugin, mut guest) = start(compiled, full(&Arc::new(StateStore::new())));
        let error = plugin.readiness().unwrap_err();
        assert!(error.message().ends_with("it has not been asked yet"), "{}: {error}", language.name);
        until(&plugin, Result::is_ok).await.unwrap();
        assert_eq!(values(&ask(&mut guest, "sick", 1.0).await.unwrap()), [1.0], "{}", language.name);
        let error = until(&plugin, Result::is_err).await.unwrap_err();
        let expected = "Model 'm_0_0' is not ready (user-defined check failed): out of order";
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, expected), "{}", language.name);
        assert_eq!(values(&ask(&mut guest, "well", 2.0).await.unwrap()), [2.0], "{}", language.name);
        until(&plugin, Result::is_ok).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_says_not_ready_and_costs_the_guest() {
    for (language, compiled) in full_models() {
        let (plugin, mut guest) = start(compiled, full(&Arc::new(StateStore::new())));
        until(&plugin, Result::is_ok).await.unwrap();
        ask(&mut guest, "hang", 1.0).await.unwrap();
        let error = until(&plugin, Result::is_err).await.unwrap_err();
        let expected = "was ended at its deadline of 200ms (readiness_ms)";
        assert!(error.message().contains(expected), "{}: {error}", language.name);
        assert_eq!(values(&ask(&mut guest, "pass", 3.0).await.unwrap()), [3.0], "{}", language.name);
        until(&plugin, Result::is_ok).await.unwrap();
    }
}

#[tokio::test]
async fn what_an_instance_keeps_back_is_answered_when_it_is_retired() {
    for (language, compiled) in full_models() {
        let state = Arc::new(StateStore::new());
        let (plugin, mut guest) = start(compiled, full(&state));
        let kept = [send(&mut guest, "keep", 1.0).await, send(&mut guest, "keep", 2.0).await];
        plugin.retire();
        let mut late = Vec::new();
        for stream in kept {
            late.extend(values(&stream.single().await.unwrap()));
        }
        assert_eq!(late, [101.0, 102.0], "{}", language.name);
        assert_eq!(values(&ask(&mut guest, "pass", 3.0).await.unwrap()), [3.0], "one that was under way");
        drop(guest);
        check_drained(&state, &plugin, language.name).await;
    }
}

#[tokio::test]
async fn an_instance_that_just_goes_is_drained_before() {
    for (language, compiled) in full_models() {
        let state = Arc::new(StateStore::new());
        let (plugin, mut guest) = start(compiled, full(&state));
        let kept = send(&mut guest, "keep", 5.0).await;
        drop(guest);
        assert_eq!(values(&kept.single().await.unwrap()), [105.0], "{}", language.name);
        check_drained(&state, &plugin, language.name).await;
    }
}

/// Once the plugin's guests are gone, one was drained, and once.
async fn check_drained(state: &StateStore, plugin: &Arc<Plugin>, language: &str) {
    while Arc::strong_count(plugin) > 1 {
        tokio::task::yield_now().await;
    }
    let counted = state.get("drained", Instant::now()).map(|entry| entry.value);
    assert_eq!(counted, Some(1_i64.to_le_bytes().to_vec()), "{language}");
}
