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
    /// Inputs that have a value in the file.
    pub(crate) defaults: &'a [FileTensor],
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
    complete_inputs(&mut completed, declared);
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
    // A tensor of the batch as a whole has one dimension, whatever its requests have.
    let inputs = model_config.inputs.iter().filter(|input| !input.allow_ragged_batch);
    let inputs = inputs.map(|input| (&input.name, &input.dims, input.backend_dims()));
    let outputs = model_config.outputs.iter().filter(|output| !is_cut(model_config, &output.name));
    let outputs = outputs.map(|output| (&output.name, &output.dims, output.backend_dims()));
    let hint = inputs.chain(outputs).filter(|(_, dims, _)| !dims.is_empty()).find_map(|(name, _, written)| {
        let tensor = tensors().find(|tensor| tensor.name == *name)?;
        Some(written.len() + 1 == tensor.dims.len())
    });
    open && hint.unwrap_or(true)
}

/// Whether an output is cut by the shape of an input: what the file declares says nothing of its dims.
fn is_cut(model_config: &ModelConfig, output: &str) -> bool {
    model_config.batch_outputs.iter().any(|cut| cut.target_names.iter().any(|name| name == output))
}

fn complete_inputs(model_config: &mut ModelConfig, declared: Declared<'_>) {
    let batching = model_config.has_batching();
    let sequences = model_config.sequences().cloned();
    let made: Vec<String> =
        model_config.batch_inputs.iter().flat_map(|batch_input| batch_input.target_names.clone()).collect();
    let given = |tensor: &&FileTensor| {
        made.contains(&tensor.name) || sequences.as_ref().is_some_and(|sequences| sequences.gives_input(&tensor.name))
    };
    let named: Vec<String> = model_config.inputs.iter().map(|input| input.name.clone()).collect();
    let defaults = declared.defaults.iter().filter(|tensor| named.contains(&tensor.name));
    for tensor in declared.inputs.iter().filter(|tensor| !given(tensor)).chain(defaults) {
        let position = model_config.inputs.iter().position(|input| input.name == tensor.name).unwrap_or_else(|| {
            model_config.inputs.push(ModelInput { name: tensor.name.clone(), ..ModelInput::default() });
            model_config.inputs.len() - 1
        });
        let Some(input) = model_config.inputs.get_mut(position) else { continue };
        fill_type(tensor, &mut input.data_type);
        if !input.allow_ragged_batch {
            fill_dims(tensor, batching, &mut input.dims, &mut input.reshape);
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
    let cut: Vec<bool> = model_config.outputs.iter().map(|output| is_cut(model_config, &output.name)).collect();
    for (output, is_cut) in model_config.outputs.iter_mut().zip(cut) {
        let Some(tensor) = declared.iter().find(|tensor| tensor.name == output.name) else { continue };
        fill_type(tensor, &mut output.data_type);
        if !is_cut {
            fill_dims(tensor, batching, &mut output.dims, &mut output.reshape);
        }
    }
}

fn fill_type(tensor: &FileTensor, data_type: &mut ConfigDataType) {
    if let (ConfigDataType::Invalid, Some(declared)) = (*data_type, tensor.data_type) {
        *data_type = declared.into();
    }
}

fn fill_dims(tensor: &FileTensor, batching: bool, dims: &mut Vec<i64>, reshape: &mut Option<Reshape>) {
    if !dims.is_empty() {
        return;
    }
    *dims = tensor.dims.get(usize::from(batching)..).unwrap_or_default().to_vec();
    if dims.is_empty() {
        // A configuration cannot say "no dimensions"; one element that the model sees as a scalar is the same.
        *dims = vec![1];
        *reshape = batching.then(|| Reshape { shape: Vec::new() });
    }
}

#[cfg(test)]
mod tests;
