//! Samples as a configuration writes them, on fake instances.

use std::{fs, path::Path};

use nereid_backend::{
    Instance,
    fake::{FakeBehaviour, FakeInstance},
};
use nereid_inference::{
    ModelConfig, ModelSource,
    config::{WarmupData, WarmupInput, WarmupSample},
};
use nereid_tensor::DataType;
use tokio::runtime::Runtime;

use super::*;
use crate::test_service::{echo, input, source, tensor};

fn sample(data_type: DataType, dims: &[i64], data: WarmupData) -> WarmupSample {
    let input = WarmupInput { data_type: data_type.into(), dims: dims.to_vec(), data: Some(data) };
    WarmupSample { name: "s".into(), batch_size: 1, inputs: [("X".to_owned(), input)].into(), count: 0 }
}

fn with(data_type: DataType, sample: WarmupSample) -> ModelConfig {
    ModelConfig { inputs: vec![input("X", data_type, 2)], warmup: vec![sample], ..echo("m", 2) }
}

fn read(config: ModelConfig, model_directory: &Path) -> Result<Warmup, InferError> {
    Warmup::read(&ModelSource { model_directory: model_directory.into(), ..source(config) })
}

#[track_caller]
fn check_refused(config: ModelConfig, expected: &str) {
    let error = read(config, Path::new("nowhere")).unwrap_err();
    assert!(error.message().contains(expected), "expected {expected:?}, got {:?}", error.message());
}

/// Runs the sample on a fake instance of either kind.
fn run(behaviour: FakeBehaviour, sample: WarmupSample) -> Vec<Result<Warmed, InferError>> {
    let runtime = Runtime::new().unwrap();
    let warmup = read(with(DataType::Fp32, sample), Path::new("nowhere")).unwrap();
    let kinds = [true, false].into_iter();
    let outcomes = kinds.map(|blocking| {
        let behaviour = FakeBehaviour { blocking, ..behaviour.clone() };
        let mut instance: Instance =
            nereid_backend::fake::FakeInstance { behaviour, outputs: vec!["Y".into()], ..Default::default() }
                .into_instance();
        warmup.run(&mut instance, runtime.handle())
    });
    outcomes.collect()
}

#[test]
fn every_data_type_can_be_zero_or_random_and_random_is_not_zero() {
    for data_type in DataType::ALL {
        let tensor = |data| {
            let warmup = read(with(data_type, sample(data_type, &[2], data)), Path::new("nowhere")).unwrap();
            warmup.samples[0].requests[0].input("X").unwrap().buffer().as_slice().to_vec()
        };
        let (zero, random) = (tensor(WarmupData::Zero(true)), tensor(WarmupData::Random(true)));
        assert!(zero.iter().all(|byte| *byte == 0), "{data_type}");
        assert_ne!(zero, random, "{data_type}");
        assert_eq!(random, tensor(WarmupData::Random(true)), "{data_type}: the same at every load");
    }
}

#[test]
fn random_floating_point_numbers_are_finite_and_of_ordinary_size() {
    let config = with(DataType::Fp32, sample(DataType::Fp32, &[2], WarmupData::Random(true)));
    let warmup = read(config, Path::new("nowhere")).unwrap();
    let tensor = warmup.samples[0].requests[0].input("X").unwrap();
    assert!(tensor.elements::<f32>().unwrap().iter().all(|value| (1.0..2.0).contains(value)));
}

#[test]
fn a_sample_that_does_not_fit_the_model_is_refused_by_name() {
    let zero = |dims: &[i64]| sample(DataType::Fp32, dims, WarmupData::Zero(true));
    let prefix = "warm-up sample 's' of model 'm': ";
    check_refused(with(DataType::Fp32, zero(&[3])), "unexpected shape for input 'X' for model 'm'");
    check_refused(with(DataType::Fp32, zero(&[-1])), &format!("{prefix}input 'X' has a dimension of -1"));
    check_refused(with(DataType::Int32, zero(&[2])), "data-type is 'FP32', but model 'm' expects 'INT32'");
    check_refused(with(DataType::Fp32, zero(&[1 << 40])), "which needs more than");
    let many = WarmupSample { batch_size: 9, ..zero(&[2]) };
    check_refused(with(DataType::Fp32, many), &format!("{prefix}'batch_size' is 9, expected at most 8"));
    let file = sample(DataType::Fp32, &[2], WarmupData::File("gone".into()));
    check_refused(with(DataType::Fp32, file), "input 'X' has the file 'warmup/gone', which cannot be found");
}

