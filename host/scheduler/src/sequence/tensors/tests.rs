//! What a model of sequences is told, and what is kept for it.

use nereid_inference::{InferRequest, Signature};

use super::*;

fn signal(kind: SignalKind, name: &str) -> Signal {
    let value = |value: i32| Tensor::from_elements([1, 1], &[value]).unwrap();
    Signal { name: name.into(), kind, when_false: value(0), when_true: value(1) }
}

fn tensors(data_type: DataType, is_output: bool) -> SequenceTensors {
    let initial = Tensor::from_elements([1, 2], &[0.0_f32, 0.0]).unwrap();
    SequenceTensors {
        signals: vec![
            signal(SignalKind::Start, "START"),
            signal(SignalKind::End, "END"),
            signal(SignalKind::Ready, "READY"),
        ],
        correlation: Some(CorrelationInput { name: "ID".into(), data_type, batched: true }),
        states: vec![StateInput { input_name: "IN".into(), output_name: "OUT".into(), initial, is_output }],
        state_outputs: Some(["OUT".into()].into()),
    }
}

fn request(flags: Option<SequenceFlags>, outputs: &[&str]) -> CheckedRequest {
    let mut request = Signature::default().check(InferRequest::new(vec![])).unwrap().into_inner();
    request.sequence = flags;
    let checked = Signature {
        outputs: outputs
            .iter()
            .map(|name| nereid_inference::TensorSpec {
                name: (*name).into(),
                data_type: DataType::Fp32,
                dims: vec![2],
                optional: false,
            })
            .collect(),
        ..Signature::default()
    };
    request.requested_outputs = outputs.iter().map(|name| (*name).into()).collect();
    checked.check(request).unwrap()
}

fn flags(id: SequenceId, start: bool, end: bool) -> Option<SequenceFlags> {
    Some(SequenceFlags { id, start, end })
}

#[track_caller]
fn check_signals(flags: Option<SequenceFlags>, expected: [i32; 3]) {
    let mut request = request(flags, &[]);
    let tensors = tensors(DataType::Uint64, false);
    tensors.attach(&mut request, &tensors.initial());
    let found = ["START", "END", "READY"].map(|name| request.input(name).unwrap().elements::<i32>().unwrap()[0]);
    assert_eq!(found, expected);
}

#[test]
fn signals_say_where_a_request_stands_and_nothing_about_padding() {
    let id = SequenceId::Number(7);
    check_signals(flags(id.clone(), true, false), [1, 0, 1]);
    check_signals(flags(id.clone(), false, false), [0, 0, 1]);
    check_signals(flags(id.clone(), false, true), [0, 1, 1]);
    check_signals(flags(id, true, true), [1, 1, 1]);
    check_signals(None, [0, 0, 0]);
}

#[track_caller]
fn check_id(id: Option<SequenceId>, data_type: DataType, expected: &[u8]) {
    let mut request = request(id.and_then(|id| flags(id, true, false)), &[]);
    tensors(data_type, false).attach(&mut request, &KeptState::default());
    let found = request.input("ID").unwrap();
    assert_eq!(
        (found.data_type(), found.buffer().as_slice(), &**found.shape()),
        (data_type, expected, &[1_u64, 1][..])
    );
}

#[test]
fn an_id_is_given_in_the_type_that_the_model_wants() {
    let number = || Some(SequenceId::Number(0x0102_0304_0506_0708));
    check_id(number(), DataType::Uint64, &[8, 7, 6, 5, 4, 3, 2, 1]);
    check_id(number(), DataType::Int64, &[8, 7, 6, 5, 4, 3, 2, 1]);
    check_id(number(), DataType::Int32, &[8, 7, 6, 5]);
    check_id(number(), DataType::Uint32, &[8, 7, 6, 5]);
    check_id(Some(SequenceId::Text("ab".into())), DataType::Bytes, &[2, 0, 0, 0, b'a', b'b']);
    check_id(None, DataType::Uint32, &[0; 4]);
    check_id(None, DataType::Bytes, &[0; 4]);
}

/// A response of state and `Y` to a request for `outputs`; what the client sees of it, and what is given next.
fn answer(is_output: bool, outputs: &[&str], batch_requests: usize) -> (Vec<String>, Tensor, Tensor) {
    let tensors = tensors(DataType::Uint64, is_output);
    let kept = tensors.initial();
    let state = Tensor::from_elements([1, 2], &[3.0_f32, 4.0]).unwrap();
    let outputs_given = vec![NamedTensor::new("OUT", state.clone()), NamedTensor::new("Y", state.clone())];
    let mut response = InferResponse::new(outputs_given);
    let first = request(flags(SequenceId::Number(1), true, false), outputs);
    tensors.keep(&mut response, &first, &kept, batch_requests);
    let mut second = request(flags(SequenceId::Number(1), false, false), &[]);
    tensors.attach(&mut second, &kept);
    let seen = response.outputs.iter().map(|output| output.name.to_string()).collect();
    (seen, second.input("IN").unwrap().clone(), state)
}

#[test]
fn state_comes_back_with_the_next_request_and_is_not_shown() {
    let (seen, given, state) = answer(false, &[], 1);
    assert_eq!(seen, ["Y"]);
    assert_eq!(given.buffer().as_slice().as_ptr(), state.buffer().as_slice().as_ptr(), "by reference");
    let (_, given, state) = answer(false, &[], 2);
    assert_eq!(given.buffer().as_slice(), state.buffer().as_slice());
    assert_ne!(given.buffer().as_slice().as_ptr(), state.buffer().as_slice().as_ptr(), "out of a batch by copy");
}

#[test]
fn state_that_is_an_output_too_is_shown_to_those_who_ask() {
    assert_eq!(answer(true, &[], 1).0, ["OUT", "Y"]);
    assert_eq!(answer(true, &["Y"], 1).0, ["Y"]);
    assert_eq!(answer(true, &["OUT", "Y"], 1).0, ["OUT", "Y"]);
}

#[test]
fn the_model_is_asked_for_state_whatever_the_client_wants() {
    let mut request = request(flags(SequenceId::Number(1), true, false), &["Y"]);
    let tensors = tensors(DataType::Uint64, false);
    tensors.attach(&mut request, &tensors.initial());
    assert!(request.wants("OUT") && !request.is_requested("OUT") && request.wants("Y"));
}
