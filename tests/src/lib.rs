//! Nothing: a package needs a library, and what these tests share lives beside them.
//!
//! `tidy.rs` holds the rules of the house as tests; `clients/` the end-to-end suite with real clients, in Python, run by
//! `cargo xtask clients`; `guests/` the plugins and `models/` the ONNX files that only tests use.
