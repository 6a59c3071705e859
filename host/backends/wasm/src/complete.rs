//! What a plugin says of its configuration, brought together with what is written.
//!
//! What is written counts, as in Triton: the plugin completes it, and an error names both sides where they differ. A batch may be
//! written smaller than the plugin says. What the plugin says is checked here, because no file has a line to be shown.

use std::collections::BTreeSet;

use nereid_inference::{
    InferError, ModelConfig,
    config::{ConfigDataType, DynamicBatching, ModelInput, ModelOutput, Scheduling, TransactionPolicy},
};
use nereid_plugin::{ConfigDraft, TensorDraft};

/// More inputs, or outputs, than any model has.
const TENSORS_MAX: usize = 1024;

/// Longest name of a tensor that a plugin gives.
const NAME_BYTES_MAX: usize = 256;

/// What is written, as a plugin is told.
pub(crate) fn written(config: &ModelConfig) -> ConfigDraft {
    let known = |data_type| match data_type {
        ConfigDataType::Invalid => None,
        ConfigDataType::Known(known) => Some(known),
    };
    let inputs = config.inputs.iter().map(|input| TensorDraft {
        name: input.name.clone(),
        data_type: known(input.data_type),
        dims: (!input.dims.is_empty()).then(|| input.dims.clone()),
        optional: input.optional,
    });
    let outputs = config.outputs.iter().map(|output| TensorDraft {
        name: output.name.clone(),
        data_type: known(output.data_type),
        dims: (!output.dims.is_empty()).then(|| output.dims.clone()),
        optional: false,
    });
    ConfigDraft {
        max_batch_size: u32::try_from(config.max_batch_size).unwrap_or_default(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        dynamic_batching: matches!(config.scheduling, Some(Scheduling::Dynamic(_))),
        decoupled: config.transaction_policy.map(|policy| policy.decoupled),
    }
}

/// The configuration with what the plugin says of it; `subject` is who that is, for errors.
///
/// # Errors
/// The plugin contradicts what is written, or says what no configuration can say.
pub(crate) fn complete(subject: &str, config: &ModelConfig, said: ConfigDraft) -> Result<ModelConfig, InferError> {
    let mut completed = config.clone();
    let failed =
        |problem: String| InferError::invalid_argument(format!("{subject} completes the configuration with {problem}"));
    completed.max_batch_size = batch_size(config.max_batch_size, said.max_batch_size).map_err(failed)?;
    check_list("inputs", &said.inputs).map_err(failed)?;
    check_list("outputs", &said.outputs).map_err(failed)?;
    for draft in &said.inputs {
        complete_input(&mut completed.inputs, draft)
            .map_err(|problem| failed(format!("input '{}' {problem}", draft.name)))?;
    }
    for draft in &said.outputs {
        complete_output(&mut completed.outputs, draft)
            .map_err(|problem| failed(format!("output '{}' {problem}", draft.name)))?;
    }
    if said.dynamic_batching {
        batch_dynamically(&mut completed.scheduling).map_err(failed)?;
    }
    if let Some(decoupled) = said.decoupled {
        let policy = completed.transaction_policy.get_or_insert(TransactionPolicy { decoupled });
        if policy.decoupled != decoupled {
            return Err(failed(format!("decoupled {decoupled}, and config.pbtxt says {}", policy.decoupled)));
        }
    }
    Ok(completed)
}

fn batch_size(written: i32, said: u32) -> Result<i32, String> {
    let said = i32::try_from(said).map_err(|_| format!("max_batch_size {said}, expected at most {}", i32::MAX))?;
    match (written, said) {
        (written, 0) => Ok(written),
        (0, said) => Ok(said),
        (written, said) if written <= said => Ok(written),
        (written, said) => Err(format!("max_batch_size {said}, and config.pbtxt says {written}: write at most {said}")),
    }
}

fn check_list(what: &str, drafts: &[TensorDraft]) -> Result<(), String> {
    if drafts.len() > TENSORS_MAX {
        return Err(format!("{} {what}, expected at most {TENSORS_MAX}", drafts.len()));
    }
    let mut seen = BTreeSet::new();
    for draft in drafts {
        if draft.name.is_empty() || draft.name.len() > NAME_BYTES_MAX {
            let bytes = draft.name.len();
            return Err(format!("one of its {what} named in {bytes} bytes, expected 1 to {NAME_BYTES_MAX}"));
        }
        if !seen.insert(&draft.name) {
            return Err(format!("two {what} called '{}'", draft.name));
        }
    }
    Ok(())
}

fn complete_input(inputs: &mut Vec<ModelInput>, draft: &TensorDraft) -> Result<(), String> {
    let Some(input) = inputs.iter_mut().find(|input| input.name == draft.name) else {
        let mut input = ModelInput { name: draft.name.clone(), optional: draft.optional, ..ModelInput::default() };
        complete_tensor(draft, &mut input.data_type, &mut input.dims)?;
        inputs.push(input);
        return Ok(());
    };
    if input.optional && !draft.optional {
        return Err("that every request must have, and config.pbtxt says that it is optional".to_owned());
    }
    input.optional = draft.optional;
    complete_tensor(draft, &mut input.data_type, &mut input.dims)
}

fn complete_output(outputs: &mut Vec<ModelOutput>, draft: &TensorDraft) -> Result<(), String> {
    if let Some(output) = outputs.iter_mut().find(|output| output.name == draft.name) {
        return complete_tensor(draft, &mut output.data_type, &mut output.dims);
    }
    let mut output = ModelOutput { name: draft.name.clone(), ..ModelOutput::default() };
    complete_tensor(draft, &mut output.data_type, &mut output.dims)?;
    outputs.push(output);
    Ok(())
}

/// Type and dims, where they are not written.
fn complete_tensor(draft: &TensorDraft, data_type: &mut ConfigDataType, dims: &mut Vec<i64>) -> Result<(), String> {
    if let Some(said) = draft.data_type {
        match *data_type {
            ConfigDataType::Known(written) if written != said => {
                return Err(format!("of type {said}, and config.pbtxt says {written}"));
            }
            _ => *data_type = ConfigDataType::Known(said),
        }
    }
    let Some(said) = &draft.dims else { return Ok(()) };
    if said.is_empty() || said.iter().any(|extent| *extent < 1 && *extent != -1) {
        return Err(format!("of dims {said:?}, expected at least one, each -1 or more than 0"));
    }
    if !dims.is_empty() && dims != said {
        return Err(format!("of dims {said:?}, and config.pbtxt says {dims:?}"));
    }
    dims.clone_from(said);
    Ok(())
}

fn batch_dynamically(scheduling: &mut Option<Scheduling>) -> Result<(), String> {
    match scheduling {
        Some(Scheduling::Dynamic(_)) => Ok(()),
        None => {
            *scheduling = Some(Scheduling::Dynamic(DynamicBatching::default()));
            Ok(())
        }
        Some(Scheduling::Sequence(_)) => Err("dynamic batching, and config.pbtxt says sequence_batching".to_owned()),
        Some(Scheduling::Ensemble(_)) => Err("dynamic batching, and config.pbtxt says ensemble_scheduling".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::config::SequenceBatching;
    use nereid_tensor::DataType;

    use super::*;

    fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> TensorDraft {
        TensorDraft { name: name.to_owned(), data_type: Some(data_type), dims: Some(dims.to_vec()), optional: false }
    }

    fn input(name: &str, data_type: ConfigDataType, dims: &[i64]) -> ModelInput {
        ModelInput { name: name.to_owned(), data_type, dims: dims.to_vec(), ..ModelInput::default() }
    }

    fn said() -> ConfigDraft {
        ConfigDraft {
            max_batch_size: 8,
            inputs: vec![tensor("X", DataType::Fp32, &[-1])],
            outputs: vec![tensor("Y", DataType::Int64, &[2, 3])],
            dynamic_batching: true,
            decoupled: Some(true),
        }
    }

    #[test]
    fn what_is_not_written_is_what_the_plugin_says() {
        let completed = complete("plugin", &ModelConfig::default(), said()).unwrap();
        assert_eq!(completed.inputs, [input("X", DataType::Fp32.into(), &[-1])]);
        assert_eq!(
            (completed.outputs[0].data_type, &*completed.outputs[0].dims),
            (DataType::Int64.into(), &[2, 3][..])
        );
        assert_eq!((completed.max_batch_size, completed.is_decoupled()), (8, true));
        assert_eq!(completed.scheduling, Some(Scheduling::Dynamic(DynamicBatching::default())));
        let again = complete("plugin", &completed, said()).unwrap();
        assert_eq!(again, completed, "what agrees changes nothing");
        assert_eq!(complete("plugin", &completed, written(&completed)).unwrap(), completed);
        assert_eq!(complete("plugin", &completed, ConfigDraft::default()).unwrap(), completed, "nothing said");
    }

    #[test]
    fn what_is_written_stays() {
        let batching = DynamicBatching { max_queue_delay_microseconds: 7, ..DynamicBatching::default() };
        let config = ModelConfig {
            max_batch_size: 4,
            inputs: vec![input("A", DataType::Bool.into(), &[1]), input("X", ConfigDataType::Invalid, &[])],
            scheduling: Some(Scheduling::Dynamic(batching)),
            ..ModelConfig::default()
        };
        let completed = complete("plugin", &config, said()).unwrap();
        assert_eq!((completed.max_batch_size, &completed.scheduling), (4, &config.scheduling));
        assert_eq!(completed.inputs, [config.inputs[0].clone(), input("X", DataType::Fp32.into(), &[-1])]);
    }

    #[track_caller]
    fn check_refused(config: ModelConfig, said: ConfigDraft, expected: &str) {
        let error = complete("the plugin", &config, said).unwrap_err();
        assert_eq!(error.message(), format!("the plugin completes the configuration with {expected}"));
    }

    #[test]
    fn a_contradiction_names_both_sides() {
        let with = |input| ModelConfig { inputs: vec![input], ..ModelConfig::default() };
        check_refused(
            with(input("X", DataType::Int32.into(), &[])),
            said(),
            "input 'X' of type FP32, and config.pbtxt says INT32",
        );
        check_refused(
            with(input("X", ConfigDataType::Invalid, &[3])),
            said(),
            "input 'X' of dims [-1], and config.pbtxt says [3]",
        );
        check_refused(
            with(ModelInput { optional: true, ..input("X", ConfigDataType::Invalid, &[]) }),
            said(),
            "input 'X' that every request must have, and config.pbtxt says that it is optional",
        );
        check_refused(
            ModelConfig { max_batch_size: 9, ..ModelConfig::default() },
            said(),
            "max_batch_size 8, and config.pbtxt says 9: write at most 8",
        );
        let policy = Some(TransactionPolicy { decoupled: false });
        check_refused(
            ModelConfig { transaction_policy: policy, ..ModelConfig::default() },
            said(),
            "decoupled true, and config.pbtxt says false",
        );
        let scheduling = Some(Scheduling::Sequence(SequenceBatching::default()));
        check_refused(
            ModelConfig { scheduling, ..ModelConfig::default() },
            said(),
            "dynamic batching, and config.pbtxt says sequence_batching",
        );
    }

    #[test]
    fn what_no_configuration_can_say_is_refused() {
        let with = |inputs| ConfigDraft { inputs, ..ConfigDraft::default() };
        let none = ModelConfig::default;
        let x = |dims: &[i64]| tensor("X", DataType::Fp32, dims);
        check_refused(
            none(),
            with(vec![x(&[0])]),
            "input 'X' of dims [0], expected at least one, each -1 or more than 0",
        );
        check_refused(
            none(),
            with(vec![x(&[])]),
            "input 'X' of dims [], expected at least one, each -1 or more than 0",
        );
        check_refused(none(), with(vec![x(&[1]), x(&[1])]), "two inputs called 'X'");
        let unnamed = TensorDraft::default();
        check_refused(none(), with(vec![unnamed]), "one of its inputs named in 0 bytes, expected 1 to 256");
        let many = (0..1025).map(|number| tensor(&number.to_string(), DataType::Fp32, &[1])).collect();
        check_refused(none(), with(many), "1025 inputs, expected at most 1024");
        let huge = ConfigDraft { max_batch_size: u32::MAX, ..ConfigDraft::default() };
        check_refused(none(), huge, "max_batch_size 4294967295, expected at most 2147483647");
    }
}
