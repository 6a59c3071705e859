//! A real interpreter; without it every test fails with the sentence that says how to get one.
//!
//! Not confined: what takes the rights away is the server's program, and a test is another one. `tests/clients` has the rest.

use std::fs;

use nereid_backend::contract::{self, ContractCase};
use nereid_config::parse_text;
use nereid_inference::{LoadClock, NamedTensor};
use nereid_tensor::{DataType, Tensor};

use super::*;

/// Gives every input back under the name of an output, new and handed on by turns.
const ECHO: &str = "
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            outputs = [pb_utils.Tensor('Y' + tensor.name()[1:], tensor.as_numpy()) for tensor in request.inputs()]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
";

/// A folder with version 1 of a model of this text.
fn source(text: &str, config: &str) -> (TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    let version_directory = directory.path().join("1");
    fs::create_dir(&version_directory).unwrap();
    fs::write(version_directory.join(DEFAULT_MODEL_FILENAME), text).unwrap();
    let config = ModelConfig { name: "m".into(), ..parse_text("config.pbtxt", config).unwrap() };
    let identity = ModelIdentity::new("m", 1);
    let source = ModelSource {
        identity,
        model_directory: directory.path().into(),
        version_directory,
        config,
        clock: LoadClock::default(),
    };
    (directory, source)
}

/// With the interpreter that `cargo xtask setup python` makes.
fn backend() -> PythonBackend {
    let mut settings = PythonSettings::default();
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../.nereid/venv/bin/python");
    assert!(interpreter.exists(), "no {}: run `cargo xtask setup python`", interpreter.display());
    settings.set("python-executable", &interpreter.to_string_lossy()).unwrap();
    settings.set("confinement", "off").unwrap();
    PythonBackend::new(settings, PythonLimits::default(), PythonPorts::default())
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let types = ["BOOL", "UINT8", "INT64", "FP16", "FP32", "STRING"];
    let fields = |kind: &str, prefix: char| -> String {
        let field = |(index, data_type)| {
            format!("{kind} {{ name: '{prefix}{index}' data_type: TYPE_{data_type} dims: [ 3 ] }}\n")
        };
        types.iter().enumerate().map(field).collect()
    };
    let config = format!("backend: 'python' max_batch_size: 8\n{}{}", fields("input", 'X'), fields("output", 'Y'));
    let (_directory, source) = source(ECHO, &config);
    let model = backend().load(&source).unwrap();
    let signature = Signature::of_backend(&source.config).unwrap();
    let tensors = [
        Tensor::new(DataType::Bool, [2, 3].into(), vec![1_u8, 0, 1, 0, 0, 1].into()).unwrap(),
        Tensor::from_elements([2, 3], &[0_u8, 1, 127, 128, 254, 255]).unwrap(),
        Tensor::from_elements([2, 3], &[i64::MIN, -1, 0, 1, 2, i64::MAX]).unwrap(),
        Tensor::new(DataType::Fp16, [2, 3].into(), vec![0x3c_u8; 12].into()).unwrap(),
        Tensor::from_elements([2, 3], &[0.5_f32, -1.5, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, -0.0]).unwrap(),
        Tensor::from_byte_strings([2, 3], &["", "a", "ä", "\0", "two words", "\u{10ffff}"]).unwrap(),
    ];
    let named = tensors.into_iter().enumerate();
    let inputs = named.map(|(index, tensor)| NamedTensor::new(format!("X{index}"), tensor)).collect();
    contract::check(ContractCase { model: &*model, signature, inputs }).await;
}
