//! Frames from the process of a Python model, whose code is anybody's: a head of 20 bytes, a header in JSON, tensors.
//!
//! Whatever is written must be read or refused in a sentence; no tensor may reach beyond its payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nereid_backend_python::read_foreign_frame;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = read_foreign_frame(data) {
        assert!(error.len() > 3, "an error that says nothing: {error:?}");
        assert!(!error.ends_with("more bytes than the payload"), "{error}");
    }
});
