//! Compiles the schema of model configurations without `protoc`, once to Rust types and once to a descriptor that the
//! text parser and the JSON printer walk.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const SCHEMA: &str = "proto/model_config.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let descriptors = protox::compile([SCHEMA], ["proto"])?;
    let out_directory = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_directory.join("model_config.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
