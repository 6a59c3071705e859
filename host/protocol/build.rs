//! Compiles the gRPC messages without `protoc`. The messages that describe models are those of `nereid-config`.

use std::error::Error;

const SERVICES: [&str; 2] = ["grpc_service.proto", "generations.proto"];
const FOLDER: &str = "proto";
const MODEL_CONFIG: &str = "../config/proto/model_config.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed={MODEL_CONFIG}");
    let descriptors = protox::compile(SERVICES, [FOLDER, "../config/proto"])?;

    let mut config = prost_build::Config::new();
    // Maps in the order of their keys, so that the same request always reads the same; bytes as views of the message.
    config.btree_map(["."]).bytes(["."]);
    for file in descriptors.file.iter().filter(|file| file.name().ends_with("model_config.proto")) {
        let messages = file.message_type.iter().map(|message| message.name());
        for name in messages.chain(file.enum_type.iter().map(|enumeration| enumeration.name())) {
            config.extern_path(format!(".inference.{name}"), format!("::nereid_config::proto::{name}"));
        }
    }
    config.compile_fds(descriptors)?;
    Ok(())
}
