//! What holds an ensemble back: a reader that stops, requests in a step, and bytes on their way.

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{InferRequest, RESPONSES_BUFFERED_MAX, config::Scheduling};

use super::decoupled;
use crate::{
    PipelineLimits,
    test_service::{World, ensemble, step, tensor},
};

/// Until everybody waits for somebody else.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_members_back() {
    let world = World::new(FakeBehaviour { streams: Some(1_000_000), ..FakeBehaviour::default() });
    let member = world.load(decoupled("a")).unwrap();
    let model = world.load(ensemble("e", vec![step("a", "IN", "OUT")])).unwrap();
    let mut stream = model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]));
    stream.next().await.unwrap();
    settle().await;
    // What was read, two channels, and the one between them.
    let made = member.statistics().responses.len();
    assert!((RESPONSES_BUFFERED_MAX..=2 * (RESPONSES_BUFFERED_MAX + 2)).contains(&made), "{made} responses made");
    drop(stream);
    settle().await;
    assert_eq!(model.statistics().inference.fail.count, 1);
    assert_eq!(member.statistics().responses.iter().map(|row| row.cancel.count).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_step_takes_no_more_requests_than_the_configuration_says() {
    for (cap, waiting) in [(1, 0), (2, 1)] {
        let world = World::new(FakeBehaviour { streams: Some(100), ..FakeBehaviour::default() });
        world.load(decoupled("a")).unwrap();
        let mut config = ensemble("e", vec![step("a", "IN", "OUT")]);
        if let Some(Scheduling::Ensemble(scheduling)) = &mut config.scheduling {
            scheduling.max_inflight_requests = cap;
        }
        let model = world.load(config).unwrap();
        let infer = || model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]));
        // The member has one instance, which streams to whoever comes first until it is read.
        let (mut first, mut second) = (infer(), infer());
        first.next().await.unwrap();
        settle().await;
        let page = world.telemetry.render();
        let series = format!(r#"nv_inference_pending_request_count{{model="a",version="1"}} {waiting}"#);
        assert!(page.contains(&series), "{cap} at a time: {page}");
        drop(first);
        second.next().await.unwrap();
    }
}

/// Requests of a model that wait for its one instance.
fn waiting(world: &World, model: &str) -> u64 {
    let page = world.telemetry.render();
    let series = format!(r#"nv_inference_pending_request_count{{model="{model}",version="1"}} "#);
    let line = page.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("no {series} on the page: {page}")).parse().unwrap()
}

/// Two decoupled steps, of which the second is slow because nobody reads.
#[tokio::test]
async fn with_too_many_bytes_on_their_way_a_request_has_one_response_in_the_next_step() {
    const RESPONSES: u64 = 20;
    for (ensemble_bytes_max, is_short) in [(1, true), (1 << 20, false)] {
        let behaviour = FakeBehaviour { streams: Some(RESPONSES), ..FakeBehaviour::default() };
        let world = World::with_limits(behaviour, PipelineLimits { ensemble_bytes_max, ..PipelineLimits::default() });
        world.load(decoupled("a")).unwrap();
        world.load(decoupled("b")).unwrap();
        let model = world.load(ensemble("e", vec![step("a", "IN", "middle"), step("b", "middle", "OUT")])).unwrap();
        let mut stream = model.infer(InferRequest::new(vec![tensor("IN", &[1.0, 2.0])]));
        let mut received = u64::from(stream.next().await.unwrap().response.unwrap().is_ok());
        settle().await;
        assert_eq!(waiting(&world, "b") == 0, is_short, "{ensemble_bytes_max} bytes: {} wait", waiting(&world, "b"));
        while let Some(delivery) = stream.next().await {
            received += delivery.response.map_or(0, |response| u64::from(response.is_ok()));
        }
        assert_eq!(received, RESPONSES * RESPONSES, "and every response comes");
    }
}
