//! Real files through the real library; without it every test fails with the sentence that says how to get it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nereid_backend::{Batch, LibrarySearch, contract};
use nereid_inference::{
    ErrorKind, InferRequest, InferResponse, LoadClock, ModelIdentity, NamedTensor, config::ModelInput, response_channel,
};
use nereid_tensor::{DataType, Shape, Tensor};

use super::*;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn settings() -> OpenvinoSettings {
    let folders = vec![workspace().join(".nereid/openvino")];
    OpenvinoSettings { search: LibrarySearch { library: None, folders }, default_max_batch_size: 4 }
}

fn named_config(name: &str) -> ModelConfig {
    ModelConfig { name: name.into(), ..ModelConfig::default() }
}

/// A version directory with copies of `tests/models/FILE` under other names.
fn source(files: &[(&str, &str)], config: ModelConfig) -> (tempfile::TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    for (file, name) in files {
        copy(&workspace().join("tests/models").join(file), &directory.path().join(name));
    }
    let source = ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: directory.path().into(),
        version_directory: directory.path().into(),
        config,
        clock: LoadClock::default(),
    };
    (directory, source)
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

const IR: [(&str, &str); 2] = [("openvino/digits.xml", "model.xml"), ("openvino/digits.bin", "model.bin")];
const ONE_ROW: [(&str, &str); 2] =
    [("openvino/digits_one_row.xml", "model.xml"), ("openvino/digits_one_row.bin", "model.bin")];
const SAVED: [(&str, &str); 1] = [("openvino/digits.savedmodel", "model.savedmodel")];

struct Loaded {
    model: Arc<dyn LoadedModel>,
    config: ModelConfig,
    signature: Signature,
    _directory: tempfile::TempDir,
}

fn load(backend: &OpenvinoBackend, files: &[(&str, &str)], config: ModelConfig) -> Result<Loaded, InferError> {
    let (directory, mut source) = source(files, config);
    source.config = backend.complete_config(&source)?;
    let model = backend.load(&source)?;
    let signature = Signature::of_backend(&source.config).unwrap();
    Ok(Loaded { model, config: source.config, signature, _directory: directory })
}

fn openvino(files: &[(&str, &str)]) -> Loaded {
    load(&OpenvinoBackend::new(settings()), files, named_config("m")).unwrap_or_else(|error| panic!("{error}"))
}

fn load_error(files: &[(&str, &str)], config: ModelConfig) -> InferError {
    load(&OpenvinoBackend::new(settings()), files, config).err().unwrap_or_else(|| panic!("it loaded"))
}

impl Loaded {
    fn execute(&self, requests: Vec<InferRequest>) -> Vec<Result<InferResponse, InferError>> {
        let spec = InstanceSpec { name: "m_0".into(), kind: InstanceKind::Cpu, device_id: 0 };
        let Instance::Blocking(mut instance) = self.model.new_instance(&spec).unwrap() else { panic!("it blocks") };
        let checked = requests.into_iter().map(|request| self.signature.check(request).unwrap());
        let mut batch = Batch::new(checked.map(|request| (request, response_channel().0)));
        instance.execute(&mut batch);
        batch.finish().map(|finished| finished.answer.unwrap().1).collect()
    }

    fn infer(&self, inputs: Vec<NamedTensor>) -> InferResponse {
        self.execute(vec![InferRequest::new(inputs)]).remove(0).unwrap()
    }
}

