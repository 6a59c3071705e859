//! Input tensors of a request: each gets the bytes that belong to it, and both are checked against each other.

use std::{fmt, vec};

use bytes::Bytes;
use nereid_inference::{InferError, InferRequest, MemoryRegions, NamedTensor, SharedTensors};
use nereid_tensor::{Buffer, DataType, Shape, ShapeOverflow, Tensor, TensorError, UnknownDataType};

use super::{contents::decode_contents, proto::model_infer_request::InferInputTensor, shared_memory::RegionSpan};

/// Whose input, for error texts: `'X' for model 'M'`.
pub(super) struct InputName<'a> {
    pub(super) input: &'a str,
    pub(super) model: &'a str,
}

/// Hands out raw contents in order.
pub(super) struct InputDecoder<'a> {
    model: &'a str,
    raw_contents: vec::IntoIter<Bytes>,
    raw_contents_total: usize,
    /// Names itself in errors that Triton's core reports.
    request: &'a InferRequest,
}

// === impl InputDecoder ===

impl<'a> InputDecoder<'a> {
    /// A decoder for the inputs of one request.
    pub(super) fn new(model: &'a str, request: &'a InferRequest, raw_contents: Vec<Bytes>) -> Self {
        let raw_contents_total = raw_contents.len();
        Self { model, raw_contents: raw_contents.into_iter(), raw_contents_total, request }
    }

    /// The inputs as tensors.
    ///
    /// # Errors
    /// `InvalidArgument`: an input without data, with too much or too little of it, or with the same name as another;
    /// raw contents that no input takes.
    pub(super) fn decode(
        mut self,
        inputs: Vec<InferInputTensor>,
        regions: &dyn MemoryRegions,
        shared: &mut SharedTensors,
    ) -> Result<Vec<NamedTensor>, InferError> {
        refuse_duplicates("input", inputs.iter().map(|input| input.name.as_str()))?;
        let inputs_total = inputs.len();
        let mut tensors = Vec::with_capacity(inputs_total);
        for input in inputs {
            let span = RegionSpan::parse(&input.name, &input.parameters)?;
            let view = span.map(|span| Ok(shared.add_input(span.find(regions)?))).transpose()?;
            tensors.push(self.decode_input(input, view)?);
        }
        if self.raw_contents.len() == 0 {
            return Ok(tensors);
        }
        Err(InferError::invalid_argument(format!(
            "unexpected additional input data for model '{}': raw_input_contents has {} entries for {inputs_total} \
             inputs",
            self.model, self.raw_contents_total
        )))
    }

    /// `view` is the input's memory when it lies in a region; it then has no raw contents.
    fn decode_input(&mut self, input: InferInputTensor, view: Option<Buffer>) -> Result<NamedTensor, InferError> {
        let InferInputTensor { name, datatype, shape, contents, .. } = input;
        let input = InputName { input: &name, model: self.model };
        let data_type = datatype.parse::<DataType>().map_err(|error| unknown_data_type(&input, &error))?;
        let buffer = match (contents, view) {
            (Some(_), Some(_)) => {
                return Err(InferError::invalid_argument(format!(
                    "unexpected 'content' provided when using shared memory for input tensor {input}"
                )));
            }
            (None, Some(view)) => view,
            (Some(_), None) if self.raw_contents_total > 0 => {
                return Err(InferError::invalid_argument(format!(
                    "contents field must not be specified when using raw_input_contents for {input}"
                )));
            }
            (Some(contents), None) => decode_contents(&input, data_type, &contents)?,
            (None, None) => Buffer::from(self.raw_contents.next().ok_or_else(|| missing_data(&input))?),
        };
        let shape = Shape::from_signed(&shape).map_err(|error| self.bad_shape(&input, &error))?;
        let tensor = Tensor::new(data_type, shape, buffer).map_err(|error| self.bad_bytes(&input, &error))?;
        Ok(NamedTensor::new(name, tensor))
    }

    fn bad_shape(&self, input: &InputName<'_>, error: &ShapeOverflow) -> InferError {
        let prefix = self.request.error_prefix();
        InferError::invalid_argument(format!("{prefix}invalid shape for input {input}: {error}"))
    }

    fn bad_bytes(&self, input: &InputName<'_>, error: &TensorError) -> InferError {
        let prefix = self.request.error_prefix();
        let text = match error {
            TensorError::Overflow { data_type, shape } => {
                format!("byte size overflow for input {input}: shape {shape} of {data_type} elements")
            }
            TensorError::ByteSize { expected_bytes, found_bytes, .. } => {
                format!("input byte size mismatch for input {input}. Expected {expected_bytes}, got {found_bytes}")
            }
            TensorError::ElementCount { expected, found, .. } if found < expected => {
                format!("expected {expected} string elements for inference input {input}, got {found}")
            }
            TensorError::ElementCount { expected, found, .. } => {
                format!(
                    "unexpected number of string elements {found} for inference input {input}, expecting {expected}"
                )
            }
            TensorError::Encoding { offset, length_bytes } => format!(
                "incomplete string length indicator or string data for inference input {input}: the element at byte \
                 {offset} reaches beyond the {length_bytes} bytes given"
            ),
            TensorError::Device(error) => format!("inference input {input} could not be read: {error}"),
        };
        InferError::invalid_argument(format!("{prefix}{text}"))
    }
}

/// Refuses a list of tensors in which a name stands twice.
pub(super) fn refuse_duplicates<'a>(
    kind: &str,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), InferError> {
    if names.len() < 2 {
        return Ok(());
    }
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
        Some(name) => Err(InferError::invalid_argument(format!("{kind} '{name}' already exists in request"))),
        None => Ok(()),
    }
}

fn missing_data(input: &InputName<'_>) -> InferError {
    InferError::invalid_argument(format!("unable to find data for input tensor {input} in request."))
}

fn unknown_data_type(input: &InputName<'_>, error: &UnknownDataType) -> InferError {
    InferError::invalid_argument(format!("{error}, for input {input}"))
}

// === impl InputName ===

impl fmt::Display for InputName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' for model '{}'", self.input, self.model)
    }
}
