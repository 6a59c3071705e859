//! An infer request: JSON with `data`, JSON followed by binary tensors, or any mix of the two.
//!
//! Promises: binary tensors are views of the body, tensors of a decoded request are consistent, and names that the
//! signature knows share its memory. Checks run in Triton's order: id, parameters, inputs one by one, the rest of the
//! body, outputs. Whether the tensors fit the model is not checked here; that is the signature's matter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use nereid_inference::{
    InferError, InferRequest, MemoryRegions, NamedTensor, Parameters, SequenceFlags, SequenceId, SharedTensors,
    Signature,
};
use nereid_tensor::{Buffer, DataType, Shape, Tensor, TensorError};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{
    elements::{Target, parse_elements},
    outputs::OutputFormats,
    scalar::{Object, Scalar, missing},
    shared_memory::{REGION_PARAMETER, RegionSpan},
    wire::{InputHeader, RequestHeader, parse_json},
};

/// A complete body.
#[derive(Clone, Debug)]
pub struct InferBody {
    pub bytes: Bytes,
    /// Bytes of JSON at the front, at most the whole; `None` when all of it is JSON.
    pub json_bytes: Option<usize>,
}

/// What is known about a request besides its body.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    pub signature: &'a Signature,
    pub received: Instant,
    /// Bytes that one tensor given as JSON may occupy.
    pub input_bytes_max: usize,
    /// Where tensors in shared memory are found.
    pub regions: &'a dyn MemoryRegions,
}

/// A request, and how its answer is to be written.
#[derive(Clone, Debug)]
pub struct DecodedRequest {
    pub request: InferRequest,
    pub outputs: OutputFormats,
    /// What lies in the client's own memory; settles the answer.
    pub shared: SharedTensors,
}

/// The inputs of one request while they are being read.
struct InputReader<'a> {
    body: &'a InferBody,
    context: RequestContext<'a>,
    error_prefix: &'a str,
    shared: &'a mut SharedTensors,
    /// Where the next binary tensor begins.
    offset: usize,
    /// By position in the signature: which inputs were there already.
    seen: SmallVec<[bool; 8]>,
}

