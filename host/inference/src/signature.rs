//! The tensors that a model takes and gives, and the check that a request fits them.
//!
//! Error texts are those of Triton's request normalisation (`infer_request.cc`), because clients' tests match on them.

mod backend_side;

use std::{fmt::Write, sync::Arc};

use nereid_tensor::{DataType, Shape};

use crate::{CheckedRequest, InferError, InferRequest, ModelConfig, NamedTensor};

/// Names, types and shapes of a model's tensors.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    pub model_name: Arc<str>,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// Largest batch; 0 means that tensors have no batch dimension.
    pub max_batch_size: u64,
}

/// One tensor of a signature.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    pub name: Arc<str>,
    pub data_type: DataType,
    /// Without the batch dimension; -1 is any extent.
    pub dims: Vec<i64>,
    pub optional: bool,
}

const BATCH_DIMENSION_NOTE: &str = " NOTE: Setting a non-zero max_batch_size in the model config requires a batch \
     dimension to be prepended to each input shape. If you want to specify the full shape including the batch dim in \
     your input dims config, try setting max_batch_size to zero. See the model configuration docs for more info on \
     max_batch_size.";

// === impl Signature ===

impl Signature {
    /// The signature that a complete configuration declares.
    ///
    /// # Errors
    /// An input or output without a data type.
    pub fn from_config(config: &ModelConfig) -> Result<Self, InferError> {
        let spec = |kind: &str, name: &str, data_type: crate::config::ConfigDataType, dims: &[i64], optional| {
            let data_type = data_type.known().ok_or_else(|| {
                InferError::invalid_argument(format!("model {kind} '{name}' must specify 'data_type'"))
            })?;
            Ok::<_, InferError>(TensorSpec { name: name.into(), data_type, dims: dims.to_vec(), optional })
        };
        let inputs = config.inputs.iter().map(|i| spec("input", &i.name, i.data_type, &i.dims, i.optional));
        let outputs = config.outputs.iter().map(|o| spec("output", &o.name, o.data_type, &o.dims, false));
        Ok(Self {
            model_name: config.name.as_str().into(),
            inputs: inputs.collect::<Result<_, _>>()?,
            outputs: outputs.collect::<Result<_, _>>()?,
            max_batch_size: u64::try_from(config.max_batch_size).unwrap_or(0),
        })
    }

