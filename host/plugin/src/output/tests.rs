//! Every way in which an answer can fail to fit.

use std::sync::Arc;

use nereid_inference::{InferRequest, ModelIdentity, NamedTensor, Signature};
use nereid_telemetry::CustomMetrics;
use nereid_tensor::DataType;

use super::*;
use crate::{PluginLimits, StateStore};

fn spec_of(max_batch_size: u64) -> PluginSpec {
    let tensor = |name: &str, dims: &[i64]| TensorSpec {
        name: name.into(),
        data_type: DataType::Fp32,
        dims: dims.to_vec(),
        optional: false,
    };
    let (inputs, outputs) = (vec![tensor("X", &[2])], vec![tensor("A", &[2]), tensor("B", &[-1])]);
    PluginSpec {
        plugin: "p.wasm".to_owned(),
        model: ModelIdentity::new("m", 1),
        signature: Signature { model_name: "m".into(), inputs, outputs, max_batch_size },
        decoupled: false,
        parameters: Default::default(),
        limits: PluginLimits { output_bytes_max: 1000, ..PluginLimits::DEFAULT },
        grants: Default::default(),
        service: Default::default(),
        control: Default::default(),
        state: Arc::new(StateStore::new()),
        meters: Arc::new(CustomMetrics::default()).of_model(&"m".into()),
        usage: Default::default(),
        listener: None,
        fresh_guest_per_call: false,
        life: Default::default(),
    }
}

fn tensor(shape: &[u64]) -> Tensor {
    let values = vec![0.0_f32; shape.iter().product::<u64>() as usize];
    Tensor::from_elements(shape, &values).unwrap()
}

/// Checks outputs against two rows (or none), with only these outputs requested.
fn check_outputs(batched: bool, requested: &[&str], outputs: &[(&str, &[u64])]) -> Result<Vec<String>, String> {
    let spec = spec_of(if batched { 8 } else { 0 });
    let input: &[u64] = if batched { &[2, 2] } else { &[2] };
    let mut request = InferRequest::new(vec![NamedTensor::new("X", tensor(input))]);
    request.requested_outputs = requested.iter().map(|name| (*name).into()).collect();
    let request = spec.signature.check(request).unwrap();
    let outputs = outputs.iter().map(|(name, shape)| NamedTensor::new(*name, tensor(shape))).collect();
    match check(&spec, request.batch_size(), |name| request.wants(name), InferResponse::new(outputs)) {
        Ok(response) => Ok(response.outputs.iter().map(|output| output.name.to_string()).collect()),
        Err(error) => Err(error.message().replace("plugin 'p.wasm' of model 'm' ", "")),
    }
}

#[test]
fn outputs_are_put_in_order_and_unwanted_ones_are_left_out() {
    let both: [(&str, &[u64]); 2] = [("B", &[7]), ("A", &[2])];
    assert_eq!(check_outputs(false, &[], &both).unwrap(), ["A", "B"]);
    assert_eq!(check_outputs(false, &["B"], &both).unwrap(), ["B"]);
    assert_eq!(check_outputs(false, &["A"], &both[1..]).unwrap(), ["A"]);
}

#[test]
fn what_does_not_fit_is_named_with_both_sides() {
    for (batched, outputs, expected) in [
        (false, vec![("A", &[3][..])], "returned output 'A' of shape [3], expected [2]"),
        (true, vec![("A", &[2][..])], "returned output 'A' of shape [2], expected [2,2]"),
        (true, vec![("A", &[3, 2][..])], "returned output 'A' of shape [3,2], expected [2,2]"),
        (false, vec![("C", &[2][..])], "returned an output 'C' that the model does not have"),
        (false, vec![("A", &[2][..]), ("A", &[2][..])], "returned output 'A' twice"),
        (false, vec![("A", &[2][..])], "did not return output 'B'; it returned [A]"),
        (false, vec![("B", &[251][..])], "returned 1004 bytes of outputs, the limit is 1000 (output_mib)"),
    ] {
        assert_eq!(check_outputs(batched, &[], &outputs).unwrap_err(), expected);
    }
}
