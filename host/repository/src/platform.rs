//! The legacy word for a backend.

use nereid_inference::{InferError, ModelConfig};

/// The platform of models that are made of others.
pub(crate) const ENSEMBLE: &str = "ensemble";

/// Platforms and the backends they stand for.
const PLATFORMS: [(&str, &str); 6] = [
    ("onnxruntime_onnx", "onnxruntime"),
    ("tensorrt_plan", "tensorrt"),
    ("pytorch_libtorch", "pytorch"),
    ("torch_aoti", "pytorch"),
    ("tensorflow_graphdef", "tensorflow"),
    ("tensorflow_savedmodel", "tensorflow"),
];

/// Writes the backend that the platform stands for; an ensemble has none.
///
/// # Errors
/// The platform is unknown, or belongs to another backend than the one written.
pub(crate) fn resolve(config: &mut ModelConfig) -> Result<(), InferError> {
    if config.platform.is_empty() || config.platform == ENSEMBLE {
        return Ok(());
    }
    let Some((_, backend)) = PLATFORMS.iter().find(|(platform, _)| *platform == config.platform) else {
        // A backend of somebody's own may keep a platform of its own.
        if !config.backend.is_empty() {
            return Ok(());
        }
        return Err(InferError::invalid_argument(format!(
            "unexpected platform type '{}' for {}",
            config.platform, config.name
        )));
    };
    if config.backend.is_empty() {
        (*backend).clone_into(&mut config.backend);
    } else if config.backend != *backend {
        return Err(InferError::invalid_argument(format!(
            "unexpected 'platform' and 'backend' pair, got:{}, {}",
            config.platform, config.backend
        )));
    }
    Ok(())
}

/// Whether the model is one of TensorRT, which has tensors that nobody else does.
pub(crate) fn is_tensorrt(config: &ModelConfig) -> bool {
    config.backend == "tensorrt" || config.platform == "tensorrt_plan"
}