#[test]
fn a_file_is_the_tensor_and_must_have_its_size() {
    let folder = std::env::temp_dir().join(format!("nereid-warmup-{}", std::process::id()));
    fs::create_dir_all(folder.join("warmup")).unwrap();
    fs::write(folder.join("warmup/raw"), little_endian(&[1.5, -2.0])).unwrap();
    fs::write(folder.join("warmup/short"), [0; 7]).unwrap();
    let file = |name: &str| with(DataType::Fp32, sample(DataType::Fp32, &[2], WarmupData::File(name.into())));
    let warmup = read(file("raw"), &folder);
    let short = read(file("short"), &folder);
    fs::remove_dir_all(&folder).unwrap();
    let warmup = warmup.unwrap();
    let tensor = warmup.samples[0].requests[0].input("X").unwrap();
    assert_eq!(tensor.elements::<f32>().unwrap().as_ref(), [1.5, -2.0]);
    assert!(short.unwrap_err().message().contains("expected 8 bytes for shape [1,2] of FP32, got 7"));
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn samples_run_on_both_kinds_of_instances_and_failures_fail_the_load() {
    let zero = || WarmupSample { batch_size: 3, count: 2, ..sample(DataType::Fp32, &[2], WarmupData::Zero(true)) };
    assert!(run(FakeBehaviour::default(), zero()).iter().all(Result::is_ok));
    let expect = |behaviour, expected: &str| {
        for outcome in run(behaviour, zero()) {
            assert_eq!(outcome.unwrap_err().message(), format!("failed to run warmup sample 's': {expected};"));
        }
    };
    expect(FakeBehaviour { failure: Some("no luck".into()), ..FakeBehaviour::default() }, "no luck");
    expect(FakeBehaviour { panics: true, ..FakeBehaviour::default() }, "the backend panicked");
    let forgotten = "the backend returned without answering the request";
    expect(FakeBehaviour { forgets: true, ..FakeBehaviour::default() }, forgotten);
}

#[test]
fn a_request_of_the_generation_before_is_tried_when_it_fits_and_its_failure_says_what_to_do() {
    let runtime = Runtime::new().unwrap();
    let source = source(echo("m", 2));
    let requests =
        || vec![InferRequest::new(vec![tensor("X", &[1.0, 2.0])]), InferRequest::new(vec![tensor("X", &[1.0])])];
    let warmup = Warmup::read(&source).unwrap().with_traffic(requests(), &source).unwrap();
    assert_eq!(warmup.samples.len(), 1, "the other one is of another signature");
    let run = |behaviour| {
        let outputs = vec!["Y".into()];
        let mut instance = FakeInstance { behaviour, outputs, ..FakeInstance::default() }.into_instance();
        warmup.run(&mut instance, runtime.handle())
    };
    assert_eq!(run(FakeBehaviour::default()).unwrap().batch_bytes, 16);
    let failing = FakeBehaviour { failure: Some("no luck".into()), ..FakeBehaviour::default() };
    assert_eq!(
        run(failing).unwrap_err().message(),
        "it fails on a request that the generation before has answered: no luck; where that is as it should be, load it with the \
         parameter 'swap_warmup_requests' set to 0"
    );
}

#[test]
fn a_sample_of_batch_size_zero_is_skipped() {
    let skipped = WarmupSample { batch_size: 0, ..sample(DataType::Fp32, &[3], WarmupData::Zero(true)) };
    assert!(read(with(DataType::Fp32, skipped), Path::new("nowhere")).unwrap().samples.is_empty());
}
