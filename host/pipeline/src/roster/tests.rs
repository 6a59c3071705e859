//! Which instances stay when the configuration changes, and that requests do not notice.

use nereid_backend::fake::FakeBehaviour;
use nereid_inference::{
    ServedModel,
    config::{InstanceGroup, InstanceKind},
};

use super::*;
use crate::test_service::{World, echo, tensor};

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
async fn a_count_that_is_too_large_changes_nothing() {
    let world = World::new(FakeBehaviour::default());
    let model = world.load(with_groups(&[("a", "", 1)])).unwrap();
    let error = model.reconfigured(&with_groups(&[("a", "", 10_000)])).err().unwrap();
    assert!(error.message().contains("at most 1024 per model"), "{error}");
    world.infer("m", vec![tensor("X", &[1.0, 2.0])]).await.unwrap();
}
