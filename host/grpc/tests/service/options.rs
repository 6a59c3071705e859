//! What operators may switch on: forwarded metadata, compressed responses, reflection.

use nereid_inference::ParameterValue;
use nereid_protocol::HeaderPattern;
use tonic::{Code, Request, codec::CompressionEncoding};
use tonic_reflection::pb::{v1, v1alpha};

use crate::fixture::{Fixture, assert_status, request, within};

async fn forwarding(pattern: &str) -> Fixture {
    let pattern = HeaderPattern::parse(pattern).unwrap();
    Fixture::start_with(|settings| settings.forwarded_headers = Some(pattern)).await
}

fn with_metadata<T>(message: T, entries: &[(&'static str, &'static str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in entries {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn metadata_that_the_pattern_picks_reaches_the_model() {
    let mut fixture = forwarding("^X-").await;
    let request = with_metadata(request("held", ""), &[("x-tenant", "a"), ("other", "b")]);
    let mut client = fixture.client.clone();
    let call = tokio::spawn(async move { client.model_infer(request).await });
    let held = fixture.held().await;
    let parameters: Vec<_> = held.request.parameters.iter().collect();
    assert_eq!(parameters, [("x-tenant", &ParameterValue::String("a".into()))]);
    call.abort();
}

#[tokio::test]
async fn the_metadata_of_a_stream_reaches_each_of_its_requests_and_the_transports_own_none() {
    let mut fixture = forwarding("te|grpc|x-").await;
    let stream = fixture.stream_with_metadata(&[("x-tenant", "a")]).await;
    for id in ["1", "2"] {
        stream.send(request("held", id));
        let held = fixture.held().await;
        let parameters: Vec<_> = held.request.parameters.iter().collect();
        assert_eq!(parameters, [("x-tenant", &ParameterValue::String("a".into()))]);
    }
}

#[tokio::test]
async fn reserved_metadata_is_refused_by_name() {
    let mut fixture = forwarding(".*").await;
    let reserved = with_metadata(request("echo", ""), &[("priority", "1")]);
    let text = "Header 'priority' is reserved for Triton usage and cannot be forwarded.";
    assert_status(within(fixture.client.model_infer(reserved)).await, Code::InvalidArgument, text);
    let mut stream = fixture.stream_with_metadata(&[("triton_anything", "1")]).await;
    stream.send(request("echo", "7"));
    let expected = "7 - final Header 'triton_anything' is reserved for Triton usage and cannot be forwarded.";
    assert_eq!(stream.answer().await, expected);
}

#[tokio::test]
async fn responses_are_packed_for_those_who_take_it() {
    for compress in [false, true] {
        let fixture = Fixture::start_with(|settings| settings.compress_responses = compress).await;
        for takes_gzip in [false, true] {
            let mut client = fixture.client.clone();
            if takes_gzip {
                client = client.accept_compressed(CompressionEncoding::Gzip);
            }
            let response = within(client.model_infer(request("echo", ""))).await.unwrap();
            let encoding = response.metadata().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(encoding.as_deref(), (compress && takes_gzip).then_some("gzip"));
            assert_eq!(&response.get_ref().raw_output_contents[0][..], &[7, 0, 0, 0]);
        }
    }
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let fixture = Fixture::start_with(|settings| settings.reflection = true).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let list = v1::ServerReflectionRequest {
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let responses = within(client.server_reflection_info(tokio_stream::once(list))).await.unwrap();
    let answer = within(responses.into_inner().message()).await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"inference.GRPCInferenceService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let symbol =
        v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol("inference.ModelInferRequest".into());
    let ask = v1alpha::ServerReflectionRequest { message_request: Some(symbol), ..Default::default() };
    let responses = within(client.server_reflection_info(tokio_stream::once(ask))).await.unwrap();
    let answer = within(responses.into_inner().message()).await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files) = answer else {
        panic!("{answer:?}")
    };
    assert!(!files.file_descriptor_proto.is_empty());
}

#[tokio::test]
async fn without_the_option_there_is_no_reflection() {
    let fixture = Fixture::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(fixture.channel.clone());
    let call = client.server_reflection_info(tokio_stream::pending());
    assert_eq!(within(call).await.map(|_| ()).unwrap_err().code(), Code::Unimplemented);
}
