//! The tensors that these backends have, held against the configuration; texts in Triton's words.

use nereid_inference::{InferError, ModelConfig, config::ConfigDataType};
use nereid_tensor::DataType;

/// A tensor that the configuration must declare.
pub(crate) struct Expected {
    pub(crate) name: &'static str,
    pub(crate) data_type: DataType,
    pub(crate) dims: Dims,
}

/// Its dims, without the batch, as the backend sees them: those of the `reshape`, where there is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dims {
    /// One dimension of one element.
    One,
    /// One dimension of any extent.
    Row,
}

/// What the configuration says of a tensor.
struct Declared<'a> {
    name: &'a str,
    type_name: &'static str,
    dims: &'a [i64],
}

/// Names, types and dims of all inputs and outputs, in their order.
///
/// # Errors
/// The first difference, with the model's name.
pub(crate) fn check(model_config: &ModelConfig, inputs: &[Expected], outputs: &[Expected]) -> Result<(), InferError> {
    let declared_inputs = model_config.inputs.iter();
    let declared_inputs = declared_inputs.map(|input| Declared {
        name: &input.name,
        type_name: input.data_type.config_name(),
        dims: input.backend_dims(),
    });
    let declared_outputs = model_config.outputs.iter();
    let declared_outputs = declared_outputs.map(|output| Declared {
        name: &output.name,
        type_name: output.data_type.config_name(),
        dims: output.backend_dims(),
    });
    check_kind("input", &declared_inputs.collect::<Vec<_>>(), inputs)
        .and_then(|()| check_kind("output", &declared_outputs.collect::<Vec<_>>(), outputs))
        .map_err(|problem| refused(model_config, &problem))
}

/// A refusal of the whole model.
pub(crate) fn refused(model_config: &ModelConfig, problem: &str) -> InferError {
    InferError::invalid_argument(format!("model '{}': {problem}", model_config.name))
}

fn check_kind(kind: &str, declared: &[Declared<'_>], expected: &[Expected]) -> Result<(), String> {
    if declared.len() != expected.len() {
        let plural = if expected.len() == 1 { "" } else { "s" };
        return Err(format!("expected {} {kind}{plural}, got {}", expected.len(), declared.len()));
    }
    declared.iter().zip(expected).zip(["first", "second", "third"]).try_for_each(|((declared, expected), place)| {
        if declared.name != expected.name {
            return Err(format!("expected {place} {kind} tensor name to be {}, got {}", expected.name, declared.name));
        }
        check_tensor(declared, expected)
    })
}

fn check_tensor(declared: &Declared<'_>, expected: &Expected) -> Result<(), String> {
    let (name, dims) = (expected.name, declared.dims);
    match expected.dims {
        Dims::One if dims != [1] => return Err(format!("expected {name} shape to be [1], got {dims:?}")),
        Dims::Row if dims.len() != 1 => {
            return Err(format!("expected {name} shape to have one dimension, got {dims:?}"));
        }
        Dims::One | Dims::Row => {}
    }
    let type_name = ConfigDataType::from(expected.data_type).config_name();
    if declared.type_name != type_name {
        return Err(format!("expected {name} datatype to be {type_name}, got {}", declared.type_name));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Models of these backends for tests.

    use nereid_backend::Backend;
    use nereid_inference::{
        LoadClock, ModelIdentity, ModelSource,
        config::{ModelInput, ModelOutput},
    };

    use super::*;

    /// Name, type and dims.
    type Spec<'a> = (&'a str, DataType, &'a [i64]);

    pub(crate) fn source(inputs: &[Spec<'_>], outputs: &[Spec<'_>]) -> ModelSource {
        let input = |(name, data_type, dims): &Spec<'_>| ModelInput {
            name: (*name).into(),
            data_type: (*data_type).into(),
            dims: dims.to_vec(),
            ..ModelInput::default()
        };
        let output = |(name, data_type, dims): &Spec<'_>| ModelOutput {
            name: (*name).into(),
            data_type: (*data_type).into(),
            dims: dims.to_vec(),
            ..ModelOutput::default()
        };
        let (inputs, outputs) = (inputs.iter().map(input).collect(), outputs.iter().map(output).collect());
        let config = ModelConfig { name: "m".into(), inputs, outputs, ..ModelConfig::default() };
        let identity = ModelIdentity::new("m", 1);
        ModelSource {
            identity,
            model_directory: "m".into(),
            version_directory: "m/1".into(),
            config,
            clock: LoadClock::default(),
        }
    }

    pub(crate) fn load_error(backend: &dyn Backend, source: &ModelSource) -> String {
        match backend.load(source) {
            Ok(_) => unreachable!("it loaded"),
            Err(error) => error.message().to_owned(),
        }
    }
}
