//! The body of `POST /v2/models/M/infer` with its `Inference-Header-Content-Length`.
//!
//! An input is the header's value, a line break and the body; an empty first line means no such header. Whatever is
//! accepted is answered, as a model would that returns its inputs, and the answer must be well formed.

#![no_main]

use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nereid_fuzz::{INPUT_BYTES_MAX, Regions, echo, every_kind, expect_explained, identity, signature};
use nereid_inference::{InferError, Signature};
use nereid_protocol::http::{
    DecodedRequest, EncodedResponse, HeaderLength, InferBody, RequestContext, ResponseContext, decode_infer_request,
    decode_raw_infer_request, encode_infer_response,
};
use nereid_tensor::DataType;

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (header, body) = (&data[..at], Bytes::copy_from_slice(&data[at + 1..]));
    let outcome = match header {
        [] => json_bytes_then(None, body),
        _ => HeaderLength::parse(header)
            .and_then(|length| length.within(body.len()))
            .and_then(|json_bytes| json_bytes_then(Some(json_bytes), body)),
    };
    if let Err(error) = outcome {
        expect_explained(&error);
    }
});

fn json_bytes_then(json_bytes: Option<usize>, body: Bytes) -> Result<(), InferError> {
    if json_bytes != Some(0) {
        let signature = every_kind();
        let decoded = decode_infer_request(&InferBody { bytes: body, json_bytes }, &context(&signature))?;
        return answer(decoded, &signature);
    }
    for (data_type, dims) in [(DataType::Fp32, &[-1][..]), (DataType::Int64, &[-1, 2]), (DataType::Bytes, &[1])] {
        let signature = signature(&[("X", data_type, dims)], 8);
        if let Ok(decoded) = decode_raw_infer_request(body.clone(), &context(&signature)) {
            answer(decoded, &signature)?;
        }
    }
    Ok(())
}

fn context(signature: &Signature) -> RequestContext<'_> {
    RequestContext { signature, received: Instant::now(), input_bytes_max: INPUT_BYTES_MAX, regions: &Regions }
}

fn answer(decoded: DecodedRequest, signature: &Signature) -> Result<(), InferError> {
    let DecodedRequest { request, outputs, shared } = decoded;
    if let Err(error) = signature.check(request.clone()) {
        expect_explained(&error);
    }
    let (id, identity) = (request.id.clone(), identity());
    let context = ResponseContext { id: &id, identity: &identity, outputs: &outputs };
    let EncodedResponse { frames, json_bytes } = encode_infer_response(echo(request, &shared)?, &context)?;
    let bytes = frames.concat();
    let json = &bytes[..json_bytes.unwrap_or(bytes.len())];
    assert!(json.starts_with(b"{") && json.ends_with(b"}"));
    assert!(str::from_utf8(json).is_ok(), "a response of invalid UTF-8");
    // NaN and the infinities are bare words, which strict JSON does not know.
    let is_strict = !json.windows(3).any(|word| word == b"NaN" || word == b"Inf");
    assert!(!is_strict || serde_json::from_slice::<serde_json::Value>(json).is_ok(), "a response that is not JSON");
    Ok(())
}
