//! Generates the service's trait and its client without `protoc`. The messages are those of `nereid-protocol`.

use std::error::Error;

const PROTOCOL: &str = "../protocol/proto";
const CONFIG: &str = "../config/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOCOL}");
    println!("cargo::rerun-if-changed={CONFIG}");
    let descriptors = protox::compile(["grpc_service.proto"], [PROTOCOL, CONFIG])?;
    tonic_prost_build::configure()
        .extern_path(".inference", "::nereid_protocol::grpc::proto")
        .codec_path("crate::codec::MessageCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
