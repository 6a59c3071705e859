//! The tensors that a backend sees: the clients' in the backend's form, and those that the host adds for sequences.

use super::{Signature, TensorSpec};
use crate::{
    InferError, ModelConfig,
    config::{CONTROL_DIMS, ConfigDataType},
};

// === impl Signature ===

impl Signature {
    /// The signature that a backend serves: the clients' tensors in the form of their `reshape`, then control inputs and
    /// state of sequences.
    ///
    /// # Errors
    /// A tensor without a data type.
    pub fn of_backend(config: &ModelConfig) -> Result<Self, InferError> {
        let mut signature = Self::with_sequences(config)?;
        for (spec, input) in signature.inputs.iter_mut().zip(&config.inputs) {
            spec.dims = input.backend_dims().to_vec();
        }
        for (spec, output) in signature.outputs.iter_mut().zip(&config.outputs) {
            spec.dims = output.backend_dims().to_vec();
        }
        Ok(signature)
    }

    /// The clients' tensors as clients see them, then control inputs and state of sequences: what a request may hold
    /// that comes from the host itself.
    ///
    /// # Errors
    /// A tensor without a data type.
    pub fn with_sequences(config: &ModelConfig) -> Result<Self, InferError> {
        let mut signature = Self::from_config(config)?;
        let Some(sequences) = config.sequences() else { return Ok(signature) };
        for (name, data_type) in sequences.control_types() {
            signature.inputs.push(spec(name, data_type, &CONTROL_DIMS, "sequence batching control")?);
        }
        for state in &sequences.states {
            signature.inputs.push(spec(&state.input_name, state.data_type, &state.dims, "state input")?);
            if signature.output(&state.output_name).is_none() {
                signature.outputs.push(spec(&state.output_name, state.data_type, &state.dims, "state output")?);
            }
        }
        Ok(signature)
    }
}

fn spec(name: &str, data_type: ConfigDataType, dims: &[i64], kind: &str) -> Result<TensorSpec, InferError> {
    let missing = || InferError::invalid_argument(format!("{kind} '{name}' must specify 'data_type'"));
    let data_type = data_type.known().ok_or_else(missing)?;
    Ok(TensorSpec { name: name.into(), data_type, dims: dims.to_vec(), optional: false })
}

#[cfg(test)]
mod tests {
    use nereid_tensor::DataType;

    use super::*;
    use crate::config::{
        ControlInput, ControlKind, ControlSpec, ModelInput, ModelOutput, Reshape, Scheduling, SequenceBatching,
        StateSpec,
    };

    fn shown(specs: &[TensorSpec]) -> Vec<String> {
        specs.iter().map(|spec| format!("{} {} {:?}", spec.name, spec.data_type, spec.dims)).collect()
    }

    #[test]
    fn a_backend_sees_the_reshaped_dims_and_a_client_does_not() {
        let (name, data_type, reshape) =
            ("X".to_owned(), DataType::Fp32.into(), Some(Reshape { shape: vec![-1, 2, 2] }));
        let input = ModelInput { name: name.clone(), data_type, dims: vec![-1, 4], reshape, ..ModelInput::default() };
        let output =
            ModelOutput { name, data_type, dims: vec![1], reshape: Some(Reshape::default()), ..ModelOutput::default() };
        let config = ModelConfig { inputs: vec![input], outputs: vec![output], ..ModelConfig::default() };
        let backend = Signature::of_backend(&config).unwrap();
        assert_eq!(
            (shown(&backend.inputs), shown(&backend.outputs)),
            (vec!["X FP32 [-1, 2, 2]".into()], vec!["X FP32 []".into()])
        );
        for client in [Signature::from_config(&config).unwrap(), Signature::with_sequences(&config).unwrap()] {
            assert_eq!(
                (shown(&client.inputs), shown(&client.outputs)),
                (vec!["X FP32 [-1, 4]".into()], vec!["X FP32 [1]".into()])
            );
        }
    }

    #[test]
    fn a_backend_sees_controls_and_state_and_a_client_does_not() {
        let input = |name: &str| ModelInput {
            name: name.into(),
            data_type: DataType::Fp32.into(),
            dims: vec![4],
            ..ModelInput::default()
        };
        let output =
            ModelOutput { name: "Y".into(), data_type: DataType::Fp32.into(), dims: vec![4], ..ModelOutput::default() };
        let control = |name: &str, control: ControlSpec| ControlInput { name: name.into(), controls: vec![control] };
        let id = ControlSpec {
            kind: ControlKind::CorrelationId,
            data_type: DataType::Bytes.into(),
            ..ControlSpec::default()
        };
        let state = StateSpec {
            input_name: "IN".into(),
            output_name: "OUT".into(),
            data_type: DataType::Int32.into(),
            dims: vec![-1],
            ..StateSpec::default()
        };
        let sequences = SequenceBatching {
            control_inputs: vec![
                control("START", ControlSpec { fp32_false_true: vec![0.0, 1.0], ..ControlSpec::default() }),
                control("ID", id),
            ],
            states: vec![state],
            ..SequenceBatching::default()
        };
        let config = ModelConfig {
            inputs: vec![input("X")],
            outputs: vec![output],
            scheduling: Some(Scheduling::Sequence(sequences)),
            ..ModelConfig::default()
        };
        let backend = Signature::of_backend(&config).unwrap();
        assert_eq!(shown(&backend.inputs), ["X FP32 [4]", "START FP32 [1]", "ID BYTES [1]", "IN INT32 [-1]"]);
        assert_eq!(shown(&backend.outputs), ["Y FP32 [4]", "OUT INT32 [-1]"]);
        let client = Signature::from_config(&config).unwrap();
        assert_eq!(
            (shown(&client.inputs), shown(&client.outputs)),
            (vec!["X FP32 [4]".into()], vec!["Y FP32 [4]".into()])
        );
    }
}
