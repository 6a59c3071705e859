//! What a configuration means where it says nothing. After this it is the effective configuration that clients read.

use nereid_inference::{
    ModelConfig, UsableGpus,
    config::{InstanceGroup, InstanceKind, Optimization, Scheduling, SequenceBatching, SequenceStrategy},
};

use crate::{platform::ENSEMBLE, versions};

/// The version of an ensemble's step that follows the newest one.
const LATEST_VERSION: i64 = -1;

/// How long a sequence may be silent; Triton's default.
const SEQUENCE_IDLE_MICROSECONDS: u64 = 1_000_000;

/// The backend whose models have two instances on the processor when nothing is written; Triton's exception.
const TWO_INSTANCES_BACKEND: &str = "onnxruntime";

/// Fills in what is left open, on a server with these devices.
pub(crate) fn fill(config: &mut ModelConfig, gpus: &UsableGpus) {
    config.version_policy.get_or_insert(versions::DEFAULT_POLICY);
    match &mut config.scheduling {
        Some(Scheduling::Dynamic(batching)) => {
            prefer_the_largest(&mut batching.preferred_batch_sizes, config.max_batch_size);
        }
        Some(Scheduling::Ensemble(ensemble)) => {
            // A step without a version says 0 in the message.
            for step in ensemble.steps.iter_mut().filter(|step| step.model_version == 0) {
                step.model_version = LATEST_VERSION;
            }
        }
        Some(Scheduling::Sequence(sequences)) => fill_sequences(sequences, config.max_batch_size),
        None => {}
    }
    if config.platform != ENSEMBLE {
        fill_instance_groups(config, gpus);
        let optimization = config.optimization.get_or_insert_with(Optimization::default);
        optimization.input_pinned_memory.get_or_insert(true);
        optimization.output_pinned_memory.get_or_insert(true);
    }
}

fn fill_sequences(sequences: &mut SequenceBatching, max_batch_size: i32) {
    if sequences.max_sequence_idle_microseconds == 0 {
        sequences.max_sequence_idle_microseconds = SEQUENCE_IDLE_MICROSECONDS;
    }
    if let Some(SequenceStrategy::Oldest { preferred_batch_sizes, .. }) = &mut sequences.strategy {
        prefer_the_largest(preferred_batch_sizes, max_batch_size);
    }
}

fn prefer_the_largest(preferred_batch_sizes: &mut Vec<i32>, max_batch_size: i32) {
    if preferred_batch_sizes.is_empty() && max_batch_size > 0 {
        preferred_batch_sizes.push(max_batch_size);
    }
}

