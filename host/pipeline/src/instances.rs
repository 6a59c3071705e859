//! Which instances a configuration asks for, and what they are called.
//!
//! Names follow Triton: `<group>_<n>`, where an unnamed group is `<model>_<i>`, and a model without written groups has
//! one group of its own name.

use nereid_backend::InstanceSpec;
use nereid_inference::{InferError, ModelConfig, config::InstanceGroup};

/// Instances of one model. Each blocking one is a thread; more than this on one machine is a mistake in a digit.
pub const INSTANCES_MAX: usize = 1_024;

/// An instance that a configuration asks for.
#[derive(Clone, Debug)]
pub(crate) struct WantedInstance {
    pub(crate) spec: InstanceSpec,
    /// Its group without name and number: two instances for which this is the same can stand for each other.
    pub(crate) nature: InstanceGroup,
}

/// The instances of the model, at least one.
///
/// # Errors
/// A negative count, or more than [`INSTANCES_MAX`] instances.
pub(crate) fn wanted_instances(config: &ModelConfig) -> Result<Vec<WantedInstance>, InferError> {
    let implicit = [InstanceGroup { name: config.name.clone(), count: 1, ..InstanceGroup::default() }];
    let groups = if config.instance_groups.is_empty() { &implicit } else { config.instance_groups.as_slice() };
    let mut wanted = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let name = match group.name.as_str() {
            "" => format!("{}_{index}", config.name),
            name => name.to_owned(),
        };
        let count = instance_count(config, &name, group.count)?;
        if wanted.len() + count > INSTANCES_MAX {
            return Err(InferError::invalid_argument(format!(
                "instance group {name} of model {} asks for {count} instances, at most {INSTANCES_MAX} per model",
                config.name
            )));
        }
        let nature = InstanceGroup { name: String::new(), count: 0, ..group.clone() };
        wanted.extend((0..count).map(|n| WantedInstance {
            spec: InstanceSpec { name: format!("{name}_{n}"), kind: group.kind, device_id: 0 },
            nature: nature.clone(),
        }));
    }
    Ok(wanted)
}

/// A count of 0 is "not written": one.
fn instance_count(config: &ModelConfig, group: &str, count: i32) -> Result<usize, InferError> {
    usize::try_from(count).map(|count| count.max(1)).map_err(|_| {
        let text = format!("instance group {group} of model {} has count {count}, expected 1 or more", config.name);
        InferError::invalid_argument(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &[(&str, i32)], expected: &[&str]) {
        let groups = groups.iter().map(|(name, count)| InstanceGroup {
            name: (*name).into(),
            count: *count,
            ..InstanceGroup::default()
        });
        let config = ModelConfig { name: "m".into(), instance_groups: groups.collect(), ..ModelConfig::default() };
        let names: Vec<String> =
            wanted_instances(&config).unwrap().into_iter().map(|wanted| wanted.spec.name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn names_are_tritons() {
        check(&[], &["m_0"]);
        check(&[("", 2)], &["m_0_0", "m_0_1"]);
        check(&[("a", 0), ("", 1)], &["a_0", "m_1_0"]);
    }

    #[test]
    fn a_count_with_a_digit_too_many_is_refused() {
        let group = InstanceGroup { count: 10_000, ..InstanceGroup::default() };
        let config = ModelConfig { name: "m".into(), instance_groups: vec![group], ..ModelConfig::default() };
        assert!(wanted_instances(&config).unwrap_err().message().contains("at most 1024"));
    }
}
