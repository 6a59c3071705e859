//! Definitions of tokenizers that plugins bring, and texts that clients send through them.
//!
//! The definition's bytes follow two of options and a text that ends with a line. What is read encodes and decodes: rows are of one length,
//! marks say which of their numbers are tokens, and nothing takes more memory than it was given. Where the outside library panics, the host
//! makes an error of it (`nereid-plugin`), so that this counts as one; a panic of ours does not.

#![no_main]

use std::{
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use libfuzzer_sys::fuzz_target;
use nereid_operations::{Budget, EncodeOptions, Encoded, OperationError, Tokenizer, TokenizerOptions};
use nereid_tensor::Tensor;

/// Far more than a definition and a text of some kilobytes need, far less than one can claim.
const BYTES_MAX: u64 = 32 << 20;

/// Parts of the paths of what is ours; an overflow in a function of the standard library has that library's path.
const OURS: [&str; 4] = ["host/operations", "host/tensor", "targets/", "/library/core/"];

fuzz_target!(|data: &[u8]| {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let abort = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|location| location.file().to_owned()).unwrap_or_default();
            if OURS.iter().any(|ours| place.contains(ours)) {
                abort(info);
            }
        }));
    });
    let [flags, length, rest @ ..] = data else { return };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (text, definition) = rest.split_at(end);
    let options =
        TokenizerOptions { length_max: (flags & 1 != 0).then_some(u32::from(*length)), cuts_beginning: flags & 2 != 0 };
    let encode =
        EncodeOptions { special_tokens: flags & 4 != 0, length: (flags & 8 != 0).then_some(u32::from(*length)) };
    let with_pair = flags & 16 != 0;
    let done = catch_unwind(AssertUnwindSafe(|| run(definition, options, text, with_pair, encode)));
    if let Ok(Err(error)) = done {
        assert!(error.to_string().len() > 20, "an error that says nothing: {error:?}");
    }
});

fn run(
    definition: &[u8],
    options: TokenizerOptions,
    text: &[u8],
    with_pair: bool,
    encode: EncodeOptions,
) -> Result<(), OperationError> {
    let budget = Budget::new(BYTES_MAX);
    let tokenizer = Tokenizer::new(definition, options, budget)?;
    let Ok(texts) = Tensor::from_byte_strings([3], &[text, b"two", b""]) else { return Ok(()) };
    let encoded = tokenizer.encode(&texts, with_pair.then_some(&texts), encode, budget)?;
    check(&encoded);
    tokenizer.decode(&encoded.ids, encode.special_tokens, budget)?;
    Ok(())
}

fn check(encoded: &Encoded) {
    let Encoded { ids, mask, type_ids, token_count } = encoded;
    assert_eq!((ids.shape().len(), ids.shape()[0]), (2, 3), "a row for each text");
    assert_eq!((ids.shape(), ids.shape()), (mask.shape(), type_ids.shape()));
    assert!(ids.byte_size() as u64 <= BYTES_MAX);
    let marks = mask.elements::<i64>().map(|marks| marks.iter().sum::<i64>());
    assert_eq!(marks.map(|sum| sum as u64), Some(*token_count), "what is marked are the tokens");
}