/// Where the elements of one input are.
enum Source<'a> {
    Json(&'a RawValue),
    Binary { length_bytes: u64 },
    Shared(RegionSpan<'a>),
}

/// Decodes a body that is JSON, alone or followed by binary tensors.
///
/// # Errors
/// Triton's texts; `Internal` for what its JSON reader refuses, `NotFound` for regions of shared memory that are not
/// registered, `InvalidArgument` for the rest.
pub fn decode_infer_request(body: &InferBody, context: &RequestContext<'_>) -> Result<DecodedRequest, InferError> {
    let json_bytes = body.json_bytes.unwrap_or(body.bytes.len());
    let header: RequestHeader<'_> = parse_json(body.bytes.get(..json_bytes).unwrap_or_default())?;
    let mut request = InferRequest::new(Vec::new());
    request.received = context.received;
    if let Some(id) = &header.id {
        request.id = id.text("id")?.to_owned();
    }
    let mut outputs = OutputFormats::default();
    if let Some(parameters) = header.parameters {
        outputs.all_binary = apply_parameters(&mut request, parameters)?;
    }
    let error_prefix = request.error_prefix();
    let mut shared = SharedTensors::default();
    let reader = InputReader {
        body,
        context: *context,
        error_prefix: &error_prefix,
        shared: &mut shared,
        offset: json_bytes,
        seen: SmallVec::from_elem(false, context.signature.inputs.len()),
    };
    request.inputs = reader.read_all(header.inputs.ok_or_else(|| missing("inputs"))?)?;
    outputs.list(header.outputs.unwrap_or_default(), context, &mut shared)?;
    request.requested_outputs = outputs.names();
    request.output_memory = shared.outputs().to_vec();
    request.takes_device_memory = shared.takes_device_memory();
    Ok(DecodedRequest { request, outputs, shared })
}

/// Moves reserved parameters to their fields and keeps the others; returns `binary_data_output`.
fn apply_parameters(request: &mut InferRequest, object: Object<'_>) -> Result<bool, InferError> {
    let mut binary_data_output = false;
    let mut sequence = SequenceFlags { id: SequenceId::Number(0), start: false, end: false };
    let mut parameters = Parameters::default();
    for (name, value) in object.into_entries("parameters")? {
        match &*name {
            "sequence_id" => sequence.id = sequence_id(value)?,
            "sequence_start" => sequence.start = value.boolean(&name)?,
            "sequence_end" => sequence.end = value.boolean(&name)?,
            "priority" => request.priority = value.uint(&name)?,
            "timeout" => request.timeout = Some(value.uint(&name)?).filter(|us| *us > 0).map(Duration::from_micros),
            "binary_data_output" => binary_data_output = value.boolean(&name)?,
            reserved if reserved.starts_with("triton_") => {
                let text = "parameter keys starting with 'triton_' are reserved for Triton usage and should not be \
                            specified.";
                return Err(InferError::invalid_argument(text));
            }
            _ => {
                let value = value.into_parameter(&name)?;
                parameters.insert(name, value);
            }
        }
    }
    request.parameters = parameters;
    let is_sequence = sequence.start || sequence.end || sequence.id != SequenceId::Number(0);
    request.sequence = is_sequence.then_some(sequence);
    Ok(binary_data_output)
}

/// A number or a text; 0 and the empty text both mean none.
fn sequence_id(value: Scalar<'_>) -> Result<SequenceId, InferError> {
    /// Triton's limit.
    const TEXT_BYTES_MAX: usize = 128;
    if let Scalar::Uint(number) = value {
        return Ok(SequenceId::Number(number));
    }
    let text = value.text("sequence_id")?;
    match text.len() {
        0 => Ok(SequenceId::Number(0)),
        1..=TEXT_BYTES_MAX => Ok(SequenceId::Text(text.to_owned())),
        length => Err(InferError::invalid_argument(format!(
            "string correlation ID cannot be longer than {TEXT_BYTES_MAX} characters, got {length}"
        ))),
    }
}

// === impl InputReader ===

impl InputReader<'_> {
    fn read_all(mut self, headers: Vec<InputHeader<'_>>) -> Result<Vec<NamedTensor>, InferError> {
        let mut inputs = Vec::with_capacity(headers.len());
        for header in headers {
            inputs.push(self.read(header)?);
        }
        if self.offset == self.body.bytes.len() {
            return Ok(inputs);
        }
        let model = &self.context.signature.model_name;
        Err(InferError::invalid_argument(format!("unexpected additional input data for model '{model}'")))
    }

    fn read(&mut self, mut header: InputHeader<'_>) -> Result<NamedTensor, InferError> {
        let shape = header.shape.take();
        let source = find_source(&header)?;
        let name = self.claim_name(header.name.as_ref().ok_or_else(|| missing("name"))?.text("name")?)?;
        let data_type = header.datatype.as_ref().ok_or_else(|| missing("datatype"))?.text("datatype")?;
        let data_type = data_type
            .parse::<DataType>()
            .map_err(|error| InferError::invalid_argument(format!("invalid datatype for input {name}: {error}")))?;
        let extents = shape.ok_or_else(|| missing("shape"))?.into_extents()?;
        let shape = check_shape(&name, extents.iter().copied().collect())?;
        let buffer = match source {
            Source::Binary { length_bytes } => self.take_binary(&name, length_bytes)?,
            Source::Json(data) => self.parse_data(&name, (data_type, &shape), data)?,
            Source::Shared(span) => self.shared.add_input(span.find(self.context.regions)?),
        };
        let tensor = Tensor::new(data_type, shape, buffer).map_err(|error| self.tensor_error(&name, &error))?;
        Ok(NamedTensor { name, tensor })
    }

    /// The name as the signature's own, where it knows it; such a name may come once.
    fn claim_name(&mut self, name: &str) -> Result<Arc<str>, InferError> {
        let specs = &self.context.signature.inputs;
        let Some(position) = specs.iter().position(|spec| &*spec.name == name) else { return Ok(name.into()) };
        if self.seen.get_mut(position).is_some_and(|seen| std::mem::replace(seen, true)) {
            return Err(InferError::invalid_argument(format!("input '{name}' already exists in request")));
        }
        Ok(specs.get(position).map_or_else(|| name.into(), |spec| spec.name.clone()))
    }

    fn take_binary(&mut self, name: &str, length_bytes: u64) -> Result<Buffer, InferError> {
        if self.body.json_bytes.is_none() && length_bytes > 0 {
            let text = "must specify valid 'Infer-Header-Content-Length' in request header and 'binary_data_size' when \
                        passing inputs in binary data format";
            return Err(InferError::invalid_argument(text));
        }
        let rest_bytes = (self.body.bytes.len() - self.offset.min(self.body.bytes.len())) as u64;
        if length_bytes > rest_bytes {
            let model = &self.context.signature.model_name;
            return Err(InferError::invalid_argument(format!(
                "unexpected size for input '{name}', expecting {} additional bytes for model '{model}'",
                length_bytes - rest_bytes
            )));
        }
        let start = self.offset;
        self.offset += usize::try_from(length_bytes).unwrap_or(0);
        Ok(self.body.bytes.slice(start..self.offset).into())
    }

    fn parse_data(
        &self,
        input_name: &str,
        (data_type, shape): (DataType, &Shape),
        data: &RawValue,
    ) -> Result<Buffer, InferError> {
        let elements = shape.checked_element_count().unwrap_or(0);
        if elements == 0 {
            return Ok(Buffer::default());
        }
        if let Some(size_bytes) = data_type.size_bytes() {
            let size_bytes = size_bytes as u64;
            let length_bytes = elements.checked_mul(size_bytes).filter(|bytes| i64::try_from(*bytes).is_ok());
            let overflow = || {
                InferError::invalid_argument(format!(
                    "byte size overflow for input '{input_name}': element count ({elements}) * data type size \
                     ({size_bytes}) exceeds maximum allowed size ({})",
                    i64::MAX
                ))
            };
            self.check_size(input_name, length_bytes.ok_or_else(overflow)?)?;
        }
        let elements = usize::try_from(elements).unwrap_or(usize::MAX);
        let buffer = parse_elements(data.get(), &Target { input_name, data_type, elements })?;
        self.check_size(input_name, buffer.len() as u64)?;
        Ok(buffer)
    }

    fn check_size(&self, input_name: &str, length_bytes: u64) -> Result<(), InferError> {
        let limit = self.context.input_bytes_max;
        if length_bytes <= limit as u64 {
            return Ok(());
        }
        Err(InferError::invalid_argument(format!(
            "JSON input '{input_name}' has a byte_size ({length_bytes} bytes) that exceeds the maximum allowed value of \
             {limit} bytes. Use --http-max-input-size to increase the limit."
        )))
    }

    fn tensor_error(&self, name: &str, error: &TensorError) -> InferError {
        tensor_error(name, &self.context.signature.model_name, error).prefixed(self.error_prefix)
    }
}

