//! Real files through the real library; without it every test fails with the sentence that says how to get it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_backend::{Batch, contract};
use nereid_inference::{
    ErrorKind, InferRequest, InferResponse, ModelIdentity, NamedTensor,
    config::{DynamicBatching, ModelInput, ModelOutput, Reshape, Scheduling},
    response_channel,
};
use nereid_tensor::{Buffer, DataType, Shape, Tensor};

use super::*;

/// The answers of `mlp` to `[0.5, -1, 2, 0.25]` and to zeros, from the reference evaluator of the `onnx` package.
const MLP_ROW_0: [f32; 3] = [-4.536843, -21.804523, -3.242861];
const MLP_ROW_1: [f32; 3] = [2.345513, -3.487529, -0.387157];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn backend() -> OnnxBackend {
    let search = vec![workspace().join(".nereid/onnxruntime")];
    OnnxBackend::new(OnnxSettings { library: None, search, default_max_batch_size: 4 })
}

/// A version directory with the fixture called `name`, and a configuration that says nothing.
fn fixture(name: &str) -> (tempfile::TempDir, ModelSource) {
    let file = workspace().join("tests/models").join(name).with_extension("onnx");
    source_of(&fs::read(file).unwrap(), ModelConfig { name: name.into(), ..ModelConfig::default() })
}

fn source_of(model_file: &[u8], config: ModelConfig) -> (tempfile::TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.onnx"), model_file).unwrap();
    let source = ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config,
    };
    (directory, source)
}

/// A model that was completed and loaded, with its signature.
struct Loaded {
    model: Arc<dyn LoadedModel>,
    config: ModelConfig,
    signature: Signature,
    _directory: tempfile::TempDir,
}

fn load(name: &str) -> Loaded {
    load_with(name, |_| ())
}

fn load_with(name: &str, change: impl FnOnce(&mut ModelConfig)) -> Loaded {
    let (directory, mut source) = fixture(name);
    change(&mut source.config);
    source.config = backend().complete_config(&source).unwrap_or_else(|error| panic!("{error}"));
    let model = backend().load(&source).unwrap_or_else(|error| panic!("{error}"));
    let signature = Signature::from_config(&source.config).unwrap();
    Loaded { model, config: source.config, signature, _directory: directory }
}

fn load_error(source: &ModelSource) -> InferError {
    backend().load(source).err().unwrap_or_else(|| panic!("it loaded"))
}

impl Loaded {
    fn instance(&self) -> Box<dyn nereid_backend::BlockingInstance> {
        let spec = InstanceSpec { name: "m_0".into(), kind: InstanceKind::Cpu, device_id: 0 };
        match self.model.new_instance(&spec).unwrap() {
            Instance::Blocking(instance) => instance,
            Instance::Task(_) => panic!("ONNX Runtime blocks"),
        }
    }

    /// The answers to requests that are executed as one batch.
    fn execute(&self, requests: Vec<InferRequest>) -> Vec<Result<InferResponse, InferError>> {
        let checked = requests.into_iter().map(|request| self.signature.check(request).unwrap());
        let mut batch = Batch::new(checked.map(|request| (request, response_channel().0)));
        self.instance().execute(&mut batch);
        batch.finish().map(|finished| finished.answer.unwrap().1).collect()
    }

    fn infer(&self, inputs: Vec<NamedTensor>) -> Result<InferResponse, InferError> {
        self.execute(vec![InferRequest::new(inputs)]).remove(0)
    }
}

fn row(value: i32) -> Tensor {
    Tensor::from_elements([1, 16], &[value; 16]).unwrap()
}

fn add_sub_inputs(left: i32, right: i32) -> Vec<NamedTensor> {
    vec![NamedTensor::new("INPUT0", row(left)), NamedTensor::new("INPUT1", row(right))]
}

fn first_i32(response: &InferResponse, name: &str) -> i32 {
    response.output(name).unwrap().elements::<i32>().unwrap()[0]
}

/// One row of two elements of every type, of bytes that differ.
fn every_type() -> Vec<NamedTensor> {
    let named = |data_type: DataType| {
        let tensor = match data_type.size_bytes() {
            None => Tensor::from_byte_strings([1, 2], &[b"a\0b".as_slice(), b""]),
            Some(_) if data_type == DataType::Bool => Tensor::new(data_type, [1, 2].into(), vec![1, 0].into()),
            Some(size) => {
                let bytes: Vec<u8> = (1..=2 * size as u8).collect();
                Tensor::new(data_type, [1, 2].into(), bytes.into())
            }
        };
        NamedTensor::new(format!("IN_{data_type}"), tensor.unwrap())
    };
    DataType::ALL.into_iter().map(named).collect()
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    for (name, inputs) in [("add_sub", add_sub_inputs(5, 3)), ("identity_all_types", every_type())] {
        let loaded = load(name);
        let signature = loaded.signature.clone();
        contract::check(contract::ContractCase { model: &*loaded.model, signature, inputs }).await;
    }
}

