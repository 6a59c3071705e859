//! Models that cache, over a fake backend: who is executed, what is counted, and what is never kept.

use std::{fs, path::Path, time::Duration};

use futures_util::FutureExt;
use nereid_backend::fake::FakeBehaviour;
use nereid_cache::{CacheLimits, LocalCache};
use nereid_inference::{
    InferStatistics, ModelConfig, ModelSource, NamedTensor, ResponseStream, ServedModel,
    config::{DynamicBatching, ResponseCache as CacheField, Scheduling},
};
use nereid_tensor::{Buffer, DataType, Tensor};

use super::*;
use crate::{
    CacheUse,
    test_service::{World, echo, ensemble, source, step, tensor},
};

const BUDGET_BYTES: usize = 1 << 20;

/// A store that says it is shared, as Redis is.
struct SharedStore(LocalCache);

impl ResponseCache for SharedStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn lookup(&self, key: &CacheKey) -> Lookup {
        match self.0.lookup(key) {
            Lookup::Hit(response) => Lookup::Pending(Box::pin(async { Some(response) })),
            _ => Lookup::Pending(Box::pin(async { None })),
        }
    }

    fn insert(&self, key: &CacheKey, response: &InferResponse) {
        self.0.insert(key, response);
    }
}

fn local() -> LocalCache {
    LocalCache::new(BUDGET_BYTES, &CacheLimits::default())
}

fn cache_use(cache: impl ResponseCache + 'static) -> CacheUse {
    CacheUse::new(Arc::new(cache), &CacheLimits::default())
}

fn world(behaviour: FakeBehaviour) -> World {
    World::with_cache(behaviour, Some(cache_use(local())))
}

/// Takes long enough for others to come meanwhile, on a thread.
fn slow() -> FakeBehaviour {
    FakeBehaviour { compute: Duration::from_millis(100), blocking: true, ..FakeBehaviour::default() }
}

fn cached(config: ModelConfig) -> ModelConfig {
    ModelConfig { response_cache: Some(CacheField { enable: true }), ..config }
}

fn request() -> InferRequest {
    InferRequest::new(vec![tensor("X", &[1.0, 2.0])])
}

async fn succeed(stream: ResponseStream) {
    let response = stream.single().await.unwrap();
    let output = response.output("Y").unwrap();
    assert_eq!(output.elements::<f32>().unwrap().as_ref(), &[1.0, 2.0]);
}

/// Executions, and what the statistics count: success, fail, hits, misses.
#[track_caller]
fn check(model: &Arc<dyn ServedModel>, executions: u64, counts: [u64; 4]) {
    let statistics = model.statistics();
    let InferStatistics { success, fail, cache_hit, cache_miss, queue, compute_infer, .. } = statistics.inference;
    let found = [success, fail, cache_hit, cache_miss].map(|statistic| statistic.count);
    assert_eq!((statistics.execution_count, found), (executions, counts), "success, fail, hits, misses");
    assert_eq!(queue.count, success.count, "every success was in the queue");
    assert_eq!(compute_infer.count, success.count - cache_hit.count, "a hit computes nothing");
    assert_eq!(statistics.inference_count, success.count - cache_hit.count);
}

