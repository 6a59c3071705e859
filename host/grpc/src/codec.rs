//! How messages become bytes: protobuf by `prost`, into one allocation of the right size.
//!
//! Received messages are decoded in place: their `bytes` fields are views of the receive buffer. A sent message costs
//! one copy of its tensors, into the buffer that the connection writes from.

use std::{any::type_name, marker::PhantomData};

use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A codec that sends `Sent` and receives `Received`.
#[derive(Debug)]
pub(crate) struct MessageCodec<Sent, Received>(PhantomData<fn(Sent) -> Received>);

/// The sending half.
#[derive(Debug)]
pub(crate) struct MessageEncoder<Sent>(PhantomData<fn(Sent)>);

/// The receiving half.
#[derive(Debug)]
pub(crate) struct MessageDecoder<Received>(PhantomData<fn() -> Received>);

// === impl MessageCodec ===

impl<Sent, Received> Default for MessageCodec<Sent, Received> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Sent, Received> Codec for MessageCodec<Sent, Received>
where
    Sent: Message + Send + 'static,
    Received: Message + Default + Send + 'static,
{
    type Encode = Sent;
    type Decode = Received;
    type Encoder = MessageEncoder<Sent>;
    type Decoder = MessageDecoder<Received>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(PhantomData)
    }
}

// === impl MessageEncoder ===

impl<Sent: Message> Encoder for MessageEncoder<Sent> {
    type Item = Sent;
    type Error = Status;

    fn encode(&mut self, message: Sent, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // The buffer starts small and would double its way up to a large tensor, copying what it holds each time.
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| Status::internal(format!("cannot encode the response message: {error}")))
    }
}

// === impl MessageDecoder ===

impl<Received: Message + Default> Decoder for MessageDecoder<Received> {
    type Item = Received;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Received>, Status> {
        // INTERNAL is the code that gRPC prescribes for messages that cannot be parsed.
        Received::decode(buffer).map(Some).map_err(|error| {
            let message = type_name::<Received>().rsplit("::").next().unwrap_or_default();
            Status::internal(format!("cannot parse the message as a protobuf {message}: {error}"))
        })
    }
}
