//! A trace as text: the objects of Triton's trace file format, one per line.
//!
//! Values of `FP16` and `BF16` tensors are left out, as Triton does, and those of very large tensors.

use std::{
    borrow::Cow,
    fmt::{self, Display, Write as _},
    time::Instant,
};

use nereid_inference::ParameterValue;
use nereid_tensor::{DataType, Element, Tensor};

use super::{
    clock::monotonic_ns,
    recording::{Record, TracedRequest},
};
use crate::logging::write_quoted;

/// Tensors whose values are written; a larger one would be tens of megabytes of digits that nobody reads.
const TENSOR_BYTES_MAX: usize = 4 << 20;

/// The objects of one trace, without the brackets of the file.
pub(crate) fn trace_text(record: &Record) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = record.requests.iter().try_for_each(|request| write_request(&mut text, request));
    text
}

fn write_request(out: &mut String, request: &TracedRequest) -> fmt::Result {
    let id = request.id;
    if !out.is_empty() {
        out.push_str(",\n");
    }
    write!(out, "{{\"id\":{id},\"model_name\":")?;
    write_quoted(out, &request.model.name)?;
    write!(out, ",\"model_version\":{}", request.model.version)?;
    if !request.request_id.is_empty() {
        out.push_str(",\"request_id\":");
        write_quoted(out, &request.request_id)?;
    }
    if request.parent_id != 0 {
        write!(out, ",\"parent_id\":{}", request.parent_id)?;
    }
    out.push('}');
    for (name, at) in moments(request) {
        write!(out, ",\n{{\"id\":{id},\"timestamps\":[{{\"name\":")?;
        write_quoted(out, &name)?;
        write!(out, ",\"ns\":{}}}]}}", monotonic_ns(at))?;
    }
    for span in request.sorted_spans().into_iter().filter(|span| !span.attributes.is_empty()) {
        write!(out, ",\n{{\"id\":{id},\"span\":")?;
        write_quoted(out, &span.name)?;
        out.push_str(",\"attributes\":{");
        write_attributes(out, &span.attributes)?;
        out.push_str("}}");
    }
    for (activity, name, tensor) in &request.tensors {
        write!(out, ",\n{{\"id\":{id},\"activity\":\"{}\",\"tensor\":{{\"name\":", activity.name())?;
        write_quoted(out, name)?;
        out.push_str(",\"data\":");
        write_quoted(out, &values(tensor))?;
        let extents = joined(tensor.shape().iter());
        write!(out, ",\"shape\":\"{extents}\",\"dtype\":\"{}\"}}}}", tensor.data_type())?;
    }
    Ok(())
}

/// Moments by their names in time's order. Those of a model's own steps are called as Triton's custom activities are: the step's name
/// with `_START` and `_END`, and an event by its own.
fn moments(request: &TracedRequest) -> Vec<(Cow<'_, str>, Instant)> {
    let mut moments: Vec<(Cow<'_, str>, Instant)> =
        request.sorted_events().into_iter().map(|(activity, at)| (activity.name().into(), at)).collect();
    for span in request.sorted_spans() {
        moments.push((format!("{}_START", span.name).into(), span.started));
        moments.extend(span.events.iter().map(|event| (event.name.as_str().into(), event.at)));
        moments.push((format!("{}_END", span.name).into(), span.ended));
    }
    moments.sort_by_key(|(_, at)| *at);
    moments
}

/// As members of an object.
fn write_attributes(out: &mut String, attributes: &[(String, ParameterValue)]) -> fmt::Result {
    for (index, (name, value)) in attributes.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        write_quoted(out, name)?;
        out.push(':');
        match value {
            ParameterValue::Bool(value) => write!(out, "{value}")?,
            ParameterValue::Int(value) => write!(out, "{value}")?,
            ParameterValue::Uint(value) => write!(out, "{value}")?,
            ParameterValue::Double(value) if value.is_finite() => write!(out, "{value}")?,
            ParameterValue::Double(value) => write_quoted(out, &value.to_string())?,
            ParameterValue::String(text) => write_quoted(out, text)?,
        }
    }
    Ok(())
}

/// The elements, separated by commas; strings in quotation marks.
fn values(tensor: &Tensor) -> String {
    if tensor.byte_size() > TENSOR_BYTES_MAX {
        return String::new();
    }
    match tensor.data_type() {
        DataType::Bool => joined(tensor.buffer().as_slice()),
        DataType::Uint8 => numbers::<u8>(tensor),
        DataType::Uint16 => numbers::<u16>(tensor),
        DataType::Uint32 => numbers::<u32>(tensor),
        DataType::Uint64 => numbers::<u64>(tensor),
        DataType::Int8 => numbers::<i8>(tensor),
        DataType::Int16 => numbers::<i16>(tensor),
        DataType::Int32 => numbers::<i32>(tensor),
        DataType::Int64 => numbers::<i64>(tensor),
        DataType::Fp32 => numbers::<f32>(tensor),
        DataType::Fp64 => numbers::<f64>(tensor),
        DataType::Fp16 | DataType::Bf16 => String::new(),
        DataType::Bytes => {
            joined(tensor.byte_strings().map(|element| format!("\"{}\"", String::from_utf8_lossy(element))))
        }
    }
}

fn numbers<T: Element + Display>(tensor: &Tensor) -> String {
    tensor.elements::<T>().map(|elements| joined(elements.iter())).unwrap_or_default()
}

fn joined(values: impl IntoIterator<Item = impl Display>) -> String {
    let mut text = String::new();
    for value in values {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{value}");
    }
    text
}
