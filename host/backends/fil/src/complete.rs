//! Filling in what a configuration leaves open from the forest.
//!
//! What is written stays; whether it is right is checked afterwards. Written too: the `model_type` that was found, so that
//! the effective configuration says it.

use nereid_forest::Format;
use nereid_inference::{
    ModelConfig,
    config::{ConfigDataType, DynamicBatching, ModelInput, ModelOutput, Scheduling},
};
use nereid_tensor::DataType;

use crate::shape::{AnswerShape, INPUT, OUTPUT, SHAP_OUTPUT, as_dim};

/// The configuration with everything filled in that the forest tells.
pub(crate) fn complete(
    config: &ModelConfig,
    format: Format,
    shape: AnswerShape,
    default_max_batch_size: i32,
) -> ModelConfig {
    let mut completed = config.clone();
    completed.parameters.entry("model_type".into()).or_insert_with(|| format.model_type().into());
    if completed.max_batch_size == 0 && default_max_batch_size > 0 && leaves_rows_open(config) {
        completed.max_batch_size = default_max_batch_size;
        if default_max_batch_size > 1 {
            completed.scheduling.get_or_insert_with(|| Scheduling::Dynamic(DynamicBatching::default()));
        }
    }
    let rows: &[i64] = if completed.max_batch_size > 0 { &[] } else { &[-1] };
    let with_rows = |dims: &[i64]| -> Vec<i64> { rows.iter().chain(dims).copied().collect() };
    if completed.inputs.is_empty() {
        completed.inputs.push(ModelInput { name: INPUT.into(), ..ModelInput::default() });
    }
    if completed.outputs.is_empty() {
        completed.outputs.push(ModelOutput { name: OUTPUT.into(), ..ModelOutput::default() });
    }
    for input in completed.inputs.iter_mut().filter(|input| input.name == INPUT) {
        fill(&mut input.data_type, &mut input.dims, with_rows(&[as_dim(shape.feature_count)]));
    }
    for output in &mut completed.outputs {
        match output.name.as_str() {
            OUTPUT => fill(&mut output.data_type, &mut output.dims, with_rows(&[as_dim(shape.length)])),
            SHAP_OUTPUT => fill(&mut output.data_type, &mut output.dims, with_rows(&shape.shap_dims())),
            _ => {}
        }
    }
    completed
}

/// Whether the dims that are written, if any, leave the rows to the batch.
fn leaves_rows_open(config: &ModelConfig) -> bool {
    config.inputs.iter().all(|input| input.dims.len() < 2)
}

fn fill(data_type: &mut ConfigDataType, dims: &mut Vec<i64>, default: Vec<i64>) {
    if *data_type == ConfigDataType::Invalid {
        *data_type = DataType::Fp32.into();
    }
    if dims.is_empty() {
        *dims = default;
    }
}
