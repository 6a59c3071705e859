//! Guests written as WebAssembly text, small enough to be read, and the server around them.
//!
//! A guest's text is the body of its `run` function and what that needs; this file adds memory, an allocator and the contract.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

pub(crate) mod awaiter;
pub(crate) mod languages;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use nereid_inference::{
    CheckedRequest, InferError, InferRequest, InferResponse, InferenceService, ModelConfig, ModelIdentity,
    ModelStatistics, NamedTensor, ResponseSender, ResponseStream, ServedModel, ServerState, ServiceHandle,
    SharedTicket, Signature, Tenant, TensorSpec, response_channel,
};
use nereid_plugin::{
    CompiledPlugin, Grants, LifeSettings, ModelGrant, Plugin, PluginEngine, PluginLimits, PluginSpec, SandboxPool,
    StateStore,
};
use nereid_telemetry::CustomMetrics;
use nereid_tensor::{DataType, Tensor};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// One engine for all tests of a file, as in a server.
pub(crate) static ENGINE: LazyLock<PluginEngine> = LazyLock::new(|| PluginEngine::start(None).unwrap());

/// What every guest has. The result of `run` lies at 1024, free memory begins at 65536 and is reset after every call.
const PRELUDE: &str = r#"
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (func $ensure (param $end i32)
    (if (i32.gt_u (local.get $end) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (i32.const -1) (memory.grow (i32.shr_u (local.get $end) (i32.const 16)))) (then unreachable)))))
  (func $cabi_realloc (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
    (global.set $heap (i32.add (local.get $at) (local.get $size)))
    (call $ensure (global.get $heap))
    (local.get $at))
  (func (export "cabi_post_nereid:plugin/transform@1.0.0#run") (param i32)
    (global.set $heap (i32.const 65536)))
  ;; Ok with the outputs at an address.
  (func $ok (param $outputs i32) (param $count i32) (result i32)
    (i32.store8 (i32.const 1024) (i32.const 0))
    (i32.store (i32.const 1028) (local.get $outputs))
    (i32.store (i32.const 1032) (local.get $count))
    (i32.store (i32.const 1036) (i32.const 0))
    (i32.store (i32.const 1040) (i32.const 0))
    (i32.const 1024))
  ;; Ok with one output, whose name is that of the input: "X", at 16.
  (func $ok_x (param $tensor i32) (result i32)
    (i32.store (i32.const 2048) (i32.const 16))
    (i32.store (i32.const 2052) (i32.const 1))
    (i32.store (i32.const 2056) (local.get $tensor))
    (call $ok (i32.const 2048) (i32.const 1)))
  (data (i32.const 16) "X")
"#;

/// Gives its inputs back.
pub(crate) const IDENTITY: &str = "(call $ok (local.get $inputs) (local.get $count))";

/// Imports by name, so that a guest carries only what it uses.
pub(crate) const CREATE: &str =
    r#"(import "nereid:plugin/tensors@1.0.0" "[static]tensor.create" (func $create (param i32 i32 i32 i32)))"#;
pub(crate) const READ: &str =
    r#"(import "nereid:plugin/tensors@1.0.0" "[method]tensor.read" (func $read (param i32 i32 i32 i32)))"#;
pub(crate) const WRITE: &str =
    r#"(import "nereid:plugin/tensors@1.0.0" "[method]tensor.write" (func $write (param i32 i32 i32 i32 i32)))"#;
pub(crate) const SHARE: &str =
    r#"(import "nereid:plugin/tensors@1.0.0" "[method]tensor.share" (func $share (param i32) (result i32)))"#;
pub(crate) const BYTE_SIZE: &str =
    r#"(import "nereid:plugin/tensors@1.0.0" "[method]tensor.byte-size" (func $byte_size (param i32) (result i64)))"#;
pub(crate) const LOG: &str = r#"(import "nereid:plugin/logging@1.0.0" "log" (func $log (param i32 i32 i32)))"#;
pub(crate) const INFER: &str = r#"(import "nereid:plugin/inference@1.0.0" "infer" (func $infer (param i32 i32)))"#;

pub(crate) const SUBMIT: &str = r#"(import "nereid:plugin/inference@1.0.0" "submit" (func $submit (param i32 i32)))"#;
pub(crate) const WAIT_ANY: &str =
    r#"(import "nereid:plugin/inference@1.0.0" "wait-any" (func $wait_any (param i32 i32 i32 i32 i32)))"#;
pub(crate) const RECEIVE: &str =
    r#"(import "nereid:plugin/inference@1.0.0" "[method]pending.receive" (func $receive (param i32 i32)))"#;

pub(crate) const CANCEL: &str =
    r#"(import "nereid:plugin/inference@1.0.0" "[method]pending.cancel" (func $cancel (param i32)))"#;

/// Stores a `call` record at an address, for it is passed by one: the model's name lies at `name`, inputs and their count are
/// expressions. Everything else stays zero, which is "none" and "empty".
pub(crate) fn call_record(at: u32, (name, length): (u32, usize), (inputs, count): (&str, &str)) -> String {
    format!(
        "(i32.store (i32.const {at}) (i32.const {name}))
         (i32.store offset=4 (i32.const {at}) (i32.const {length}))
         (i32.store offset=24 (i32.const {at}) {inputs})
         (i32.store offset=28 (i32.const {at}) {count})"
    )
}

/// The inputs of the guest's own call, for [`call_record`].
pub(crate) const OWN_INPUTS: (&str, &str) = ("(local.get $inputs)", "(local.get $count)");

/// A component whose `run` has this body.
pub(crate) fn component(imports: &[&str], body: &str) -> Vec<u8> {
    component_with(imports, body, "")
}

/// The same with further definitions.
pub(crate) fn component_with(imports: &[&str], body: &str, definitions: &str) -> Vec<u8> {
    encode(&core(imports, body, definitions))
}

/// The core module alone.
pub(crate) fn core(imports: &[&str], body: &str, definitions: &str) -> String {
    format!(
        r#"(module {} {PRELUDE} {definitions}
          (func $run (export "nereid:plugin/transform@1.0.0#run")
            (param $request i32) (param $inputs i32) (param $count i32) (result i32) {body}))"#,
        imports.concat()
    )
}