    /// The input called `name`.
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|spec| &*spec.name == name)
    }

    /// The output called `name`.
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|spec| &*spec.name == name)
    }

    /// The request as meant: inputs complete, in order, of the right type, shape and batch size.
    ///
    /// # Errors
    /// `InvalidArgument`, in Triton's words.
    pub fn check(&self, mut request: InferRequest) -> Result<CheckedRequest, InferError> {
        for output in &request.requested_outputs {
            if self.output(output).is_none() {
                let text = format!("unexpected inference output '{output}' for model '{}'", self.model_name);
                return Err(InferError::invalid_argument(text));
            }
        }
        match self.check_inputs(&mut request) {
            Ok(batch_size) => Ok(CheckedRequest::new(request, batch_size)),
            Err(text) => Err(InferError::invalid_argument(format!("{}{text}", request.error_prefix()))),
        }
    }

    /// Orders the inputs and returns the batch size.
    fn check_inputs(&self, request: &mut InferRequest) -> Result<u64, String> {
        self.check_names(&request.inputs)?;
        self.order(&mut request.inputs);
        let mut batch_size = None;
        for input in &request.inputs {
            let Some(spec) = self.input(&input.name) else { continue };
            self.check_type(spec, input)?;
            if self.max_batch_size > 0 {
                let rows = self.batch_rows(input)?;
                if *batch_size.get_or_insert(rows) != rows {
                    return Err(format!(
                        "input '{}' batch size does not match other inputs for '{}'",
                        input.name, self.model_name
                    ));
                }
            }
            self.check_shape(spec, input)?;
        }
        Ok(batch_size.unwrap_or(1))
    }

    fn check_names(&self, inputs: &[NamedTensor]) -> Result<(), String> {
        let missing: Vec<&TensorSpec> = self
            .inputs
            .iter()
            .filter(|spec| !spec.optional && !inputs.iter().any(|input| input.name == spec.name))
            .collect();
        let required = self.inputs.iter().filter(|spec| !spec.optional).count();
        let counts_fit = (required..=self.inputs.len()).contains(&inputs.len());
        if !counts_fit || (!missing.is_empty() && inputs.iter().all(|input| self.input(&input.name).is_some())) {
            return Err(self.input_count_message(inputs, &missing, required));
        }
        match inputs.iter().find(|input| self.input(&input.name).is_none()) {
            Some(input) => Err(format!("unexpected inference input '{}' for model '{}'", input.name, self.model_name)),
            None => Ok(()),
        }
    }

    fn input_count_message(&self, inputs: &[NamedTensor], missing: &[&TensorSpec], required: usize) -> String {
        let mut text = if required == self.inputs.len() {
            format!("expected {required} inputs")
        } else {
            format!("expected number of inputs between {required} and {}", self.inputs.len())
        };
        let _ = write!(text, " but got {} inputs for model '{}'.", inputs.len(), self.model_name);
        let _ = write!(text, " Got input(s) [{}]", quoted(inputs.iter().map(|input| &*input.name)));
        if missing.is_empty() {
            text.push('.');
            return text;
        }
        let _ = write!(text, ", but missing required input(s) [{}].", quoted(missing.iter().map(|spec| &*spec.name)));
        text.push_str(" Please provide all required input(s).");
        text
    }

    /// Puts the inputs into the signature's order; frontends mostly have them in it already.
    fn order(&self, inputs: &mut [NamedTensor]) {
        let position = |input: &NamedTensor| self.inputs.iter().position(|spec| spec.name == input.name);
        if !inputs.is_sorted_by_key(position) {
            inputs.sort_by_key(position);
        }
    }

    fn check_type(&self, spec: &TensorSpec, input: &NamedTensor) -> Result<(), String> {
        let found = input.tensor.data_type();
        if found == spec.data_type {
            return Ok(());
        }
        Err(format!(
            "inference input '{}' data-type is '{found}', but model '{}' expects '{}'",
            input.name, self.model_name, spec.data_type
        ))
    }

    fn batch_rows(&self, input: &NamedTensor) -> Result<u64, String> {
        let model = &self.model_name;
        match input.tensor.shape().first() {
            None => {
                Err(format!("input '{}' has no shape but model requires batch dimension for '{model}'", input.name))
            }
            Some(rows) if *rows > self.max_batch_size => {
                Err(format!("inference request batch-size must be <= {} for '{model}'", self.max_batch_size))
            }
            Some(rows) => Ok(*rows),
        }
    }

    fn check_shape(&self, spec: &TensorSpec, input: &NamedTensor) -> Result<(), String> {
        let shape = input.tensor.shape();
        let found = if self.max_batch_size > 0 { shape.inner() } else { shape };
        if dims_match(&spec.dims, found) {
            return Ok(());
        }
        let batched = self.max_batch_size > 0;
        let expected: Vec<String> =
            batched.then_some(-1).into_iter().chain(spec.dims.iter().copied()).map(|dim| dim.to_string()).collect();
        Err(format!(
            "unexpected shape for input '{}' for model '{}'. Expected [{}], got {shape}.{}",
            input.name,
            self.model_name,
            expected.join(","),
            if batched { BATCH_DIMENSION_NOTE } else { "" }
        ))
    }
}

// === impl TensorSpec ===

impl TensorSpec {
    /// Whether a tensor of this shape, batch dimension left out, is one of these.
    pub fn accepts(&self, shape: &[u64]) -> bool {
        dims_match(&self.dims, shape)
    }

    /// The shape as metadata shows it: with a leading -1 where the model batches.
    pub fn wire_dims(&self, batched: bool) -> Vec<i64> {
        batched.then_some(-1).into_iter().chain(self.dims.iter().copied()).collect()
    }

    /// Checks that `shape` (with the batch dimension of `batch_size` rows, if any) can be this tensor: used for what
    /// backends and plugins return.
    pub fn accepts_batched(&self, shape: &Shape, batch_size: Option<u64>) -> bool {
        match batch_size {
            Some(rows) => shape.first() == Some(&rows) && self.accepts(shape.inner()),
            None => self.accepts(shape),
        }
    }
}

/// Whether a concrete shape fits dimensions in which -1 is any extent.
fn dims_match(dims: &[i64], shape: &[u64]) -> bool {
    dims.len() == shape.len()
        && dims.iter().zip(shape).all(|(dim, extent)| u64::try_from(*dim).map_or(*dim == -1, |dim| dim == *extent))
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    names.join(",")
}

#[cfg(test)]
mod tests;