fn expected(key: &str) -> Vec<f64> {
    let text = fs::read_to_string(workspace().join("tests/models/torch/digits_mlp.expected.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = document[key].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    rows.map(|number| number.as_f64().unwrap()).collect()
}

/// Held-out digits, from the one at `first` on.
fn pixels(first: usize, rows: usize) -> Vec<NamedTensor> {
    let pixels: Vec<f32> =
        expected("rows").into_iter().skip(64 * first).take(64 * rows).map(|pixel| pixel as f32).collect();
    let shape = Shape::from([rows as u64, 64]);
    vec![NamedTensor::new("pixels", Tensor::from_elements(shape, &pixels).unwrap())]
}

fn check_probabilities(response: &InferResponse, first: usize, rows: usize) {
    let found = response.output("probabilities").unwrap().elements::<f32>().unwrap().into_owned();
    assert_eq!(found.len(), 10 * rows);
    for (found, expected) in found.iter().zip(expected("probabilities").into_iter().skip(10 * first)) {
        assert!((f64::from(*found) - expected).abs() <= 1e-5, "{found} where scikit-learn says {expected}");
    }
}

#[tokio::test]
async fn keeps_the_contract_of_every_backend() {
    let loaded = openvino(&[("openvino/every_type.xml", "model.xml"), ("openvino/every_type.bin", "model.bin")]);
    let (signature, inputs) = (loaded.signature.clone(), every_type());
    contract::check(contract::ContractCase { model: &*loaded.model, signature, inputs }).await;
}

#[test]
fn ir_onnx_and_saved_models_agree_with_the_framework_that_trained_them() {
    let loaded = openvino(&IR);
    assert_eq!((loaded.config.max_batch_size, &*loaded.config.inputs[0].dims), (4, [64].as_slice()));
    check_probabilities(&loaded.infer(pixels(3, 4)), 3, 4);
    let saved = load(&OpenvinoBackend::tensorflow(settings()), &SAVED, named_config("m"));
    let saved = saved.unwrap_or_else(|error| panic!("{error}"));
    let response = saved.infer(pixels(0, 4));
    check_probabilities(&response, 0, 4);
    let labels = response.output("label").unwrap().elements::<i64>().unwrap().into_owned();
    assert_eq!((labels.len(), &**response.output("label").unwrap().shape()), (4, [4].as_slice()));
    let x = Tensor::from_elements([1, 4], &[0.5_f32, -1.0, 2.0, 0.25]).unwrap();
    let onnx = openvino(&[("mlp.onnx", "model.onnx")]).infer(vec![NamedTensor::new("X", x)]);
    let found = onnx.output("Y").unwrap().elements::<f32>().unwrap().into_owned();
    for (found, expected) in found.iter().zip([-4.536843_f32, -21.804523, -3.242861]) {
        assert!((found - expected).abs() < 1e-5, "{found} where the onnx package says {expected}");
    }
}

/// One row of two elements of every type, of bytes that differ.
fn every_type() -> Vec<NamedTensor> {
    let named = |data_type: DataType| {
        let size = data_type.size_bytes().unwrap() as u8;
        let bytes: Vec<u8> = match data_type {
            DataType::Bool => vec![1, 0],
            // Calculated with 32 bits; the numbers here fit.
            DataType::Int64 | DataType::Uint64 => vec![1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0, 0],
            DataType::Fp64 => bytemuck::cast_slice(&[1.5_f64, -2.25]).to_vec(),
            _ => (1..=2 * size).collect(),
        };
        let tensor = Tensor::new(data_type, [1, 2].into(), bytes.into()).unwrap();
        NamedTensor::new(format!("IN_{data_type}"), tensor)
    };
    DataType::ALL.into_iter().filter(|data_type| *data_type != DataType::Bytes).map(named).collect()
}

#[test]
fn every_element_type_goes_through_unchanged() {
    let loaded = openvino(&[("openvino/every_type.xml", "model.xml"), ("openvino/every_type.bin", "model.bin")]);
    let response = loaded.infer(every_type());
    for input in every_type() {
        let output = response.output(&input.name.replace("IN_", "OUT_")).unwrap();
        assert_eq!(output.data_type(), input.tensor.data_type());
        assert_eq!(output.buffer().as_slice(), input.tensor.buffer().as_slice(), "{}", input.name);
    }
}

/// [`every_type`] with another tensor in one place.
fn every_type_but(name: &str, tensor: Tensor) -> InferRequest {
    let named = every_type().into_iter().filter(|input| *input.name != *name);
    InferRequest::new(named.chain([NamedTensor::new(name, tensor)]).collect())
}

#[test]
fn numbers_that_32_bits_do_not_hold_are_refused_and_those_beside_them_answered() {
    let loaded = openvino(&[("openvino/every_type.xml", "model.xml"), ("openvino/every_type.bin", "model.bin")]);
    let refused = |name: &str, tensor: Tensor| {
        let requests = vec![InferRequest::new(every_type()), every_type_but(name, tensor)];
        let mut answers = loaded.execute(requests);
        let error = answers.remove(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let beside = answers.remove(0).unwrap();
        for input in every_type() {
            let output = beside.output(&input.name.replace("IN_", "OUT_")).unwrap();
            assert_eq!(output.buffer().as_slice(), input.tensor.buffer().as_slice(), "{}", input.name);
        }
        error.message().to_owned()
    };
    let text = refused("IN_INT64", Tensor::from_elements([1, 2], &[7_i64, 1 << 31]).unwrap());
    let expected = "model 'm': input 'IN_INT64' is 2147483648 at element 1, expected -2147483648 to 2147483647, since OpenVINO \
                    calculates INT64 with 32 bits; serve the file with another backend, as ONNX with onnxruntime";
    assert_eq!(text, expected);
    let text = refused("IN_UINT64", Tensor::from_elements([1, 2], &[u64::MAX, 0]).unwrap());
    assert!(text.contains("'IN_UINT64' is 18446744073709551615 at element 0, expected 0 to 2147483647"), "{text}");
    let text = refused("IN_UINT32", Tensor::from_elements([1, 2], &[0, 1_u32 << 31]).unwrap());
    assert!(text.contains("'IN_UINT32' is 2147483648 at element 1, expected 0 to 2147483647"), "{text}");
    let text = refused("IN_FP64", Tensor::from_elements([1, 2], &[-1e39, 0.0]).unwrap());
    assert!(text.contains("at element 0, expected a number of FP32, 3.4028235e38 at most"), "{text}");
    let largest = Tensor::from_elements([1, 2], &[i64::from(i32::MIN), i64::from(i32::MAX)]).unwrap();
    let answer = loaded.execute(vec![every_type_but("IN_INT64", largest.clone())]).remove(0).unwrap();
    assert_eq!(answer.output("OUT_INT64").unwrap().buffer().as_slice(), largest.buffer().as_slice());
}

#[test]
fn a_model_that_is_calculated_with_32_bits_says_so_by_name() {
    let warning = |files: &[(&str, &str)], backend: OpenvinoBackend| {
        let (_directory, mut source) = source(files, named_config("m"));
        source.config = backend.complete_config(&source).unwrap();
        let settings = ModelSettings::from_config(&source.config).unwrap();
        let file = backend.read(&source, &settings).unwrap();
        let signature = Signature::of_backend(&source.config).unwrap();
        narrowed::warning(&Plan::new(&signature, (&file.inputs, &file.outputs), &file.file_name).unwrap())
    };
    let saved = warning(&SAVED, OpenvinoBackend::tensorflow(settings())).unwrap();
    assert!(saved.starts_with("model 'm': OpenVINO calculates output 'label' INT64 with 32 bits"), "{saved}");
    let files = [("openvino/every_type.xml", "model.xml"), ("openvino/every_type.bin", "model.bin")];
    let every = warning(&files, OpenvinoBackend::new(settings())).unwrap();
    for named in ["input 'IN_UINT32' UINT32", "input 'IN_INT64' INT64", "output 'OUT_FP64' FP64"] {
        assert!(every.contains(named), "{named} in {every}");
    }
    assert!(!every.contains("'IN_INT32'") && !every.contains("'IN_FP32'"), "{every}");
    assert_eq!(warning(&[("mlp.onnx", "model.onnx")], OpenvinoBackend::new(settings())), None);
}

#[test]
fn a_batch_is_computed_at_once_and_handed_out_by_request() {
    let only =
        |first| InferRequest { requested_outputs: vec!["probabilities".into()], ..InferRequest::new(pixels(first, 1)) };
    let saved = load(&OpenvinoBackend::tensorflow(settings()), &SAVED, named_config("m"));
    let answers =
        saved.unwrap_or_else(|error| panic!("{error}")).execute(vec![InferRequest::new(pixels(0, 2)), only(5)]);
    check_probabilities(answers[0].as_ref().unwrap(), 0, 2);
    check_probabilities(answers[1].as_ref().unwrap(), 5, 1);
    assert_eq!((answers[0].as_ref().unwrap().outputs.len(), answers[1].as_ref().unwrap().outputs.len()), (2, 1));
}

#[test]
fn a_fixed_batch_is_opened_unless_it_is_to_stay() {
    let batched = || ModelConfig { max_batch_size: 8, ..named_config("m") };
    let opened = load(&OpenvinoBackend::new(settings()), &ONE_ROW, batched()).unwrap_or_else(|error| panic!("{error}"));
    check_probabilities(&opened.infer(pixels(2, 8)), 2, 8);
    let mut kept = batched();
    kept.parameters.insert("SKIP_OV_DYNAMIC_BATCHSIZE".into(), "YES".into());
    let error = load_error(&ONE_ROW, kept);
    assert!(error.message().contains("(max_batch_size 8), but 'pixels' FP32 [1, 64] in model.xml"), "{error}");
}

#[test]
fn a_response_outlives_the_next_execution_and_the_model() {
    let loaded = openvino(&IR);
    let first = loaded.infer(pixels(0, 1));
    loaded.infer(pixels(7, 1));
    drop(loaded);
    check_probabilities(&first, 0, 1);
}

#[test]
fn files_that_are_no_models_are_refused_in_openvinos_words() {
    let wrong: [&[(&str, &str)]; 3] = [
        &[("openvino/digits.bin", "model.xml")],
        &[("openvino/digits.xml", "model.xml")],
        &[("torch/digits_mlp.pt", "model.onnx")],
    ];
    for files in wrong {
        let error = load_error(files, named_config("m"));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().starts_with("model 'm': OpenVINO cannot "), "{error}");
        assert!(!error.message().contains('\n') && !error.message().contains("Exception from"), "{error}");
    }
    let (directory, source) = source(&IR, named_config("m"));
    let text = fs::read(directory.path().join("model.xml")).unwrap();
    fs::write(directory.path().join("model.xml"), &text[..text.len() / 2]).unwrap();
    assert!(OpenvinoBackend::new(settings()).complete_config(&source).is_err(), "truncated");
    let newer = String::from_utf8(text).unwrap().replacen("version=\"11\"", "version=\"99\"", 1);
    fs::write(directory.path().join("model.xml"), newer).unwrap();
    let error = OpenvinoBackend::new(settings()).complete_config(&source).unwrap_err();
    assert!(error.message().contains("OpenVINO cannot read "), "of a version to come: {error}");
    let missing = load_error(&[], named_config("m"));
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.message().starts_with("model 'm': there is no model.xml or model.onnx in "), "{missing}");
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let input = ModelInput { name: "pixels".into(), optional: true, ..ModelInput::default() };
    let error = load_error(&IR, ModelConfig { inputs: vec![input], ..named_config("m") });
    assert!(error.message().contains("the openvino backend does not serve 'optional' inputs"), "{error}");
    let graph = ModelConfig { platform: GRAPHDEF.into(), ..named_config("m") };
    let error = load(&OpenvinoBackend::tensorflow(settings()), &SAVED, graph).err().unwrap();
    assert!(error.message().contains("the tensorflow backend does not serve frozen graphs"), "{error}");
    let spec = InstanceSpec { name: "m_0".into(), kind: InstanceKind::Gpu, device_id: 0 };
    assert_eq!(openvino(&IR).model.new_instance(&spec).err().unwrap().kind(), ErrorKind::Unsupported);
}
