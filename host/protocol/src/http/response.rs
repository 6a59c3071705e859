//! An infer response: JSON with flat `data`, or JSON followed by the outputs' own buffers.
//!
//! Promises: a tensor that goes out in binary is not copied, unless it is so small that a copy into the JSON's
//! allocation is cheaper than a frame of its own. NaN and the infinities are written as bare words, as Triton does.
//! Costs: one allocation for the JSON; text is written straight into it.

use bytes::Bytes;
use nereid_inference::{InferError, InferResponse, ModelIdentity, NamedTensor, ParameterValue, Parameters};
use nereid_tensor::{DataType, Element, Tensor};
use smallvec::SmallVec;

use super::outputs::{OutputForm, OutputFormats};

/// Binary outputs up to this size are copied behind the JSON: a frame of its own costs about as much as copying this.
const INLINE_BYTES_MAX: usize = 1024;

/// Room for the JSON of a response with two binary outputs.
const JSON_BYTES_TYPICAL: usize = 384;

/// Who answers whom, and how.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext<'a> {
    /// The client's id; left out when empty.
    pub id: &'a str,
    pub identity: &'a ModelIdentity,
    pub outputs: &'a OutputFormats,
}

/// A body in the order in which it is sent.
#[derive(Clone, Debug)]
pub struct EncodedResponse {
    /// The JSON and what small tensors follow it, then each large tensor.
    pub frames: SmallVec<[Bytes; 3]>,
    /// Bytes of JSON, when at least one binary output that is not empty follows it.
    pub json_bytes: Option<usize>,
}

/// Writes a response.
///
/// # Errors
/// An output that JSON cannot express was not asked for in binary.
pub fn encode_infer_response(
    response: InferResponse,
    context: &ResponseContext<'_>,
) -> Result<EncodedResponse, InferError> {
    let mut json = Vec::with_capacity(JSON_BYTES_TYPICAL);
    json.push(b'{');
    if !context.id.is_empty() {
        write_member(&mut json, "id", context.id);
    }
    write_member(&mut json, "model_name", &context.identity.name);
    json.extend_from_slice(b"\"model_version\":\"");
    write_integer(&mut json, context.identity.version);
    json.push(b'"');
    if !response.parameters.is_empty() {
        json.extend_from_slice(b",\"parameters\":");
        write_parameters(&mut json, &response.parameters);
    }
    json.extend_from_slice(b",\"outputs\":[");
    let mut binary: SmallVec<[Tensor; 2]> = SmallVec::new();
    let mut first = true;
    for output in response.outputs {
        let Some(form) = context.outputs.form(&output.name) else { continue };
        if !std::mem::take(&mut first) {
            json.push(b',');
        }
        write_output(&mut json, &output, form)?;
        if form == OutputForm::Binary {
            binary.push(output.tensor);
        }
    }
    json.extend_from_slice(b"]}");
    Ok(join(json, binary))
}

fn join(json: Vec<u8>, binary: SmallVec<[Tensor; 2]>) -> EncodedResponse {
    let json_bytes = binary.iter().any(|tensor| tensor.byte_size() > 0).then_some(json.len());
    let mut frames: SmallVec<[Bytes; 3]> = SmallVec::new();
    let mut front = json;
    for tensor in binary {
        if frames.is_empty() && tensor.byte_size() <= INLINE_BYTES_MAX {
            front.extend_from_slice(tensor.buffer().as_slice());
            continue;
        }
        if frames.is_empty() {
            frames.push(std::mem::take(&mut front).into());
        }
        frames.push(tensor.into_buffer().into_bytes());
    }
    if frames.is_empty() {
        frames.push(front.into());
    }
    EncodedResponse { frames, json_bytes }
}

fn write_output(json: &mut Vec<u8>, output: &NamedTensor, form: OutputForm) -> Result<(), InferError> {
    let tensor = &output.tensor;
    json.push(b'{');
    write_member(json, "name", &output.name);
    json.extend_from_slice(b"\"datatype\":\"");
    json.extend_from_slice(tensor.data_type().name().as_bytes());
    json.extend_from_slice(b"\",\"shape\":");
    write_list(json, tensor.shape().iter(), |json, extent| write_integer(json, *extent));
    match form {
        OutputForm::Binary => {
            json.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            write_integer(json, tensor.byte_size());
            json.push(b'}');
        }
        OutputForm::Json => {
            json.extend_from_slice(b",\"data\":");
            write_data(json, output)?;
        }
        OutputForm::Shared => {}
    }
    json.push(b'}');
    Ok(())
}

