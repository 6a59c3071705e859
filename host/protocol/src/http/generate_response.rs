//! The response of `generate`, and the same as a server-sent event: one flat JSON object.
//!
//! An output of one element is that element, any other a flat array. Names of the protocol win over response
//! parameters of the same name, and these over outputs, as in Triton. NaN and the infinities are bare words.
//! Costs: one allocation; text is written straight into it.

use nereid_inference::{InferError, InferResponse, ModelIdentity, NamedTensor, ParameterValue};
use nereid_tensor::{DataType, Element};

use super::response::{write_double, write_integer, write_list, write_string};

/// What the protocol itself writes into every response.
const RESERVED: [&str; 3] = ["id", "model_name", "model_version"];

/// Room for the JSON of one token or one sentence.
const JSON_BYTES_TYPICAL: usize = 256;

/// Writes a response; `id` is the client's and is left out when empty.
///
/// # Errors
/// An output that JSON cannot express.
pub fn encode_generate_response(
    response: &InferResponse,
    id: &str,
    identity: &ModelIdentity,
) -> Result<Vec<u8>, InferError> {
    let mut json = Vec::with_capacity(JSON_BYTES_TYPICAL);
    json.push(b'{');
    if !id.is_empty() {
        json.extend_from_slice(b"\"id\":");
        write_string(&mut json, id);
        json.push(b',');
    }
    json.extend_from_slice(b"\"model_name\":");
    write_string(&mut json, &identity.name);
    json.extend_from_slice(b",\"model_version\":\"");
    write_integer(&mut json, identity.version);
    json.push(b'"');
    for output in &response.outputs {
        if is_free(&output.name) && response.parameters.get(&output.name).is_none() {
            write_name(&mut json, &output.name);
            write_output(&mut json, output)?;
        }
    }
    for (name, value) in response.parameters.iter().filter(|(name, _)| is_free(name)) {
        write_name(&mut json, name);
        match value {
            ParameterValue::Bool(value) => write_bool(&mut json, *value),
            ParameterValue::Int(value) => write_integer(&mut json, *value),
            ParameterValue::Uint(value) => write_integer(&mut json, *value),
            ParameterValue::Double(value) => write_double(&mut json, *value),
            ParameterValue::String(value) => write_string(&mut json, value),
        }
    }
    json.push(b'}');
    Ok(json)
}

/// One server-sent event. JSON contains no line breaks outside its strings, and escapes them inside.
pub fn encode_event(json: &[u8]) -> Vec<u8> {
    [b"data: ", json, b"\n\n"].concat()
}

fn is_free(name: &str) -> bool {
    !RESERVED.contains(&name)
}

fn write_output(json: &mut Vec<u8>, output: &NamedTensor) -> Result<(), InferError> {
    match output.tensor.data_type() {
        DataType::Bool => {
            write_values(json, output.tensor.buffer().as_slice(), |json, byte| write_bool(json, *byte != 0))
        }
        DataType::Uint8 => write_numbers(json, output, write_integer::<u8>),
        DataType::Uint16 => write_numbers(json, output, write_integer::<u16>),
        DataType::Uint32 => write_numbers(json, output, write_integer::<u32>),
        DataType::Uint64 => write_numbers(json, output, write_integer::<u64>),
        DataType::Int8 => write_numbers(json, output, write_integer::<i8>),
        DataType::Int16 => write_numbers(json, output, write_integer::<i16>),
        DataType::Int32 => write_numbers(json, output, write_integer::<i32>),
        DataType::Int64 => write_numbers(json, output, write_integer::<i64>),
        DataType::Fp32 => write_numbers(json, output, |json, value: f32| write_double(json, f64::from(value))),
        DataType::Fp64 => write_numbers(json, output, write_double),
        DataType::Bytes => write_texts(json, output)?,
        DataType::Fp16 | DataType::Bf16 => {
            return Err(InferError::invalid_argument(format!(
                "sending {} data via JSON is not supported. Please use the binary data format for output",
                output.tensor.data_type()
            )));
        }
    }
    Ok(())
}

fn write_texts(json: &mut Vec<u8>, output: &NamedTensor) -> Result<(), InferError> {
    let element = |(index, element)| {
        str::from_utf8(element).map_err(|_| {
            let name = &output.name;
            let text = format!("element {index} of output '{name}' is not UTF-8 and cannot be sent as JSON");
            InferError::invalid_argument(text)
        })
    };
    let texts = output.tensor.byte_strings().enumerate().map(element).collect::<Result<Vec<&str>, _>>()?;
    write_values(json, texts, write_string);
    Ok(())
}

fn write_numbers<T: Element>(json: &mut Vec<u8>, output: &NamedTensor, write: impl Fn(&mut Vec<u8>, T)) {
    let elements = output.tensor.elements::<T>().unwrap_or_default();
    write_values(json, elements.iter(), |json, element| write(json, *element));
}

/// One element as it is, any other number of them as an array.
fn write_values<T, I>(json: &mut Vec<u8>, values: I, write: impl Fn(&mut Vec<u8>, T))
where
    I: IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
{
    let mut values = values.into_iter();
    match (values.len(), values.next()) {
        (1, Some(value)) => write(json, value),
        (_, first) => write_list(json, first.into_iter().chain(values), write),
    }
}

/// `,"name":`
fn write_name(json: &mut Vec<u8>, name: &str) {
    json.push(b',');
    write_string(json, name);
    json.push(b':');
}

fn write_bool(json: &mut Vec<u8>, value: bool) {
    json.extend_from_slice(if value { b"true" } else { b"false" });
}
