//! The protocol extensions that are served, under the names that both protocols announce.

/// Extensions in Triton's order. Clients look for a name before they use what it stands for, hence only what is served
/// is listed. Device memory is served as by a Triton without a GPU: known, and refused with the reason.
pub const EXTENSIONS: [&str; 13] = [
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
];
