//! Real files through the real library; without it every test fails with the sentence that says how to get it.

mod loading;
mod memory;
mod packages;
mod running;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_backend::{Batch, LibrarySearch, contract};
use nereid_inference::{
    ErrorKind, InferRequest, InferResponse, LoadClock, ModelIdentity, NamedTensor,
    config::{ModelInput, ModelOutput},
    response_channel,
};
use nereid_tensor::{DataType, Shape, Tensor};

use super::*;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn backend() -> PytorchBackend {
    let folders = vec![workspace().join(".nereid/pytorch")];
    PytorchBackend::new(PytorchSettings { search: LibrarySearch { library: None, folders }, trusted_folders: vec![] })
}

fn model_bytes(name: &str) -> Vec<u8> {
    fs::read(workspace().join("tests/models/torch").join(name).with_extension("pt")).unwrap()
}

/// A tensor of a configuration: name, type and dims.
type Written<'a> = (&'a str, DataType, &'a [i64]);

fn config(name: &str, inputs: &[Written<'_>], outputs: &[Written<'_>]) -> ModelConfig {
    let input = |(name, data_type, dims): &Written<'_>| ModelInput {
        name: (*name).into(),
        data_type: (*data_type).into(),
        dims: dims.to_vec(),
        ..ModelInput::default()
    };
    let output = |(name, data_type, dims): &Written<'_>| ModelOutput {
        name: (*name).into(),
        data_type: (*data_type).into(),
        dims: dims.to_vec(),
        ..ModelOutput::default()
    };
    ModelConfig {
        name: name.into(),
        inputs: inputs.iter().map(input).collect(),
        outputs: outputs.iter().map(output).collect(),
        ..ModelConfig::default()
    }
}

fn source_of(model_file: &[u8], config: ModelConfig) -> (tempfile::TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("model.pt"), model_file).unwrap();
    let source = ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config,
        clock: LoadClock::default(),
    };
    (directory, source)
}

/// A loaded model and two instances of it.
struct Loaded {
    model: Arc<dyn LoadedModel>,
    signature: Signature,
    instances: Vec<Box<dyn nereid_backend::BlockingInstance>>,
    _directory: tempfile::TempDir,
}

fn load(config: ModelConfig) -> Loaded {
    let (directory, source) = source_of(&model_bytes(&config.name), config);
    let model = backend().load(&source).unwrap_or_else(|error| panic!("{error}"));
    let signature = Signature::of_backend(&source.config).unwrap();
    let instances = (0..2).map(|_| instance_of(&*model)).collect();
    Loaded { model, signature, instances, _directory: directory }
}

fn load_error(model_file: &[u8], config: ModelConfig) -> InferError {
    let (_directory, source) = source_of(model_file, config);
    backend().load(&source).err().unwrap_or_else(|| panic!("it loaded"))
}

fn instance_of(model: &dyn LoadedModel) -> Box<dyn nereid_backend::BlockingInstance> {
    let spec = InstanceSpec { name: "m_0".into(), kind: InstanceKind::Cpu, device_id: 0 };
    match model.new_instance(&spec).unwrap() {
        Instance::Blocking(instance) => instance,
        Instance::Task(_) => panic!("LibTorch blocks"),
    }
}

impl Loaded {
    /// The answers of one instance to requests that are executed as one batch.
    fn execute_on(&mut self, instance: usize, requests: Vec<InferRequest>) -> Vec<Result<InferResponse, InferError>> {
        let checked = requests.into_iter().map(|request| self.signature.check(request).unwrap());
        let mut batch = Batch::new(checked.map(|request| (request, response_channel().0)));
        self.instances[instance].execute(&mut batch);
        batch.finish().map(|finished| finished.answer.unwrap().1).collect()
    }

    fn infer(&mut self, inputs: Vec<NamedTensor>) -> Result<InferResponse, InferError> {
        self.execute_on(0, vec![InferRequest::new(inputs)]).remove(0)
    }
}

fn named(name: &str, tensor: Tensor) -> NamedTensor {
    NamedTensor::new(name, tensor)
}

fn floats(name: &str, shape: &[u64], values: &[f32]) -> NamedTensor {
    named(name, Tensor::from_elements(Shape::new(shape), values).unwrap())
}

fn values(response: &InferResponse, name: &str) -> Vec<f32> {
    response.output(name).unwrap().elements::<f32>().unwrap().into_owned()
}

fn add_sub() -> ModelConfig {
    let config = config(
        "add_sub",
        &[("INPUT__0", DataType::Fp32, &[2]), ("INPUT__1", DataType::Fp32, &[2])],
        &[("OUTPUT__0", DataType::Fp32, &[2]), ("OUTPUT__1", DataType::Fp32, &[2])],
    );
    ModelConfig { max_batch_size: 8, ..config }
}

fn digits() -> ModelConfig {
    let config =
        config("digits_mlp", &[("pixels", DataType::Fp32, &[64])], &[("PROBABILITIES", DataType::Fp32, &[10])]);
    ModelConfig { max_batch_size: 32, ..config }
}
