//! What every execution of a model does alike, worked out once at load: names as C strings, shapes on both sides.

use std::{
    ffi::{CString, NulError},
    sync::Arc,
};

use nereid_backend::{BatchForms, BatchTensor};
use nereid_inference::{Signature, TensorSpec};
use nereid_tensor::{DataType, Shape};

use crate::{complete::Declared, model_file::FileTensor};

/// The tensors of one model in the order of its signature.
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    pub(crate) inputs: Vec<PlannedTensor>,
    pub(crate) outputs: Vec<PlannedTensor>,
    /// The output that says whether a request is run again.
    pub(crate) iterate_while: Option<Arc<str>>,
    /// The inputs that are made for each batch, in the order of [`BatchForms::tensors`].
    pub(crate) batch_inputs: Vec<PlannedTensor>,
    pub(crate) forms: BatchForms,
}

/// One input or output.
pub(crate) struct PlannedTensor {
    pub(crate) name: Arc<str>,
    pub(crate) c_name: CString,
    pub(crate) data_type: DataType,
    /// A scalar of the file that the configuration, which cannot say "no dimensions", has as this shape of one element.
    scalar: Option<Shape>,
    /// As the file declares it, with the batch dimension.
    file_dims: Vec<i64>,
    /// An output of the batch as a whole, which says nothing about rows.
    is_cut: bool,
}

// === impl Plan ===

impl Plan {
    /// The plan for a configuration that agrees with the file.
    ///
    /// # Errors
    /// A name with a zero byte in it, which no file has.
    pub(crate) fn new(signature: &Signature, forms: BatchForms, declared: Declared<'_>) -> Result<Self, NulError> {
        let batching = signature.max_batch_size > 0;
        let in_file =
            |spec: &TensorSpec, tensors: &[FileTensor]| tensors.iter().find(|t| *t.name == *spec.name).cloned();
        let input = |spec| {
            let file_tensor = in_file(spec, declared.inputs).or_else(|| in_file(spec, declared.defaults));
            PlannedTensor::new(spec, file_tensor, batching)
        };
        let output = |spec: &TensorSpec| {
            let planned = PlannedTensor::new(spec, in_file(spec, declared.outputs), batching)?;
            Ok(PlannedTensor { is_cut: forms.cut_of(&spec.name).is_some(), ..planned })
        };
        Ok(Self {
            model_name: signature.model_name.to_string(),
            batching,
            inputs: signature.inputs.iter().map(input).collect::<Result<_, _>>()?,
            outputs: signature.outputs.iter().map(output).collect::<Result<_, _>>()?,
            batch_inputs: forms.tensors().iter().map(PlannedTensor::made).collect::<Result<_, _>>()?,
            forms,
            iterate_while: None,
        })
    }
}

impl Plan {
    /// Whether the output of this name says if a request is run again: it is computed whatever the client wants.
    pub(crate) fn iterates_by(&self, name: &str) -> bool {
        self.iterate_while.as_deref() == Some(name)
    }
}

// === impl PlannedTensor ===

impl PlannedTensor {
    fn new(spec: &TensorSpec, file_tensor: Option<FileTensor>, batching: bool) -> Result<Self, NulError> {
        let has_no_dims = file_tensor.as_ref().is_some_and(|tensor| tensor.dims.is_empty());
        let is_scalar = !batching && has_no_dims && spec.dims.iter().all(|dim| *dim == 1);
        let file_dims = file_tensor.map(|tensor| tensor.dims).unwrap_or_default();
        Ok(Self {
            name: spec.name.clone(),
            c_name: CString::new(spec.name.as_bytes())?,
            data_type: spec.data_type,
            scalar: is_scalar.then(|| spec.dims.iter().map(|_| 1).collect()),
            file_dims,
            is_cut: false,
        })
    }

    /// An input that clients do not send.
    fn made(tensor: &BatchTensor) -> Result<Self, NulError> {
        let (name, data_type) = (tensor.name().clone(), tensor.data_type());
        let c_name = CString::new(name.as_bytes())?;
        Ok(Self { name, c_name, data_type, scalar: None, file_dims: Vec::new(), is_cut: false })
    }

    /// The shape that the file sees for an input that arrives in `shape`.
    pub(crate) fn file_shape(&self, shape: &Shape) -> Shape {
        if self.scalar.is_some() { Shape::default() } else { shape.clone() }
    }

    /// The shape of an output that the file gives in `shape`.
    pub(crate) fn output_shape(&self, shape: Shape) -> Shape {
        match &self.scalar {
            Some(scalar) if shape.is_empty() => scalar.clone(),
            _ => shape,
        }
    }

    /// The shape that an output will have with `rows` rows, where the file leaves nothing else open; `None` where it
    /// does, or where the elements have no fixed size.
    pub(crate) fn known_shape(&self, rows: u64, batching: bool) -> Option<Shape> {
        let rows = batching.then_some(rows);
        let inner = self.file_dims.get(usize::from(batching)..)?;
        if self.data_type == DataType::Bytes || self.file_dims.is_empty() || self.is_cut {
            return None;
        }
        rows.map(Some).into_iter().chain(inner.iter().map(|dim| u64::try_from(*dim).ok())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(file_dims: &[i64], data_type: DataType) -> PlannedTensor {
        PlannedTensor {
            name: "y".into(),
            c_name: CString::default(),
            data_type,
            scalar: None,
            file_dims: file_dims.to_vec(),
            is_cut: false,
        }
    }

    #[test]
    fn a_shape_is_known_when_only_the_batch_is_open() {
        assert_eq!(output(&[-1, 10], DataType::Fp32).known_shape(3, true), Some(Shape::from([3, 10])));
        assert_eq!(output(&[2, 10], DataType::Fp32).known_shape(1, false), Some(Shape::from([2, 10])));
        assert_eq!(output(&[-1, -1], DataType::Fp32).known_shape(3, true), None);
        assert_eq!(output(&[-1, 10], DataType::Fp32).known_shape(1, false), None);
        assert_eq!(output(&[-1, 10], DataType::Bytes).known_shape(3, true), None);
        assert_eq!(output(&[], DataType::Fp32).known_shape(3, false), None);
        let cut = PlannedTensor { is_cut: true, ..output(&[-1, 10], DataType::Fp32) };
        assert_eq!(cut.known_shape(3, true), None);
    }
}
