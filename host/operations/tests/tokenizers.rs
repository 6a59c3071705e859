//! Tokenizers beside Hugging Face's own Python face: `golden/make_tokenizers.py` wrote what it gives.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::fs;

use nereid_operations::{Budget, EncodeOptions, Tokenizer, TokenizerOptions};
use nereid_tensor::Tensor;
use serde_json::Value;

fn golden(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn budget() -> Budget {
    Budget::new(64 << 20)
}

fn texts(values: &[&str]) -> Tensor {
    Tensor::from_byte_strings([values.len() as u64], values).unwrap()
}

/// Rows of a tensor, as the golden file has them.
fn rows(tensor: &Tensor) -> Value {
    let length = usize::try_from(tensor.shape()[1]).unwrap().max(1);
    Value::from(
        tensor.elements::<i64>().unwrap().chunks(length).map(|row| Value::from(row.to_vec())).collect::<Vec<_>>(),
    )
}

fn check(case: &Value) {
    let name = case["tokenizer"].as_str().unwrap();
    let length_max = case["length_max"].as_u64().map(|length| u32::try_from(length).unwrap());
    let options = TokenizerOptions { length_max, ..TokenizerOptions::default() };
    let tokenizer = Tokenizer::new(&golden(&format!("{name}.tokenizer.json")), options, budget()).unwrap();
    assert_eq!(Value::from(tokenizer.vocabulary_size()), case["vocabulary_size"]);

    let values: Vec<&str> = case["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let reversed: Vec<&str> = values.iter().rev().copied().collect();
    let pairs = case["pairs"].as_bool().unwrap().then(|| texts(&reversed));
    let options = EncodeOptions { special_tokens: case["special_tokens"].as_bool().unwrap(), length: None };
    let encoded = tokenizer.encode(&texts(&values), pairs.as_ref(), options, budget()).unwrap();
    let subject = format!("{name}, {options:?}, pairs {}, length {length_max:?}", pairs.is_some());
    assert_eq!(rows(&encoded.ids), case["ids"], "{subject}");
    assert_eq!(rows(&encoded.mask), case["mask"], "{subject}");
    assert_eq!(rows(&encoded.type_ids), case["type_ids"], "{subject}");

    let decoded = tokenizer.decode(&encoded.ids, true, budget()).unwrap();
    let decoded: Vec<&str> = decoded.byte_strings().map(|text| std::str::from_utf8(text).unwrap()).collect();
    assert_eq!(Value::from(decoded), case["decoded"], "{subject}");
}

#[test]
fn tokens_are_those_of_the_library_in_python() {
    let cases: Vec<Value> = serde_json::from_slice(&golden("tokenizers.json")).unwrap();
    assert_eq!(cases.len(), 24);
    cases.iter().for_each(check);
}
