//! Requests that differ have different texts; what does not matter makes no difference.

use std::time::Duration;

use nereid_inference::{NamedTensor, Parameters};
use nereid_tensor::{DataType, Tensor};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use super::*;

fn bytes_of(request: &InferRequest) -> Vec<u8> {
    let mut text = Vec::new();
    write_request(request, |bytes| text.extend_from_slice(bytes));
    text
}

fn input(name: &str, values: &[u8]) -> NamedTensor {
    let tensor = Tensor::from_elements([values.len() as u64], values).unwrap();
    NamedTensor::new(name, tensor)
}

fn plain() -> InferRequest {
    InferRequest::new(vec![input("A", &[1, 2]), input("B", &[3])])
}

/// Whether a request that differs from the plain one in what `change` does has another key.
#[track_caller]
fn check(change: impl FnOnce(&mut InferRequest), differs: bool) {
    let mut changed = plain();
    change(&mut changed);
    let generation = Generation::new(&ModelIdentity::new("m", 1), b"x");
    assert_eq!(generation.key(&plain()) != generation.key(&changed), differs, "{changed:?}");
}

#[test]
fn what_can_change_the_answer_is_in_the_key() {
    let set = |name: &'static str, value: ParameterValue| {
        move |request: &mut InferRequest| request.parameters.insert(name, value)
    };
    check(|request| request.inputs[0] = input("A", &[1, 3]), true);
    check(|request| request.inputs[0] = input("C", &[1, 2]), true);
    check(|request| drop(request.inputs.pop()), true);
    check(
        |request| {
            let tensor = Tensor::new(DataType::Int8, [2].into(), vec![1, 2].into()).unwrap();
            request.inputs[0].tensor = tensor;
        },
        true,
    );
    check(|request| request.inputs[0].tensor = request.inputs[0].tensor.reshaped([1, 2].into()).unwrap(), true);
    check(set("p", ParameterValue::Bool(true)), true);
    check(set("p", ParameterValue::Int(1)), true);
    check(|request| request.requested_outputs = vec!["Y".into()], true);
    check(
        |request| {
            request.sequence = Some(SequenceFlags { id: SequenceId::Number(1), start: true, end: false });
        },
        true,
    );
}

#[test]
fn what_cannot_is_not() {
    check(|_| {}, false);
    check(|request| request.inputs.reverse(), false);
    check(|request| request.id = "other".into(), false);
    check(|request| request.priority = 3, false);
    check(|request| request.timeout = Some(Duration::from_secs(1)), false);
}

#[test]
fn parameters_have_no_order_but_kinds() {
    let with = |parameters: [(&str, ParameterValue); 2]| {
        let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Parameters>();
        bytes_of(&InferRequest { parameters, ..plain() })
    };
    let (int, uint) = (ParameterValue::Int(1), ParameterValue::Uint(1));
    assert_eq!(with([("a", int.clone()), ("b", uint.clone())]), with([("b", uint.clone()), ("a", int.clone())]));
    assert_ne!(with([("a", int.clone()), ("b", uint.clone())]), with([("a", uint), ("b", int)]));
}

#[test]
fn another_generation_version_or_model_never_answers() {
    let generations = [("m", 1, "x"), ("m", 1, "y"), ("m", 2, "x"), ("mm", 1, "x")]
        .map(|(name, version, mark)| Generation::new(&ModelIdentity::new(name, version), mark.as_bytes()));
    let keys = generations.map(|generation| generation.key(&plain()).to_string());
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key), "{keys:?}");
    }
}

/// What the text is made of, as a value that can be compared.
type Parts = (Vec<(String, Vec<u64>, Vec<u8>)>, Vec<(String, String)>, Vec<String>, Option<String>);

