//! Finding the backend, and what a loaded model counts.

use std::sync::Arc;

use nereid_backend::{Backend, LoadedModel, fake::FakeBehaviour};
use nereid_inference::{
    InferError, InferRequest, ModelConfig, ModelLoader, ModelSource,
    config::{MetricControl, TransactionPolicy},
};

use crate::test_service::{World, echo, source, tensor};

#[track_caller]
fn check_refused(world: &World, config: ModelConfig, expected: &str) {
    let error = world.loader.load(source(config)).err().map(|error| error.message().to_owned());
    assert!(error.as_deref().is_some_and(|text| text.contains(expected)), "expected {expected:?}, got {error:?}");
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_named_with_those_that_are() {
    let world = World::new(FakeBehaviour::default());
    let with = |backend: &str, platform: &str| ModelConfig {
        backend: backend.into(),
        platform: platform.into(),
        ..echo("m", 2)
    };
    check_refused(&world, with("tensorflow", ""), "unable to find backend 'tensorflow' for model 'm'");
    check_refused(&world, with("tensorflow", ""), "this server has the backends fake");
    check_refused(&world, with("", "caffe2_netdef"), "unexpected platform type 'caffe2_netdef' for m");
    check_refused(
        &world,
        with("fake", "onnxruntime_onnx"),
        "unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, fake",
    );
    check_refused(&world, with("", ""), "Invalid model name: Could not determine backend for model 'm'");
}

/// Serves models of the backend `shared` that have no such backend, and every model with a `runtime`.
struct Adopting;

impl Backend for Adopting {
    fn name(&self) -> &'static str {
        "adopting"
    }

    fn default_model_filename(&self) -> &'static str {
        ""
    }

    fn adopts(&self, config: &ModelConfig) -> bool {
        config.backend == "shared" || config.runtime == "model.py"
    }

    fn complete_config(&self, source: &ModelSource) -> Result<ModelConfig, InferError> {
        Ok(ModelConfig { platform: "adopted".into(), ..source.config.clone() })
    }

    fn load(&self, _source: &ModelSource) -> Result<Arc<dyn LoadedModel>, InferError> {
        Err(InferError::internal("adopted"))
    }
}

#[tokio::test]
async fn code_for_many_models_is_asked_before_a_name_where_there_is_a_runtime_and_after_it_where_not() {
    let world = World::with_backends(FakeBehaviour::default(), vec![Arc::new(Adopting)]);
    let with =
        |backend: &str, runtime: &str| ModelConfig { backend: backend.into(), runtime: runtime.into(), ..echo("m", 2) };
    let is_adopted = |config| world.loader.complete_config(&source(config)).unwrap().platform == "adopted";
    assert!(is_adopted(with("shared", "")), "a name that no backend has");
    assert!(is_adopted(with("fake", "model.py")), "a name that a backend has, and a runtime");
    assert!(!is_adopted(with("fake", "")) && !is_adopted(with("fake", "libtriton_fake.so")));
    check_refused(&world, with("shared", ""), "adopted");
    check_refused(&world, with("other", ""), "this server has the backends fake, adopting");
}

#[tokio::test]
async fn a_directory_name_may_name_the_backend() {
    let world = World::new(FakeBehaviour::default());
    let config = ModelConfig { backend: String::new(), ..echo("m.fake", 2) };
    let completed = world.loader.complete_config(&source(config)).unwrap();
    assert_eq!(completed.backend, "fake");
}

