//! The backend as the pipeline uses it: the contract, batches, configuration, and files that are wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

#[path = "../../../plugin/tests/support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use nereid_backend::{
    Backend, Batch, Instance, InstanceSpec, LoadedModel,
    contract::{self, ContractCase},
};
use nereid_backend_wasm::{Ceiling, PluginPolicy, PluginPorts, PluginSettings, WasmBackend};
use nereid_inference::{
    ErrorKind, InferError, InferRequest, InferResponse, LoadClock, MemoryKind, ModelConfig, ModelIdentity, ModelSource,
    NamedTensor, Signature, TensorSpec,
    config::{InstanceKind, ModelInput, ModelOutput},
    response_channel,
};
use nereid_plugin::PluginLimits;
use nereid_tensor::{DataType, Tensor};
use support::{CREATE, IDENTITY, INFER, OWN_INPUTS, READ, Server, call_record, component, component_with};
use tempfile::TempDir;
use tokio::sync::mpsc;

static BACKEND: LazyLock<WasmBackend> =
    LazyLock::new(|| WasmBackend::new(PluginSettings::new(None), PluginPorts::default()));

/// `X`, FP32, of any length in and out, batches of up to eight.
fn config() -> ModelConfig {
    let data_type = DataType::Fp32.into();
    ModelConfig {
        name: "m".to_owned(),
        backend: "wasm".to_owned(),
        max_batch_size: 8,
        inputs: vec![ModelInput { name: "X".to_owned(), data_type, dims: vec![-1], ..Default::default() }],
        outputs: vec![ModelOutput { name: "X".to_owned(), data_type, dims: vec![-1], ..Default::default() }],
        ..Default::default()
    }
}

/// A model directory with this component as version 1.
fn source(bytes: &[u8], config: ModelConfig) -> (TempDir, ModelSource) {
    let directory = tempfile::tempdir().unwrap();
    let version_directory = directory.path().join("1");
    fs::create_dir(&version_directory).unwrap();
    fs::write(version_directory.join("model.wasm"), bytes).unwrap();
    let source = ModelSource {
        identity: ModelIdentity::new("m", 1),
        model_directory: directory.path().to_owned(),
        version_directory,
        config,
        clock: LoadClock::default(),
    };
    (directory, source)
}

/// A server with this ceiling for all plugins.
fn backend_with(ceiling: Ceiling) -> WasmBackend {
    let policy = PluginPolicy { ceiling, ..PluginPolicy::default() };
    WasmBackend::new(PluginSettings { policy: policy.into(), ..PluginSettings::new(None) }, PluginPorts::default())
}

fn write_limits(directory: &Path, text: &str) {
    fs::write(directory.join("plugin.toml"), text).unwrap();
}

fn instance(model: &dyn LoadedModel, kind: InstanceKind) -> Result<Instance, InferError> {
    model.new_instance(&InstanceSpec { name: "m_0_0".to_owned(), kind, device_id: 0 })
}

fn rows(values: &[f32]) -> Tensor {
    Tensor::from_elements([1, values.len() as u64], values).unwrap()
}

/// Executes one batch of requests with `X` each, and gives the answers.
async fn execute(model: &dyn LoadedModel, inputs: &[&[f32]]) -> Vec<Result<InferResponse, InferError>> {
    let signature = Signature::from_config(&config()).unwrap();
    let (senders, streams): (Vec<_>, Vec<_>) = inputs.iter().map(|_| response_channel()).unzip();
    let requests = inputs
        .iter()
        .map(|values| signature.check(InferRequest::new(vec![NamedTensor::new("X", rows(values))])).unwrap());
    let mut batch = Batch::new(requests.zip(senders));
    let Ok(Instance::Task(mut instance)) = instance(model, InstanceKind::Cpu) else {
        panic!("a plugin's instance is a task")
    };
    instance.execute(&mut batch).await;
    for finished in batch.finish() {
        let (sender, answer) = finished.answer.unwrap();
        sender.respond(answer);
    }
    let mut answers = Vec::new();
    for stream in streams {
        answers.push(stream.single().await);
    }
    answers
}

#[tokio::test]
async fn keeps_the_contract_of_backends() {
    let (_directory, source) = source(&component(&[], IDENTITY), config());
    let model = BACKEND.load(&source).unwrap();
    let case = ContractCase {
        model: &*model,
        signature: Signature::from_config(&source.config).unwrap(),
        inputs: vec![NamedTensor::new("X", rows(&[1.0, 2.0]))],
    };
    contract::check(case).await;
}

