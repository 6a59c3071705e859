//! Filling in what a configuration leaves open from what the file declares.
//!
//! What is written stays as it is; whether it is right is checked by [`crate::agree`] afterwards.

use nereid_inference::{
    ModelConfig,
    config::{ConfigDataType, DynamicBatching, ModelInput, ModelOutput, Reshape, Scheduling},
};

use crate::model_file::FileTensor;

/// The configuration with everything filled in that the file tells.
pub(crate) fn complete(
    config: &ModelConfig,
    inputs: &[FileTensor],
    outputs: &[FileTensor],
    default_max_batch_size: i32,
) -> ModelConfig {
    let mut completed = config.clone();
    if completed.max_batch_size == 0 && default_max_batch_size > 0 && can_batch(config, inputs, outputs) {
        completed.max_batch_size = default_max_batch_size;
        if default_max_batch_size > 1 {
            completed.scheduling.get_or_insert_with(|| Scheduling::Dynamic(DynamicBatching::default()));
        }
    }
    let batching = completed.has_batching();
    let given = |name: &str| config.sequences().is_some_and(|sequences| sequences.gives_input(name));
    for tensor in inputs.iter().filter(|tensor| !given(&tensor.name)) {
        if !completed.inputs.iter().any(|input| input.name == tensor.name) {
            completed.inputs.push(ModelInput { name: tensor.name.clone(), ..ModelInput::default() });
        }
        for input in completed.inputs.iter_mut().filter(|input| input.name == tensor.name) {
            fill(tensor, batching, (&mut input.data_type, &mut input.dims, &mut input.reshape));
        }
    }
    complete_outputs(&mut completed, outputs);
    completed
}

/// Outputs that are written are a choice; only when none is written are all served that can be, and are not kept as state.
fn complete_outputs(completed: &mut ModelConfig, outputs: &[FileTensor]) {
    let batching = completed.has_batching();
    if completed.outputs.is_empty() {
        let sequences = completed.sequences();
        let kept = |name: &str| sequences.is_some_and(|sequences| sequences.keeps_output(name));
        let served = outputs.iter().filter(|tensor| tensor.data_type.is_some() && !kept(&tensor.name));
        completed.outputs =
            served.map(|tensor| ModelOutput { name: tensor.name.clone(), ..ModelOutput::default() }).collect();
    }
    for output in &mut completed.outputs {
        let Some(tensor) = outputs.iter().find(|tensor| tensor.name == output.name) else { continue };
        fill(tensor, batching, (&mut output.data_type, &mut output.dims, &mut output.reshape));
    }
}

/// Whether every tensor's first dimension is open, and dims that are written, if any, leave it out.
fn can_batch(config: &ModelConfig, inputs: &[FileTensor], outputs: &[FileTensor]) -> bool {
    let tensors = || inputs.iter().chain(outputs);
    let dims = |tensor: &FileTensor| tensor.dims.clone().unwrap_or_default();
    let written = config.inputs.iter().map(|input| (&input.name, input.backend_dims()));
    let written = written.chain(config.outputs.iter().map(|output| (&output.name, output.backend_dims())));
    let hint = written.filter(|(_, written)| !written.is_empty()).find_map(|(name, written)| {
        let tensor = tensors().find(|tensor| tensor.name == *name)?;
        Some(written.len() + 1 == dims(tensor).len())
    });
    tensors().all(|tensor| dims(tensor).first() == Some(&-1)) && hint.unwrap_or(true)
}

fn fill(
    tensor: &FileTensor,
    batching: bool,
    (data_type, dims, reshape): (&mut ConfigDataType, &mut Vec<i64>, &mut Option<Reshape>),
) {
    if let (ConfigDataType::Invalid, Some(declared)) = (*data_type, tensor.data_type) {
        *data_type = declared.into();
    }
    let (true, Some(declared)) = (dims.is_empty(), &tensor.dims) else { return };
    *dims = declared.get(usize::from(batching)..).unwrap_or_default().to_vec();
    if dims.is_empty() {
        // A configuration cannot say "no dimensions"; one element that the model sees as a scalar is the same.
        *dims = vec![1];
        *reshape = batching.then(|| Reshape { shape: Vec::new() });
    }
}

#[cfg(test)]
mod tests {
    use nereid_tensor::DataType;

    use super::*;

    fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> FileTensor {
        let element_type = data_type.name().to_owned();
        FileTensor { name: name.into(), data_type: Some(data_type), element_type, dims: Some(dims.to_vec()) }
    }

    #[test]
    fn everything_comes_from_the_file() {
        let inputs = [tensor("x", DataType::Fp32, &[-1, 64])];
        let outputs = [tensor("y", DataType::Fp32, &[-1, 10]), tensor("label", DataType::Int64, &[-1])];
        let completed = complete(&ModelConfig::default(), &inputs, &outputs, 4);
        assert_eq!((completed.max_batch_size, &*completed.inputs[0].dims), (4, [64].as_slice()));
        assert_eq!(completed.outputs[1].reshape, Some(Reshape { shape: vec![] }));
        assert!(matches!(completed.scheduling, Some(Scheduling::Dynamic(_))));
    }

    #[test]
    fn what_is_written_stays_and_a_fixed_batch_is_no_batch() {
        let inputs = [tensor("x", DataType::Fp32, &[1, 64])];
        let outputs = [tensor("y", DataType::Fp32, &[1, 10]), tensor("z", DataType::Fp32, &[1])];
        let written = ModelConfig {
            outputs: vec![ModelOutput { name: "y".into(), ..ModelOutput::default() }],
            ..ModelConfig::default()
        };
        let completed = complete(&written, &inputs, &outputs, 4);
        assert_eq!((completed.max_batch_size, &*completed.inputs[0].dims), (0, [1, 64].as_slice()));
        assert_eq!((completed.outputs.len(), &*completed.outputs[0].dims), (1, [1, 10].as_slice()));
    }
}
