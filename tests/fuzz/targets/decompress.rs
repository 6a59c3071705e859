//! Request bodies under `Content-Encoding: gzip` and `deflate`.
//!
//! An input is `g` or `d` and the compressed bytes. What is unpacked must never exceed the limit, and must be what
//! flate2's own reader makes of the same bytes.

#![no_main]

use std::{io::Read, sync::LazyLock};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use libfuzzer_sys::fuzz_target;
use nereid_fuzz::expect_explained;
use nereid_http::{Coding, Unpacked, decompress};
use tokio::runtime::{Builder, Runtime};

/// Beyond what the server unpacks where it stands, so that both of its ways are taken.
const BYTES_MAX: usize = 300 << 10;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime without drivers needs nothing"));

fuzz_target!(|data: &[u8]| {
    let (coding, packed) = match data {
        [b'g', packed @ ..] => (Coding::Gzip, packed),
        [b'd', packed @ ..] => (Coding::Deflate, packed),
        _ => return,
    };
    let body = Bytes::copy_from_slice(packed);
    // Where the JSON ends decides how the result is placed in memory, never what it is.
    let limits = Unpacked { bytes_max: BYTES_MAX, json_bytes: data.len() };
    match RUNTIME.block_on(decompress(body, coding, limits)) {
        Err(error) => expect_explained(&error),
        Ok(found) => {
            let mut expected = Vec::new();
            let limit = BYTES_MAX as u64 + 1;
            let read = match coding {
                Coding::Gzip => MultiGzDecoder::new(packed).take(limit).read_to_end(&mut expected),
                Coding::Deflate => ZlibDecoder::new(packed).take(limit).read_to_end(&mut expected),
            };
            assert!(found.len() <= BYTES_MAX);
            assert_eq!((read.ok(), &found[..]), (Some(expected.len()), &expected[..]));
        }
    }
});
