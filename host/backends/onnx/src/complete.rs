//! Filling in what a configuration leaves open from what the file declares.
//!
//! What is written stays as it is; whether it is right is checked by [`crate::agree`] afterwards.

use nereid_inference::{
    ModelConfig,
    config::{
        ConfigDataType, DynamicBatching, InstanceGroup, InstanceKind, ModelInput, ModelOutput, Reshape, Scheduling,
    },
};

use crate::model_file::FileTensor;

/// Instances of a model on the CPU whose configuration does not say; Triton's number for ONNX.
const CPU_INSTANCES: i32 = 2;

/// The tensors that a file declares.
#[derive(Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub(crate) inputs: &'a [FileTensor],
    pub(crate) outputs: &'a [FileTensor],
}

/// The configuration with everything filled in that the file tells.
pub(crate) fn complete(model_config: &ModelConfig, declared: Declared<'_>, default_max_batch_size: i32) -> ModelConfig {
    let mut completed = model_config.clone();
    if completed.max_batch_size == 0 && default_max_batch_size > 0 && can_batch(&completed, declared) {
        completed.max_batch_size = default_max_batch_size;
        if default_max_batch_size > 1 {
            completed.scheduling.get_or_insert_with(|| Scheduling::Dynamic(DynamicBatching::default()));
        }
    }
    complete_inputs(&mut completed, declared.inputs);
    complete_outputs(&mut completed, declared.outputs);
    if completed.instance_groups.is_empty() {
        completed.instance_groups.push(InstanceGroup {
            name: completed.name.clone(),
            kind: InstanceKind::Cpu,
            count: CPU_INSTANCES,
            ..InstanceGroup::default()
        });
    }
    completed
}

/// Whether every tensor's first dimension is open, and dims that are written, if any, leave it out.
fn can_batch(model_config: &ModelConfig, declared: Declared<'_>) -> bool {
    let tensors = || declared.inputs.iter().chain(declared.outputs);
    let open = tensors().all(|tensor| tensor.data_type.is_none() || tensor.dims.first() == Some(&-1));
    let inputs = model_config.inputs.iter().map(|input| (&input.name, &input.dims, &input.reshape));
    let outputs = model_config.outputs.iter().map(|output| (&output.name, &output.dims, &output.reshape));
    let hint = inputs.chain(outputs).filter(|(_, dims, _)| !dims.is_empty()).find_map(|(name, dims, reshape)| {
        let tensor = tensors().find(|tensor| tensor.name == *name)?;
        let written = reshape.as_ref().map_or(dims, |reshape| &reshape.shape);
        Some(written.len() + 1 == tensor.dims.len())
    });
    open && hint.unwrap_or(true)
}

fn complete_inputs(model_config: &mut ModelConfig, declared: &[FileTensor]) {
    let batching = model_config.has_batching();
    let sequences = model_config.sequences().cloned();
    let given = |tensor: &&FileTensor| sequences.as_ref().is_some_and(|sequences| sequences.gives_input(&tensor.name));
    for tensor in declared.iter().filter(|tensor| !given(tensor)) {
        let position = model_config.inputs.iter().position(|input| input.name == tensor.name).unwrap_or_else(|| {
            model_config.inputs.push(ModelInput { name: tensor.name.clone(), ..ModelInput::default() });
            model_config.inputs.len() - 1
        });
        if let Some(input) = model_config.inputs.get_mut(position) {
            fill(tensor, batching, &mut input.data_type, &mut input.dims, &mut input.reshape);
        }
    }
}

/// Outputs that are written are a choice; only when none is written are all served that can be, and are not kept as state.
fn complete_outputs(model_config: &mut ModelConfig, declared: &[FileTensor]) {
    let batching = model_config.has_batching();
    if model_config.outputs.is_empty() {
        let sequences = model_config.sequences();
        let kept = |tensor: &&FileTensor| sequences.is_some_and(|sequences| sequences.keeps_output(&tensor.name));
        let served = declared.iter().filter(|tensor| tensor.data_type.is_some() && !kept(tensor));
        model_config.outputs =
            served.map(|tensor| ModelOutput { name: tensor.name.clone(), ..ModelOutput::default() }).collect();
    }
    for output in &mut model_config.outputs {
        if let Some(tensor) = declared.iter().find(|tensor| tensor.name == output.name) {
            fill(tensor, batching, &mut output.data_type, &mut output.dims, &mut output.reshape);
        }
    }
}

fn fill(
    tensor: &FileTensor,
    batching: bool,
    data_type: &mut ConfigDataType,
    dims: &mut Vec<i64>,
    reshape: &mut Option<Reshape>,
) {
    if let (ConfigDataType::Invalid, Some(declared)) = (*data_type, tensor.data_type) {
        *data_type = declared.into();
    }
    if !dims.is_empty() {
        return;
    }
    *dims = tensor.dims.get(usize::from(batching)..).unwrap_or_default().to_vec();
    if dims.is_empty() {
        // A configuration cannot say "no dimensions"; one element that the model sees as a scalar is the same.
        *dims = vec![1];
        *reshape = Some(Reshape { shape: Vec::new() });
    }
}

#[cfg(test)]
mod tests;