fn fill_instance_groups(config: &mut ModelConfig, gpus: &UsableGpus) {
    if config.instance_groups.is_empty() {
        config.instance_groups.push(InstanceGroup { name: config.name.clone(), ..InstanceGroup::default() });
    }
    for (index, group) in config.instance_groups.iter_mut().enumerate() {
        if group.name.is_empty() {
            group.name = format!("{}_{index}", config.name);
        }
        if group.kind == InstanceKind::Auto {
            let all_exist = !gpus.ids.is_empty() && group.gpus.iter().all(|id| gpus.ids.contains(id));
            group.kind = if gpus.are_preferred && all_exist { InstanceKind::Gpu } else { InstanceKind::Cpu };
        }
        if group.kind == InstanceKind::Gpu && group.gpus.is_empty() {
            group.gpus.clone_from(&gpus.ids);
        }
        if group.count == 0 {
            let is_exception = group.kind == InstanceKind::Cpu && config.backend == TWO_INSTANCES_BACKEND;
            group.count = if is_exception { 2 } else { 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use nereid_config::parse_text;

    use super::*;

    fn check(text: &str) -> ModelConfig {
        let mut config = parse_text("config.pbtxt", text).unwrap();
        fill(&mut config, &UsableGpus::default());
        config
    }

    /// Kind, devices and count of the first group, on a server with these devices.
    fn placed(group: &str, ids: &[i32], are_preferred: bool) -> (&'static str, Vec<i32>, i32) {
        let mut config = parse_text("config.pbtxt", &format!("name: 'm' backend: 'onnxruntime' {group}")).unwrap();
        fill(&mut config, &UsableGpus { ids: ids.to_vec(), are_preferred });
        let group = config.instance_groups.swap_remove(0);
        (group.kind.config_name(), group.gpus, group.count)
    }

    #[test]
    fn groups_without_a_kind_go_to_all_devices_that_the_backend_uses() {
        assert_eq!(placed("", &[0, 1], true), ("KIND_GPU", vec![0, 1], 1));
        assert_eq!(placed("", &[0, 1], false), ("KIND_CPU", vec![], 2));
        assert_eq!(placed("", &[], true), ("KIND_CPU", vec![], 2));
        assert_eq!(placed("instance_group { gpus: 1 }", &[0, 1], true), ("KIND_GPU", vec![1], 1));
        assert_eq!(placed("instance_group { gpus: 2 count: 1 }", &[0, 1], true), ("KIND_CPU", vec![2], 1));
        assert_eq!(placed("instance_group { kind: KIND_GPU }", &[3], false), ("KIND_GPU", vec![3], 1));
        assert_eq!(placed("instance_group { kind: KIND_CPU }", &[0], true), ("KIND_CPU", vec![], 2));
    }

    fn groups(config: &ModelConfig) -> Vec<(&str, &str, i32)> {
        config
            .instance_groups
            .iter()
            .map(|group| (group.name.as_str(), group.kind.config_name(), group.count))
            .collect()
    }

    #[test]
    fn an_implicit_group_has_the_name_of_its_model() {
        assert_eq!(groups(&check("name: 'm'")), [("m", "KIND_CPU", 1)]);
    }

    #[test]
    fn onnx_models_have_two_instances_on_the_processor() {
        let count = |text: &str| groups(&check(&format!("name: 'm' backend: 'onnxruntime' {text}")))[0].2;
        assert_eq!(count(""), 2);
        assert_eq!(count("instance_group { kind: KIND_CPU }"), 2);
        assert_eq!(count("instance_group { kind: KIND_MODEL }"), 1);
        assert_eq!(count("instance_group { count: 1 }"), 1);
    }

    #[test]
    fn written_groups_are_numbered_and_keep_what_they_say() {
        let config = check("name: 'm' instance_group [ { count: 3 }, { name: 'n' kind: KIND_MODEL } ]");
        assert_eq!(groups(&config), [("m_0", "KIND_CPU", 3), ("n", "KIND_MODEL", 1)]);
    }

    #[test]
    fn a_batch_is_preferred_as_large_as_allowed() {
        let sizes = |text| match check(text).scheduling {
            Some(Scheduling::Dynamic(batching)) => batching.preferred_batch_sizes,
            other => panic!("{other:?}"),
        };
        assert_eq!(sizes("max_batch_size: 8 dynamic_batching { }"), [8]);
        assert_eq!(sizes("max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 2, 4 ] }"), [2, 4]);
        assert!(sizes("dynamic_batching { }").is_empty());
    }

    #[test]
    fn a_sequence_may_be_silent_for_a_second() {
        let sequences = |text| check(text).sequences().cloned().unwrap();
        assert_eq!(sequences("sequence_batching { }").max_sequence_idle_microseconds, 1_000_000);
        let oldest = sequences("max_batch_size: 4 sequence_batching { oldest { } max_sequence_idle_microseconds: 5 }");
        assert_eq!(oldest.max_sequence_idle_microseconds, 5);
        let Some(SequenceStrategy::Oldest { preferred_batch_sizes, .. }) = oldest.strategy else { panic!("oldest") };
        assert_eq!(preferred_batch_sizes, [4]);
    }

    #[test]
    fn an_ensemble_has_no_instances_and_follows_the_latest_versions() {
        let config = check(
            "platform: 'ensemble' ensemble_scheduling { step [ { model_name: 'a' }, { model_name: 'b' model_version: 2 } ] }",
        );
        let versions: Vec<i64> = config.ensemble().unwrap().steps.iter().map(|step| step.model_version).collect();
        assert_eq!(versions, [-1, 2]);
        assert_eq!((config.instance_groups.len(), config.optimization), (0, None));
    }

    #[test]
    fn filling_twice_is_filling_once() {
        let mut config = check("name: 'm' max_batch_size: 4 dynamic_batching { }");
        let once = config.clone();
        fill(&mut config, &UsableGpus::default());
        assert_eq!(config, once);
    }
}