/// The one place where the elements are; exactly one must be named.
fn find_source<'h>(header: &'h InputHeader<'_>) -> Result<Source<'h>, InferError> {
    let parameters = header.parameters.as_ref();
    let parameter = |name| parameters.and_then(|parameters| parameters.get(name));
    match (header.data, parameter("binary_data_size"), parameter(REGION_PARAMETER)) {
        (Some(data), None, None) => Ok(Source::Json(data)),
        (None, Some(size), None) => Ok(Source::Binary { length_bytes: size.uint("binary_data_size")? }),
        (None, None, Some(region)) => Ok(Source::Shared(RegionSpan::parse(region, parameters)?)),
        (data, binary, shared) => {
            let mut text = "Input must set only one of the following fields: 'data', 'binary_data_size' in \
                            'parameters', 'shared_memory_region' in 'parameters'. But"
                .to_owned();
            text.push_str(if data.is_none() && binary.is_none() && shared.is_none() {
                " no field is set"
            } else {
                " set"
            });
            text.push_str(if data.is_some() { " 'data'" } else { "" });
            text.push_str(if binary.is_some() { " 'binary_data_size'" } else { "" });
            text.push_str(if shared.is_some() { " 'shared_memory_region'" } else { "" });
            Err(InferError::invalid_argument(text))
        }
    }
}

fn check_shape(name: &str, shape: Shape) -> Result<Shape, InferError> {
    let problem = match shape.checked_element_count() {
        _ if shape.iter().any(|extent| i64::try_from(*extent).is_err()) => {
            "contains one or more invalid dimensions".to_owned()
        }
        None => format!("causes total element count to exceed maximum size of {}", i64::MAX),
        Some(_) => return Ok(shape),
    };
    Err(InferError::invalid_argument(format!("invalid shape for input '{name}': shape {shape} {problem}")))
}

/// Triton's words for bytes that do not fill their shape.
pub(crate) fn tensor_error(name: &str, model: &str, error: &TensorError) -> InferError {
    InferError::invalid_argument(match error {
        TensorError::ByteSize { expected_bytes, found_bytes, .. } => format!(
            "input byte size mismatch for input '{name}' for model '{model}'. Expected {expected_bytes}, got {found_bytes}"
        ),
        TensorError::ElementCount { expected, found, .. } if found < expected => {
            format!("expected {expected} string elements for inference input '{name}' for model '{model}', got {found}")
        }
        TensorError::ElementCount { expected, found, .. } => format!(
            "unexpected number of string elements {found} for inference input '{name}' for model '{model}', expecting \
             {expected}"
        ),
        TensorError::Encoding { offset, length_bytes } => format!(
            "incomplete string length indicator for inference input '{name}' for model '{model}': the element at byte \
             {offset} reaches beyond the {length_bytes} bytes of the input"
        ),
        TensorError::Overflow { .. } => format!("byte size overflow for input '{name}': {error}"),
        TensorError::Device(error) => format!("input '{name}' for model '{model}' could not be read: {error}"),
    })
}
