//! Nothing: a package needs a library, and what these tests share lives beside them.
//!
//! `tidy.rs` holds the rules of the house as tests; `clients/` the end-to-end suite with real clients, in Python, run by
//! `cargo xtask clients`, and `conformance/` the cases that it runs over HTTP and gRPC; `fuzz/` the targets of
//! `cargo xtask fuzz`; `guests/` the plugins and `models/` the ONNX files that only tests use.
