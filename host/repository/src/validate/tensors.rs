//! Inputs and outputs: names, types, dims and reshapes. Callers add the model's name.

use std::collections::BTreeSet;

use nereid_inference::{
    ModelConfig,
    config::{ConfigDataType, ModelInput, ModelOutput, Reshape, TensorFormat},
};

use super::VARIABLE;
use crate::platform::is_tensorrt;

/// Dimensions of an image without its batch.
const IMAGE_DIMS: usize = 3;

/// What inputs and outputs have in common.
struct Declared<'a> {
    kind: &'static str,
    name: &'a str,
    data_type: ConfigDataType,
    dims: &'a [i64],
    reshape: Option<&'a Reshape>,
    is_shape_tensor: bool,
    is_non_linear: bool,
}

/// Checks every input and output; in Triton's order, so that the first mistake found is the same.
pub(super) fn tensors(config: &ModelConfig) -> Result<(), String> {
    for input in &config.inputs {
        let declared = Declared::input(input);
        declared.check(config)?;
        if input.format != TensorFormat::None && input.dims.len() != IMAGE_DIMS {
            return Err("model input NHWC/NCHW require 3 dims".to_owned());
        }
        declared.check_is_for_any_platform(config)?;
    }
    for output in &config.outputs {
        let declared = Declared::output(output);
        declared.check(config)?;
        declared.check_is_for_any_platform(config)?;
    }
    unique("input", config.inputs.iter().map(|input| input.name.as_str()))?;
    unique("output", config.outputs.iter().map(|output| output.name.as_str()))
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("model {kind} '{name}' is specified more than once"));
        }
    }
    Ok(())
}

// === impl Declared ===

impl<'a> Declared<'a> {
    fn input(input: &'a ModelInput) -> Self {
        Self {
            kind: "input",
            name: &input.name,
            data_type: input.data_type,
            dims: &input.dims,
            reshape: input.reshape.as_ref(),
            is_shape_tensor: input.is_shape_tensor,
            is_non_linear: input.is_non_linear_format_io,
        }
    }

    fn output(output: &'a ModelOutput) -> Self {
        Self {
            kind: "output",
            name: &output.name,
            data_type: output.data_type,
            dims: &output.dims,
            reshape: output.reshape.as_ref(),
            is_shape_tensor: output.is_shape_tensor,
            is_non_linear: output.is_non_linear_format_io,
        }
    }

    fn check(&self, config: &ModelConfig) -> Result<(), String> {
        let Self { kind, name, .. } = self;
        if name.is_empty() {
            return Err(format!("model {kind} must specify 'name'"));
        }
        self.check_form(config.has_batching()).map_err(|text| format!("model {kind} '{name}' {text}"))
    }

    fn check_form(&self, batched: bool) -> Result<(), String> {
        if self.data_type == ConfigDataType::Invalid {
            return Err("must specify 'data_type'".to_owned());
        }
        if self.dims.is_empty() {
            return Err("must specify 'dims'".to_owned());
        }
        let reshape = self.reshape.map(|reshape| reshape.shape.as_slice());
        if !batched && reshape.is_some_and(<[i64]>::is_empty) {
            let text = "cannot have empty reshape for non-batching model as scalar tensors are not supported";
            return Err(text.to_owned());
        }
        check_extents("dimension", self.dims)?;
        let Some(reshape) = reshape else { return Ok(()) };
        check_extents("reshape dimensions", reshape)?;
        check_reshape(self.dims, reshape)
    }

    fn check_is_for_any_platform(&self, config: &ModelConfig) -> Result<(), String> {
        if is_tensorrt(config) {
            return Ok(());
        }
        if self.is_shape_tensor {
            return Err("shape tensors are only supported for TensorRT platform".to_owned());
        }
        if self.is_non_linear {
            return Err("Non-linear IO format is only supported for the TensorRT platform".to_owned());
        }
        Ok(())
    }
}

fn check_extents(what: &str, dims: &[i64]) -> Result<(), String> {
    if dims.iter().all(|dim| *dim >= 1 || *dim == VARIABLE) {
        return Ok(());
    }
    Err(format!("{what} must be integer >= 1, or {VARIABLE} to indicate a variable-size dimension"))
}

/// Both forms hold as many elements between the same open dimensions: `[ 2, 4, -1, 6 ]` is `[ 8, -1, 1, 6 ]`.
fn check_reshape(dims: &[i64], reshape: &[i64]) -> Result<(), String> {
    let different_size = || "has different size for dims and reshape".to_owned();
    let (dims, reshape) = (parts(dims), parts(reshape));
    // One side without an open dimension and one with them differ in size, says Triton.
    if (dims.len() == 1) != (reshape.len() == 1) {
        return Err(different_size());
    }
    if dims.len() != reshape.len() {
        return Err("has different number of variable-size dimensions for dims and reshape".to_owned());
    }
    // A number of elements that cannot be counted is the size of nothing.
    let same = dims.iter().zip(&reshape).all(|(dims, reshape)| dims.is_some() && dims == reshape);
    if same { Ok(()) } else { Err(different_size()) }
}

/// Elements of the parts between open dimensions; `None` beyond what can be counted.
fn parts(dims: &[i64]) -> Vec<Option<i64>> {
    let elements = |part: &[i64]| part.iter().try_fold(1_i64, |product, dim| product.checked_mul(*dim));
    dims.split(|dim| *dim == VARIABLE).map(elements).collect()
}
