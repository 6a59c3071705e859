//! The elements of a tensor as text, as JSON and as numbers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use half::{bf16, f16};
use nereid_tensor::{DataType, Element, Tensor};
use serde_json::{Value, json};

/// Elements of one tensor, each as the shortest text that reads back as itself; `None` for byte strings.
pub(crate) fn numbers(tensor: &Tensor) -> Option<Vec<String>> {
    Some(match tensor.data_type() {
        DataType::Bytes => return None,
        DataType::Bool => tensor.buffer().as_slice().iter().map(|byte| (*byte != 0).to_string()).collect(),
        DataType::Fp16 => halves(tensor, |bits| f16::from_bits(bits).to_f32()),
        DataType::Bf16 => halves(tensor, |bits| bf16::from_bits(bits).to_f32()),
        DataType::Uint8 => texts::<u8>(tensor),
        DataType::Uint16 => texts::<u16>(tensor),
        DataType::Uint32 => texts::<u32>(tensor),
        DataType::Uint64 => texts::<u64>(tensor),
        DataType::Int8 => texts::<i8>(tensor),
        DataType::Int16 => texts::<i16>(tensor),
        DataType::Int32 => texts::<i32>(tensor),
        DataType::Int64 => texts::<i64>(tensor),
        DataType::Fp32 => texts::<f32>(tensor),
        DataType::Fp64 => texts::<f64>(tensor),
    })
}

/// Every element, for machines: numbers, booleans, texts; bytes that are no text as `{"base64": …}`.
pub(crate) fn json(tensor: &Tensor) -> Vec<Value> {
    match numbers(tensor) {
        // What JSON has no number for (infinities, NaN) stays a text.
        Some(numbers) => {
            numbers.into_iter().map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))).collect()
        }
        None => tensor.byte_strings().map(byte_string).collect(),
    }
}

fn byte_string(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn texts<T: Element + ToString>(tensor: &Tensor) -> Vec<String> {
    tensor.elements::<T>().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn halves(tensor: &Tensor, value: fn(u16) -> f32) -> Vec<String> {
    let (halves, _) = tensor.buffer().as_slice().as_chunks();
    halves.iter().map(|half| value(u16::from_le_bytes(*half)).to_string()).collect()
}
