//! One list for all languages, of plugins that execute batches: `tests/guests/contract_model` in each of them is asked the same and
//! must answer the same. What the host makes of the outcomes is tested in `tests/clients/test_model_plugins.py`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{
    ErrorKind, InferError, InferRequest, InferResponse, ParameterValue, ResponseStream, Signature, response_channel,
};
use nereid_plugin::{CompiledPlugin, ModelGuest, Outcome, PluginSpec, StateStore};
use nereid_tensor::{DataType, Tensor};
use support::{
    languages::{asking, models, plugin, signature_of},
    spec, values,
};

fn signature() -> Signature {
    Signature { max_batch_size: 8, ..signature_of(DataType::Fp32) }
}

fn batching(decoupled: bool) -> PluginSpec {
    PluginSpec { signature: signature(), decoupled, ..spec() }
}

fn start(compiled: &CompiledPlugin, spec: PluginSpec) -> ModelGuest {
    ModelGuest::start(plugin(compiled, spec), "m_0_0").unwrap()
}

/// A request of one row with this number.
fn row(mode: &str, value: f32) -> InferRequest {
    asking(mode, Tensor::from_elements([1, 1], &[value]).unwrap())
}

/// Executes a batch; answers go where clients would read them. Gives the streams, and the states of what is to go on.
async fn execute(guest: &mut ModelGuest, batch: Vec<InferRequest>) -> (Vec<ResponseStream>, Vec<InferResponse>) {
    let requests: Vec<_> = batch.into_iter().map(|request| signature().check(request).unwrap()).collect();
    let (senders, streams): (Vec<_>, Vec<_>) = requests.iter().map(|_| response_channel()).unzip();
    let outcomes = guest.execute(&requests.iter().collect::<Vec<_>>(), senders).await;
    let mut states = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Answered(sender, answer) => sender.respond(answer),
            Outcome::Elsewhere => {}
            Outcome::Rescheduled(sender, state) => {
                states.push(state);
                sender.finish();
            }
        }
    }
    (streams, states)
}

async fn ask(guest: &mut ModelGuest, mode: &str, value: f32) -> Result<InferResponse, InferError> {
    let (mut streams, _) = execute(guest, vec![row(mode, value)]).await;
    streams.remove(0).single().await
}

/// The numbers of every response up to the end.
async fn all(mut stream: ResponseStream) -> Vec<f32> {
    let mut found = Vec::new();
    while let Some(delivery) = stream.next().await {
        if let Some(response) = delivery.response {
            found.extend(values(&response.unwrap()));
        }
        if delivery.last {
            break;
        }
    }
    found
}

fn text(response: &InferResponse) -> &str {
    match response.parameters.get("said") {
        Some(ParameterValue::String(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_executed_as_one() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(false));
        let wide = asking("batch", Tensor::from_elements([2, 1], &[5.0_f32, 6.0]).unwrap());
        let (streams, _) = execute(&mut guest, vec![row("batch", 1.0), wide, row("pass", 2.0)]).await;
        let mut answers = Vec::new();
        for stream in streams {
            answers.push(stream.single().await.unwrap());
        }
        let number = |index: usize, name: &str| answers[index].parameters.get(name).cloned();
        assert_eq!(number(0, "batch"), Some(ParameterValue::Int(3)), "{}", language.name);
        assert_eq!(number(1, "rows"), Some(ParameterValue::Int(2)), "{}", language.name);
        assert_eq!((values(&answers[1]), values(&answers[2])), (vec![5.0, 6.0], vec![2.0]), "{}", language.name);
    }
}

#[tokio::test]
async fn an_error_is_that_of_its_request_alone() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(false));
        let batch = vec![row("pass", 1.0), row("refuse", 2.0), row("nonsense", 3.0), row("pass", 4.0)];
        let (mut streams, _) = execute(&mut guest, batch).await;
        assert_eq!(values(&streams.remove(0).single().await.unwrap()), [1.0], "{}", language.name);
        let error = streams.remove(0).single().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}: {error}", language.name);
        assert!(error.message().ends_with("this request is refused"), "{}: {error}", language.name);
        let error = streams.remove(0).single().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", language.name);
        assert_eq!(values(&streams.remove(0).single().await.unwrap()), [4.0], "{}", language.name);
    }
}