#[test]
fn every_element_type_goes_through_unchanged() {
    let inputs = every_type();
    let response = load("identity_all_types").infer(inputs.clone()).unwrap();
    assert_eq!(response.outputs.len(), DataType::ALL.len());
    for input in inputs {
        let output = response.output(&input.name.replace("IN_", "OUT_")).unwrap();
        assert_eq!(output.data_type(), input.tensor.data_type());
        assert_eq!(output.buffer().as_slice(), input.tensor.buffer().as_slice(), "{}", input.name);
    }
}

#[test]
fn a_batch_is_computed_at_once_and_handed_out_by_request() {
    let loaded = load("add_sub");
    let requests = (1..=3).map(|value| InferRequest::new(add_sub_inputs(10 * value, value))).collect();
    for (index, answer) in loaded.execute(requests).into_iter().enumerate() {
        let (answer, value) = (answer.unwrap(), index as i32 + 1);
        assert_eq!(first_i32(&answer, "OUTPUT0"), 11 * value);
        assert_eq!(first_i32(&answer, "OUTPUT1"), 9 * value);
        assert_eq!(&**answer.output("OUTPUT0").unwrap().shape(), [1, 16]);
    }
}

#[test]
fn only_the_outputs_that_a_request_wants_are_answered() {
    let loaded = load("add_sub");
    let one = InferRequest { requested_outputs: vec!["OUTPUT1".into()], ..InferRequest::new(add_sub_inputs(5, 3)) };
    let answers = loaded.execute(vec![one, InferRequest::new(add_sub_inputs(7, 2))]);
    let names = |answer: &Result<InferResponse, InferError>| {
        answer.as_ref().unwrap().outputs.iter().map(|output| output.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&answers[0]), ["OUTPUT1"]);
    assert_eq!(names(&answers[1]), ["OUTPUT0", "OUTPUT1"]);
    assert_eq!(first_i32(answers[0].as_ref().unwrap(), "OUTPUT1"), 2);
}

