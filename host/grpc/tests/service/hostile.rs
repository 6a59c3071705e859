//! Clients that send what no client should.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use nereid_protocol::grpc::proto::{ModelInferResponse, ModelStreamInferResponse};
use prost::Message;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::fixture::{Fixture, request, within};

const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const MODEL_STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A field that claims nine bytes and has two.
const TRUNCATED: &[u8] = &[0x0a, 9, b'm', b'o'];
/// The list of inputs, sent as a number.
const WRONG_WIRE_TYPE: &[u8] = &[0x28, 1];
/// A model name that is not UTF-8.
const WRONG_TEXT: &[u8] = &[0x0a, 1, 0xff];

/// Sends bytes as they are.
#[derive(Default)]
pub(crate) struct RawCodec<T>(PhantomData<T>);

impl<T: Message + Default + Send + 'static> Codec for RawCodec<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = RawCodec<T>;
    type Decoder = RawCodec<T>;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<T> Encoder for RawCodec<T> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}

impl<T: Message + Default> Decoder for RawCodec<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        Ok(Some(T::decode(buffer.copy_to_bytes(buffer.remaining())).unwrap()))
    }
}

async fn infer_raw(channel: Channel, bytes: &'static [u8]) -> Result<ModelInferResponse, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static(MODEL_INFER);
    let call = grpc.unary(Request::new(Bytes::from_static(bytes)), path, RawCodec(PhantomData));
    Ok(within(call).await?.into_inner())
}

#[tokio::test]
async fn a_message_that_is_no_protobuf_is_refused_by_name_and_the_connection_lives() {
    let mut fixture = Fixture::start().await;
    for broken in [TRUNCATED, WRONG_WIRE_TYPE, WRONG_TEXT] {
        let status = infer_raw(fixture.channel.clone(), broken).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let expected = "cannot parse the message as a protobuf ModelInferRequest: ";
        assert!(status.message().starts_with(expected), "{status}");
        assert!(within(fixture.client.model_infer(request("echo", ""))).await.is_ok());
    }
}

#[tokio::test]
async fn a_broken_message_ends_its_stream_and_cancels_what_was_under_way() {
    let mut fixture = Fixture::start().await;
    let mut grpc = Grpc::new(fixture.channel.clone());
    grpc.ready().await.unwrap();
    let (messages, receiver) = tokio::sync::mpsc::unbounded_channel();
    messages.send(Bytes::from(request("held", "a").encode_to_vec())).unwrap();
    let receiver = tokio_stream::wrappers::UnboundedReceiverStream::new(receiver);
    let path = PathAndQuery::from_static(MODEL_STREAM_INFER);
    let call = grpc.streaming(Request::new(receiver), path, RawCodec::<ModelStreamInferResponse>(PhantomData));
    let mut responses = within(call).await.unwrap().into_inner();
    let held = fixture.held().await;
    messages.send(Bytes::from_static(TRUNCATED)).unwrap();
    let status = within(responses.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("protobuf ModelInferRequest"), "{status}");
    held.cancelled().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_before_it_is_read() {
    let mut fixture = Fixture::start_with(|settings| settings.limits.message_bytes_max = 1000).await;
    let mut large = request("echo", "");
    large.raw_input_contents = vec![vec![0; 2000].into()];
    let status = within(fixture.client.model_infer(large)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("the limit is: 1000 bytes"), "{status}");
    assert!(within(fixture.client.model_infer(request("echo", ""))).await.is_ok());
}

#[tokio::test]
async fn a_compressed_message_that_unpacks_beyond_the_limit_is_refused() {
    let fixture = Fixture::start_with(|settings| settings.limits.message_bytes_max = 10_000).await;
    let mut client = fixture.client.clone().send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let mut large = request("echo", "");
    large.raw_input_contents = vec![vec![0; 1_000_000].into()];
    let status = within(client.model_infer(large)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(within(client.model_infer(request("echo", ""))).await.is_ok());
}

#[tokio::test]
async fn an_rpc_that_does_not_exist_is_unimplemented() {
    let fixture = Fixture::start().await;
    let mut grpc = Grpc::new(fixture.channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/inference.GRPCInferenceService/NoSuchRpc");
    let call = grpc.unary(Request::new(Bytes::new()), path, RawCodec::<ModelInferResponse>(PhantomData));
    assert_eq!(within(call).await.unwrap_err().code(), Code::Unimplemented);
}
