//! Whether `sequence_batching` makes sense. Texts are those of Triton's `ValidateModelConfig`.

use std::collections::BTreeSet;

use nereid_inference::{
    ModelConfig,
    config::{ControlKind, ControlSpec, SequenceBatching, SequenceStrategy},
};

/// Entries of a pair: false, then true.
const PAIR: usize = 2;

/// The types that a correlation id can be given in.
const CORRELATION_TYPES: [&str; 5] = ["TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING"];

/// The first mistake.
pub(super) fn sequence_batching(config: &ModelConfig, sequences: &SequenceBatching) -> Result<(), String> {
    let name = &config.name;
    controls(name, sequences)?;
    states(name, sequences)?;
    match &sequences.strategy {
        Some(SequenceStrategy::Oldest { preferred_batch_sizes, .. }) => {
            if preferred_batch_sizes.iter().any(|size| *size <= 0) {
                return Err(format!("sequence batching preferred batch size must be positive for {name}"));
            }
            if preferred_batch_sizes.iter().any(|size| *size > config.max_batch_size) {
                return Err(format!("sequence batching preferred batch size must be <= max batch size for {name}"));
            }
        }
        Some(SequenceStrategy::Direct { minimum_slot_utilization, .. })
            if !(0.0..=1.0).contains(minimum_slot_utilization) =>
        {
            return Err(format!("sequence batching minimum slot utilization must be in range (0.0, 1.0] for {name}"));
        }
        Some(SequenceStrategy::Direct { .. }) | None => {}
    }
    Ok(())
}

fn controls(model: &str, sequences: &SequenceBatching) -> Result<(), String> {
    let mut tensors = BTreeSet::new();
    let mut kinds = Vec::new();
    for input in &sequences.control_inputs {
        if input.name.is_empty() {
            return Err(format!("sequence batching control tensor must have a name for {model}"));
        }
        if !tensors.insert(&input.name) || input.controls.len() > 1 {
            return Err(format!(
                "sequence batching control tensor '{}' is specified for multiple control kinds for {model}",
                input.name
            ));
        }
        for control in &input.controls {
            let kind = control.kind.config_name();
            if kinds.contains(&kind) {
                return Err(format!("sequence batching specifies multiple {kind} tensors for {model}"));
            }
            kinds.push(kind);
            match control.kind {
                ControlKind::CorrelationId => correlation(model, control)?,
                ControlKind::Start | ControlKind::End | ControlKind::Ready => signal(model, control)?,
            }
        }
    }
    Ok(())
}

fn signal(model: &str, control: &ControlSpec) -> Result<(), String> {
    let kind = control.kind.config_name();
    let pairs = pairs(control);
    let written: Vec<&(&str, usize)> = pairs.iter().filter(|(_, entries)| *entries > 0).collect();
    match *written {
        [] => Err(format!(
            "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for {kind} \
             for {model}"
        )),
        [(_, PAIR)] => Ok(()),
        [(field, _)] => {
            Err(format!("sequence batching control '{field}' must have exactly 2 entries for {kind} for {model}"))
        }
        _ => Err(format!(
            "sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' \
             for {kind} for {model}"
        )),
    }
}

fn correlation(model: &str, control: &ControlSpec) -> Result<(), String> {
    let kind = control.kind.config_name();
    if pairs(control).iter().any(|(_, entries)| *entries > 0) {
        return Err(format!(
            "sequence batching must not specify either 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for \
             {kind} for {model}"
        ));
    }
    if CORRELATION_TYPES.contains(&control.data_type.config_name()) {
        return Ok(());
    }
    Err(format!(
        "unexpected data type for control {kind} for {model}. Allowed data types are TYPE_UINT64, TYPE_INT64, \
         TYPE_UINT32, TYPE_INT32 and TYPE_STRING"
    ))
}

fn pairs(control: &ControlSpec) -> [(&'static str, usize); 3] {
    [
        ("int32_false_true", control.int32_false_true.len()),
        ("fp32_false_true", control.fp32_false_true.len()),
        ("bool_false_true", control.bool_false_true.len()),
    ]
}

fn states(model: &str, sequences: &SequenceBatching) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for state in &sequences.states {
        for (field, name) in [("input_name", &state.input_name), ("output_name", &state.output_name)] {
            if name.is_empty() {
                return Err(format!("sequence batching state must specify '{field}' for {model}"));
            }
            if !names.insert((field, name)) {
                return Err(format!(
                    "sequence batching state {field} '{name}' is specified more than once for {model}"
                ));
            }
        }
        if state.data_type.known().is_none() {
            let name = &state.input_name;
            return Err(format!("sequence batching state '{name}' must specify 'data_type' for {model}"));
        }
    }
    Ok(())
}
