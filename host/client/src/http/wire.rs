//! The JSON documents, as far as they are needed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    connection::InferCall,
    description::{Description, Layout, TensorDescription},
};

#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) error: String,
}

#[derive(Deserialize)]
pub(super) struct IndexRow {
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct MetadataAnswer {
    name: String,
    #[serde(default)]
    inputs: Vec<TensorAnswer>,
    #[serde(default)]
    outputs: Vec<TensorAnswer>,
}

#[derive(Deserialize)]
struct TensorAnswer {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

#[derive(Default, Deserialize)]
pub(super) struct ConfigAnswer {
    #[serde(default)]
    max_batch_size: i64,
    #[serde(default)]
    input: Vec<InputConfig>,
    #[serde(default)]
    model_transaction_policy: Option<TransactionPolicy>,
}

#[derive(Deserialize)]
struct InputConfig {
    name: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
struct TransactionPolicy {
    #[serde(default)]
    decoupled: bool,
}

#[derive(Deserialize)]
pub(super) struct InferAnswer {
    pub(super) model_name: String,
    pub(super) model_version: Option<String>,
    #[serde(default)]
    pub(super) outputs: Vec<OutputAnswer>,
}

#[derive(Deserialize)]
pub(super) struct OutputAnswer {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Vec<i64>,
    #[serde(default)]
    pub(super) parameters: OutputParameters,
    pub(super) data: Option<Value>,
}

#[derive(Default, Deserialize)]
pub(super) struct OutputParameters {
    pub(super) binary_data_size: Option<usize>,
}

#[derive(Serialize)]
struct InferHeader<'a> {
    inputs: Vec<InputHeader<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputHeader<'a>>,
    parameters: BTreeMap<&'static str, Value>,
}

#[derive(Serialize)]
struct InputHeader<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u64],
    parameters: BTreeMap<&'static str, Value>,
}

#[derive(Serialize)]
struct OutputHeader<'a> {
    name: &'a str,
    parameters: BTreeMap<&'static str, Value>,
}

/// The JSON in front of the binary tensors.
pub(super) fn encode_request(call: &InferCall<'_>) -> Vec<u8> {
    let inputs = call.inputs.iter().map(|input| InputHeader {
        name: &input.name,
        datatype: input.tensor.data_type().name(),
        shape: input.tensor.shape(),
        parameters: [("binary_data_size", Value::from(input.tensor.byte_size()))].into(),
    });
    let outputs = call.outputs.iter().map(|name| {
        let classes = call.classes.map(|classes| ("classification", Value::from(classes)));
        OutputHeader { name, parameters: [("binary_data", Value::from(true))].into_iter().chain(classes).collect() }
    });
    let parameters = [("binary_data_output", Value::from(true))].into();
    let header = InferHeader { inputs: inputs.collect(), outputs: outputs.collect(), parameters };
    // Names, numbers and lists of them have no form that JSON lacks.
    serde_json::to_vec(&header).unwrap_or_default()
}

pub(super) fn description(metadata: MetadataAnswer, config: ConfigAnswer) -> Result<Description, String> {
    let tensor = |tensor: TensorAnswer| -> Result<TensorDescription, String> {
        let input = config.input.iter().find(|input| input.name == tensor.name);
        Ok(TensorDescription {
            data_type: tensor.datatype.parse().map_err(|error| format!("tensor '{}': {error}", tensor.name))?,
            name: tensor.name,
            dims: tensor.shape,
            layout: input.and_then(|input| Layout::from_format(&input.format)),
            is_optional: input.is_some_and(|input| input.optional),
        })
    };
    Ok(Description {
        name: metadata.name,
        inputs: metadata.inputs.into_iter().map(tensor).collect::<Result<_, _>>()?,
        outputs: metadata.outputs.into_iter().map(tensor).collect::<Result<_, _>>()?,
        has_batching: config.max_batch_size > 0,
        is_decoupled: config.model_transaction_policy.is_some_and(|policy| policy.decoupled),
    })
}
