//! The parameters of a model, under the names of Triton's PyTorch backend.
//!
//! Without a word in the configuration operators compute on the thread that calls them: throughput comes from several
//! instances, and one pool per instance would fight over the same cores. Upstream takes every core. What belongs to
//! upstream's way of running Python code instead of a file is refused by name.

use nereid_inference::{InferError, ModelConfig};

/// More threads than any machine we know has cores; a larger number is a typing error.
const THREADS_MAX: i32 = 1024;

/// Parameters of models that are Python code there.
const UNSERVED: [&str; 2] = ["TORCH_COMPILE_OPTIONAL_PARAMETERS", "NUM_THREADS"];

/// What a model's parameters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelSettings {
    pub(crate) intra_threads: i32,
    /// For the whole process; the first model that says so decides.
    pub(crate) inter_threads: Option<i32>,
    pub(crate) inference_mode: bool,
    pub(crate) optimize: bool,
    /// Whether instances share one copy of the weights; unsaid, they do where the model does not change itself.
    pub(crate) share_weights: Option<bool>,
    pub(crate) clean_cache: bool,
    pub(crate) jit_executor: Option<bool>,
    pub(crate) jit_profiling: Option<bool>,
    pub(crate) tensor_fuser: Option<bool>,
    pub(crate) cudnn: Option<bool>,
}

// === impl ModelSettings ===

impl ModelSettings {
    /// Reads them.
    ///
    /// # Errors
    /// A parameter that is none of what it may be, or that this backend does not serve.
    pub(crate) fn from_config(config: &ModelConfig) -> Result<Self, InferError> {
        if let Some(name) = UNSERVED.iter().find(|name| config.parameter(name).is_some()) {
            return Err(InferError::unsupported(format!(
                "model '{}': parameter '{name}' is for models of Python code, and this backend serves TorchScript files; \
                 remove it",
                config.name
            )));
        }
        Ok(Self {
            intra_threads: threads(config, "INTRA_OP_THREAD_COUNT")?.unwrap_or(1),
            inter_threads: threads(config, "INTER_OP_THREAD_COUNT")?,
            inference_mode: flag(config, "INFERENCE_MODE")?.unwrap_or(true),
            optimize: !flag(config, "DISABLE_OPTIMIZED_EXECUTION")?.unwrap_or(false),
            share_weights: flag(config, "ENABLE_WEIGHT_SHARING")?,
            clean_cache: flag(config, "ENABLE_CACHE_CLEANING")?.unwrap_or(false),
            jit_executor: flag(config, "ENABLE_JIT_EXECUTOR")?,
            jit_profiling: flag(config, "ENABLE_JIT_PROFILING")?,
            tensor_fuser: flag(config, "ENABLE_TENSOR_FUSER")?,
            cudnn: flag(config, "DISABLE_CUDNN")?.map(|disabled| !disabled),
        })
    }
}

fn flag(config: &ModelConfig, name: &str) -> Result<Option<bool>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(wrong(config, name, text, "expected true or false")),
    }
}

/// 0 and less is as if nothing were said, as upstream.
fn threads(config: &ModelConfig, name: &str) -> Result<Option<i32>, InferError> {
    let Some(text) = config.parameter(name) else { return Ok(None) };
    let count: Option<i32> = text.trim().parse().ok().filter(|count| *count <= THREADS_MAX);
    let count =
        count.ok_or_else(|| wrong(config, name, text, &format!("expected a whole number up to {THREADS_MAX}")))?;
    Ok(Some(count).filter(|count| *count > 0))
}

fn wrong(config: &ModelConfig, name: &str, text: &str, expected: &str) -> InferError {
    InferError::invalid_argument(format!("model '{}': parameter '{name}' is '{text}', {expected}", config.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(parameters: &[(&str, &str)]) -> Result<ModelSettings, String> {
        let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = ModelConfig { name: "m".into(), parameters, ..ModelConfig::default() };
        ModelSettings::from_config(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_has_a_default() {
        let settings = settings(&[]).unwrap();
        assert_eq!((settings.intra_threads, settings.inter_threads), (1, None));
        assert!(settings.inference_mode && settings.optimize && !settings.clean_cache);
        assert_eq!((settings.share_weights, settings.jit_executor, settings.cudnn), (None, None, None));
    }

    #[test]
    fn parameters_are_read_under_tritons_names() {
        let written = [
            ("INTRA_OP_THREAD_COUNT", "4"),
            ("INTER_OP_THREAD_COUNT", "-1"),
            ("INFERENCE_MODE", "false"),
            ("DISABLE_OPTIMIZED_EXECUTION", "true"),
            ("ENABLE_WEIGHT_SHARING", "True"),
            ("ENABLE_CACHE_CLEANING", "1"),
            ("ENABLE_JIT_EXECUTOR", "false"),
            ("ENABLE_JIT_PROFILING", "true"),
            ("ENABLE_TENSOR_FUSER", "0"),
            ("DISABLE_CUDNN", "true"),
        ];
        let expected = ModelSettings {
            intra_threads: 4,
            inter_threads: None,
            inference_mode: false,
            optimize: false,
            share_weights: Some(true),
            clean_cache: true,
            jit_executor: Some(false),
            jit_profiling: Some(true),
            tensor_fuser: Some(false),
            cudnn: Some(false),
        };
        assert_eq!(settings(&written), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let error = settings(&[("INFERENCE_MODE", "yes")]).unwrap_err();
        assert_eq!(error, "model 'm': parameter 'INFERENCE_MODE' is 'yes', expected true or false");
        let error = settings(&[("INTRA_OP_THREAD_COUNT", "4096")]).unwrap_err();
        assert_eq!(error, "model 'm': parameter 'INTRA_OP_THREAD_COUNT' is '4096', expected a whole number up to 1024");
        let error = settings(&[("TORCH_COMPILE_OPTIONAL_PARAMETERS", "{}")]).unwrap_err();
        assert!(error.contains("'TORCH_COMPILE_OPTIONAL_PARAMETERS' is for models of Python code"), "{error}");
    }
}
