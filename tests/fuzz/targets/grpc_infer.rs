//! `ModelInferRequest` as it arrives: bytes to message, message to request, and the response that repeats it.

#![no_main]

use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nereid_fuzz::{Regions, echo, every_kind, expect_explained, identity};
use nereid_protocol::grpc::{
    RequestEcho, decode_infer_request, encode_infer_response, parse_version, proto::ModelInferRequest,
    proto::ModelInferResponse,
};
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = ModelInferRequest::decode(Bytes::copy_from_slice(data)) else { return };
    let (request_echo, version) = (RequestEcho::of(&message), parse_version(&message.model_version));
    if let Err(error) = version {
        expect_explained(&error);
    }
    let decoded = match decode_infer_request(message, Instant::now(), &Regions) {
        Ok(decoded) => decoded,
        Err(error) => return expect_explained(&error),
    };
    if let Err(error) = every_kind().check(decoded.request.clone()) {
        expect_explained(&error);
    }
    let outputs = decoded.request.inputs.len();
    let response = match echo(decoded.request, &decoded.shared) {
        Ok(response) => response,
        Err(error) => return expect_explained(&error),
    };
    let on_stream = request_echo.response(&identity(), (response.clone(), &decoded.shared), true);
    let response = encode_infer_response(&identity(), request_echo.id().to_owned(), (response, &decoded.shared));
    let again = ModelInferResponse::decode(response.encode_to_vec().as_slice());
    assert_eq!(again.map(|message| message.raw_output_contents.len()).ok(), Some(outputs));
    assert!(on_stream.encoded_len() > 0);
});
