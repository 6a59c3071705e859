//! Generates the services' traits and their clients without `protoc`. The messages are those of `nereid-protocol`. The
//! descriptors are kept beside them, for clients that ask the server what it offers.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const PROTOCOL: &str = "../protocol/proto";
const CONFIG: &str = "../config/proto";
const SERVICES: [&str; 2] = ["grpc_service.proto", "generations.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTOCOL}");
    println!("cargo::rerun-if-changed={CONFIG}");
    let descriptors = protox::compile(SERVICES, [PROTOCOL, CONFIG])?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .extern_path(".inference", "::nereid_protocol::grpc::proto")
        .extern_path(".nereid", "::nereid_protocol::grpc::generations")
        .codec_path("crate::codec::MessageCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
