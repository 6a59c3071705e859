//! Generates the service's trait and its client without `protoc`. The messages are those of `nereid-protocol`. The
//! descriptors are kept beside them, for clients that ask the server what it offers.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const PROTOCOL: &str = "../protocol/proto";
const CONFIG: &str = "../config/proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOCOL}");
    println!("cargo::rerun-if-changed={CONFIG}");
    let descriptors = protox::compile(["grpc_service.proto"], [PROTOCOL, CONFIG])?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".inference", "::nereid_protocol::grpc::proto")
        .codec_path("crate::codec::MessageCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
