//! The guest that awaits, `tests/guests/awaiter`, and models for it.

use std::sync::Arc;

use nereid_inference::{
    CheckedRequest, InferError, InferRequest, InferResponse, ParameterValue, ResponseSender, ResponseStream,
    ServiceHandle, Signature, response_channel,
};
use nereid_plugin::{ModelGuest, Outcome, PluginKind, PluginSpec};
use nereid_tensor::{DataType, Tensor};
use tokio::sync::mpsc;

use super::{
    Server, encode_in,
    languages::{built, plugin, signature_of},
    spec, values, wit_directory,
};

pub(crate) fn signature() -> Signature {
    Signature { max_batch_size: 8, ..signature_of(DataType::Fp32) }
}

/// A guest of `awaiter`, where it was built.
pub(crate) fn start(change: impl FnOnce(&mut PluginSpec)) -> Option<ModelGuest> {
    let compiled = built("awaiter.wasm")?;
    assert_eq!(compiled.kind(), PluginKind::AsyncModel);
    let mut spec = PluginSpec { signature: signature(), ..spec() };
    change(&mut spec);
    Some(ModelGuest::start(plugin(&compiled, spec), "m_0_0").unwrap())
}

/// The same over this server's models.
pub(crate) fn start_over(server: &(Arc<Server>, ServiceHandle)) -> Option<ModelGuest> {
    start(|spec| spec.service = server.1.clone())
}

/// A row of numbers, and what is to be done with it.
pub(crate) fn row(mode: &str, models: &str, numbers: &[f32]) -> InferRequest {
    let tensor = Tensor::from_elements([1, numbers.len() as u64], numbers).unwrap();
    let mut request = super::infer_request(&[]);
    request.inputs[0].tensor = tensor;
    for (name, text) in [("do", mode), ("models", models)] {
        request.parameters.insert(name, ParameterValue::String(text.to_owned()));
    }
    request
}

/// Executes a batch; answers go where clients would read them.
pub(crate) async fn execute(guest: &mut ModelGuest, batch: Vec<InferRequest>) -> Vec<ResponseStream> {
    let requests: Vec<_> = batch.into_iter().map(|request| signature().check(request).unwrap()).collect();
    let (senders, streams): (Vec<_>, Vec<_>) = requests.iter().map(|_| response_channel()).unzip();
    execute_for(guest, requests, senders).await;
    streams
}

pub(crate) async fn execute_for(guest: &mut ModelGuest, requests: Vec<CheckedRequest>, senders: Vec<ResponseSender>) {
    for outcome in guest.execute(&requests.iter().collect::<Vec<_>>(), senders).await {
        match outcome {
            Outcome::Answered(sender, answer) => sender.respond(answer),
            Outcome::Elsewhere => {}
            Outcome::Rescheduled(..) => panic!("nothing is rescheduled here"),
        }
    }
}

pub(crate) async fn ask(
    guest: &mut ModelGuest,
    mode: &str,
    models: &str,
    numbers: &[f32],
) -> Result<InferResponse, InferError> {
    execute(guest, vec![row(mode, models, numbers)]).await.remove(0).single().await
}

/// Answers with the input, times a factor.
pub(crate) fn times(factor: f32, request: &InferRequest) -> InferResponse {
    let numbers: Vec<f32> = request.inputs[0].tensor.elements::<f32>().unwrap().iter().map(|x| x * factor).collect();
    InferResponse::new(row("", "", &numbers).inputs)
}

/// A model that keeps its senders for the test.
pub(crate) fn serve_silent(server: &Server, name: &str) -> mpsc::UnboundedReceiver<ResponseSender> {
    let (keep, kept) = mpsc::unbounded_channel();
    server.serve(name, move |_, sender| keep.send(sender).unwrap());
    kept
}

/// The numbers of every response up to the end.
pub(crate) async fn all(mut stream: ResponseStream) -> Vec<f32> {
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

/// A component around a core module for the world that awaits.
pub(crate) fn encode_awaiting(core_text: &str) -> Vec<u8> {
    let (resolve, world) = resolved_awaiting("async-model-plugin");
    encode_in(&resolve, world, core_text)
}

/// A world of the package for guests that await, with everything that it names.
pub(crate) fn resolved_awaiting(world: &str) -> (wit_parser::Resolve, wit_parser::WorldId) {
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_path(wit_directory()).unwrap();
    let (package, _) = resolve.push_path(wit_directory().join("async")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, world)
}
