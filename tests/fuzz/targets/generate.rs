//! Bodies of `generate` and `generate_stream`, and the event that answers them.
//!
//! The first byte chooses the model, the rest is the body.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use nereid_fuzz::{echo, every_kind, expect_explained, identity, signature};
use nereid_inference::{SharedTensors, Signature};
use nereid_protocol::http::{decode_generate_request, encode_event, encode_generate_response};
use nereid_tensor::DataType;

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let request = match decode_generate_request(body, &model(*choice), Instant::now()) {
        Ok(request) => request,
        Err(error) => return expect_explained(&error),
    };
    let id = request.id.clone();
    let response = echo(request, &SharedTensors::default());
    match response.and_then(|response| encode_generate_response(&response, &id, &identity())) {
        Ok(json) => {
            let event = encode_event(&json);
            assert!(event.starts_with(b"data: {") && event.ends_with(b"}\n\n"));
            let inside = &event[..event.len() - 2];
            assert!(!inside.contains(&b'\n') && str::from_utf8(inside).is_ok(), "an event that is more than one");
        }
        Err(error) => expect_explained(&error),
    }
});

/// `t`: one text, as language models have it; `b`: a batching model of fixed and open dimensions; else every type.
fn model(choice: u8) -> Signature {
    match choice {
        b't' => signature(&[("text_input", DataType::Bytes, &[1])], 0),
        b'b' => signature(&[("X", DataType::Int32, &[2, -1, -1]), ("Y", DataType::Fp64, &[3])], 4),
        _ => every_kind(),
    }
}
