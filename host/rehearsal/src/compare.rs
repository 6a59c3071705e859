//! Whether a response is the one that was expected, and where it is not.
//!
//! Floating-point numbers may differ by a tolerance, absolute below 1 and relative above; NaN is NaN. All else is equal or
//! not. Every output must be expected; of parameters, those that are expected must be there.

use nereid_client::{element_texts, tensor_head};
use nereid_inference::InferResponse;
use nereid_tensor::{DataType, Tensor};

/// Differing elements that are listed.
const DIFFERENCES_SHOWN_MAX: usize = 5;

/// One line for each thing that differs; none when the response is the expected one.
pub(crate) fn responses(expected: &InferResponse, found: &InferResponse, tolerance: f64) -> Vec<String> {
    let mut lines = Vec::new();
    for output in &expected.outputs {
        match found.output(&output.name) {
            Some(tensor) => lines.extend(differences(&output.name, &output.tensor, tensor, tolerance)),
            None => {
                lines.push(format!("{}: expected {}, found no such output", output.name, tensor_head(&output.tensor)))
            }
        }
    }
    let unexpected = found.outputs.iter().filter(|output| expected.output(&output.name).is_none());
    lines.extend(
        unexpected.map(|output| format!("{}: not expected, found {}", output.name, tensor_head(&output.tensor))),
    );
    for (name, value) in expected.parameters.iter() {
        match found.parameters.get(name) {
            Some(there) if there == value => {}
            Some(there) => lines.push(format!("parameter '{name}': expected {value:?}, found {there:?}")),
            None => lines.push(format!("parameter '{name}': expected {value:?}, found no such parameter")),
        }
    }
    lines
}

/// One line for each thing that differs in the output called `name`; none when it is the expected one.
fn differences(name: &str, expected: &Tensor, found: &Tensor, tolerance: f64) -> Vec<String> {
    if (expected.data_type(), expected.shape()) != (found.data_type(), found.shape()) {
        return vec![format!("{name}: expected {}, found {}", tensor_head(expected), tensor_head(found))];
    }
    let tolerance = is_float(expected.data_type()).then_some(tolerance);
    let (wanted, given) = (element_texts(expected), element_texts(found));
    let pairs = wanted.iter().zip(&given).enumerate();
    let differing: Vec<_> = pairs.filter(|(_, (wanted, given))| !is_same(wanted, given, tolerance)).collect();
    let shown = differing.iter().take(DIFFERENCES_SHOWN_MAX);
    let mut lines: Vec<String> = shown
        .map(|(index, (wanted, given))| {
            format!("{name}{}: expected {wanted}, found {given}", place(*index, expected.shape()))
        })
        .collect();
    if differing.len() > DIFFERENCES_SHOWN_MAX {
        let (more, all) = (differing.len() - DIFFERENCES_SHOWN_MAX, wanted.len());
        lines.push(format!("{name}: {more} more of {all} elements differ"));
    }
    lines
}

fn is_float(data_type: DataType) -> bool {
    matches!(data_type, DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64)
}

fn is_same(expected: &str, found: &str, tolerance: Option<f64>) -> bool {
    if expected == found {
        return true;
    }
    let numbers =
        tolerance.and_then(|tolerance| Some((expected.parse::<f64>().ok()?, found.parse::<f64>().ok()?, tolerance)));
    numbers.is_some_and(|(expected, found, tolerance)| {
        // An infinite number is near no other.
        let difference = (expected - found).abs();
        difference.is_finite() && difference <= tolerance * expected.abs().max(1.0)
    })
}

/// `[1,2]` of an element's number.
fn place(index: usize, shape: &[u64]) -> String {
    let mut rest = index as u64;
    let mut indices: Vec<String> = Vec::with_capacity(shape.len());
    for extent in shape.iter().rev() {
        indices.push(rest.checked_rem(*extent).unwrap_or_default().to_string());
        rest = rest.checked_div(*extent).unwrap_or_default();
    }
    indices.reverse();
    format!("[{}]", indices.join(","))
}

#[cfg(test)]
mod tests {
    use nereid_inference::{NamedTensor, ParameterValue};

    use super::*;

    const TOLERANCE: f64 = 1e-3;

    #[track_caller]
    fn check(expected: &Tensor, found: &Tensor, lines: &[&str]) {
        assert_eq!(differences("Y", expected, found, TOLERANCE), lines);
    }

    fn floats(values: &[f32]) -> Tensor {
        Tensor::from_elements([values.len() as u64], values).unwrap()
    }

    #[test]
    fn floats_differ_beyond_the_tolerance_alone() {
        check(&floats(&[0.0, 1000.0, f32::NAN]), &floats(&[0.0009, 1000.9, f32::NAN]), &[]);
        check(
            &floats(&[0.0, 1000.0]),
            &floats(&[0.0011, 1001.1]),
            &["Y[0]: expected 0, found 0.0011", "Y[1]: expected 1000, found 1001.1"],
        );
        check(
            &floats(&[f32::NAN, 1.0, f32::INFINITY]),
            &floats(&[0.0, f32::NAN, 1.0]),
            &["Y[0]: expected NaN, found 0", "Y[1]: expected 1, found NaN", "Y[2]: expected inf, found 1"],
        );
    }

    #[test]
    fn whole_numbers_and_texts_are_equal_or_not() {
        let numbers = |values: &[i64]| Tensor::from_elements([2, 2], values).unwrap();
        let large = i64::MAX - 1;
        check(
            &numbers(&[1, 2, 3, large]),
            &numbers(&[1, 2, 3, i64::MAX]),
            &["Y[1,1]: expected 9223372036854775806, found 9223372036854775807"],
        );
        let texts = |values: &[&str]| Tensor::from_byte_strings([2], values).unwrap();
        check(&texts(&["a", "b"]), &texts(&["a", "c"]), &["Y[1]: expected \"b\", found \"c\""]);
    }

    #[test]
    fn another_type_or_shape_is_said_before_any_element() {
        let whole = Tensor::from_elements([1], &[1_i32]).unwrap();
        check(&floats(&[1.0]), &whole, &["Y: expected FP32 [1], found INT32 [1]"]);
        check(&floats(&[1.0]), &floats(&[1.0, 2.0]), &["Y: expected FP32 [1], found FP32 [2]"]);
    }

    #[test]
    fn outputs_are_compared_by_name_and_parameters_as_far_as_they_are_expected() {
        let response = |names: &[&str], parameters: &[(&str, i64)]| InferResponse {
            outputs: names.iter().map(|name| NamedTensor::new(*name, floats(&[1.0]))).collect(),
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), ParameterValue::Int(*value)))
                .collect(),
        };
        let expected = response(&["A", "B"], &[("n", 1)]);
        let none: [String; 0] = [];
        assert_eq!(responses(&expected, &response(&["B", "A"], &[("n", 1), ("m", 2)]), TOLERANCE), none);
        assert_eq!(
            responses(&expected, &response(&["B", "C"], &[]), TOLERANCE),
            [
                "A: expected FP32 [1], found no such output",
                "C: not expected, found FP32 [1]",
                "parameter 'n': expected Int(1), found no such parameter",
            ]
        );
    }

    #[test]
    fn of_many_differences_the_first_are_shown_and_the_others_counted() {
        let lines = differences("Y", &floats(&[0.0; 9]), &floats(&[1.0; 9]), TOLERANCE);
        assert_eq!((lines.len(), lines[5].as_str()), (6, "Y: 4 more of 9 elements differ"));
    }
}
