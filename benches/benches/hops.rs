//! What each hop of a request costs by itself: reading a body, gathering a batch, calling a plugin, an ensemble's edge.
//!
//! `cargo bench -p nereid-benches --bench hops` after `cargo xtask guests`. Sizes are bytes of one FP32 tensor.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, HashMap},
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nereid_backend::{Backend, Batch, gather};
use nereid_backend_identity::IdentityBackend;
use nereid_inference::{
    CheckedRequest, InferError, InferRequest, InferenceService, LoadClock, ModelConfig, ModelIdentity, ModelLoader,
    ModelSource, NamedTensor, NoRegions, ServedModel, ServerState, ServiceHandle, Signature, TensorSpec,
    config::{EnsembleScheduling, EnsembleStep, ModelInput, ModelOutput, Scheduling},
    response_channel,
};
use nereid_pipeline::{InstanceRules, Loader, LoaderSettings, PipelineLimits};
use nereid_plugin::{Plugin, PluginEngine, PluginLimits, PluginSpec, SandboxPool, StateStore};
use nereid_protocol::http::{InferBody, RequestContext, decode_infer_request};
use nereid_telemetry::{CustomMetrics, MetricsSettings, Telemetry};
use nereid_tensor::{DataType, Tensor};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

/// 16 and 1,024 floats, and an image of 3 x 224 x 224.
const SIZES_BYTES: [usize; 3] = [64, 4 * 1024, 602_112];

criterion_group!(hops, json_parse, binary_split, gather_batch, plugin_call, ensemble_edge);
criterion_main!(hops);

fn json_parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json_parse");
    for size in SIZES_BYTES {
        let values: Vec<String> = (0..size / 4).map(|index| format!("{}", index as f32 / 7.0)).collect();
        let json = format!(
            r#"{{"inputs":[{{"name":"INPUT0","shape":[{}],"datatype":"FP32","data":[{}]}}]}}"#,
            values.len(),
            values.join(",")
        );
        let body = InferBody { bytes: json.into(), json_bytes: None };
        decode(&mut group, size, &body);
    }
}

fn binary_split(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("binary_split");
    for size in SIZES_BYTES {
        let json = format!(
            r#"{{"inputs":[{{"name":"INPUT0","shape":[{}],"datatype":"FP32","parameters":{{"binary_data_size":{size}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
            size / 4
        );
        let json_bytes = Some(json.len());
        let mut bytes = json.into_bytes();
        bytes.resize(bytes.len() + size, 0);
        decode(&mut group, size, &InferBody { bytes: bytes.into(), json_bytes });
    }
}

fn decode(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>, size: usize, body: &InferBody) {
    let signature = signature();
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_with_input(BenchmarkId::from_parameter(size), body, |bencher, body| {
        bencher.iter(|| {
            let context = RequestContext {
                signature: &signature,
                received: Instant::now(),
                input_bytes_max: 1 << 26,
                regions: &NoRegions,
            };
            decode_infer_request(black_box(body), &context).unwrap()
        });
    });
}

fn gather_batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gather");
    for requests in [1_u64, 8] {
        for size in SIZES_BYTES {
            let signature = Signature { max_batch_size: 8, ..signature() };
            let batch = Batch::new((0..requests).map(|_| {
                let tensor = Tensor::new(DataType::Fp32, [1, size as u64 / 4].into(), vec![0; size].into()).unwrap();
                let request = InferRequest::new(vec![NamedTensor::new("INPUT0", tensor)]);
                (signature.check(request).unwrap(), response_channel().0)
            }));
            group.throughput(Throughput::Bytes(requests * size as u64));
            group.bench_function(BenchmarkId::new(format!("{requests} requests"), size), |bencher| {
                bencher.iter(|| gather(black_box(&batch), "INPUT0").unwrap());
            });
        }
    }
}

fn plugin_call(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let engine = PluginEngine::start(None).unwrap();
    let mut group = criterion.benchmark_group("plugin_call");
    for guest in ["identity", "touch"] {
        for (warmth, fresh_guest_per_call) in [("warm", false), ("cold", true)] {
            let pool = sandbox_pool(&engine, guest, fresh_guest_per_call);
            for size in SIZES_BYTES {
                let request = request(size);
                group.throughput(Throughput::Bytes(size as u64));
                group.bench_function(BenchmarkId::new(format!("{guest} {warmth}"), size), |bencher| {
                    bencher.iter(|| runtime.block_on(pool.run(black_box(&request), || false)).unwrap());
                });
            }
        }
    }
}

