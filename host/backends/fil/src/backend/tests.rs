//! Real models of `tests/models/forests` through the seam.

mod loading;
mod running;

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_backend::{Batch, BlockingInstance, contract};
use nereid_inference::{
    ErrorKind, InferRequest, InferResponse, LoadClock, ModelIdentity, NamedTensor, Signature,
    config::{DynamicBatching, InstanceGroup, ModelInput, ModelOutput, Scheduling},
    response_channel,
};
use nereid_tensor::{DataType, Tensor};
use serde_json::Value;

use super::*;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/models/forests")
}

/// A version directory with one file, and a configuration of these parameters.
fn source_of(file: &str, bytes: &[u8], parameters: &[(&str, &str)]) -> (tempfile::TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(file), bytes).unwrap();
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config: ModelConfig { name: "m".into(), backend: "fil".into(), parameters, ..ModelConfig::default() },
        clock: LoadClock::default(),
    };
    (directory, source)
}

/// The model called `model`, under the name that its kind usually has.
fn fixture(model: &str, file: &str, parameters: &[(&str, &str)]) -> (tempfile::TempDir, ModelSource) {
    let ending = if file == "forest.json" { file } else { file.rsplit_once('.').unwrap().1 };
    source_of(file, &fs::read(models().join(format!("{model}.{ending}"))).unwrap(), parameters)
}

/// What the framework says: rows and scores.
fn expected(model: &str) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let text = fs::read(models().join(format!("{model}.expected.json"))).unwrap();
    let document: Value = serde_json::from_slice(&text).unwrap();
    let number = |value: &Value| value.as_f64().map_or(f32::NAN, |number| number as f32);
    let table = |value: &Value| -> Vec<Vec<f32>> {
        let rows = value.as_array().unwrap().iter();
        rows.map(|row| row.as_array().unwrap().iter().map(number).collect()).collect()
    };
    (table(&document["rows"]), table(&document["scores"]))
}

/// A model that was completed and loaded.
struct Loaded {
    model: Arc<dyn LoadedModel>,
    config: ModelConfig,
    signature: Signature,
    _directory: tempfile::TempDir,
}

fn load((directory, mut source): (tempfile::TempDir, ModelSource)) -> Loaded {
    let backend = FilBackend::default();
    source.config = backend.complete_config(&source).unwrap_or_else(|error| panic!("{error}"));
    let model = backend.load(&source).unwrap_or_else(|error| panic!("{error}"));
    let signature = Signature::from_config(&source.config).unwrap();
    Loaded { model, config: source.config, signature, _directory: directory }
}

fn completion_error(source: &ModelSource) -> InferError {
    FilBackend::default().complete_config(source).err().unwrap_or_else(|| panic!("it was completed"))
}

impl Loaded {
    fn instance(&self) -> Box<dyn BlockingInstance> {
        let spec = InstanceSpec { name: "m_0".into(), kind: InstanceKind::Cpu, device_id: 0 };
        match self.model.new_instance(&spec).unwrap() {
            Instance::Blocking(instance) => instance,
            Instance::Task(_) => panic!("forests compute"),
        }
    }

    /// The answers to requests that are executed as one batch.
    fn execute(&self, requests: Vec<InferRequest>) -> Vec<Result<InferResponse, InferError>> {
        let checked = requests.into_iter().map(|request| self.signature.check(request).unwrap());
        let mut batch = Batch::new(checked.map(|request| (request, response_channel().0)));
        self.instance().execute(&mut batch);
        batch.finish().map(|finished| finished.answer.unwrap().1).collect()
    }

    fn infer(&self, rows: &[Vec<f32>]) -> Vec<f32> {
        let response = self.execute(vec![request(rows)]).remove(0).unwrap_or_else(|error| panic!("{error}"));
        numbers(&response, "output__0")
    }
}

fn request(rows: &[Vec<f32>]) -> InferRequest {
    let tensor = Tensor::from_elements([rows.len() as u64, rows[0].len() as u64], &rows.concat()).unwrap();
    InferRequest::new(vec![NamedTensor::new("input__0", tensor)])
}

fn numbers(response: &InferResponse, name: &str) -> Vec<f32> {
    response.output(name).unwrap().elements::<f32>().unwrap().into_owned()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found} for {expected}");
    }
}
