//! Which instances stay when the configuration changes, and that requests do not notice.

use std::{sync::atomic::Ordering, time::Duration};

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{
    ModelLoader, ServedModel,
    config::{self, InstanceGroup, InstanceKind, RateLimiterResource},
};
use nereid_scheduler::{RateLimiter, Supply};

use super::*;
use crate::test_service::{World, echo, source, tensor};

/// Groups as (name, host policy, count).
fn with_groups(groups: &[(&str, &str, i32)]) -> ModelConfig {
    let group = |(name, host_policy, count): &(&str, &str, i32)| InstanceGroup {
        name: (*name).into(),
        host_policy: (*host_policy).into(),
        count: *count,
        kind: InstanceKind::Cpu,
        ..InstanceGroup::default()
    };
    ModelConfig { instance_groups: groups.iter().map(group).collect(), ..echo("m", 2) }
}

/// Names of those that stay, leave and are made.
#[track_caller]
fn check(before: &[(&str, &str, i32)], after: &[(&str, &str, i32)], expected: (&[&str], &[&str], &[&str])) {
    let before = wanted_instances(&with_groups(before)).unwrap();
    let numbered: Vec<(WantedInstance, usize)> = before.iter().cloned().zip(0..).collect();
    let (kept, leaving, missing) = matched(&numbered, wanted_instances(&with_groups(after)).unwrap());
    let kept: Vec<&str> = kept.iter().map(|(instance, _)| instance.spec.name.as_str()).collect();
    let leaving: Vec<&str> = leaving.iter().map(|id| before[*id].spec.name.as_str()).collect();
    let missing: Vec<&str> = missing.iter().map(|instance| instance.spec.name.as_str()).collect();
    assert_eq!((&kept[..], &leaving[..], &missing[..]), expected);
}

#[test]
fn what_both_ask_for_stays() {
    check(&[("a", "", 1)], &[("a", "", 3)], (&["a_0"], &[], &["a_1", "a_2"]));
    check(&[("a", "", 3)], &[("a", "", 1)], (&["a_0"], &["a_1", "a_2"], &[]));
    check(&[("a", "", 1), ("b", "", 1)], &[("b", "", 2)], (&["b_0", "a_0"], &[], &[]));
    check(&[("a", "", 1)], &[("renamed", "", 1)], (&["a_0"], &[], &[]));
    check(&[("a", "", 1)], &[("a", "elsewhere", 1)], (&[], &["a_0"], &["a_0"]));
}

#[tokio::test]
async fn requests_are_answered_while_instances_change_and_statistics_go_on() {
    for blocking in [false, true] {
        let world = World::new(FakeBehaviour { blocking, ..FakeBehaviour::default() });
        let mut model: Arc<dyn ServedModel> = world.load(with_groups(&[("a", "", 1)])).unwrap();
        for round in 0..20 {
            let under_way: Vec<_> = (0..8)
                .map(|_| model.infer(nereid_inference::InferRequest::new(vec![tensor("X", &[1.0, 2.0])])))
                .collect();
            let config = with_groups(&[("a", if round % 3 == 0 { "" } else { "p" }, 1 + round % 4)]);
            model = model.reconfigured(&config).unwrap().unwrap();
            assert_eq!(model.config().instance_groups, config.instance_groups);
            for stream in under_way {
                stream.single().await.unwrap();
            }
        }
        assert_eq!(model.statistics().inference.success.count, 160);
    }
}

#[tokio::test]
async fn a_passive_instance_is_made_and_never_executes() {
    let behaviour = FakeBehaviour { blocking: true, compute: Duration::from_millis(1), ..FakeBehaviour::default() };
    let world = World::new(behaviour.clone());
    let groups = |passive: bool| {
        let mut config = with_groups(&[("a", "", 1), ("b", "", 2)]);
        config.instance_groups[1].passive = passive;
        config
    };
    let model = world.load(groups(true)).unwrap();
    let made = || behaviour.instances_made.load(Ordering::Relaxed);
    assert_eq!(made(), 3);
    // Many requests at once, and one instance that answers them one after the other.
    let request = || nereid_inference::InferRequest::new(vec![tensor("X", &[1.0, 2.0])]);
    let under_way: Vec<_> = (0..20).map(|_| model.infer(request())).collect();
    for stream in under_way {
        stream.single().await.unwrap();
    }
    assert_eq!(behaviour.executing_max.load(Ordering::Relaxed), 1);
    model.reconfigured(&groups(false)).unwrap().unwrap();
    assert_eq!(made(), 5, "instances that execute are others than those that did not");
}

