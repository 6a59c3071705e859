//! Configurations completed from real files, and configurations that contradict them.

use nereid_inference::config::BatchInput;
use nereid_tensor::DataType;

use super::*;

fn tensor(name: &str, data_type: Option<DataType>, dims: &[i64]) -> FileTensor {
    FileTensor { name: name.into(), data_type, dims: dims.to_vec(), description: String::new() }
}

fn completed(model_config: &ModelConfig, inputs: &[FileTensor], outputs: &[FileTensor]) -> ModelConfig {
    complete(model_config, Declared { inputs, outputs, defaults: &[] }, 4)
}

fn named() -> ModelConfig {
    ModelConfig { name: "m".into(), ..ModelConfig::default() }
}

fn image() -> Vec<FileTensor> {
    vec![tensor("image", Some(DataType::Fp32), &[-1, 1, 28, 28])]
}

fn logits() -> Vec<FileTensor> {
    vec![tensor("logits", Some(DataType::Fp32), &[-1, 10])]
}

#[test]
fn an_empty_configuration_is_filled_and_batches() {
    let config = completed(&named(), &image(), &logits());
    assert_eq!(config.max_batch_size, 4);
    assert_eq!(config.scheduling, Some(Scheduling::Dynamic(DynamicBatching::default())));
    assert_eq!(config.inputs[0].dims, [1, 28, 28]);
    assert_eq!(config.inputs[0].data_type, DataType::Fp32.into());
    assert_eq!((config.outputs[0].name.as_str(), config.outputs[0].dims.as_slice()), ("logits", [10_i64].as_slice()));
    let group = &config.instance_groups[0];
    assert_eq!((group.name.as_str(), group.kind, group.count), ("m", InstanceKind::Cpu, 2));
}

#[test]
fn what_is_written_stays() {
    let mut written = ModelConfig { max_batch_size: 16, ..named() };
    written.inputs.push(ModelInput { name: "image".into(), dims: vec![1, -1, 28], ..ModelInput::default() });
    written.instance_groups.push(InstanceGroup { count: 7, ..InstanceGroup::default() });
    let config = completed(&written, &image(), &logits());
    assert_eq!((config.max_batch_size, config.scheduling), (16, None));
    assert_eq!(config.inputs[0].dims, [1, -1, 28]);
    assert_eq!(config.instance_groups.len(), 1);
}

#[test]
fn a_fixed_first_dimension_means_no_batching() {
    let config = completed(&named(), &image(), &[tensor("logits", Some(DataType::Fp32), &[1, 10])]);
    assert_eq!((config.max_batch_size, config.scheduling), (0, None));
    assert_eq!(config.inputs[0].dims, [-1, 1, 28, 28]);
}

#[test]
fn dims_that_are_written_in_full_mean_no_batching() {
    let mut written = named();
    written.inputs.push(ModelInput { name: "image".into(), dims: vec![-1, 1, 28, 28], ..ModelInput::default() });
    assert_eq!(completed(&written, &image(), &logits()).max_batch_size, 0);
    written.inputs[0].dims = vec![1, 28, 28];
    assert_eq!(completed(&written, &image(), &logits()).max_batch_size, 4);
}

#[test]
fn a_scalar_per_row_becomes_one_element_with_a_reshape() {
    let config = completed(&named(), &[tensor("x", Some(DataType::Int64), &[-1])], &logits());
    assert_eq!(config.inputs[0].dims, [1]);
    assert_eq!(config.inputs[0].reshape, Some(Reshape { shape: vec![] }));
}

#[test]
fn a_scalar_of_a_model_that_does_not_batch_is_one_element() {
    let config = completed(&named(), &[tensor("x", Some(DataType::Int64), &[])], &logits());
    assert_eq!((config.max_batch_size, &*config.inputs[0].dims, &config.inputs[0].reshape), (0, [1].as_slice(), &None));
}

#[test]
fn tensors_of_the_batch_as_a_whole_are_left_as_they_are() {
    let mut written = named();
    written.inputs.push(ModelInput {
        name: "values".into(),
        dims: vec![-1, 3],
        allow_ragged_batch: true,
        ..ModelInput::default()
    });
    let (target_names, source_inputs) = (vec!["ends".to_owned()], vec!["values".to_owned()]);
    written.batch_inputs.push(BatchInput { target_names, source_inputs, ..BatchInput::default() });
    let file = [tensor("values", Some(DataType::Fp32), &[-1]), tensor("ends", Some(DataType::Int32), &[-1])];
    let config = completed(&written, &file, &logits());
    assert_eq!((config.inputs.len(), config.max_batch_size), (1, 4), "the host makes the other input");
    assert_eq!((config.inputs[0].data_type, &*config.inputs[0].dims), (DataType::Fp32.into(), [-1, 3].as_slice()));
    written.inputs[0].dims.clear();
    assert!(completed(&written, &file, &logits()).inputs[0].dims.is_empty(), "the file does not know a request's dims");
}

#[test]
fn an_output_that_the_protocol_cannot_carry_is_left_out() {
    let outputs = [tensor("label", Some(DataType::Int64), &[-1]), tensor("probabilities", None, &[])];
    let config = completed(&named(), &image(), &outputs);
    assert_eq!(config.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["label"]);
}