#[tokio::test]
async fn a_request_is_counted_once_in_statistics_and_metrics() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(echo("m", 2)).unwrap();
    world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
    let statistics = model.statistics();
    assert_eq!(statistics.inference_count, 1);
    assert_eq!(statistics.execution_count, 1);
    assert_eq!(statistics.inference.success.count, 1);
    assert_eq!(statistics.batches.len(), 1);
    assert!(statistics.last_inference_ms > 0);
    let page = world.telemetry.render();
    assert!(page.contains(r#"nv_inference_request_success{model="m",version="1"} 1"#), "{page}");
    assert!(page.contains(r#"nv_inference_exec_count{model="m",version="1"} 1"#), "{page}");
}

#[tokio::test]
async fn a_request_that_does_not_fit_never_reaches_the_backend() {
    let world = World::new(FakeBehaviour { panics: true, ..FakeBehaviour::default() });
    world.load(echo("m", 2)).unwrap();
    let error = world.infer("m", vec![tensor("X", &[1.0, 2.0, 3.0])]).await.unwrap_err();
    assert!(error.message().contains("unexpected shape for input 'X' for model 'm'"), "{error}");
}

#[tokio::test]
async fn a_backend_that_panics_fails_the_request_and_goes_on() {
    let world = World::new(FakeBehaviour { panics: true, ..FakeBehaviour::default() });
    world.load(echo("m", 2)).unwrap();
    for _ in 0..2 {
        let error = world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap_err();
        assert!(error.message().starts_with("the backend panicked"), "{error}");
    }
    assert_eq!(world.service.model("m", None).unwrap().statistics().inference.fail.count, 2);
}

#[tokio::test]
async fn the_version_directory_shows_the_backend_by_its_file() {
    let world = World::new(FakeBehaviour::default());
    let config = ModelConfig { backend: String::new(), ..echo("m", 2) };
    let source = ModelSource { version_directory: "nowhere/at/all".into(), ..source(config) };
    let error = world.loader.complete_config(&source).unwrap_err();
    assert!(error.message().contains("nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn each_response_of_a_decoupled_model_is_counted_by_its_index() {
    let world = World::new(FakeBehaviour { streams: Some(2), ..FakeBehaviour::default() });
    let transaction_policy = Some(TransactionPolicy { decoupled: true });
    let model = world.load(ModelConfig { transaction_policy, ..echo("m", 2) }).unwrap();
    for _ in 0..3 {
        let mut stream = model.infer(InferRequest::new(vec![tensor("X", &[1.0, 2.0])]));
        while stream.next().await.is_some() {}
    }
    let statistics = model.statistics();
    let counts = statistics.responses.iter().map(|row| {
        let counters = [row.compute_infer, row.compute_output, row.success, row.fail, row.empty_response, row.cancel];
        counters.map(|counter| counter.count)
    });
    assert_eq!(counts.collect::<Vec<_>>(), [[3, 3, 3, 0, 0, 0], [3, 3, 3, 0, 0, 0], [3, 0, 0, 0, 3, 0]]);
    assert_eq!(statistics.inference.success.count, 3);
    let page = world.telemetry.render();
    let series = r#"nv_inference_first_response_histogram_ms_count{model="m",version="1"} 3"#;
    assert!(page.contains(series), "once per request: {page}");
}

#[tokio::test]
async fn a_backend_that_gives_one_response_refuses_to_be_decoupled() {
    let transaction_policy = Some(TransactionPolicy { decoupled: true });
    let config = ModelConfig { transaction_policy, ..echo("m", 2) };
    let world = World::new(FakeBehaviour { blocking: true, ..FakeBehaviour::default() });
    let text = "model 'm' has model_transaction_policy { decoupled: true }, but the backend 'fake' gives exactly one";
    check_refused(&world, config.clone(), text);
    let invalid = world.loader.validate(&source(config.clone()), &|_| None).unwrap_err();
    assert!(invalid.message().starts_with(text), "{invalid}");
    let able = World::new(FakeBehaviour::default());
    assert!(able.load(config).is_ok());
}

#[tokio::test]
async fn a_model_with_one_response_has_no_statistics_per_response() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(echo("m", 2)).unwrap();
    world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
    assert!(model.statistics().responses.is_empty());
    let series = r#"nv_inference_first_response_histogram_ms_count{model="m",version="1"} 1"#;
    assert!(world.telemetry.render().contains(series));
}

#[tokio::test]
async fn buckets_that_do_not_ascend_fail_the_validation() {
    let world = World::new(FakeBehaviour::default());
    let family = Some("nv_inference_first_response_histogram_ms".to_owned());
    let control = MetricControl { family, histogram_buckets: Some(vec![2.0, 1.0]) };
    let config = ModelConfig { model_metrics: Some(vec![control]), ..echo("m", 2) };
    let error = world.loader.validate(&source(config), &|_| None).unwrap_err();
    assert!(error.message().contains("has 1 after 2, expected ascending bounds"), "{error}");
}
