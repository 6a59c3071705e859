//! What is shared between instances, requests and LibTorch, and what is kept apart.

use nereid_tensor::{Buffer, BufferMut};

use super::*;
use crate::ffi::{Argument, Memory, Part, Usage};

fn with_parameters(config: ModelConfig, parameters: &[(&str, &str)]) -> Loaded {
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load(ModelConfig { parameters, ..config })
}

/// A model of one input `x` and one output `y`, two numbers each.
fn one_tensor(name: &str, parameters: &[(&str, &str)]) -> Loaded {
    with_parameters(config(name, &[("x", DataType::Fp32, &[1, 2])], &[("y", DataType::Fp32, &[1, 2])]), parameters)
}

fn x(value: f32) -> Vec<NamedTensor> {
    vec![floats("x", &[1, 2], &[value; 2])]
}

impl Loaded {
    /// The first number that an instance answers with.
    fn answer_of(&mut self, instance: usize, value: f32) -> f32 {
        let answer = self.execute_on(instance, vec![InferRequest::new(x(value))]).remove(0).unwrap();
        values(&answer, "y")[0]
    }

    fn weight_bytes(&self) -> u64 {
        self.model.memory_usage().iter().map(|row| row.bytes).sum()
    }
}

#[test]
fn instances_share_the_weights_unless_told_otherwise() {
    let weights = 4 * (64 * 32 + 32 + 32 * 10 + 10);
    assert_eq!(with_parameters(digits(), &[]).weight_bytes(), weights);
    assert_eq!(with_parameters(digits(), &[("ENABLE_WEIGHT_SHARING", "true")]).weight_bytes(), weights);
    assert_eq!(with_parameters(digits(), &[("ENABLE_WEIGHT_SHARING", "false")]).weight_bytes(), 2 * weights);
}

#[test]
fn a_model_with_a_state_has_one_per_instance() {
    let mut loaded = one_tensor("remembers", &[]);
    assert_eq!((loaded.answer_of(0, 5.0), loaded.answer_of(0, 6.0)), (0.0, 5.0));
    assert_eq!((loaded.answer_of(1, 7.0), loaded.answer_of(0, 8.0)), (0.0, 6.0));
    let mut shared = one_tensor("remembers", &[("ENABLE_WEIGHT_SHARING", "true")]);
    assert_eq!((shared.answer_of(0, 5.0), shared.answer_of(1, 6.0)), (0.0, 5.0));
}

#[test]
fn a_shared_state_is_changed_by_one_execution_at_a_time() {
    let mut loaded = one_tensor("counts", &[("ENABLE_WEIGHT_SHARING", "true")]);
    let signature = loaded.signature.clone();
    std::thread::scope(|scope| {
        for instance in &mut loaded.instances {
            let signature = &signature;
            scope.spawn(move || {
                for _ in 0..200 {
                    let request = signature.check(InferRequest::new(x(1.0))).unwrap();
                    instance.execute(&mut Batch::new([(request, response_channel().0)]));
                }
            });
        }
    });
    assert_eq!(loaded.answer_of(0, 1.0), 401.0, "executions were lost");
}

#[test]
fn what_a_model_would_only_change_in_training_is_shared() {
    assert_eq!(one_tensor("normalises", &[]).weight_bytes(), 8, "one buffer of one INT64, once");
}

#[test]
fn a_model_that_writes_to_its_argument_does_not_write_to_the_request() {
    let mut loaded = one_tensor("in_place", &[]);
    let inputs = x(1.0);
    let answer = loaded.execute_on(0, vec![InferRequest::new(inputs.clone())]).remove(0).unwrap();
    assert_eq!(values(&answer, "y"), [2.0, 2.0]);
    assert_eq!(inputs[0].tensor.elements::<f32>().unwrap().as_ref(), [1.0, 1.0]);
}

