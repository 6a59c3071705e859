//! The protocol extensions that are served, under the names that both protocols announce.

/// Extensions in Triton's order. Clients look for a name before they use what it stands for, hence only what is served
/// is listed.
pub const EXTENSIONS: [&str; 9] = [
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
];