#[tokio::test]
async fn a_model_is_ready_while_its_backend_says_so() {
    let behaviour = FakeBehaviour::default();
    let world = World::new(behaviour.clone());
    let model = world.load(with_groups(&[("a", "", 1)])).unwrap();
    assert!(model.readiness().is_ok());
    behaviour.unready.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(model.readiness().unwrap_err().message(), "the fake was told not to be ready");
    world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
}

/// Rules with a rate limiter over what the instances want.
fn limited() -> InstanceRules {
    InstanceRules { rate_limiter: Some(RateLimiter::new(vec![])), ..InstanceRules::default() }
}

/// An echo called `name` of `count` instances, each of which takes the only copy of a resource.
fn exclusive(name: &str, count: i32) -> ModelConfig {
    let resource = RateLimiterResource { name: "R".into(), global: true, count: 1 };
    let rate_limiter = Some(config::RateLimiter { resources: vec![resource], priority: 1 });
    let group = InstanceGroup { count, rate_limiter, kind: InstanceKind::Cpu, ..InstanceGroup::default() };
    ModelConfig { instance_groups: vec![group], ..echo(name, 2) }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_share_a_resource_never_execute_together() {
    for blocking in [false, true] {
        let behaviour = FakeBehaviour { blocking, compute: Duration::from_micros(200), ..FakeBehaviour::default() };
        let world = World::with_rules(behaviour.clone(), limited());
        let models = ["one", "two"].map(|name| world.load(exclusive(name, 3)).unwrap());
        let request = || nereid_inference::InferRequest::new(vec![tensor("X", &[1.0, 2.0])]);
        let mut under_way = Vec::new();
        for round in 0..60 {
            under_way.push(models[round % 2].infer(request()));
            if round % 10 == 0 {
                let config = exclusive(["one", "two"][round % 2], 1 + (round / 10) as i32);
                models[round % 2].reconfigured(&config).unwrap().unwrap();
            }
        }
        for stream in under_way {
            stream.single().await.unwrap();
        }
        assert_eq!(behaviour.executing_max.load(Ordering::Relaxed), 1, "blocking: {blocking}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_goes_while_it_waits_for_a_grant_answers_first() {
    for blocking in [false, true] {
        let behaviour = FakeBehaviour { blocking, compute: Duration::from_millis(1), ..FakeBehaviour::default() };
        let world = World::with_rules(behaviour, limited());
        let request = || nereid_inference::InferRequest::new(vec![tensor("X", &[1.0, 2.0])]);
        let keeps = world.load(exclusive("keeps", 1)).unwrap();
        for _ in 0..20 {
            let goes = world.loader.load(source(exclusive("goes", 2))).unwrap();
            let first: Vec<_> = (0..3).map(|_| keeps.infer(request())).collect();
            let second: Vec<_> = (0..3).map(|_| goes.infer(request())).collect();
            drop(goes);
            for stream in first.into_iter().chain(second) {
                stream.single().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_panic_gives_back_what_the_execution_took() {
    let world = World::with_rules(FakeBehaviour { panics: true, ..FakeBehaviour::default() }, limited());
    world.load(exclusive("one", 1)).unwrap();
    world.load(exclusive("two", 1)).unwrap();
    for name in ["one", "two", "one"] {
        let error = world.infer(name, vec![tensor("X", &[1.0, 2.0])]).await.unwrap_err();
        assert!(error.message().contains("the backend panicked"), "{error}");
    }
}

#[tokio::test]
async fn a_demand_that_can_never_be_met_fails_the_load() {
    let supply = Supply { name: "R".into(), count: 0, device: None };
    let rate_limiter = Some(RateLimiter::new(vec![supply]));
    let world = World::with_rules(FakeBehaviour::default(), InstanceRules { rate_limiter, ..InstanceRules::default() });
    let error = world.load(exclusive("one", 1)).err().unwrap();
    assert!(error.message().starts_with("Resource count for \"R\" is limited to 0 which will prevent"), "{error}");
    world.load(echo("free", 2)).unwrap();
    world.infer("free", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
}

#[tokio::test]
async fn a_count_that_is_too_large_changes_nothing() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(with_groups(&[("a", "", 1)])).unwrap();
    let error = model.reconfigured(&with_groups(&[("a", "", 10_000)])).err().unwrap();
    assert!(error.message().contains("at most 1024 per model"), "{error}");
    world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
}