#[test]
fn an_output_is_lent_and_outlives_request_and_model() {
    let mut loaded = one_tensor("identity", &[]);
    let inputs = x(3.0);
    let address = inputs[0].tensor.buffer().as_slice().as_ptr();
    let answer = loaded.execute_on(0, vec![InferRequest::new(inputs)]).remove(0).unwrap();
    drop(loaded);
    let output = answer.output("y").unwrap();
    assert_eq!(output.buffer().as_slice().as_ptr(), address, "it was copied");
    assert_eq!(values(&answer, "y"), [3.0, 3.0]);
}

#[test]
fn an_output_in_a_clients_memory_is_copied() {
    let bytes = bytes::Bytes::from_owner(BufferMut::zeroed(8));
    let input = Tensor::new(DataType::Fp32, [1, 2].into(), Buffer::external(bytes.clone())).unwrap();
    let answer = one_tensor("identity", &[]).infer(vec![named("x", input)]).unwrap();
    assert_ne!(answer.output("y").unwrap().buffer().as_slice().as_ptr(), bytes.as_ptr());
}

#[test]
fn thousands_of_runs_and_failures_hold_no_memory() {
    let mut identity = load(config("identity", &[("x", DataType::Fp32, &[-1])], &[("y", DataType::Fp32, &[-1])]));
    let mut raises = load(config("raises", &[("x", DataType::Fp32, &[-1])], &[("y", DataType::Fp32, &[-1])]));
    let mut round = || {
        identity.infer(vec![floats("x", &[10_000], &[1.0; 10_000])]).unwrap();
        raises.infer(vec![floats("x", &[10_000], &[-1.0; 10_000])]).unwrap_err();
    };
    (0..100).for_each(|_| round());
    let before = resident_bytes();
    (0..3000).for_each(|_| round());
    // One tensor left behind per round would be 120 MB in all; the tests beside this one load models meanwhile.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "resident memory grew by {grown} bytes");
}

/// Bytes that say when they are released.
struct Watched(Vec<u8>, #[expect(dead_code, reason = "counted by its clones")] Arc<()>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// As on a device, but on the host: what a model answers to parts that LibTorch puts together.
fn identity_of_parts(data_type: DataType, shape: &[u64], parts: &[&[u8]], watch: &Arc<()>) -> Result<Buffer, String> {
    let (directory, _source) = source_of(&model_bytes("identity"), ModelConfig::default());
    let backend = backend();
    let torch = torch(&backend.settings, &backend.gpus, "m").unwrap();
    let model = torch.load_model(&directory.path().join("model.pt"), Place::Cpu, true).unwrap();
    let part = |bytes: &&[u8]| {
        let owned = bytes::Bytes::from_owner(Watched(bytes.to_vec(), watch.clone()));
        let tensor = Tensor::new(DataType::Uint8, [bytes.len() as u64].into(), owned.into()).unwrap();
        Part { memory: Memory::Shared(tensor), usage: Usage::Copied }
    };
    let parts = parts.iter().map(part).collect();
    let argument = Argument { key: None, data_type, shape: Shape::new(shape), parts };
    let settings = ModelSettings::from_config(&ModelConfig::default()).unwrap();
    Ok(model.run(&settings, vec![argument], None)?.remove(0).buffer)
}

#[test]
fn parts_are_put_together_as_bytes_and_released_once() {
    let watch = Arc::new(());
    let bools = identity_of_parts(DataType::Bool, &[3, 1], &[&[7, 0], &[], &[1]], &watch);
    assert_eq!(bools.unwrap().as_slice(), [1, 0, 1]);
    let numbers = identity_of_parts(DataType::Int32, &[2], &[&[1, 2, 3], &[4, 5, 6, 7, 8]], &watch);
    assert_eq!(numbers.unwrap().as_slice(), [1, 2, 3, 4, 5, 6, 7, 8]);
    let empty = identity_of_parts(DataType::Int32, &[0, 2], &[&[], &[]], &watch);
    assert!(empty.unwrap().is_empty());
    let error = identity_of_parts(DataType::Int32, &[3], &[&[1, 2, 3, 4], &[5, 6, 7, 8]], &watch).unwrap_err();
    assert!(error.contains("shape '[3]' is invalid for input of size 2"), "{error}");
    assert_eq!(Arc::strong_count(&watch), 1, "memory was not given back");
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
