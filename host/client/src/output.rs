//! Answers for the eye, and as JSON for programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use nereid_inference::NamedTensor;
use nereid_tensor::Tensor;
use serde_json::{Value, json};

use crate::{connection::Answer, description::dims_text, elements};

/// Elements up to which a tensor is shown whole.
const ELEMENTS_SHOWN_WHOLE_MAX: usize = 16;

/// Elements shown of a longer one.
const ELEMENTS_SHOWN: usize = 8;

/// Characters shown of one text.
const TEXT_CHARACTERS_MAX: usize = 200;

/// Writes one answer for the eye: a line on the model, then each output.
pub(crate) fn write_text(
    answer: &Answer,
    took: Duration,
    is_classified: bool,
    output: &mut dyn Write,
) -> io::Result<()> {
    let milliseconds = took.as_secs_f64() * 1e3;
    writeln!(output, "{} version {} ({milliseconds:.1} ms)", answer.model, answer.version)?;
    let width = answer.outputs.iter().map(|named| named.name.chars().count()).max().unwrap_or(0);
    for NamedTensor { name, tensor } in &answer.outputs {
        let head = format!("{name:width$}  {} {}", tensor.data_type(), dims_text(tensor.shape()));
        match is_classified {
            true => write_classes(&head, tensor, output)?,
            false => writeln!(output, "{head}  {}", shown(tensor))?,
        }
    }
    Ok(())
}

/// Writes one answer as one line of JSON.
pub(crate) fn write_json(answer: &Answer, took: Duration, output: &mut dyn Write) -> io::Result<()> {
    let outputs = answer.outputs.iter().map(|NamedTensor { name, tensor }| {
        json!({
            "name": &**name,
            "datatype": tensor.data_type().name(),
            "shape": &**tensor.shape(),
            "data": elements::json(tensor),
        })
    });
    let document = json!({
        "model_name": answer.model,
        "model_version": answer.version,
        "outputs": outputs.collect::<Vec<Value>>(),
        "milliseconds": took.as_secs_f64() * 1e3,
    });
    writeln!(output, "{document}")
}

/// One line per class of a `value:index[:label]` tensor.
fn write_classes(head: &str, tensor: &Tensor, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "{head}")?;
    for class in tensor.byte_strings().map(String::from_utf8_lossy) {
        let mut parts = class.splitn(3, ':');
        let (value, index) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        writeln!(output, "  {value:>12}  {index:>5}  {}", parts.next().unwrap_or_default())?;
    }
    Ok(())
}

pub(crate) fn shown(tensor: &Tensor) -> String {
    let Some(numbers) = elements::numbers(tensor) else {
        return shortened(tensor.byte_strings().map(text).collect());
    };
    if numbers.len() <= ELEMENTS_SHOWN_WHOLE_MAX {
        return numbers.join(" ");
    }
    let values = numbers.iter().filter_map(|number| number.parse::<f64>().ok());
    let (mut least, mut most, mut sum, mut count) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0);
    for value in values {
        (least, most, sum, count) = (least.min(value), most.max(value), sum + value, count + 1.0);
    }
    let shown = shortened(numbers);
    // Booleans have none of these.
    if count == 0.0 { shown } else { format!("{shown}  (min {least}, max {most}, mean {:.6})", sum / count) }
}

fn shortened(elements: Vec<String>) -> String {
    let length = elements.len();
    if length <= ELEMENTS_SHOWN_WHOLE_MAX {
        return elements.join(" ");
    }
    let first: Vec<String> = elements.into_iter().take(ELEMENTS_SHOWN).collect();
    format!("{} … {} more", first.join(" "), length - ELEMENTS_SHOWN)
}

/// A text in quotes, or how many bytes there are of something else.
fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if text.chars().nth(TEXT_CHARACTERS_MAX).is_none() => format!("{text:?}"),
        Ok(text) => {
            let start: String = text.chars().take(TEXT_CHARACTERS_MAX).collect();
            format!("{start:?}… ({} bytes)", bytes.len())
        }
        Err(_) => format!("<{} bytes>", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(tensor: Tensor) -> Answer {
        Answer { model: "m".to_owned(), version: "1".to_owned(), outputs: vec![NamedTensor::new("OUT", tensor)] }
    }

    /// Asserts what follows the line on the model.
    #[track_caller]
    fn check(tensor: Tensor, is_classified: bool, expected: &str) {
        let mut output = Vec::new();
        write_text(&answer(tensor), Duration::from_micros(1_500), is_classified, &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.strip_prefix("m version 1 (1.5 ms)\n"), Some(expected));
    }

    #[test]
    fn short_tensors_are_shown_whole() {
        check(Tensor::from_elements([3], &[0.5_f32, -1.0, 0.1]).unwrap(), false, "OUT  FP32 [3]  0.5 -1 0.1\n");
        let texts = Tensor::from_byte_strings([1, 2], &[b"a\"b".as_slice(), b"\xff\xfe"]).unwrap();
        check(texts, false, "OUT  BYTES [1,2]  \"a\\\"b\" <2 bytes>\n");
        let half = Tensor::new(nereid_tensor::DataType::Fp16, [1].into(), vec![0, 0x3e].into()).unwrap();
        check(half, false, "OUT  FP16 [1]  1.5\n");
    }

    #[test]
    fn long_tensors_are_shown_by_their_start_and_their_spread() {
        let values: Vec<i32> = (0..100).collect();
        let expected = "OUT  INT32 [100]  0 1 2 3 4 5 6 7 … 92 more  (min 0, max 99, mean 49.500000)\n";
        check(Tensor::from_elements([100], &values).unwrap(), false, expected);
    }

    #[test]
    fn classes_are_a_table() {
        let classes = Tensor::from_byte_strings([1, 2], &["0.900000:7:seven", "0.100000:1"]).unwrap();
        let expected = "OUT  BYTES [1,2]\n      0.900000      7  seven\n      0.100000      1  \n";
        check(classes, true, expected);
    }

    #[test]
    fn json_has_every_element() {
        let mut output = Vec::new();
        let tensor = Tensor::from_elements([2], &[0.1_f32, f32::NAN]).unwrap();
        write_json(&answer(tensor), Duration::from_millis(2), &mut output).unwrap();
        let expected = json!({
            "model_name": "m", "model_version": "1", "milliseconds": 2.0,
            "outputs": [{ "name": "OUT", "datatype": "FP32", "shape": [2], "data": [0.1, "NaN"] }],
        });
        assert_eq!(serde_json::from_slice::<Value>(&output).unwrap(), expected);
    }
}
