//! Which instances a configuration asks for, what they are called, and what the server's rules mean for each.
//!
//! Names follow Triton: `<group>_<n>`, where an unnamed group is `<model>_<i>`, and a model without written groups has
//! one group of its own name.

use std::{fmt::Write as _, sync::Arc};

use nereid_backend::InstanceSpec;
use nereid_inference::{
    InferError, ModelConfig,
    config::{InstanceGroup, InstanceKind, RateLimiter as Limits},
};
use nereid_scheduler::{CoreSet, Demand, HostPolicies, RateLimiter, Resource, Scope, cores_of};

use crate::gpu_rules::GpuRules;

/// Instances of one model. Each blocking one is a thread; more than this on one machine is a mistake in a digit.
pub const INSTANCES_MAX: usize = 1_024;

/// What the server says about the instances of all its models.
#[derive(Clone, Debug, Default)]
pub struct InstanceRules {
    /// `None` lets every instance execute as soon as there is work, whatever its group says.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    pub host_policies: HostPolicies,
    pub gpus: GpuRules,
}

/// An instance that a configuration asks for.
#[derive(Clone, Debug)]
pub(crate) struct WantedInstance {
    pub(crate) spec: InstanceSpec,
    /// Its group without name and number: two instances for which this is the same can stand for each other.
    pub(crate) nature: InstanceGroup,
}

/// The instances of the model, of which at least one is given requests.
///
/// # Errors
/// A negative count, more than [`INSTANCES_MAX`] instances, or none that is given requests.
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
        let is_gpu = group.kind == InstanceKind::Gpu;
        let devices = if is_gpu { group.gpus.as_slice() } else { &[0] };
        let count_of_all = count.saturating_mul(devices.len());
        if wanted.len().saturating_add(count_of_all) > INSTANCES_MAX {
            return Err(InferError::invalid_argument(format!(
                "instance group {name} of model {} asks for {count_of_all} instances, at most {INSTANCES_MAX} per model",
                config.name
            )));
        }
        let nature = InstanceGroup { name: String::new(), count: 0, ..group.clone() };
        for device_id in devices {
            // One device needs no name; Triton calls the instances of several the same.
            let suffix = if devices.len() > 1 { format!("_gpu{device_id}") } else { String::new() };
            wanted.extend((0..count).map(|n| WantedInstance {
                spec: InstanceSpec { name: format!("{name}_{n}{suffix}"), kind: group.kind, device_id: *device_id },
                nature: InstanceGroup { gpus: if is_gpu { vec![*device_id] } else { vec![] }, ..nature.clone() },
            }));
        }
    }
    if wanted.iter().all(|wanted| wanted.nature.passive) {
        return Err(InferError::invalid_argument(format!(
            "every instance group of model {} is passive, so that nothing would execute its requests; expected one group \
             without 'passive: true'",
            config.name
        )));
    }
    Ok(wanted)
}

/// The cores on which all of these instances work, for what they share; `None` when one of them is not bound.
///
/// # Errors
/// See [`WantedInstance::cores`].
pub(crate) fn shared_cores(wanted: &[WantedInstance], policies: &HostPolicies) -> Result<Option<CoreSet>, InferError> {
    let mut shared: Option<CoreSet> = None;
    for instance in wanted {
        let Some(cores) = instance.cores(policies)? else { return Ok(None) };
        shared = Some(shared.map_or(cores.clone(), |shared| shared.union(&cores)));
    }
    Ok(shared)
}

/// One sentence about the instances, for the log.
pub(crate) fn description(wanted: &[WantedInstance]) -> String {
    let mut text = format!("{} instance{}", wanted.len(), if wanted.len() == 1 { "" } else { "s" });
    let mut separator = ": ";
    for alike in wanted.chunk_by(|one, other| one.nature == other.nature) {
        let [first, ..] = alike else { continue };
        let (kind, policy) = (first.spec.kind.config_name(), first.host_policy());
        let _ = write!(text, "{separator}{} {kind} under host policy '{policy}'", alike.len());
        separator = "; ";
        if first.nature.passive {
            text.push_str(", passive");
        }
        if let Some(limits) = &first.nature.rate_limiter {
            let resources: Vec<String> = limits
                .resources
                .iter()
                .map(|resource| {
                    let scope = if resource.global { " (global)" } else { "" };
                    format!("{}:{}{scope}", resource.name, resource.count)
                })
                .collect();
            let _ = write!(text, ", rate limited by {} at priority {}", resources.join(", "), limits.priority.max(1));
        }
    }
    text
}

// === impl WantedInstance ===

impl WantedInstance {
    /// The policy of its group, or Triton's name for its kind.
    pub(crate) fn host_policy(&self) -> String {
        match (self.nature.host_policy.as_str(), self.spec.kind) {
            ("", InstanceKind::Gpu) => format!("gpu_{}", self.spec.device_id),
            ("", InstanceKind::Model) => "model".to_owned(),
            ("", InstanceKind::Cpu | InstanceKind::Auto) => "cpu".to_owned(),
            (policy, _) => policy.to_owned(),
        }
    }

    /// Ordinal of the GPU that it is on.
    pub(crate) fn gpu(&self) -> Option<i32> {
        (self.spec.kind == InstanceKind::Gpu).then_some(self.spec.device_id)
    }