/// The only row of its memory usage, in bytes.
fn memory_bytes(model: &dyn LoadedModel) -> u64 {
    let usage = model.memory_usage();
    assert_eq!((usage.len(), usage[0].kind, usage[0].device_id), (1, MemoryKind::Cpu, 0));
    usage[0].bytes
}

#[tokio::test]
async fn memory_is_that_of_the_code_and_of_the_guests_that_live() {
    const PAGE_BYTES: u64 = 65_536;
    let (_directory, source) = source(&component(&[], IDENTITY), config());
    let model = BACKEND.load(&source).unwrap();
    let code_bytes = memory_bytes(&*model);
    assert!(code_bytes > 0);
    let instances = [instance(&*model, InstanceKind::Cpu).unwrap(), instance(&*model, InstanceKind::Cpu).unwrap()];
    let guests_bytes = memory_bytes(&*model) - code_bytes;
    assert!(guests_bytes >= 2 * PAGE_BYTES && guests_bytes.is_multiple_of(2 * PAGE_BYTES), "{guests_bytes}");
    drop(instances);
    assert_eq!(memory_bytes(&*model), code_bytes);
}

#[tokio::test]
async fn one_bad_request_of_a_batch_fails_alone() {
    // Traps over a first number that is not zero.
    let body = format!(
        "(call $read (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 4) (i32.const 3000))
         (if (i32.load (i32.load offset=4 (i32.const 3000))) (then unreachable)) {IDENTITY}"
    );
    let (_directory, source) = source(&component(&[READ], &body), config());
    let model = BACKEND.load(&source).unwrap();
    let answers = execute(&*model, &[&[0.0, 1.0], &[5.0], &[0.0, 3.0]]).await;
    let kinds: Vec<Option<ErrorKind>> = answers.iter().map(|a| a.as_ref().err().map(InferError::kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Internal), None]);
    let last = answers[2].as_ref().unwrap().output("X").unwrap();
    assert_eq!(last.elements::<f32>().unwrap().as_ref(), [0.0, 3.0]);
}

#[tokio::test]
async fn an_output_without_the_batch_dimension_is_named_with_both_sides() {
    let body = "(i64.store (i32.const 3104) (i64.const 4))
         (call $create (i32.const 11) (i32.const 3104) (i32.const 1) (i32.const 3200))
         (call $ok_x (i32.load offset=4 (i32.const 3200)))";
    let (_directory, source) = source(&component(&[CREATE], body), config());
    let model = BACKEND.load(&source).unwrap();
    let error = execute(&*model, &[&[1.0]]).await.remove(0).unwrap_err();
    let expected = "plugin 'model.wasm' of model 'm' returned output 'X' of shape [4], expected [1,-1]";
    assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, expected));
}

#[tokio::test]
async fn plugin_toml_tightens_the_limits_and_the_server_has_the_last_word() {
    let (directory, source) = source(&component(&[], "(loop (br 0)) unreachable"), config());
    write_limits(directory.path(), "[limits]\ndeadline_ms = 30\n");
    let model = BACKEND.load(&source).unwrap();
    let error = execute(&*model, &[&[1.0]]).await.remove(0).unwrap_err();
    assert!(error.message().contains("deadline of 30ms"), "{error}");

    write_limits(directory.path(), "[limits]\ndeadline_ms = 3600000\n");
    let limits = PluginLimits { wall_time_max: std::time::Duration::from_millis(40), ..PluginLimits::CEILING };
    let strict = backend_with(Ceiling { limits, ..Ceiling::default() });
    let model = strict.load(&source).unwrap();
    let error = execute(&*model, &[&[1.0]]).await.remove(0).unwrap_err();
    assert!(error.message().contains("deadline of 40ms"), "{error}");
}

