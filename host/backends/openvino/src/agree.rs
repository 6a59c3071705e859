//! The check that a configuration and a file speak of the same tensors, and which of the file's is which; done at every load.

use std::sync::Arc;

use nereid_inference::{Signature, TensorSpec};
use nereid_tensor::{DataType, Shape};

use crate::{element_type, model_file::FileTensor};

/// The tensors of one model in the order of its signature.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    pub(crate) inputs: Vec<PlannedTensor>,
    pub(crate) outputs: Vec<PlannedTensor>,
}

/// One input or output.
#[derive(Debug)]
pub(crate) struct PlannedTensor {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    /// OpenVINO's number.
    pub(crate) element_type: u32,
    /// Its place in the file.
    pub(crate) index: usize,
    /// A scalar of the file, which clients see in this shape of one element.
    scalar: Option<Shape>,
}

// === impl Plan ===

impl Plan {
    /// Compares names, types and shapes.
    ///
    /// # Errors
    /// What differs, with both sides.
    pub(crate) fn new(
        signature: &Signature,
        (inputs, outputs): (&[FileTensor], &[FileTensor]),
        file_name: &str,
    ) -> Result<Self, String> {
        let planned = |role: &'static str, specs: &[TensorSpec], tensors: &[FileTensor]| -> Result<Vec<_>, String> {
            specs.iter().map(|spec| PlannedTensor::new(role, spec, (tensors, file_name), signature)).collect()
        };
        let plan = Self {
            model_name: signature.model_name.to_string(),
            batching: signature.max_batch_size > 0,
            inputs: planned("input", &signature.inputs, inputs)?,
            outputs: planned("output", &signature.outputs, outputs)?,
        };
        let is_given = |index: usize| plan.inputs.iter().any(|input| input.index == index);
        if let Some((_, missing)) = inputs.iter().enumerate().find(|(index, _)| !is_given(*index)) {
            return Err(format!("input {} of {file_name} is missing from the configuration", missing.print()));
        }
        match plan.outputs.is_empty() {
            true => Err(format!("{file_name} has no output that can be served and the configuration names none")),
            false => Ok(plan),
        }
    }
}

// === impl PlannedTensor ===

impl PlannedTensor {
    fn new(
        role: &'static str,
        spec: &TensorSpec,
        (tensors, file_name): (&[FileTensor], &str),
        signature: &Signature,
    ) -> Result<Self, String> {
        let name = &spec.name;
        let found = tensors.iter().enumerate().find(|(_, tensor)| *tensor.name == **name);
        let Some((index, tensor)) = found else {
            let known: Vec<String> = tensors.iter().map(FileTensor::print).collect();
            return Err(format!(
                "the configuration names {role} '{name}', which {file_name} does not have; its {role}s are {}",
                known.join(", ")
            ));
        };
        let element_type = tensor.data_type.and_then(element_type::number);
        let Some(element_type) = element_type else {
            let found = &tensor.element_type;
            return Err(format!("{role} '{name}' of {file_name} is of type {found}, which cannot be served"));
        };
        let batching = signature.max_batch_size > 0;
        let written: Vec<i64> = batching.then_some(-1).into_iter().chain(spec.dims.iter().copied()).collect();
        let is_scalar =
            !batching && tensor.dims.as_ref().is_some_and(Vec::is_empty) && spec.dims.iter().all(|dim| *dim == 1);
        if tensor.data_type != Some(spec.data_type) || !(is_scalar || tensor.accepts(&written)) {
            return Err(format!(
                "{role} '{name}' is {} {written:?} in the configuration (max_batch_size {}), but {} in {file_name}",
                spec.data_type,
                signature.max_batch_size,
                tensor.print()
            ));
        }
        let scalar = is_scalar.then(|| spec.dims.iter().map(|_| 1).collect());
        Ok(Self { name: name.clone(), data_type: spec.data_type, element_type, index, scalar })
    }

    /// The shape that the file sees for an input that arrives in `shape`.
    pub(crate) fn file_shape(&self, shape: &Shape) -> Shape {
        if self.scalar.is_some() { Shape::default() } else { shape.clone() }
    }

    /// The shape that clients see of an output that the file gives in `shape`.
    pub(crate) fn output_shape(&self, shape: Shape) -> Shape {
        match &self.scalar {
            Some(scalar) if shape.is_empty() => scalar.clone(),
            _ => shape,
        }
    }
}

// === impl FileTensor ===

impl FileTensor {
    /// Where the file leaves a dimension open the configuration may be narrower.
    fn accepts(&self, written: &[i64]) -> bool {
        let Some(dims) = &self.dims else { return true };
        dims.len() == written.len()
            && dims.iter().zip(written).all(|(declared, written)| *declared == -1 || declared == written)
    }

    fn print(&self) -> String {
        let dims = self.dims.as_ref().map_or_else(|| "of any shape".to_owned(), |dims| format!("{dims:?}"));
        let data_type = self.data_type.map_or(self.element_type.as_str(), |data_type| data_type.name());
        format!("'{}' {data_type} {dims}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(dims: &[i64], data_type: DataType, max_batch_size: u64) -> Result<Plan, String> {
        let spec =
            |name: &str, data_type| TensorSpec { name: name.into(), data_type, dims: dims.to_vec(), optional: false };
        let signature = Signature {
            inputs: vec![spec("x", data_type)],
            outputs: vec![spec("y", DataType::Fp32)],
            max_batch_size,
            ..Signature::default()
        };
        let tensor = |name: &str| FileTensor {
            name: name.into(),
            data_type: Some(DataType::Fp32),
            element_type: "F32".into(),
            dims: Some(vec![-1, 64]),
        };
        Plan::new(&signature, (&[tensor("x")], &[tensor("y")]), "model.xml")
    }

    #[test]
    fn the_configuration_may_be_narrower_and_not_different() {
        assert!(plan(&[64], DataType::Fp32, 4).is_ok() && plan(&[1, 64], DataType::Fp32, 0).is_ok());
        let text =
            "input 'x' is FP32 [-1, 63] in the configuration (max_batch_size 4), but 'x' FP32 [-1, 64] in model.xml";
        assert_eq!(plan(&[63], DataType::Fp32, 4).unwrap_err(), text);
        assert!(plan(&[64], DataType::Int32, 4).unwrap_err().starts_with("input 'x' is INT32 [-1, 64]"));
    }

    #[test]
    fn names_are_those_of_the_file() {
        let mut signature = Signature::default();
        let tensor = FileTensor { name: "x".into(), data_type: None, element_type: "String".into(), dims: None };
        let text = Plan::new(&signature, (std::slice::from_ref(&tensor), &[]), "m").unwrap_err();
        assert_eq!(text, "input 'x' String of any shape of m is missing from the configuration");
        signature.inputs.push(TensorSpec {
            name: "z".into(),
            data_type: DataType::Fp32,
            dims: vec![1],
            optional: false,
        });
        let text = Plan::new(&signature, (std::slice::from_ref(&tensor), &[]), "m").unwrap_err();
        assert!(
            text.starts_with("the configuration names input 'z', which m does not have; its inputs are 'x'"),
            "{text}"
        );
        signature.inputs[0].name = "x".into();
        let text = Plan::new(&signature, (std::slice::from_ref(&tensor), &[]), "m").unwrap_err();
        assert_eq!(text, "input 'x' of m is of type String, which cannot be served");
    }
}