fn write_data(json: &mut Vec<u8>, output: &NamedTensor) -> Result<(), InferError> {
    let tensor = &output.tensor;
    match tensor.data_type() {
        DataType::Bool => write_list(json, tensor.buffer().as_slice(), |json, byte| {
            json.extend_from_slice(if *byte == 0 { b"false" } else { b"true" });
        }),
        DataType::Uint8 => write_numbers(json, tensor, write_integer::<u8>),
        DataType::Uint16 => write_numbers(json, tensor, write_integer::<u16>),
        DataType::Uint32 => write_numbers(json, tensor, write_integer::<u32>),
        DataType::Uint64 => write_numbers(json, tensor, write_integer::<u64>),
        DataType::Int8 => write_numbers(json, tensor, write_integer::<i8>),
        DataType::Int16 => write_numbers(json, tensor, write_integer::<i16>),
        DataType::Int32 => write_numbers(json, tensor, write_integer::<i32>),
        DataType::Int64 => write_numbers(json, tensor, write_integer::<i64>),
        DataType::Fp32 => write_numbers(json, tensor, |json, value: f32| write_double(json, f64::from(value))),
        DataType::Fp64 => write_numbers(json, tensor, write_double),
        DataType::Bytes => write_byte_strings(json, output)?,
        DataType::Fp16 | DataType::Bf16 => {
            return Err(InferError::invalid_argument(format!(
                "sending {} data via JSON is not supported. Please use the binary data format for output",
                tensor.data_type()
            )));
        }
    }
    Ok(())
}

fn write_byte_strings(json: &mut Vec<u8>, output: &NamedTensor) -> Result<(), InferError> {
    json.push(b'[');
    for (index, element) in output.tensor.byte_strings().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        let text = str::from_utf8(element).map_err(|_| {
            InferError::invalid_argument(format!(
                "element {index} of output '{}' is not UTF-8 and cannot be sent as JSON. Please use the binary data \
                 format for output",
                output.name
            ))
        })?;
        write_string(json, text);
    }
    json.push(b']');
    Ok(())
}

fn write_numbers<T: Element>(json: &mut Vec<u8>, tensor: &Tensor, write: impl Fn(&mut Vec<u8>, T)) {
    let elements = tensor.elements::<T>().unwrap_or_default();
    write_list(json, elements.iter(), |json, element| write(json, *element));
}

pub(super) fn write_list<T>(json: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    json.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write(json, item);
    }
    json.push(b']');
}

fn write_parameters(json: &mut Vec<u8>, parameters: &Parameters) {
    json.push(b'{');
    for (index, (name, value)) in parameters.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_string(json, name);
        json.push(b':');
        match value {
            ParameterValue::Bool(value) => json.extend_from_slice(if *value { b"true" } else { b"false" }),
            ParameterValue::Int(value) => write_integer(json, *value),
            ParameterValue::Uint(value) => write_integer(json, *value),
            ParameterValue::Double(value) => write_double(json, *value),
            ParameterValue::String(value) => write_string(json, value),
        }
    }
    json.push(b'}');
}

/// `"name":"text",`
fn write_member(json: &mut Vec<u8>, name: &str, text: &str) {
    write_string(json, name);
    json.push(b':');
    write_string(json, text);
    json.push(b',');
}

pub(super) fn write_string(json: &mut Vec<u8>, text: &str) {
    // Writing into memory does not fail, and a string has no value that JSON cannot hold.
    let _ = serde_json::to_writer(json, text);
}

pub(super) fn write_integer<T: itoa::Integer>(json: &mut Vec<u8>, value: T) {
    json.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn write_double(json: &mut Vec<u8>, value: f64) {
    let text = match value {
        _ if value.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return json.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
    };
    json.extend_from_slice(text.as_bytes());
}