/// Requests of which one part says something, in few letters (one of them the tag of a text): texts without lengths
/// would often collide.
fn parts(kind: u8) -> BoxedStrategy<Parts> {
    let word = || "[a\u{4}]{0,2}";
    let texts = || vec(word().prop_map(String::from), 0..3);
    match kind {
        0 => {
            let input = (word(), vec(0_u64..3, 0..3)).prop_flat_map(|(name, shape)| {
                let size = shape.iter().product::<u64>() as usize;
                (Just(name), Just(shape), vec(prop_oneof![Just(0_u8), Just(b'a')], size..=size))
            });
            let unique = |inputs: &Vec<(String, Vec<u64>, Vec<u8>)>| {
                let names: std::collections::BTreeSet<_> = inputs.iter().map(|input| &input.0).collect();
                names.len() == inputs.len()
            };
            let inputs = vec(input, 0..3).prop_filter("two inputs of one name", unique);
            inputs.prop_map(|inputs| (inputs, vec![], vec![], None)).boxed()
        }
        1 => vec((word(), word()), 0..3).prop_map(|parameters| (vec![], parameters, vec![], None)).boxed(),
        2 => texts().prop_map(|outputs| (vec![], vec![], outputs, None)).boxed(),
        _ => (texts(), proptest::option::of(word())).prop_map(|(outputs, id)| (vec![], vec![], outputs, id)).boxed(),
    }
}

fn request_of((inputs, parameters, outputs, sequence): &Parts) -> InferRequest {
    let inputs = inputs.iter().map(|(name, shape, bytes)| {
        let tensor = Tensor::new(DataType::Uint8, shape.as_slice().into(), bytes.clone().into()).unwrap();
        NamedTensor::new(name.as_str(), tensor)
    });
    let mut request = InferRequest::new(inputs.collect());
    for (name, value) in parameters {
        request.parameters.insert(name.as_str(), ParameterValue::String(value.clone()));
    }
    request.requested_outputs = outputs.iter().map(|output| output.as_str().into()).collect();
    let flags = |id: &String| SequenceFlags { id: SequenceId::Text(id.clone()), start: false, end: true };
    request.sequence = sequence.as_ref().map(flags);
    request
}

/// The same request as values whose order does not matter where it does not.
fn meaning(request: &InferRequest) -> impl PartialEq + std::fmt::Debug {
    let mut inputs: Vec<_> = request
        .inputs
        .iter()
        .map(|input| (input.name.clone(), input.tensor.shape().clone(), input.tensor.buffer().as_slice().to_vec()))
        .collect();
    inputs.sort_by(|one, other| one.0.cmp(&other.0));
    let mut parameters: Vec<_> =
        request.parameters.iter().map(|(name, value)| (name.to_owned(), format!("{value:?}"))).collect();
    parameters.sort();
    (inputs, parameters, request.requested_outputs.clone(), request.sequence.clone())
}

#[test]
fn no_two_requests_have_the_same_text() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 4_000, ..ProptestConfig::default() });
    let pairs = (0_u8..4).prop_flat_map(|kind| (parts(kind), parts(kind)));
    runner
        .run(&pairs, |(one, other)| {
            let (one, other) = (request_of(&one), request_of(&other));
            prop_assert_eq!(bytes_of(&one) == bytes_of(&other), meaning(&one) == meaning(&other));
            Ok(())
        })
        .unwrap();
}

/// The pairs that a text without lengths would confuse, each written out.
#[test]
fn moving_a_border_between_fields_changes_the_text() {
    let parameter = |name: &str, value: &str| (vec![], vec![(name.into(), value.into())], vec![], None);
    let outputs = |names: [&str; 2]| (vec![], vec![], names.map(String::from).to_vec(), None);
    let input = |shape: [u64; 2]| (vec![("a".into(), shape.to_vec(), vec![7, 7])], vec![], vec![], None);
    let pairs: [(Parts, Parts); 3] = [
        (parameter("a", "\u{4}b"), parameter("a\u{4}", "b")),
        (outputs(["ab", "a"]), outputs(["a", "ba"])),
        (input([1, 2]), input([2, 1])),
    ];
    for (one, other) in pairs {
        assert_ne!(bytes_of(&request_of(&one)), bytes_of(&request_of(&other)));
    }
}
