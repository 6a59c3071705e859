//! The languages that plugins are written in, each with the components of its contract tests.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock, OnceLock},
};

use nereid_inference::{
    InferError, InferRequest, InferResponse, NamedTensor, ParameterValue, Parameters, Signature, TensorSpec,
};
use nereid_plugin::{CompiledPlugin, Plugin, PluginEngine, PluginSpec, SandboxPool};
use nereid_tensor::{DataType, Tensor};

use super::wit_directory;

/// A language, and where its accident happens, as its errors say it.
pub(crate) struct Language {
    pub(crate) name: &'static str,
    pub(crate) place: &'static str,
    /// What its accident says; C has no words for one.
    pub(crate) words: &'static str,
    transform: OnceLock<Option<CompiledPlugin>>,
    model: OnceLock<Option<CompiledPlugin>>,
    full_model: OnceLock<Option<CompiledPlugin>>,
}

static LANGUAGES: [Language; 5] = [
    language("rust", "src/lib.rs:"),
    language("python", "plugin.py:"),
    language("javascript", "plugin.js:"),
    language("go", "plugin.go:"),
    accident("c", "fail_on_purpose", "unreachable"),
];

/// Beside them, a plugin with the whole life of a model in functions that await, which is Rust.
static AWAITING: Language = language("awaiting", "src/lib.rs:");

static CACHED: LazyLock<PluginEngine> =
    LazyLock::new(|| PluginEngine::start(Some(root().join("target/plugin-cache"))).unwrap());

const fn language(name: &'static str, place: &'static str) -> Language {
    accident(name, place, "out of luck")
}

const fn accident(name: &'static str, place: &'static str, words: &'static str) -> Language {
    Language { name, place, words, transform: OnceLock::new(), model: OnceLock::new(), full_model: OnceLock::new() }
}

/// Of this repository.
pub(crate) fn root() -> PathBuf {
    wit_directory().parent().unwrap().to_owned()
}

// === impl Language ===

impl Language {
    fn compile(&self, folder: &str) -> Option<CompiledPlugin> {
        built(&format!("{folder}_{}.wasm", self.name))
    }
}

/// A component that `cargo xtask guests` makes; without it the test is skipped, or fails where guests are required.
pub(crate) fn built(name: &str) -> Option<CompiledPlugin> {
    let path = root().join("target/guests").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        let text = format!("{} is missing: cargo xtask guests", path.display());
        assert!(std::env::var_os("NEREID_REQUIRE_GUESTS").is_none(), "{text}");
        println!("SKIPPED {name}: {text}");
        return None;
    };
    Some(CACHED.compile(name, &bytes).unwrap())
}

/// The one-function plugin of every language whose component is there.
pub(crate) fn plugins() -> impl Iterator<Item = (&'static Language, &'static CompiledPlugin)> {
    LANGUAGES.iter().filter_map(|language| {
        let compiled = language.transform.get_or_init(|| language.compile("contract"));
        Some((language, compiled.as_ref()?))
    })
}

/// The plugin of whole batches of every language whose component is there.
pub(crate) fn models() -> impl Iterator<Item = (&'static Language, &'static CompiledPlugin)> {
    LANGUAGES.iter().filter_map(|language| {
        let compiled = language.model.get_or_init(|| language.compile("contract_model"));
        Some((language, compiled.as_ref()?))
    })
}

/// The plugin with the whole life of a model of every language whose component is there, and the one that awaits.
pub(crate) fn full_models() -> impl Iterator<Item = (&'static Language, &'static CompiledPlugin)> {
    LANGUAGES.iter().chain([&AWAITING]).filter_map(|language| {
        let compiled = language.full_model.get_or_init(|| language.compile("contract_full"));
        Some((language, compiled.as_ref()?))
    })
}

pub(crate) fn plugin(compiled: &CompiledPlugin, spec: PluginSpec) -> Arc<Plugin> {
    Plugin::new(&CACHED, compiled.clone(), spec)
}

pub(crate) fn pool_of(compiled: &CompiledPlugin, spec: PluginSpec) -> SandboxPool {
    SandboxPool::start(plugin(compiled, spec), "m_0_0").unwrap()
}

/// A model whose `X` is of this type.
pub(crate) fn signature_of(data_type: DataType) -> Signature {
    let spec = TensorSpec { name: "X".into(), data_type, dims: vec![-1], optional: false };
    Signature { model_name: "m".into(), inputs: vec![spec.clone()], outputs: vec![spec], max_batch_size: 0 }
}

pub(crate) fn asking(mode: &str, tensor: Tensor) -> InferRequest {
    let mut request = InferRequest::new(vec![NamedTensor::new("X", tensor)]);
    request.parameters = Parameters::default();
    request.parameters.insert("mode", ParameterValue::String(mode.to_owned()));
    request
}

pub(crate) fn numbers(values: &[f32]) -> Tensor {
    Tensor::from_elements([values.len() as u64], values).unwrap()
}

pub(crate) async fn run(
    pool: &SandboxPool,
    data_type: DataType,
    request: InferRequest,
) -> Result<InferResponse, InferError> {
    pool.run(&signature_of(data_type).check(request).unwrap(), || false).await
}

pub(crate) async fn ask(pool: &SandboxPool, mode: &str, input: &[f32]) -> Result<InferResponse, InferError> {
    run(pool, DataType::Fp32, asking(mode, numbers(input))).await
}
