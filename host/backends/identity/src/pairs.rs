//! Which input becomes which output, checked against the configuration.

use std::sync::Arc;

use nereid_inference::{
    InferError, ModelConfig,
    config::{ModelInput, ModelOutput},
};

/// One input and the output that it becomes.
#[derive(Clone, Debug)]
pub(crate) struct EchoPair {
    pub(crate) input: Arc<str>,
    pub(crate) output: Arc<str>,
}

/// Pairs outputs with inputs by their place; inputs without an output are taken and dropped.
///
/// # Errors
/// More outputs than inputs, or a pair that differs in type or dims.
pub(crate) fn echo_pairs(model_config: &ModelConfig) -> Result<Vec<EchoPair>, InferError> {
    let (inputs, outputs) = (&model_config.inputs, &model_config.outputs);
    if outputs.is_empty() || outputs.len() > inputs.len() {
        return Err(InferError::invalid_argument(format!(
            "model '{}' has {} inputs and {} outputs, but the identity backend gives back one output per input: \
             declare at least one output and no more outputs than inputs",
            model_config.name,
            inputs.len(),
            outputs.len()
        )));
    }
    inputs.iter().zip(outputs).map(|(input, output)| echo_pair(&model_config.name, input, output)).collect()
}

fn echo_pair(model_name: &str, input: &ModelInput, output: &ModelOutput) -> Result<EchoPair, InferError> {
    if input.data_type != output.data_type {
        return Err(differs(
            model_name,
            (input, input.data_type.config_name()),
            (output, output.data_type.config_name()),
        ));
    }
    let (given, taken) = (input.backend_dims(), output.backend_dims());
    if !dims_fit(given, taken) {
        return Err(differs(model_name, (input, &print(given)), (output, &print(taken))));
    }
    Ok(EchoPair { input: input.name.as_str().into(), output: output.name.as_str().into() })
}

/// Whether some tensor fits both; -1 is any extent.
fn dims_fit(left: &[i64], right: &[i64]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| left == right || *left == -1 || *right == -1)
}

fn differs(model_name: &str, input: (&ModelInput, &str), output: (&ModelOutput, &str)) -> InferError {
    InferError::invalid_argument(format!(
        "model '{model_name}': output '{}' is {}, but input '{}', which the identity backend gives back there, is {}; \
         declare both alike",
        output.0.name, output.1, input.0.name, input.1
    ))
}

fn print(dims: &[i64]) -> String {
    let texts: Vec<String> = dims.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}
