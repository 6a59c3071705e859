//! Configurations in, tensors out; and a model of sequences behind its scheduler.

use std::{fs, path::PathBuf};

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{
    InferRequest, LoadClock, ModelConfig, ModelIdentity, SequenceFlags, SequenceId, ServedModel, config::Scheduling,
};

use super::*;
use crate::test_service::{World, echo, input, output};

fn source(state: StateSpec, model_directory: PathBuf) -> (ModelSource, SequenceBatching) {
    let sequences = SequenceBatching { states: vec![state], ..SequenceBatching::default() };
    let config = ModelConfig { name: "m".into(), max_batch_size: 4, ..ModelConfig::default() };
    let identity = ModelIdentity::new("m", 1);
    (
        ModelSource {
            identity,
            version_directory: model_directory.join("1"),
            model_directory,
            config,
            clock: LoadClock::default(),
        },
        sequences,
    )
}

fn state(initial: &[InitialState]) -> StateSpec {
    StateSpec {
        input_name: "IN".into(),
        output_name: "OUT".into(),
        data_type: DataType::Int32.into(),
        dims: vec![-1, 2],
        initial_states: initial.to_vec(),
        ..StateSpec::default()
    }
}

fn initial(dims: &[i64], data: InitialStateData) -> InitialState {
    InitialState { name: "start".into(), data_type: DataType::Int32.into(), dims: dims.to_vec(), data: Some(data) }
}

/// Shape and elements of the initial state, or the error.
#[track_caller]
fn check(initial: &[InitialState], expected: Result<(&[u64], &[i32]), &str>) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(INITIAL_STATE_FOLDER)).unwrap();
    let numbers: Vec<u8> = [1_i32, 2, 3, 4, 5].into_iter().flat_map(i32::to_le_bytes).collect();
    fs::write(directory.path().join(INITIAL_STATE_FOLDER).join("numbers"), numbers).unwrap();
    fs::write(directory.path().join("secret"), [0; 64]).unwrap();
    let (source, sequences) = source(state(initial), directory.path().to_owned());
    let found = sequence_tensors(&source, &sequences);
    match (&found, expected) {
        (Ok(tensors), Ok((shape, elements))) => {
            let tensor = &tensors.states[0].initial;
            assert_eq!((&**tensor.shape(), &*tensor.elements::<i32>().unwrap()), (shape, elements));
        }
        (Err(error), Err(expected)) => assert!(error.message().contains(expected), "{error}"),
        _ => panic!("expected {expected:?}, got {:?}", found.map(|_| ())),
    }
}

#[test]
fn a_sequence_starts_with_zeros_where_nothing_else_is_said() {
    check(&[], Ok((&[1, 1, 2], &[0, 0])));
    check(&[initial(&[2, 2], InitialStateData::Zero(true))], Ok((&[1, 2, 2], &[0; 4])));
}

#[test]
fn a_file_gives_the_state_that_a_sequence_starts_with() {
    check(&[initial(&[2, 2], InitialStateData::File("numbers".into()))], Ok((&[1, 2, 2], &[1, 2, 3, 4])));
    check(
        &[initial(&[3, 2], InitialStateData::File("numbers".into()))],
        Err("initial_state setting expects 24 bytes, but the data provided from numbers only has 20 bytes."),
    );
    check(&[initial(&[1, 2], InitialStateData::File("absent".into()))], Err("initial state 'absent' cannot be found"));
    check(&[initial(&[1, 2], InitialStateData::File("../../etc".into()))], Err("initial state '../../etc'"));
}

#[test]
fn an_initial_state_must_fit_its_state() {
    let zero = |dims: &[i64]| initial(dims, InitialStateData::Zero(true));
    check(&[zero(&[1, 2]), zero(&[1, 2])], Err("must contain exactly one or zero element. Found '2' elements."));
    check(&[zero(&[1])], Err("Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions"));
    check(&[zero(&[-1, 2])], Err("'initial_state' field for state input name 'IN' contains variable dimensions."));
    check(&[zero(&[1, 3])], Err("doesn't match 'state' dim description. 3 != 2"));
    check(&[InitialState { name: String::new(), ..zero(&[1, 2]) }], Err("Field 'name' must be set"));
    check(&[InitialState { data: None, ..zero(&[1, 2]) }], Err("to have state_data set"));
    let other = InitialState { data_type: DataType::Fp32.into(), ..zero(&[1, 2]) };
    check(&[other], Err("does not match the state data type."));
}

/// A fake that echoes its inputs in order: `X`, `START` and the state, which comes back as itself.
fn stateful() -> ModelConfig {
    let start = ControlSpec { kind: ControlKind::Start, int32_false_true: vec![10, 11], ..ControlSpec::default() };
    let sequences = SequenceBatching {
        max_sequence_idle_microseconds: 60_000_000,
        control_inputs: vec![ControlInput { name: "START".into(), controls: vec![start] }],
        ..SequenceBatching::default()
    };
    ModelConfig {
        max_batch_size: 4,
        inputs: vec![input("X", DataType::Fp32, 1)],
        outputs: vec![output("Y", DataType::Fp32, 1), output("STARTED", DataType::Int32, 1)],
        scheduling: Some(Scheduling::Sequence(sequences)),
        ..echo("m", 1)
    }
}

async fn send(model: &dyn ServedModel, id: u64, start: bool, end: bool) -> Result<i32, String> {
    let inputs = vec![NamedTensor::new("X", Tensor::from_elements([1, 1], &[1.0_f32]).unwrap())];
    let sequence = Some(SequenceFlags { id: SequenceId::Number(id), start, end });
    let response = model.infer(InferRequest { sequence, ..InferRequest::new(inputs) }).single().await;
    let response = response.map_err(|error| error.message().to_owned())?;
    Ok(response.output("STARTED").unwrap().elements::<i32>().unwrap()[0])
}

#[tokio::test]
async fn a_model_is_told_where_its_requests_stand() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(stateful()).unwrap();
    assert!(model.signature().input("START").is_none(), "clients do not see control inputs");
    assert_eq!(send(&*model, 7, true, false).await, Ok(11));
    assert_eq!(send(&*model, 8, true, false).await, Ok(11));
    assert_eq!(send(&*model, 7, false, true).await, Ok(10));
    assert_eq!(model.statistics().inference_count, 3, "padding is not counted");
}

#[tokio::test]
async fn requests_that_do_not_fit_their_sequence_are_refused_in_tritons_words() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(stateful()).unwrap();
    let refusal = |id| send(&*model, id, false, false);
    assert_eq!(
        refusal(42).await.unwrap_err(),
        "inference request for sequence 42 to model 'm' must specify the START flag on the first request of the sequence"
    );
    assert_eq!(
        refusal(0).await.unwrap_err(),
        "inference request to model 'm' must specify a non-zero or non-empty correlation ID"
    );
    let inputs = vec![NamedTensor::new("X", Tensor::from_elements([2, 1], &[1.0_f32, 2.0]).unwrap())];
    let error = model.infer(InferRequest::new(inputs)).single().await.unwrap_err();
    assert_eq!(
        error.message(),
        "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher"
    );
}
