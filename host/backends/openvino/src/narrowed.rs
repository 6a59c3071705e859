//! Types that OpenVINO's plugin for processors calculates with 32 bits, whatever its properties say.
//!
//! Whole numbers beyond what 32 bits with a sign hold would be cut on the way in, and floats of 64 bits beyond the largest
//! of 32 would become infinite, without a word. Promises: such numbers in an input are refused by name, and a model that has
//! such types says so once, when it is loaded. What overflows between its inputs and its outputs nobody tells.

use std::fmt::Display;

use nereid_tensor::{DataType, Element, Tensor};

use crate::agree::{Plan, PlannedTensor};

/// The types.
const NARROWED: [DataType; 4] = [DataType::Uint32, DataType::Int64, DataType::Uint64, DataType::Fp64];

/// What whoever loads the model should know; `None` where all types are calculated as they are.
pub(crate) fn warning(plan: &Plan) -> Option<String> {
    let of = |role: &str, tensors: &[PlannedTensor]| {
        let narrowed = tensors.iter().filter(|planned| NARROWED.contains(&planned.data_type));
        narrowed.map(|planned| format!("{role} '{}' {}", planned.name, planned.data_type)).collect::<Vec<_>>()
    };
    let tensors = [of("input", &plan.inputs), of("output", &plan.outputs)].concat();
    (!tensors.is_empty()).then(|| {
        format!(
            "model '{}': OpenVINO calculates {} with 32 bits (INT32, FP32): inputs beyond that are refused, and results beyond it \
             are wrong. Where they may occur, serve the file with another backend, as ONNX with onnxruntime",
            plan.model_name,
            tensors.join(", ")
        )
    })
}

/// Refuses a number that 32 bits do not hold.
///
/// # Errors
/// The first one, and what to do.
pub(crate) fn check(planned: &PlannedTensor, tensor: &Tensor) -> Result<(), String> {
    let is_too_large = |number: f64| number.is_finite() && (number as f32).is_infinite();
    let found = match planned.data_type {
        DataType::Uint32 => first(tensor, |number: u32| i32::try_from(number).is_err()),
        DataType::Int64 => first(tensor, |number: i64| i32::try_from(number).is_err()),
        DataType::Uint64 => first(tensor, |number: u64| i32::try_from(number).is_err()),
        DataType::Fp64 => first(tensor, is_too_large),
        _ => None,
    };
    let Some((place, number)) = found else { return Ok(()) };
    let expected = match planned.data_type {
        DataType::Fp64 => format!("a number of FP32, {:e} at most", f32::MAX),
        DataType::Int64 => format!("{} to {}", i32::MIN, i32::MAX),
        _ => format!("0 to {}", i32::MAX),
    };
    Err(format!(
        "input '{}' is {number} at element {place}, expected {expected}, since OpenVINO calculates {} with 32 bits; serve the \
         file with another backend, as ONNX with onnxruntime",
        planned.name, planned.data_type
    ))
}

/// The first number that is as asked for, and its place.
fn first<T: Element + Display>(tensor: &Tensor, is_wanted: impl Fn(T) -> bool) -> Option<(usize, String)> {
    let elements = tensor.elements::<T>()?;
    let place = elements.iter().position(|element| is_wanted(*element))?;
    elements.get(place).map(|element| (place, element.to_string()))
}