#[test]
fn shapes_that_only_the_run_tells_are_taken_from_it() {
    let x = Tensor::from_elements([2, 3], &[0.0_f32, 1.0, 2.0, 0.0, 0.0, 5.0]).unwrap();
    let response = load("dynamic_shapes").infer(vec![NamedTensor::new("X", x)]).unwrap();
    let transposed = response.output("TRANSPOSED").unwrap();
    assert_eq!(&**transposed.shape(), [3, 2]);
    assert_eq!(transposed.elements::<f32>().unwrap().as_ref(), [0.0, 0.0, 1.0, 0.0, 2.0, 5.0]);
    let positions = response.output("POSITIONS").unwrap();
    assert_eq!(positions.elements::<i64>().unwrap().as_ref(), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_response_outlives_its_model() {
    let x = Tensor::from_elements([1, 2], &[3.0_f32, 4.0]).unwrap();
    let loaded = load("dynamic_shapes");
    let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    drop(loaded);
    assert_eq!(response.output("TRANSPOSED").unwrap().elements::<f32>().unwrap().as_ref(), [3.0, 4.0]);
}

#[test]
fn a_tensor_without_elements_goes_through() {
    let x = Tensor::from_elements::<f32>([0, 3], &[]).unwrap();
    let response = load("dynamic_shapes").infer(vec![NamedTensor::new("X", x)]).unwrap();
    assert_eq!(&**response.output("TRANSPOSED").unwrap().shape(), [3, 0]);
    assert_eq!(&**response.output("POSITIONS").unwrap().shape(), [2, 0]);
}

#[test]
fn strings_of_any_bytes_go_through_in_batches() {
    let loaded = load("string_identity");
    let texts = [["", "a\0b"], ["ü", "three"]];
    let requests = texts.iter().map(|words| {
        InferRequest::new(vec![NamedTensor::new("TEXT", Tensor::from_byte_strings([1, 2], words).unwrap())])
    });
    let answers = loaded.execute(requests.collect());
    for (answer, words) in answers.iter().zip(texts) {
        let same = answer.as_ref().unwrap().output("SAME").unwrap();
        assert_eq!(same.byte_strings().collect::<Vec<_>>(), words.map(str::as_bytes));
    }
}

#[test]
fn misaligned_memory_gives_the_same_numbers() {
    let values: Vec<i32> = (0..16).collect();
    let mut bytes = vec![0_u8];
    bytes.extend_from_slice(bytemuck::cast_slice(&values));
    let buffer = Buffer::from(bytes).slice(1..65).unwrap();
    let odd = Tensor::new(DataType::Int32, [1, 16].into(), buffer).unwrap();
    let response =
        load("add_sub").infer(vec![NamedTensor::new("INPUT0", odd), NamedTensor::new("INPUT1", row(1))]).unwrap();
    let sums: Vec<i32> = values.iter().map(|value| value + 1).collect();
    assert_eq!(response.output("OUTPUT0").unwrap().elements::<i32>().unwrap().as_ref(), sums);
}

#[test]
fn numbers_are_those_of_the_model() {
    let x = Tensor::from_elements([2, 4], &[0.5_f32, -1.0, 2.0, 0.25, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let response = load("mlp").infer(vec![NamedTensor::new("X", x)]).unwrap();
    let found = response.output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    let expected = [MLP_ROW_0, MLP_ROW_1].concat();
    assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
}

#[test]
fn instances_share_a_session_and_run_at_the_same_time() {
    let loaded = load("add_sub");
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let loaded = &loaded;
            scope.spawn(move || {
                for value in 0..200 {
                    let answer = loaded.infer(add_sub_inputs(value, thread)).unwrap();
                    assert_eq!(first_i32(&answer, "OUTPUT1"), value - thread);
                }
            });
        }
    });
}

#[test]
fn a_failing_run_fails_its_batch_and_nothing_else() {
    let loaded = load("lookup");
    let index = |index: i64| {
        let tensor = Tensor::from_elements([1, 1], &[index]).unwrap();
        InferRequest::new(vec![NamedTensor::new("INDEX", tensor)])
    };
    for answer in loaded.execute(vec![index(1), index(9)]) {
        let error = answer.unwrap_err();
        assert!(error.message().starts_with("model 'lookup': onnx runtime error 2: "), "{error}");
        assert!(error.message().contains("idx=9 must be within the inclusive range [-4,3]"), "{error}");
    }
    let answer = loaded.execute(vec![index(3)]).remove(0).unwrap();
    assert_eq!(answer.output("VALUE").unwrap().elements::<f32>().unwrap().as_ref(), [40.0]);
}

#[test]
fn a_thousand_runs_and_failures_hold_no_memory() {
    let (strings, dynamic, lookup) = (load("string_identity"), load("dynamic_shapes"), load("lookup"));
    let round = || {
        let text = Tensor::from_byte_strings([1, 2], &[&[b'x'; 20_000], &[b'y'; 20_000]]).unwrap();
        strings.infer(vec![NamedTensor::new("TEXT", text)]).unwrap();
        let x = Tensor::from_elements([100, 100], &[1.0_f32; 10_000]).unwrap();
        dynamic.infer(vec![NamedTensor::new("X", x)]).unwrap();
        let index = Tensor::from_elements([1, 1], &[9_i64]).unwrap();
        lookup.infer(vec![NamedTensor::new("INDEX", index)]).unwrap_err();
    };
    (0..100).for_each(|_| round());
    let before = resident_bytes();
    (0..1000).for_each(|_| round());
    // One value left behind per round would be 40 kB or 40 MB in all; the tests beside this one need little.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_file_alone_makes_a_whole_configuration() {
    let config = load("add_sub").config;
    assert_eq!(config.max_batch_size, 4);
    assert_eq!(config.scheduling, Some(Scheduling::Dynamic(DynamicBatching::default())));
    let shown: Vec<_> = config.inputs.iter().map(|input| (input.name.as_str(), input.dims.as_slice())).collect();
    assert_eq!(shown, [("INPUT0", [16_i64].as_slice()), ("INPUT1", &[16])]);
    assert_eq!(config.outputs[1].data_type, DataType::Int32.into());
    assert_eq!((config.instance_groups[0].kind, config.instance_groups[0].count), (InstanceKind::Cpu, 2));
    assert_eq!(load("dynamic_shapes").config.max_batch_size, 0);
}

#[test]
fn an_output_that_the_protocol_cannot_carry_is_left_out_or_refused_by_name() {
    let config = load("sequence_output").config;
    assert_eq!(config.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["SAME"]);
    let (_directory, mut source) = fixture("sequence_output");
    source.config = config;
    source.config.outputs[0].name = "PAIR".into();
    let error = load_error(&source);
    assert!(
        error.message().starts_with("model 'sequence_output': output 'PAIR' of model.onnx is Sequence<"),
        "{error}"
    );
}

#[test]
fn one_number_per_row_is_served_through_a_reshape() {
    let loaded = load("scalar_per_row");
    assert_eq!(loaded.config.inputs[0].reshape, Some(Reshape { shape: vec![] }));
    let x = Tensor::from_elements([3, 1], &[1_i64, 2, 3]).unwrap();
    let response = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    let y = response.output("Y").unwrap();
    assert_eq!(y.shape(), &Shape::from([3, 1]));
    assert_eq!(y.elements::<i64>().unwrap().as_ref(), [2, 4, 6]);
}

#[test]
fn a_configuration_that_contradicts_the_file_is_refused_with_and_without_completion() {
    let (_directory, mut source) = fixture("add_sub");
    let input = |name: &str, dims: &[i64]| ModelInput {
        name: name.into(),
        data_type: DataType::Int32.into(),
        dims: dims.to_vec(),
        ..ModelInput::default()
    };
    let output = ModelOutput {
        name: "OUTPUT0".into(),
        data_type: DataType::Int32.into(),
        dims: vec![16],
        ..ModelOutput::default()
    };
    source.config.max_batch_size = 8;
    source.config.inputs = vec![input("INPUT0", &[16]), input("INPUT1", &[3])];
    source.config.outputs = vec![output];
    let expected = "model 'add_sub': input 'INPUT1' is TYPE_INT32 [-1,3] in the configuration (max_batch_size 8), but \
                    TYPE_INT32 [-1,16] in model.onnx";
    assert_eq!(load_error(&source).message(), expected);
    assert_eq!(backend().complete_config(&source).unwrap_err().message(), expected);
}

#[test]
fn a_batch_size_for_a_file_that_cannot_batch_is_refused() {
    let (_directory, mut source) = fixture("dynamic_shapes");
    source.config.max_batch_size = 8;
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().contains("output 'POSITIONS' is TYPE_INT64"), "{error}");
    assert!(error.message().ends_with("so it cannot batch: set max_batch_size to 0"), "{error}");
}