#[tokio::test]
async fn instance_reuse_false_gives_every_request_a_fresh_guest() {
    let body = format!("(if (global.get $used) (then unreachable)) (global.set $used (i32.const 1)) {IDENTITY}");
    let bytes = component_with(&[], &body, "(global $used (mut i32) (i32.const 0))");
    for (value, served) in [("false", true), ("true", false)] {
        let parameters = [("instance_reuse".to_owned(), value.to_owned())].into();
        let (_directory, source) = source(&bytes, ModelConfig { parameters, ..config() });
        let model = BACKEND.load(&source).unwrap();
        let Ok(Instance::Task(mut instance)) = instance(&*model, InstanceKind::Cpu) else { panic!("not a task") };
        for expected in [true, served] {
            let signature = Signature::from_config(&config()).unwrap();
            let request = InferRequest::new(vec![NamedTensor::new("X", rows(&[1.0]))]);
            let mut batch = Batch::new([(signature.check(request).unwrap(), response_channel().0)]);
            instance.execute(&mut batch).await;
            let answered = batch.finish().all(|finished| finished.answer.unwrap().1.is_ok());
            assert_eq!(answered, expected, "instance_reuse {value}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait_for_another_model_and_cancels_it() {
    // Hands its inputs to model "slow" and waits for the answer.
    let record = call_record(3000, (300, 4), OWN_INPUTS);
    let body = format!("{record} (call $infer (i32.const 3000) (i32.const 4000)) unreachable");
    let bytes = component_with(&[INFER], &body, r#"(data (i32.const 300) "slow")"#);
    let (server, service) = Server::start();
    let (asked, mut asks) = mpsc::unbounded_channel();
    server.serve("slow", move |_, sender| drop(asked.send(sender)));
    let backend = WasmBackend::new(PluginSettings::new(None), PluginPorts { service, ..PluginPorts::default() });
    let (directory, source) = source(&bytes, config());
    write_limits(directory.path(), "[grants]\nmodels = [\"slow\"]\n");
    let model = backend.load(&source).unwrap();
    let Ok(Instance::Task(mut instance)) = instance(&*model, InstanceKind::Cpu) else { panic!("not a task") };
    let (sender, stream) = response_channel();
    let request = InferRequest::new(vec![NamedTensor::new("X", rows(&[1.0]))]);
    let signature = Signature::from_config(&config()).unwrap();
    let mut batch = Batch::new([(signature.check(request).unwrap(), sender)]);
    let client = async {
        let never_answered = asks.recv().await.unwrap();
        drop(stream);
        never_answered.cancelled().await;
    };
    tokio::join!(instance.execute(&mut batch), client);
    let answer = batch.finish().next().unwrap().answer.unwrap().1;
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Cancelled);
}

/// Loading this must fail with this text, and so must completing its configuration.
#[track_caller]
fn check_refused(bytes: &[u8], config: ModelConfig, expected: &str) {
    let (_directory, source) = source(bytes, config);
    for error in [BACKEND.load(&source).err().unwrap(), BACKEND.complete_config(&source).unwrap_err()] {
        assert!(error.message().contains(expected), "expected {expected:?} in {:?}", error.message());
    }
}

#[test]
fn configurations_and_files_that_cannot_be_served_are_refused_in_words() {
    let good = component(&[], IDENTITY);
    check_refused(&good, ModelConfig { inputs: vec![], ..config() }, "model 'm' declares no input: a plugin's tensors");
    let parameters = [("instance_reuse".to_owned(), "maybe".to_owned())].into();
    check_refused(&good, ModelConfig { parameters, ..config() }, "'instance_reuse' is 'maybe', expected 'true' or");
    let other = ModelConfig { default_model_filename: "other.wasm".to_owned(), ..config() };
    check_refused(&good, other, "other.wasm' cannot be read: No such file");
    check_refused(b"\0asm\x01\0\0\0", config(), "it is a core module, and a component is needed");
    check_refused(&good[..100], config(), "/1/model.wasm' is damaged");
}

#[test]
fn a_broken_plugin_toml_fails_the_load_with_its_line() {
    let (directory, source) = source(&component(&[], IDENTITY), config());
    write_limits(directory.path(), "[limits]\nmemry_mib = 3\n");
    let error = BACKEND.load(&source).err().unwrap();
    assert!(error.message().contains("plugin.toml: TOML parse error at line 2, column 1"), "{error}");
}

#[test]
fn a_gpu_instance_is_refused() {
    let (_directory, source) = source(&component(&[], IDENTITY), config());
    let model = BACKEND.load(&source).unwrap();
    let error = instance(&*model, InstanceKind::Gpu).err().unwrap();
    assert_eq!(error.message(), "instance 'm_0_0' is of KIND_GPU, but plugins run on the CPU: use KIND_CPU");
}

#[test]
fn an_unusable_cache_directory_costs_time_and_not_the_plugins() {
    let (directory, source) = source(&component(&[], IDENTITY), config());
    let not_a_directory = directory.path().join("file");
    fs::write(&not_a_directory, "").unwrap();
    let backend = WasmBackend::new(PluginSettings::new(Some(not_a_directory)), PluginPorts::default());
    assert!(backend.load(&source).is_ok());
}

#[test]
fn the_configuration_is_given_back_as_it_was() {
    let (_directory, source) = source(&component(&[], IDENTITY), config());
    assert_eq!(BACKEND.complete_config(&source).unwrap(), source.config);
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    let found = Signature::from_config(&source.config).unwrap();
    assert!(found.inputs[0].name == spec.name && found.outputs[0].dims == spec.dims);
    let _: Arc<dyn LoadedModel> = BACKEND.load(&source).unwrap();
}
