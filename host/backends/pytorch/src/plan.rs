//! What every execution of a model does alike, worked out once at load: which tensor is which argument and which output.

use std::{ffi::CString, sync::Arc};

use nereid_backend::BatchForms;
use nereid_inference::{Signature, TensorSpec};
use nereid_tensor::{DataType, Shape};

use crate::{
    ffi::Description,
    names::{self, input_places, output_places},
    settings::ModelSettings,
};

/// The tensors of one model.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    pub(crate) settings: ModelSettings,
    /// In the order of the arguments.
    pub(crate) inputs: Vec<PlannedInput>,
    pub(crate) outputs: Vec<PlannedOutput>,
    pub(crate) forms: BatchForms,
    pub(crate) writes_inputs: bool,
    pub(crate) writes_itself: bool,
}

/// One argument, or one entry of the dictionary that is the only argument.
#[derive(Debug)]
pub(crate) struct PlannedInput {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) key: Option<CString>,
    /// Which of the tensors that the host makes for each batch, if it is one.
    pub(crate) made: Option<usize>,
}

/// One output.
#[derive(Debug)]
pub(crate) struct PlannedOutput {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    /// Where it stands in a tuple or a list.
    pub(crate) place: usize,
    /// The shape of one element that clients see, where the model gives a scalar.
    scalar: Option<Shape>,
}

// === impl Plan ===

impl Plan {
    /// The plan for a file and a configuration.
    ///
    /// # Errors
    /// Names that do not say which argument is meant, too few or too many of them, a type that LibTorch does not have.
    pub(crate) fn new(
        signature: &Signature,
        forms: BatchForms,
        description: &Description,
        settings: ModelSettings,
    ) -> Result<Self, String> {
        let mut inputs: Vec<PlannedInput> =
            signature.inputs.iter().map(PlannedInput::sent).collect::<Result<_, _>>()?;
        inputs.extend(forms.tensors().iter().enumerate().map(|(index, made)| PlannedInput {
            name: made.name().clone(),
            data_type: made.data_type(),
            key: None,
            made: Some(index),
        }));
        let inputs = match description.takes_dictionary {
            true => inputs.into_iter().map(PlannedInput::with_key).collect::<Result<_, _>>()?,
            false => in_places(inputs, description)?,
        };
        let batching = signature.max_batch_size > 0;
        Ok(Self {
            model_name: signature.model_name.to_string(),
            batching,
            settings,
            inputs,
            outputs: outputs(&signature.outputs, batching)?,
            forms,
            writes_inputs: description.writes_inputs,
            writes_itself: description.writes_itself,
        })
    }
}

fn in_places(inputs: Vec<PlannedInput>, description: &Description) -> Result<Vec<PlannedInput>, String> {
    let arguments = &description.arguments;
    let (given, most, least) = (inputs.len(), arguments.len(), description.arguments_needed);
    if given < least || given > most {
        let listed = names::listed(arguments);
        return Err(format!("the configuration has {given} inputs, and the model's forward takes {most}: {listed}"));
    }
    let written: Vec<&str> = inputs.iter().map(|input| &*input.name).collect();
    let places = input_places(&written, arguments)?;
    let mut placed: Vec<(usize, PlannedInput)> = places.into_iter().zip(inputs).collect();
    placed.sort_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, input)| input).collect())
}

fn outputs(specs: &[TensorSpec], batching: bool) -> Result<Vec<PlannedOutput>, String> {
    let written: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    let planned = output_places(&written).into_iter().zip(specs).map(|(place, spec)| {
        refuse_bytes("output", spec)?;
        let scalar =
            (!batching && spec.dims.iter().all(|dim| *dim == 1)).then(|| spec.dims.iter().map(|_| 1).collect());
        Ok(PlannedOutput { name: spec.name.clone(), data_type: spec.data_type, place, scalar })
    });
    planned.collect()
}

fn refuse_bytes(role: &str, spec: &TensorSpec) -> Result<(), String> {
    match spec.data_type {
        DataType::Bytes => Err(format!(
            "{role} '{}' is TYPE_STRING, and this backend passes tensors only, of which LibTorch has none of strings",
            spec.name
        )),
        _ => Ok(()),
    }
}

// === impl PlannedInput ===

impl PlannedInput {
    fn sent(spec: &TensorSpec) -> Result<Self, String> {
        refuse_bytes("input", spec)?;
        Ok(Self { name: spec.name.clone(), data_type: spec.data_type, key: None, made: None })
    }

    fn with_key(self) -> Result<Self, String> {
        let key = CString::new(self.name.as_bytes());
        let key = key.map_err(|_| format!("input '{}' has a zero byte in its name", self.name.escape_default()))?;
        Ok(Self { key: Some(key), ..self })
    }
}

// === impl PlannedOutput ===

impl PlannedOutput {
    /// The shape that clients see of an output that the model gives in `shape`.
    pub(crate) fn shape(&self, shape: Shape) -> Shape {
        match &self.scalar {
            Some(scalar) if shape.is_empty() => scalar.clone(),
            _ => shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use nereid_inference::ModelConfig;

    use super::*;

    fn spec(name: &str, data_type: DataType) -> TensorSpec {
        TensorSpec { name: name.into(), data_type, dims: vec![1], optional: false }
    }

    fn plan(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Result<Plan, String> {
        let signature = Signature { inputs, outputs, ..Signature::default() };
        let description = Description {
            arguments: vec!["left".into(), "right".into()],
            arguments_needed: 1,
            takes_dictionary: false,
            writes_inputs: false,
            writes_itself: false,
            weight_bytes: 0,
        };
        let config = ModelConfig::default();
        Plan::new(&signature, BatchForms::default(), &description, ModelSettings::from_config(&config).unwrap())
    }

    #[test]
    fn inputs_stand_in_the_order_of_the_arguments() {
        let inputs = vec![spec("right", DataType::Fp32), spec("left", DataType::Int64)];
        let plan = plan(inputs, vec![spec("OUTPUT__0", DataType::Fp32)]).unwrap();
        let names: Vec<&str> = plan.inputs.iter().map(|input| &*input.name).collect();
        assert_eq!(names, ["left", "right"]);
        assert_eq!(plan.outputs[0].shape(Shape::default()), Shape::from([1]));
    }

    #[test]
    fn what_forward_does_not_take_is_refused() {
        let three = ["a", "b", "c"].map(|name| spec(name, DataType::Fp32)).to_vec();
        let text = "the configuration has 3 inputs, and the model's forward takes 2: (left, right)";
        assert_eq!(plan(three, vec![]).unwrap_err(), text);
        let words = plan(vec![spec("left", DataType::Bytes)], vec![]).unwrap_err();
        assert!(words.starts_with("input 'left' is TYPE_STRING, and this backend passes tensors only"), "{words}");
        assert!(plan(vec![spec("left", DataType::Fp32)], vec![spec("y", DataType::Bytes)]).is_err());
    }
}