#[test]
fn a_corrupt_file_is_refused_and_the_next_one_loads() {
    for bytes in [b"".as_slice(), b"not a protobuf message at all", &[0xff; 64]] {
        let (directory, source) = source_of(bytes, ModelConfig { name: "broken".into(), ..ModelConfig::default() });
        let error = backend().complete_config(&source).unwrap_err();
        let path = directory.path().join("model.onnx");
        let prefix = format!("model 'broken': ONNX Runtime cannot load {}: ", path.display());
        assert!(error.message().starts_with(&prefix), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(load("add_sub").infer(add_sub_inputs(1, 2)).is_ok());
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = fs::read(workspace().join("tests/models/mlp.onnx")).unwrap();
    let (_directory, source) =
        source_of(&whole[..whole.len() / 2], ModelConfig { name: "half".into(), ..ModelConfig::default() });
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().starts_with("model 'half': ONNX Runtime cannot load "), "{error}");
}

#[test]
fn an_operator_set_of_the_future_is_refused_by_number() {
    let (_directory, source) = fixture("future_opset");
    let error = backend().complete_config(&source).unwrap_err();
    assert!(error.message().contains("Opset 99 is under development"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let (directory, mut source) = fixture("add_sub");
    source.config.default_model_filename = "other.onnx".into();
    let expected =
        format!("model 'add_sub': the model file {} does not exist", directory.path().join("other.onnx").display());
    assert_eq!(backend().complete_config(&source).unwrap_err().message(), expected);
}

#[test]
fn a_field_that_is_not_served_is_refused_by_name() {
    let (_directory, mut source) = fixture("add_sub");
    source.config = backend().complete_config(&source).unwrap();
    source.config.inputs[0].allow_ragged_batch = true;
    assert_eq!(
        load_error(&source).message(),
        "model 'add_sub': the onnxruntime backend does not serve 'input.allow_ragged_batch'; remove it from the \
         configuration"
    );
}

#[test]
fn an_instance_on_a_gpu_is_refused() {
    let loaded = load("add_sub");
    let spec = InstanceSpec { name: "add_sub_0_gpu0".into(), kind: InstanceKind::Gpu, device_id: 0 };
    let error = loaded.model.new_instance(&spec).err().unwrap();
    assert!(error.message().starts_with("instance 'add_sub_0_gpu0' of model 'add_sub': the onnxruntime"), "{error}");
}

#[test]
fn thread_and_optimisation_options_reach_the_session() {
    let loaded = load_with("mlp", |config| {
        config.parameters.insert("intra_op_thread_count".into(), "2".into());
        config.parameters.insert("inter_op_thread_count".into(), "2".into());
        config.parameters.insert("execution_mode".into(), "1".into());
    });
    let x = Tensor::from_elements([1, 4], &[0.0_f32; 4]).unwrap();
    let y = loaded.infer(vec![NamedTensor::new("X", x)]).unwrap();
    let found = y.output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    assert!(found.iter().zip(MLP_ROW_1).all(|(found, expected)| (found - expected).abs() < 1e-5), "{found:?}");
}
