//! The descriptor of `ModelConfig`, decoded once per process.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

const MODEL_CONFIG: &str = "inference.ModelConfig";

/// The message that a configuration file is an instance of.
pub(crate) fn model_config() -> &'static MessageDescriptor {
    static DESCRIPTOR: LazyLock<MessageDescriptor> = LazyLock::new(decode);
    &DESCRIPTOR
}

#[expect(clippy::expect_used, reason = "the bytes are part of the program; every test of this crate decodes them")]
fn decode() -> MessageDescriptor {
    let bytes: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/model_config.bin"));
    let pool = DescriptorPool::decode(bytes).expect("the compiled schema decodes");
    pool.get_message_by_name(MODEL_CONFIG).expect("the compiled schema has ModelConfig")
}