    /// The cores that its policy binds it to.
    ///
    /// # Errors
    /// This machine has no such memory node.
    pub(crate) fn cores(&self, policies: &HostPolicies) -> Result<Option<CoreSet>, InferError> {
        let policy = self.host_policy();
        cores_of(&policy, &policies.get(&policy))
    }

    /// What each of its executions takes from the rate limiter. Of a resource that is listed twice the last count is
    /// meant, as in Triton.
    pub(crate) fn demand(&self) -> Demand {
        let Some(Limits { resources, priority }) = &self.nature.rate_limiter else { return Demand::default() };
        let resources = resources.iter().map(|resource| {
            let scope = if resource.global { Scope::Global } else { Scope::Device(self.spec.device_id) };
            (Resource { name: resource.name.as_str().into(), scope }, u64::from(resource.count))
        });
        Demand { resources: resources.collect(), priority: *priority }
    }
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
    use nereid_inference::config::RateLimiterResource;

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

    fn wanted(groups: &[InstanceGroup]) -> Result<Vec<WantedInstance>, InferError> {
        wanted_instances(&ModelConfig { name: "m".into(), instance_groups: groups.to_vec(), ..ModelConfig::default() })
    }

    fn group(count: i32, host_policy: &str) -> InstanceGroup {
        let host_policy = host_policy.into();
        InstanceGroup { count, host_policy, kind: InstanceKind::Cpu, ..InstanceGroup::default() }
    }

    /// Resources as (name, global, count).
    fn limits(resources: &[(&str, bool, u32)], priority: u32) -> Option<Limits> {
        let resources = resources.iter().map(|(name, global, count)| RateLimiterResource {
            name: (*name).into(),
            global: *global,
            count: *count,
        });
        Some(Limits { resources: resources.collect(), priority })
    }

    #[test]
    fn the_description_tells_kinds_policies_and_limits() {
        let rate_limiter = limits(&[("R1", false, 4), ("R2", true, 2)], 2);
        let groups = [
            InstanceGroup { rate_limiter, ..group(2, "") },
            InstanceGroup { kind: InstanceKind::Model, passive: true, ..group(1, "") },
            group(1, "left"),
        ];
        assert_eq!(
            description(&wanted(&groups).unwrap()),
            "4 instances: 2 KIND_CPU under host policy 'cpu', rate limited by R1:4, R2:2 (global) at priority 2; 1 \
             KIND_MODEL under host policy 'model', passive; 1 KIND_CPU under host policy 'left'"
        );
    }

    #[test]
    fn a_demand_has_the_scope_and_the_last_count_of_each_resource() {
        let rate_limiter = limits(&[("R", false, 4), ("R", false, 2), ("G", true, 1)], 0);
        let demand = wanted(&[InstanceGroup { rate_limiter, ..group(1, "") }]).unwrap()[0].demand();
        let resource = |name: &str, scope| Resource { name: name.into(), scope };
        assert_eq!(demand.resources, [(resource("R", Scope::Device(0)), 2), (resource("G", Scope::Global), 1)].into());
        assert!(demand.is_limited() && !Demand::default().is_limited());
    }

    #[test]
    fn what_instances_share_is_bound_when_all_of_them_are() {
        let mut policies = HostPolicies::default();
        policies.set("left", "cpu-cores", "0-0").unwrap();
        policies.set("right", "cpu-cores", "1-1").unwrap();
        let shared = |groups: &[InstanceGroup]| shared_cores(&wanted(groups).unwrap(), &policies).unwrap();
        assert_eq!(shared(&[group(1, "left"), group(1, "right")]).unwrap().to_string(), "0-1");
        assert_eq!(shared(&[group(1, "left"), group(1, "")]), None);
    }

    #[test]
    fn a_model_without_an_instance_that_executes_is_refused() {
        let passive = InstanceGroup { passive: true, ..group(1, "") };
        let error = wanted(std::slice::from_ref(&passive)).unwrap_err();
        assert!(error.message().starts_with("every instance group of model m is passive"), "{error}");
        assert_eq!(wanted(&[passive, group(1, "")]).unwrap().len(), 2);
    }

    #[test]
    fn a_group_has_its_count_of_instances_on_each_of_its_devices() {
        let group = InstanceGroup { kind: InstanceKind::Gpu, gpus: vec![0, 2], ..group(2, "") };
        let specs = wanted(&[group]).unwrap();
        let specs: Vec<_> = specs.iter().map(|wanted| (wanted.spec.name.as_str(), wanted.spec.device_id)).collect();
        assert_eq!(specs, [("m_0_0_gpu0", 0), ("m_0_1_gpu0", 0), ("m_0_0_gpu2", 2), ("m_0_1_gpu2", 2)]);
        let one =
            wanted(&[InstanceGroup { kind: InstanceKind::Gpu, gpus: vec![3], ..InstanceGroup::default() }]).unwrap();
        assert_eq!((one[0].spec.name.as_str(), one[0].host_policy().as_str()), ("m_0_0", "gpu_3"));
    }

    #[test]
    fn a_count_with_a_digit_too_many_is_refused() {
        let group = InstanceGroup { count: 10_000, ..InstanceGroup::default() };
        let config = ModelConfig { name: "m".into(), instance_groups: vec![group], ..ModelConfig::default() };
        assert!(wanted_instances(&config).unwrap_err().message().contains("at most 1024"));
    }
}