/// A component around a core module.
pub(crate) fn encode(core_text: &str) -> Vec<u8> {
    encode_for(core_text, "transform-plugin", None)
}

/// The same for a world of `wit`, which may use the contract; without it for one of the contract.
pub(crate) fn encode_for(core_text: &str, world: &str, wit: Option<&str>) -> Vec<u8> {
    let (resolve, world) = resolved(world, wit);
    encode_in(&resolve, world, core_text)
}

/// The same for a world that was looked up.
pub(crate) fn encode_in(resolve: &wit_parser::Resolve, world: wit_parser::WorldId, core_text: &str) -> Vec<u8> {
    let mut module = wat::parse_str(core_text).unwrap();
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().validate(true).module(&module).unwrap();
    let encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    encoder.unwrap().encode().unwrap()
}

/// A world of `wit`, or of the contract, with everything that it names.
pub(crate) fn resolved(world: &str, wit: Option<&str>) -> (wit_parser::Resolve, wit_parser::WorldId) {
    let mut resolve = wit_parser::Resolve::default();
    let (mut package, _) = resolve.push_path(wit_directory()).unwrap();
    if let Some(wit) = wit {
        package = resolve.push_str("guest.wit", wit).unwrap();
    }
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    (resolve, world)
}

/// The model that guests serve unless a test says otherwise: `X`, FP32, of any length, in and out.
pub(crate) fn signature() -> Signature {
    let spec = TensorSpec { name: "X".into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    Signature { model_name: "m".into(), inputs: vec![spec.clone()], outputs: vec![spec], max_batch_size: 0 }
}

/// What guests are told unless a test says otherwise.
pub(crate) fn spec() -> PluginSpec {
    PluginSpec {
        plugin: "model.wasm".to_owned(),
        model: ModelIdentity::new("m", 1),
        signature: signature(),
        decoupled: false,
        parameters: BTreeMap::new(),
        limits: PluginLimits::DEFAULT,
        grants: Grants { models: ModelGrant::all(), ..Grants::default() },
        service: ServiceHandle::default(),
        control: Default::default(),
        state: Arc::new(StateStore::new()),
        meters: Arc::new(CustomMetrics::default()).of_model(&"m".into()),
        usage: Default::default(),
        listener: None,
        fresh_guest_per_call: false,
        life: LifeSettings::default(),
    }
}

pub(crate) fn compile(bytes: &[u8]) -> CompiledPlugin {
    ENGINE.compile("model.wasm", bytes).unwrap()
}

pub(crate) fn pool(bytes: &[u8], spec: PluginSpec) -> SandboxPool {
    SandboxPool::start(Plugin::new(&ENGINE, compile(bytes), spec), "m_0_0").unwrap()
}

/// A request with `X` holding these numbers.
pub(crate) fn request(values: &[f32]) -> CheckedRequest {
    signature().check(infer_request(values)).unwrap()
}

pub(crate) fn infer_request(values: &[f32]) -> InferRequest {
    let tensor = Tensor::from_elements([values.len() as u64], values).unwrap();
    InferRequest::new(vec![NamedTensor::new("X", tensor)])
}

/// The numbers of output `X`.
pub(crate) fn values(response: &InferResponse) -> Vec<f32> {
    response.output("X").unwrap().elements::<f32>().unwrap().to_vec()
}

/// Whose account a request goes on.
#[derive(Debug)]
pub(crate) struct Acme;

static ACME: LazyLock<Arc<str>> = LazyLock::new(|| "acme".into());

impl Tenant for Acme {
    fn name(&self) -> &Arc<str> {
        &ACME
    }

    fn admit(&self, _: u64) -> Result<SharedTicket, InferError> {
        Err(InferError::internal("nobody asks"))
    }
}

/// A server of models made from closures.
#[derive(Default)]
pub(crate) struct Server {
    models: Mutex<BTreeMap<String, Arc<dyn ServedModel>>>,
}

struct Model<F> {
    identity: ModelIdentity,
    config: ModelConfig,
    signature: Signature,
    answer: F,
}

impl Server {
    pub(crate) fn start() -> (Arc<Self>, ServiceHandle) {
        let server = Arc::new(Self::default());
        let handle = ServiceHandle::default();
        handle.set(&(server.clone() as Arc<dyn InferenceService>));
        (server, handle)
    }

    /// Serves `name` with a closure that answers through the sender, now or later.
    pub(crate) fn serve(&self, name: &str, answer: impl Fn(InferRequest, ResponseSender) + Send + Sync + 'static) {
        self.serve_as(name, signature(), answer);
    }

    /// The same as a model of these tensors.
    pub(crate) fn serve_as(
        &self,
        name: &str,
        signature: Signature,
        answer: impl Fn(InferRequest, ResponseSender) + Send + Sync + 'static,
    ) {
        let (identity, config) = (ModelIdentity::new(name, 1), ModelConfig::default());
        let model = Model { identity, config, signature, answer };
        self.models.lock().unwrap().insert(name.to_owned(), Arc::new(model));
    }

    /// Serves `name` with a plugin.
    pub(crate) fn serve_plugin(&self, name: &str, pool: SandboxPool) {
        let pool = Arc::new(pool);
        self.serve(name, move |request, sender| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let checked = signature().check(request).unwrap();
                let answer = pool.run(&checked, || sender.is_cancelled()).await;
                sender.respond(answer);
            });
        });
    }
}

impl InferenceService for Server {
    fn model(&self, name: &str, _version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        let found = self.models.lock().unwrap().get(name).cloned();
        found.ok_or_else(|| InferError::not_found(format!("Request for unknown model: '{name}' is not found")))
    }

    fn ready_models(&self, _name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        self.models.lock().unwrap().values().cloned().collect()
    }

    fn server_state(&self) -> ServerState {
        ServerState::Ready
    }
}

impl<F: Fn(InferRequest, ResponseSender) + Send + Sync> ServedModel for Model<F> {
    fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn infer(&self, request: InferRequest) -> ResponseStream {
        let (sender, stream) = response_channel();
        (self.answer)(request, sender);
        stream
    }

    fn statistics(&self) -> ModelStatistics {
        unreachable!("no guest asks for statistics")
    }
}

/// The folder `wit` of this repository, from whichever crate this file is compiled in.
pub(crate) fn wit_directory() -> std::path::PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("wit")).find(|folder| folder.is_dir()).unwrap()
}