#[tokio::test]
async fn what_comes_again_is_not_executed_again() {
    let world = world(FakeBehaviour::default());
    let model = world.load(cached(echo("m", 2))).unwrap();
    for _ in 0..3 {
        succeed(model.infer(request())).await;
    }
    check(&model, 1, [3, 0, 2, 1]);
    let mut other = request();
    other.inputs = vec![tensor("X", &[2.0, 1.0])];
    model.infer(other).single().await.unwrap();
    check(&model, 2, [4, 0, 2, 2]);
    let page = world.telemetry.render();
    assert!(page.contains(r#"nv_cache_num_hits_per_model{model="m",version="1"} 2"#), "{page}");
}

#[tokio::test]
async fn a_model_that_does_not_ask_is_executed_every_time() {
    let world = world(FakeBehaviour::default());
    let model = world.load(echo("m", 2)).unwrap();
    succeed(model.infer(request())).await;
    succeed(model.infer(request())).await;
    check(&model, 2, [2, 0, 0, 0]);
    assert!(!world.telemetry.render().contains("nv_cache"));
    let without = World::new(FakeBehaviour::default());
    let model = without.load(cached(echo("m", 2))).unwrap();
    succeed(model.infer(request())).await;
    succeed(model.infer(request())).await;
    check(&model, 2, [2, 0, 0, 0]);
}

#[tokio::test]
async fn what_is_kept_is_no_view_of_a_clients_memory() {
    let world = world(FakeBehaviour::default());
    let model = world.load(cached(echo("m", 2))).unwrap();
    let mut first = request();
    let bytes = first.inputs[0].tensor.buffer().as_slice().to_vec();
    let view = Tensor::new(DataType::Fp32, [1, 2].into(), Buffer::external(bytes.into())).unwrap();
    let range = view.buffer().as_slice().as_ptr_range();
    first.inputs = vec![NamedTensor::new("X", view.clone())];
    for _ in 0..2 {
        let response = model.infer(first.clone()).single().await.unwrap();
        let output = response.output("Y").unwrap().buffer().clone();
        assert!(!output.is_external() && !range.contains(&output.as_slice().as_ptr()));
    }
    succeed(model.infer(request())).await;
    check(&model, 1, [3, 0, 2, 1]);
}

#[tokio::test]
async fn errors_are_never_kept() {
    let world = world(FakeBehaviour { failure: Some("out of luck".into()), ..FakeBehaviour::default() });
    let model = world.load(cached(echo("m", 2))).unwrap();
    for _ in 0..2 {
        assert_eq!(model.infer(request()).single().await.unwrap_err().message(), "out of luck");
    }
    check(&model, 2, [0, 2, 0, 0]);
}

#[tokio::test]
async fn a_reload_begins_with_nothing() {
    let world = world(FakeBehaviour::default());
    let old = world.load(cached(echo("m", 2))).unwrap();
    succeed(old.infer(request())).await;
    let new = world.load(cached(echo("m", 2))).unwrap();
    succeed(new.infer(request())).await;
    check(&new, 1, [1, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn identical_requests_at_one_time_are_executed_once() {
    let world = world(slow());
    let model = world.load(cached(echo("m", 2))).unwrap();
    let streams: Vec<ResponseStream> = (0..20).map(|_| model.infer(request())).collect();
    for stream in streams {
        succeed(stream).await;
    }
    check(&model, 1, [20, 0, 19, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_do_not_notice_that_the_leader_leaves() {
    let world = world(slow());
    let model = world.load(cached(echo("m", 2))).unwrap();
    let leader = model.infer(request());
    let followers = [model.infer(request()), model.infer(request())];
    drop(leader);
    for follower in followers {
        succeed(follower).await;
    }
    check(&model, 1, [2, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_leaves_is_counted_and_harms_nobody() {
    let world = world(slow());
    let model = world.load(cached(echo("m", 2))).unwrap();
    let leader = model.infer(request());
    drop(model.infer(request()));
    succeed(leader).await;
    // The task of the one that left may still be on its way.
    while model.statistics().inference.fail.count == 0 {
        tokio::task::yield_now().await;
    }
    check(&model, 1, [1, 1, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_fails_because_of_somebody_else() {
    let world = world(FakeBehaviour { failure: Some("out of luck".into()), ..slow() });
    let model = world.load(cached(echo("m", 2))).unwrap();
    let streams: Vec<ResponseStream> = (0..4).map(|_| model.infer(request())).collect();
    for stream in streams {
        assert_eq!(stream.single().await.unwrap_err().message(), "out of luck");
    }
    check(&model, 4, [0, 4, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_with_a_timeout_or_a_priority_waits_for_nobody() {
    let world = world(slow());
    let model = world.load(cached(echo("m", 2))).unwrap();
    let mut own = [request(), request(), request()];
    own[1].timeout = Some(Duration::from_secs(60));
    own[2].priority = 1;
    let streams = own.map(|request| model.infer(request));
    for stream in streams {
        succeed(stream).await;
    }
    let statistics = model.statistics();
    assert_eq!(statistics.execution_count, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hits_wait_for_their_turn_where_the_order_is_kept() {
    let world = world(slow());
    let batching = DynamicBatching { preserve_ordering: true, ..DynamicBatching::default() };
    let scheduling = Some(Scheduling::Dynamic(batching));
    let model = world.load(cached(ModelConfig { scheduling, ..echo("m", 2) })).unwrap();
    succeed(model.infer(request())).await;
    let slow = model.infer(InferRequest::new(vec![tensor("X", &[5.0, 5.0])]));
    let mut hit = model.infer(request());
    assert!(hit.next().now_or_never().is_none(), "the hit overtook a request that came first");
    slow.single().await.unwrap();
    succeed(hit).await;
    check(&model, 2, [3, 0, 1, 2]);
}

#[tokio::test]
async fn a_hit_on_an_ensemble_skips_its_members() {
    let world = world(FakeBehaviour::default());
    world.load(echo("a", 2)).unwrap();
    let model = world.load(cached(ensemble("e", vec![step("a", "IN", "OUT")]))).unwrap();
    for _ in 0..3 {
        model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])])).single().await.unwrap();
    }
    check(&model, 1, [3, 0, 2, 1]);
    let member = world.service.model("a", None).unwrap();
    check(&member, 1, [1, 0, 0, 0]);
}

// === A store that processes share ===

fn write(directory: &Path, name: &str, weights: &str) -> ModelSource {
    let model_directory = directory.join(name);
    let version_directory = model_directory.join("1");
    fs::create_dir_all(&version_directory).unwrap();
    fs::write(version_directory.join("weights"), weights).unwrap();
    ModelSource { model_directory, version_directory, ..source(cached(echo(name, 2))) }
}

/// Whether a second process, whose model has these weights, finds what a first one put away for those of `one`.
async fn is_shared(one: &str, other: &str) -> bool {
    let store = cache_use(SharedStore(local()));
    let mut hits = 0;
    for weights in [one, other] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::with_cache(FakeBehaviour::default(), Some(store.clone()));
        let model = world.load_source(write(directory.path(), "m", weights)).unwrap();
        succeed(model.infer(request())).await;
        hits = model.statistics().inference.cache_hit.count;
    }
    hits == 1
}

#[tokio::test]
async fn processes_share_answers_of_the_same_files_and_no_others() {
    assert!(is_shared("weights", "weights").await);
    assert!(!is_shared("weights", "other weights").await);
}

#[tokio::test]
async fn an_ensemble_shares_answers_while_its_members_are_the_same() {
    let store = cache_use(SharedStore(local()));
    let mut hits = Vec::new();
    for weights in ["one", "one", "two"] {
        let directory = tempfile::tempdir().unwrap();
        let world = World::with_cache(FakeBehaviour::default(), Some(store.clone()));
        world.load_source(write(directory.path(), "a", weights)).unwrap();
        let model = world.load(cached(ensemble("e", vec![step("a", "IN", "OUT")]))).unwrap();
        model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])])).single().await.unwrap();
        hits.push(model.statistics().inference.cache_hit.count);
    }
    assert_eq!(hits, [0, 1, 0]);
}

#[tokio::test]
async fn what_a_newer_member_answers_is_not_kept_as_the_older_ones() {
    let store = cache_use(SharedStore(local()));
    let directory = tempfile::tempdir().unwrap();
    let world = World::with_cache(FakeBehaviour::default(), Some(store));
    let mut member = write(directory.path(), "a", "one");
    member.config.response_cache = None;
    world.load_source(member.clone()).unwrap();
    let model = world.load(cached(ensemble("e", vec![step("a", "IN", "OUT")]))).unwrap();
    // The member is new and the ensemble has not been loaded anew yet.
    fs::write(member.version_directory.join("weights"), "longer two").unwrap();
    world.load_source(member).unwrap();
    for _ in 0..2 {
        model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])])).single().await.unwrap();
    }
    assert_eq!(model.statistics().inference.cache_hit.count, 0);
}
