//! What every execution of a model does alike, worked out once at load: names as C strings, shapes on both sides.

use std::{
    ffi::{CString, NulError},
    sync::Arc,
};

use nereid_inference::{ModelConfig, Signature, config::Reshape};
use nereid_tensor::{DataType, Shape};

use crate::model_file::FileTensor;

/// The tensors of one model in the order of its signature.
pub(crate) struct Plan {
    pub(crate) model_name: String,
    pub(crate) batching: bool,
    pub(crate) inputs: Vec<PlannedTensor>,
    pub(crate) outputs: Vec<PlannedTensor>,
    /// The output that says whether a request is run again.
    pub(crate) iterate_while: Option<Arc<str>>,
}

/// One input or output.
pub(crate) struct PlannedTensor {
    pub(crate) name: Arc<str>,
    pub(crate) c_name: CString,
    pub(crate) data_type: DataType,
    /// The dims that clients see, without the batch dimension.
    dims: Vec<i64>,
    /// The dims that the file sees instead.
    reshape: Option<Vec<i64>>,
    /// As the file declares it, with the batch dimension.
    file_dims: Vec<i64>,
}

// === impl Plan ===

impl Plan {
    /// The plan for a configuration that agrees with the file.
    ///
    /// # Errors
    /// A name with a zero byte in it, which no file has.
    pub(crate) fn new(
        model_config: &ModelConfig,
        signature: &Signature,
        inputs: &[FileTensor],
        outputs: &[FileTensor],
    ) -> Result<Self, NulError> {
        // What the host adds for sequences comes after the clients' tensors, and as it is.
        let as_it_is = || std::iter::repeat(None);
        let input_reshapes = model_config.inputs.iter().map(|input| input.reshape.as_ref()).chain(as_it_is());
        let output_reshapes = model_config.outputs.iter().map(|output| output.reshape.as_ref()).chain(as_it_is());
        let planned = |spec: &nereid_inference::TensorSpec, reshape: Option<&Reshape>, declared: &[FileTensor]| {
            let file_tensor = declared.iter().find(|tensor| *tensor.name == *spec.name);
            Ok(PlannedTensor {
                name: spec.name.clone(),
                c_name: CString::new(spec.name.as_bytes())?,
                data_type: spec.data_type,
                dims: spec.dims.clone(),
                reshape: reshape.map(|reshape| reshape.shape.clone()),
                file_dims: file_tensor.map(|tensor| tensor.dims.clone()).unwrap_or_default(),
            })
        };
        let inputs = signature.inputs.iter().zip(input_reshapes).map(|(spec, reshape)| planned(spec, reshape, inputs));
        let outputs =
            signature.outputs.iter().zip(output_reshapes).map(|(spec, reshape)| planned(spec, reshape, outputs));
        Ok(Self {
            model_name: model_config.name.clone(),
            batching: model_config.has_batching(),
            inputs: inputs.collect::<Result<_, _>>()?,
            outputs: outputs.collect::<Result<_, _>>()?,
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
    /// The shape that the file sees for an input that arrives in `shape`.
    pub(crate) fn file_shape(&self, shape: &Shape, batching: bool) -> Shape {
        match &self.reshape {
            Some(reshape) => translate(shape, &self.dims, reshape, batching),
            None => shape.clone(),
        }
    }

    /// The shape that clients see for an output that the file gives in `shape`.
    pub(crate) fn client_shape(&self, shape: &Shape, batching: bool) -> Shape {
        match &self.reshape {
            Some(reshape) => translate(shape, reshape, &self.dims, batching),
            None => shape.clone(),
        }
    }

    /// The shape that an output will have with `rows` rows, where the file leaves nothing else open; `None` where it
    /// does, or where the elements have no fixed size.
    pub(crate) fn known_shape(&self, rows: u64, batching: bool) -> Option<Shape> {
        let rows = batching.then_some(rows);
        let inner = self.file_dims.get(usize::from(batching)..)?;
        if self.data_type == DataType::Bytes || self.file_dims.is_empty() {
            return None;
        }
        rows.map(Some).into_iter().chain(inner.iter().map(|dim| u64::try_from(*dim).ok())).collect()
    }
}

/// A shape that fits `from` as the shape that fits `to`; the open dimensions of both stand for each other in order.
/// A shape that does not fit is passed on as it is, for ONNX Runtime to judge.
fn translate(shape: &Shape, from: &[i64], to: &[i64], batching: bool) -> Shape {
    let (rows, inner) = match batching {
        true => (shape.first().copied(), shape.inner()),
        false => (None, &**shape),
    };
    let fits = |(dim, extent): (&i64, &u64)| *dim == -1 || u64::try_from(*dim) == Ok(*extent);
    if from.len() != inner.len() || !from.iter().zip(inner).all(fits) {
        return shape.clone();
    }
    let mut open = from.iter().zip(inner).filter(|(dim, _)| **dim == -1).map(|(_, extent)| *extent);
    let translated = to.iter().map(|dim| u64::try_from(*dim).ok().or_else(|| open.next()).unwrap_or(1));
    rows.into_iter().chain(translated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_translation(shape: &[u64], from: &[i64], to: &[i64], batching: bool, expected: &[u64]) {
        assert_eq!(&*translate(&Shape::new(shape), from, to, batching), expected);
    }

    #[test]
    fn reshapes_both_ways_and_keeps_the_batch() {
        check_translation(&[3, 1], &[1], &[], true, &[3]);
        check_translation(&[3], &[], &[1], true, &[3, 1]);
        check_translation(&[7, 4], &[-1, 4], &[-1, 2, 2], false, &[7, 2, 2]);
        check_translation(&[2, 5, 6], &[-1, -1], &[-1, 1, -1], true, &[2, 5, 1, 6]);
    }

    #[test]
    fn a_shape_that_does_not_fit_is_passed_on() {
        check_translation(&[3, 9], &[1], &[], true, &[3, 9]);
    }

    fn output(file_dims: &[i64], data_type: DataType) -> PlannedTensor {
        PlannedTensor {
            name: "y".into(),
            c_name: CString::default(),
            data_type,
            dims: vec![],
            reshape: None,
            file_dims: file_dims.to_vec(),
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
    }
}
