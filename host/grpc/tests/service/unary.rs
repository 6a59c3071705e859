//! `ModelInfer`.

use bytes::Bytes;
use nereid_protocol::grpc::proto::ModelInferRequest;
use tonic::{Code, codec::CompressionEncoding};

use crate::fixture::{Fixture, assert_status, request, within};

/// The one door for what is refused.
async fn check_refused(request: ModelInferRequest, code: Code, text: &str) {
    let mut fixture = Fixture::start().await;
    assert_status(within(fixture.client.model_infer(request)).await, code, text);
}

#[tokio::test]
async fn a_request_is_answered_with_raw_tensors_and_the_models_identity() {
    let mut fixture = Fixture::start().await;
    let response = within(fixture.client.model_infer(request("echo", "42"))).await.unwrap().into_inner();
    assert_eq!((response.model_name.as_str(), response.model_version.as_str()), ("echo", "3"));
    assert_eq!(response.id, "42");
    assert_eq!(response.outputs.len(), 1);
    assert_eq!((response.outputs[0].datatype.as_str(), response.outputs[0].shape.as_slice()), ("INT32", &[1, 1][..]));
    assert_eq!(response.raw_output_contents, [Bytes::from_static(&[7, 0, 0, 0])]);
    assert!(response.parameters.is_empty());
}

#[tokio::test]
async fn a_large_tensor_comes_back_whole() {
    let mut fixture = Fixture::start().await;
    let bytes: Vec<u8> = (0..600_000_u32).map(|index| (index % 251) as u8).collect();
    let mut request = request("echo", "");
    request.inputs[0].shape = vec![1, 150_000];
    request.raw_input_contents = vec![bytes.clone().into()];
    let response = within(fixture.client.model_infer(request)).await.unwrap().into_inner();
    assert_eq!(response.raw_output_contents, [Bytes::from(bytes)]);
}

#[tokio::test]
async fn compressed_requests_are_understood() {
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let fixture = Fixture::start().await;
        let mut client = fixture.client.clone().send_compressed(encoding);
        let response = within(client.model_infer(request("echo", ""))).await.unwrap().into_inner();
        assert_eq!(response.raw_output_contents, [Bytes::from_static(&[7, 0, 0, 0])]);
    }
}

#[tokio::test]
async fn names_that_are_not_served_are_refused() {
    check_refused(request("nobody", ""), Code::NotFound, "Request for unknown model: 'nobody' is not found").await;
    let mut version = request("echo", "");
    version.model_version = "9".into();
    check_refused(version.clone(), Code::NotFound, "Request for unknown model: 'echo' version 9 is not found").await;
    version.model_version = "x".into();
    check_refused(
        version,
        Code::InvalidArgument,
        "failed to get model version from specified version string 'x' (details: stol), version should be an integral \
         value > 0",
    )
    .await;
}

#[tokio::test]
async fn requests_that_do_not_fit_are_refused() {
    let mut short = request("echo", "7");
    short.raw_input_contents = vec![Bytes::from_static(&[1, 2])];
    check_refused(
        short,
        Code::InvalidArgument,
        "[request id: 7] input byte size mismatch for input 'IN' for model 'echo'. Expected 4, got 2",
    )
    .await;
    let mut unknown_tensor = request("echo", "");
    unknown_tensor.inputs[0].name = "OTHER".into();
    check_refused(
        unknown_tensor,
        Code::InvalidArgument,
        "[request id: <id_unknown>] unexpected inference input 'OTHER' for model 'echo'",
    )
    .await;
    check_refused(
        request("decoupled", ""),
        Code::Unimplemented,
        "ModelInfer RPC doesn't support models with decoupled transaction policy",
    )
    .await;
}

#[tokio::test]
async fn the_models_own_error_reaches_the_client() {
    check_refused(request("fails", ""), Code::Unavailable, "the queue is full").await;
}

#[tokio::test]
async fn a_panic_answers_the_request_that_met_it_and_no_other() {
    let mut fixture = Fixture::start().await;
    let status = within(fixture.client.model_infer(request("panics", ""))).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("a panic"), "{status}");
    assert!(within(fixture.client.model_infer(request("echo", ""))).await.is_ok());
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let mut fixture = Fixture::start().await;
    let mut client = fixture.client.clone();
    let call = tokio::spawn(async move { client.model_infer(request("held", "")).await });
    let held = fixture.held().await;
    assert!(!held.sender.is_cancelled());
    call.abort();
    held.cancelled().await;
}

#[tokio::test]
async fn a_model_that_never_answers_does_not_keep_others_waiting() {
    let mut fixture = Fixture::start().await;
    let mut client = fixture.client.clone();
    let call = tokio::spawn(async move { client.model_infer(request("held", "")).await });
    let held = fixture.held().await;
    assert!(within(fixture.client.model_infer(request("echo", ""))).await.is_ok());
    drop(held);
    let expected = "the model dropped the request without a final response";
    assert_status(within(call).await.unwrap(), Code::Internal, expected);
}

#[tokio::test]
async fn a_response_beyond_the_limit_is_refused() {
    let mut fixture = Fixture::start_with(|settings| settings.limits.message_bytes_max = 1000).await;
    let status = within(fixture.client.model_infer(request("grows", ""))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().ends_with("which exceeds gRPC's byte size limit 1000."), "{status}");
}
