//! What can go wrong with a region, in Triton's words where it has them.

use std::io;

use nereid_inference::{ErrorKind, InferError};

/// Why a region was not registered, found or used.
#[derive(Debug, thiserror::Error)]
pub enum SharedMemoryError {
    #[error("Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.")]
    Disabled,
    #[error("'region name' is necessary to register {memory} shared memory region")]
    NoName { memory: &'static str },
    #[error("cannot register shared memory region: its name has {found_bytes} bytes, {limit_bytes} are allowed")]
    NameTooLong { found_bytes: usize, limit_bytes: usize },
    #[error("shared memory region '{name}' already in manager")]
    AlreadyRegistered { name: String },
    #[error("cannot register shared memory region '{name}' - invalid shm key '{key}'")]
    InvalidKey { name: String, key: String },
    #[error(
        "cannot register shared memory region '{name}' with key '{key}' as the key contains the reserved prefix \
         '{prefix}'"
    )]
    ReservedKey { name: String, key: String, prefix: &'static str },
    #[error(
        "cannot register shared memory region '{name}': {limit} regions are registered, which is the limit; unregister \
         one first"
    )]
    TooManyRegions { name: String, limit: usize },
    #[error(
        "cannot register shared memory region '{name}' of {byte_size} bytes: all regions together may have \
         {limit_bytes} bytes, and {found_bytes} are registered"
    )]
    TooManyBytes { name: String, byte_size: u64, found_bytes: u64, limit_bytes: usize },
    #[error("Unable to open shared memory region: '{key}': {source}")]
    Open { key: String, source: io::Error },
    #[error("Invalid shared memory region: '{key}': it is no shared memory object")]
    NoObject { key: String },
    #[error("failed to register shared memory region '{name}': invalid args: {problem}")]
    OutOfBounds { name: String, problem: String },
    #[error("failed to register shared memory region '{name}': unable to process address space: {source}")]
    Map { name: String, source: io::Error },
    #[error("Unable to find {memory}shared memory region: '{name}'")]
    NotFound { memory: &'static str, name: String },
    #[error("The region named '{name}' is registered as system shared memory, not CUDA shared memory")]
    NotDeviceMemory { name: String },
    #[error("Invalid offset for shared memory region: '{name}'")]
    InvalidOffset { name: String },
    #[error(
        "Integer overflow detected: byte_size ({byte_size}) + offset ({offset}) exceeds maximum value ({}) for region \
         '{name}'",
        u64::MAX
    )]
    Overflow { name: String, offset: u64, byte_size: u64 },
    #[error("Invalid offset + byte size for shared memory region: '{name}'")]
    InvalidSpan { name: String },
    #[error(
        "a tensor of {byte_size} bytes in shared memory region '{name}' is too large: {limit_bytes} bytes are allowed; \
         send it in parts"
    )]
    TensorTooLarge { name: String, byte_size: usize, limit_bytes: usize },
    #[error(
        "shared memory region '{name}' is damaged: its object '{key}' no longer backs the {byte_size} bytes that were \
         registered; unregister the region, and register it again when the object is whole"
    )]
    Damaged { name: String, key: String, byte_size: u64 },
    #[error("The region named '{name}' is registered as CUDA shared memory, not system shared memory")]
    NotSystemMemory { name: String },
    #[error("failed to register CUDA shared memory region '{name}': {problem}")]
    OpenDevice { name: String, problem: String },
    #[error("failed to register CUDA shared memory region: '{name}', GPUs not supported")]
    NoDevices { name: String },
}

// === impl SharedMemoryError ===

impl From<SharedMemoryError> for InferError {
    fn from(error: SharedMemoryError) -> Self {
        use SharedMemoryError as E;
        let kind = match error {
            E::Disabled => ErrorKind::Unsupported,
            E::AlreadyRegistered { .. } => ErrorKind::AlreadyExists,
            E::TooManyRegions { .. } | E::TooManyBytes { .. } => ErrorKind::ResourceExhausted,
            E::Open { .. } | E::NoObject { .. } => ErrorKind::Internal,
            E::NotFound { .. } | E::NotDeviceMemory { .. } | E::NotSystemMemory { .. } => ErrorKind::NotFound,
            E::NoName { .. }
            | E::NameTooLong { .. }
            | E::InvalidKey { .. }
            | E::ReservedKey { .. }
            | E::OutOfBounds { .. }
            | E::Map { .. }
            | E::InvalidOffset { .. }
            | E::Overflow { .. }
            | E::InvalidSpan { .. }
            | E::TensorTooLarge { .. }
            | E::Damaged { .. }
            | E::OpenDevice { .. }
            | E::NoDevices { .. } => ErrorKind::InvalidArgument,
        };
        Self::new(kind, error.to_string())
    }
}