#[tokio::test]
async fn a_decoupled_model_streams_through_its_sender() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(true));
        for count in [0_i64, 3] {
            let mut request = row("stream", 10.0);
            request.parameters.insert("count", ParameterValue::Int(count));
            let requests = [signature().check(request).unwrap()];
            let (sender, stream) = response_channel();
            let reading = tokio::spawn(all(stream));
            guest.execute(&[&requests[0]], vec![sender]).await;
            let expected = if count == 0 { vec![] } else { vec![10.0, 11.0, 12.0] };
            assert_eq!(reading.await.unwrap(), expected, "{}", language.name);
        }
    }
}

#[tokio::test]
async fn a_sender_answers_now_or_in_a_later_batch() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(false));
        assert_eq!(values(&ask(&mut guest, "respond", 1.0).await.unwrap()), [8.0], "{}", language.name);
        let error = ask(&mut guest, "fail", 1.0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}: {error}", language.name);
        assert!(error.message().ends_with("not today"), "{}: {error}", language.name);
        let (kept, _) = execute(&mut guest, vec![row("keep", 1.0), row("keep", 2.0)]).await;
        assert_eq!(values(&ask(&mut guest, "flush", 9.0).await.unwrap()), [9.0], "{}", language.name);
        let mut late = Vec::new();
        for stream in kept {
            late.extend(values(&stream.single().await.unwrap()));
        }
        assert_eq!(late, [101.0, 102.0], "{}", language.name);
    }
}

#[tokio::test]
async fn a_request_is_executed_again_with_its_state() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(true));
        let (_, states) = execute(&mut guest, vec![row("again", 4.0)]).await;
        assert_eq!(states.iter().map(values).collect::<Vec<_>>(), [[5.0]], "{}", language.name);
    }
}

#[tokio::test]
async fn a_sender_notices_that_its_client_left() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(true));
        let request = signature().check(row("endless", 1.0)).unwrap();
        let (sender, mut stream) = response_channel();
        let reading = tokio::spawn(async move {
            stream.next().await;
            stream.next().await;
        });
        guest.execute(&[&request], vec![sender]).await;
        reading.await.unwrap();
        let noticed = ask(&mut guest, "noticed", 1.0).await.unwrap();
        assert_eq!(text(&noticed), "cancelled true", "{}", language.name);
    }
}

#[tokio::test]
async fn an_accident_is_told_with_its_place_and_costs_one_batch() {
    for (language, compiled) in models() {
        let mut guest = start(compiled, batching(false));
        let error = ask(&mut guest, "trap", 1.0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{}: {error}", language.name);
        for expected in [language.words, language.place] {
            assert!(error.message().contains(expected), "{}: expected {expected:?} in {error}", language.name);
        }
        assert_eq!(values(&ask(&mut guest, "pass", 1.0).await.unwrap()), [1.0], "{}", language.name);
    }
}

#[tokio::test]
async fn a_model_may_refuse_to_start() {
    for (language, compiled) in models() {
        let parameters = BTreeMap::from([("refuse".to_owned(), "yes".to_owned())]);
        let refused = ModelGuest::start(plugin(compiled, PluginSpec { parameters, ..batching(false) }), "m_0_0");
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("the setting 'refuse' is there"), "{}: {error}", language.name);
    }
}

#[tokio::test]
async fn a_guest_is_finalised_when_it_is_given_up() {
    for (language, compiled) in models() {
        let state = Arc::new(StateStore::new());
        drop(start(compiled, PluginSpec { state: state.clone(), ..batching(false) }));
        let mut guest = start(compiled, PluginSpec { state, ..batching(false) });
        // Finalised in the background: asked until it is, and the harness ends a test that hangs.
        loop {
            let answer = ask(&mut guest, "finalised", 1.0).await.unwrap();
            match text(&answer) {
                "0" => tokio::task::yield_now().await,
                counted => break assert_eq!(counted, "1", "{}", language.name),
            }
        }
    }
}
