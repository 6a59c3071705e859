//! Tensors about a batch and outputs that are cut by an input's shape: `ValidateBatchIO` of Triton. Callers add the model's
//! name.

use std::collections::BTreeSet;

use nereid_inference::{
    ModelConfig,
    config::{BatchInputKind, BatchOutputKind},
};

/// Checks every `batch_input`, then every `batch_output`.
pub(super) fn batch_tensors(config: &ModelConfig) -> Result<(), String> {
    for batch_input in &config.batch_inputs {
        one_source("input", input_kind_name(batch_input.kind), &batch_input.source_inputs)?;
        if !matches!(batch_input.data_type.config_name(), "TYPE_INT32" | "TYPE_FP32") {
            return Err("batch input data type must be TYPE_INT32 or TYPE_FP32".to_owned());
        }
        known_sources(config, &batch_input.source_inputs)?;
    }
    // Triton asks only whether one field repeats itself; a name of two fields would be made, or cut, twice.
    let inputs = config.inputs.iter().map(|input| &input.name);
    let made = config.batch_inputs.iter().flat_map(|batch_input| &batch_input.target_names);
    once("target input name", inputs.chain(made))?;
    for batch_output in &config.batch_outputs {
        let BatchOutputKind::ScatterWithInputShape = batch_output.kind;
        one_source("output", "BATCH_SCATTER_WITH_INPUT_SHAPE", &batch_output.source_inputs)?;
        known_sources(config, &batch_output.source_inputs)?;
        let unknown = |name: &&String| config.outputs.iter().all(|output| output.name != **name);
        if let Some(name) = batch_output.target_names.iter().find(unknown) {
            return Err(format!("unknown target output name '{name}'"));
        }
    }
    once("target output name", config.batch_outputs.iter().flat_map(|batch_output| &batch_output.target_names))
}

fn one_source(kind: &str, kind_name: &str, sources: &[String]) -> Result<(), String> {
    match sources {
        [_] => Ok(()),
        _ => Err(format!("batch {kind} kind '{kind_name}' expects 1 source input, got {}", sources.len())),
    }
}

fn known_sources(config: &ModelConfig, sources: &[String]) -> Result<(), String> {
    let unknown = |name: &&String| config.inputs.iter().all(|input| input.name != **name);
    match sources.iter().find(unknown) {
        Some(name) => Err(format!("unknown source input name '{name}'")),
        None => Ok(()),
    }
}

fn once<'a>(what: &str, mut names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("{what} '{name}' can only be specified once")),
        None => Ok(()),
    }
}

fn input_kind_name(kind: BatchInputKind) -> &'static str {
    match kind {
        BatchInputKind::ElementCount => "BATCH_ELEMENT_COUNT",
        BatchInputKind::AccumulatedElementCount => "BATCH_ACCUMULATED_ELEMENT_COUNT",
        BatchInputKind::AccumulatedElementCountWithZero => "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
        BatchInputKind::MaxElementCountAsShape => "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
        BatchInputKind::ItemShape => "BATCH_ITEM_SHAPE",
        BatchInputKind::ItemShapeFlatten => "BATCH_ITEM_SHAPE_FLATTEN",
    }
}
