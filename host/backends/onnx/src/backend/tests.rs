//! Real files through the real library; without it every test fails with the sentence that says how to get it.

mod devices;
mod in_place;
mod loading;
mod running;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_backend::{Batch, Instance, InstanceSpec, contract};
use nereid_inference::{
    ErrorKind, InferRequest, InferResponse, LoadClock, MemoryKind, MemoryUsage, ModelIdentity, NamedTensor,
    config::{
        BatchInput, BatchInputKind, BatchOutput, DynamicBatching, InstanceGroup, InstanceKind, ModelInput, ModelOutput,
        Reshape, Scheduling,
    },
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
        clock: LoadClock::default(),
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
    let signature = Signature::of_backend(&source.config).unwrap();
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