/// A model called by itself, and through ensembles of one and two steps: the difference is the price of an edge.
fn ensemble_edge(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let models = Arc::new(Models::default());
    let service: Arc<dyn InferenceService> = models.clone();
    let handle = ServiceHandle::default();
    handle.set(&service);
    let backends: Vec<Arc<dyn Backend>> = vec![Arc::new(IdentityBackend::default())];
    let loader = Loader::new(LoaderSettings {
        backends,
        telemetry: Telemetry::new(MetricsSettings::default()),
        service: handle,
        rules: InstanceRules::default(),
        runtime: runtime.handle().clone(),
        limits: PipelineLimits::default(),
        cache: None,
        memory: None,
        huge_pages: None,
        agents: None,
        strategies: None,
    });
    let mut group = criterion.benchmark_group("ensemble_edge");
    for (name, config) in [
        ("model", model_config("model")),
        ("one step", ensemble("one step", 1)),
        ("two steps", ensemble("two steps", 2)),
    ] {
        let model = loader.load(source(config)).unwrap_or_else(|error| panic!("{name}: {error}"));
        models.0.lock().insert(name.to_owned(), model.clone());
        for size in [64, 602_112] {
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                let request = request(size).into_inner();
                bencher.iter(|| runtime.block_on(model.infer(request.clone()).single()).unwrap());
            });
        }
    }
}

fn sandbox_pool(engine: &PluginEngine, guest: &str, fresh_guest_per_call: bool) -> SandboxPool {
    let path = workspace().join(format!("target/guests/{guest}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: cargo xtask guests", path.display()));
    let compiled = engine.compile(guest, &bytes).unwrap();
    let spec = PluginSpec {
        plugin: guest.to_owned(),
        model: ModelIdentity::new(guest, 1),
        signature: signature(),
        decoupled: false,
        parameters: BTreeMap::new(),
        limits: PluginLimits::DEFAULT,
        grants: Default::default(),
        service: ServiceHandle::default(),
        control: Default::default(),
        state: Arc::new(StateStore::new()),
        meters: Arc::new(CustomMetrics::default()).of_model(&guest.into()),
        usage: Default::default(),
        listener: None,
        fresh_guest_per_call,
        life: Default::default(),
    };
    SandboxPool::start(Plugin::new(engine, compiled, spec), "bench_0_0").unwrap()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn signature() -> Signature {
    let spec =
        |name: &str| TensorSpec { name: name.into(), data_type: DataType::Fp32, dims: vec![-1], optional: false };
    Signature {
        model_name: "model".into(),
        inputs: vec![spec("INPUT0")],
        outputs: vec![spec("OUTPUT0")],
        max_batch_size: 0,
    }
}

fn request(size: usize) -> CheckedRequest {
    let tensor = Tensor::new(DataType::Fp32, [size as u64 / 4].into(), vec![0; size].into()).unwrap();
    signature().check(InferRequest::new(vec![NamedTensor::new("INPUT0", tensor)])).unwrap()
}

fn model_config(name: &str) -> ModelConfig {
    let (data_type, dims) = (DataType::Fp32.into(), vec![-1]);
    ModelConfig {
        name: name.into(),
        backend: "identity".into(),
        inputs: vec![ModelInput { name: "INPUT0".into(), data_type, dims: dims.clone(), ..ModelInput::default() }],
        outputs: vec![ModelOutput { name: "OUTPUT0".into(), data_type, dims, ..ModelOutput::default() }],
        ..ModelConfig::default()
    }
}

/// An ensemble of `steps` calls of the identity model, one after another.
fn ensemble(name: &str, steps: usize) -> ModelConfig {
    let tensor = |index: usize| match index {
        0 => "INPUT0".to_owned(),
        index if index == steps => "OUTPUT0".to_owned(),
        index => format!("edge {index}"),
    };
    let step = |index: usize| EnsembleStep {
        model_name: "model".into(),
        model_version: -1,
        input_map: [("INPUT0".to_owned(), tensor(index))].into(),
        output_map: [("OUTPUT0".to_owned(), tensor(index + 1))].into(),
        ..EnsembleStep::default()
    };
    let scheduling = EnsembleScheduling { steps: (0..steps).map(step).collect(), ..EnsembleScheduling::default() };
    ModelConfig {
        platform: "ensemble".into(),
        backend: String::new(),
        scheduling: Some(Scheduling::Ensemble(scheduling)),
        ..model_config(name)
    }
}

fn source(config: ModelConfig) -> ModelSource {
    ModelSource {
        identity: ModelIdentity::new(config.name.as_str(), 1),
        model_directory: PathBuf::new(),
        version_directory: PathBuf::new(),
        config,
        clock: LoadClock::default(),
    }
}

/// Models by name, without a repository behind them.
#[derive(Default)]
struct Models(Mutex<HashMap<String, Arc<dyn ServedModel>>>);

impl InferenceService for Models {
    fn model(&self, name: &str, _version: Option<u64>) -> Result<Arc<dyn ServedModel>, InferError> {
        self.0.lock().get(name).cloned().ok_or_else(|| InferError::not_found(name))
    }

    fn ready_models(&self, _name: Option<&str>) -> Vec<Arc<dyn ServedModel>> {
        self.0.lock().values().cloned().collect()
    }

    fn server_state(&self) -> ServerState {
        ServerState::Ready
    }
}
