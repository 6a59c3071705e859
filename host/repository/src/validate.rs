//! Whether a complete configuration makes sense. Texts are those of Triton's `ValidateModelConfig`, because users know
//! and search for them.

mod batch_tensors;
mod sequences;
mod tensors;

use std::path::{Component, Path};

use nereid_inference::{
    InferError, ModelConfig,
    config::{DynamicBatching, InstanceGroup, InstanceKind, QueuePolicy, Scheduling, TimeoutAction},
};

use crate::platform::{ENSEMBLE, is_tensorrt};

/// The extent that stands for any.
const VARIABLE: i64 = -1;

/// Checks what can be seen in the configuration and the model's directory alone, on a server that uses the devices `gpus`.
///
/// # Errors
/// `InvalidArgument` with the first mistake.
pub(crate) fn validate(config: &ModelConfig, gpus: &[i32], model_directory: &Path) -> Result<(), InferError> {
    first_mistake(config, gpus, model_directory).map_err(InferError::invalid_argument)
}

fn first_mistake(config: &ModelConfig, gpus: &[i32], model_directory: &Path) -> Result<(), String> {
    let name = &config.name;
    if config.max_batch_size < 0 {
        return Err(format!("'max_batch_size' must be non-negative value for {name}"));
    }
    backend(config)?;
    model_file(config)?;
    let of_model = |text| format!("{text} for {name}");
    tensors::tensors(config).map_err(of_model)?;
    batch_tensors::batch_tensors(config).map_err(of_model)?;
    labels(config, model_directory)?;
    response_cache(config)?;
    match &config.scheduling {
        Some(Scheduling::Dynamic(batching)) => dynamic_batching(config, batching)?,
        Some(Scheduling::Sequence(sequences)) => sequences::sequence_batching(config, sequences)?,
        Some(Scheduling::Ensemble(_)) | None => {}
    }
    config.instance_groups.iter().try_for_each(|group| instance_group(config, group, gpus))
}

/// A model has a backend or is an ensemble, and not both.
fn backend(config: &ModelConfig) -> Result<(), String> {
    let name = &config.name;
    match (config.platform == ENSEMBLE, config.ensemble().is_some()) {
        (true, false) => {
            Err(format!("ensemble scheduling must be set for ensemble {name} whose platform is {ENSEMBLE}"))
        }
        (false, true) => {
            Err(format!("ensemble scheduling cannot be set for model '{name}' whose platform is not {ENSEMBLE}"))
        }
        (true, true) => ensemble(config),
        (false, false) if config.backend.is_empty() => Err(format!(
            "Invalid model name: Could not determine backend for model '{name}' with no backend in model \
             configuration. Expected model name of the form 'model.<backend_name>'."
        )),
        (false, false) => Ok(()),
    }
}

fn ensemble(config: &ModelConfig) -> Result<(), String> {
    let name = &config.name;
    let Some(ensemble) = config.ensemble() else { return Ok(()) };
    if !config.backend.is_empty() {
        return Err(format!(
            "Ensemble model '{name}' must have platform type '{ENSEMBLE}' and empty backend type, got backend '{}'",
            config.backend
        ));
    }
    for (field, written) in [
        ("instance group", !config.instance_groups.is_empty()),
        ("optimization", config.optimization.is_some()),
        ("model_warmup", !config.warmup.is_empty()),
    ] {
        if written {
            return Err(format!("{field} should not be specified for ensemble '{name}'"));
        }
    }
    if ensemble.steps.is_empty() {
        return Err(format!("must specify 'step' for ensemble '{name}'"));
    }
    for (index, step) in ensemble.steps.iter().enumerate() {
        for (field, missing) in [
            ("model_name", step.model_name.is_empty()),
            ("input_map", step.input_map.is_empty()),
            ("output_map", step.output_map.is_empty()),
        ] {
            if missing {
                return Err(format!("must specify '{field}' in step {index} of ensemble '{name}'"));
            }
        }
        if step.model_version < VARIABLE {
            return Err(format!(
                "'model_version' in step {index} of ensemble '{name}' is {}, expected a version, or -1 for the latest",
                step.model_version
            ));
        }
    }
    Ok(())
}

/// The model's file lies in its version's directory: the configuration may come from a client.
fn model_file(config: &ModelConfig) -> Result<(), String> {
    let file = Path::new(&config.default_model_filename);
    match file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        true => Ok(()),
        false => Err(format!(
            "'default_model_filename' of model '{}' is '{}', which must stay inside the version's directory",
            config.name,
            file.display()
        )),
    }
}

/// Label files lie in the model's directory and are there.
fn labels(config: &ModelConfig, model_directory: &Path) -> Result<(), String> {
    for output in config.outputs.iter().filter(|output| !output.label_filename.is_empty()) {
        let (name, file) = (&output.name, Path::new(&output.label_filename));
        if !file.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(format!(
                "model output '{name}' has label file '{}', which must stay inside the model's directory",
                file.display()
            ));
        }
        let path = model_directory.join(file);
        if !path.is_file() {
            return Err(format!("model output '{name}' has label file '{}', which does not exist", path.display()));
        }
    }
    Ok(())
}

/// Answers are kept of models alone whose answer to a request is one, and depends on nothing else.
fn response_cache(config: &ModelConfig) -> Result<(), String> {
    let obstacle = match () {
        () if !config.caches_responses() => return Ok(()),
        () if config.sequences().is_some() => "sequence batching scheduler",
        () if config.is_decoupled() => "'decoupled' transaction policy",
        () => return Ok(()),
    };
    Err(format!(
        "Response Cache does not currently support model {} with {obstacle}. Please disable the response cache.",
        config.name
    ))
}

fn dynamic_batching(config: &ModelConfig, batching: &DynamicBatching) -> Result<(), String> {
    let name = &config.name;
    for size in &batching.preferred_batch_sizes {
        if *size <= 0 {
            return Err(format!("dynamic batching preferred size must be positive for {name}"));
        }
        if *size > config.max_batch_size {
            return Err(format!("dynamic batching preferred size must be <= max batch size for {name}"));
        }
    }
    priorities(config, batching)?;
    let delays = |policy: &QueuePolicy| {
        policy.default_timeout_microseconds != 0 && policy.timeout_action == TimeoutAction::Delay
    };
    let mut policies = batching.priority_queue_policies.values().chain(&batching.default_queue_policy);
    if batching.preserve_ordering && batching.priority_levels > 1 {
        return Err(format!("Only one priority level is allowed when 'preserve_ordering' is true for {name}"));
    }
    if batching.preserve_ordering && policies.any(delays) {
        return Err(format!(
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {name}"
        ));
    }
    Ok(())
}

fn priorities(config: &ModelConfig, batching: &DynamicBatching) -> Result<(), String> {
    let (name, levels) = (&config.name, batching.priority_levels);
    if levels == 0 {
        return Ok(());
    }
    if !(1..=levels).contains(&batching.default_priority_level) {
        return Err(format!("default priority level must be in range [1, {levels}] for {name}"));
    }
    if !batching.priority_queue_policies.keys().all(|level| (1..=levels).contains(level)) {
        return Err(format!("priority queue policy must have priority level in range [1, {levels}] for {name}"));
    }
    Ok(())
}

fn instance_group(config: &ModelConfig, group: &InstanceGroup, gpus: &[i32]) -> Result<(), String> {
    let subject = format!("instance group {} of model {}", group.name, config.name);
    let kind = group.kind.config_name();
    if group.kind == InstanceKind::Gpu && gpus.is_empty() {
        return Err(format!("{subject} has kind {kind} but server does not support GPUs"));
    }
    if group.kind == InstanceKind::Gpu
        && let Some(unknown) = group.gpus.iter().find(|id| !gpus.contains(id))
    {
        let known: Vec<String> = gpus.iter().map(ToString::to_string).collect();
        let known = known.join(", ");
        return Err(format!(
            "{subject} specifies invalid or unsupported gpu id {unknown}. The server uses the GPUs: {known}"
        ));
    }
    if group.kind != InstanceKind::Gpu && !group.gpus.is_empty() {
        return Err(format!("{subject} has kind {kind} but specifies one or more GPUs"));
    }
    if !group.profiles.is_empty() && !is_tensorrt(config) {
        let platform = &config.platform;
        return Err(format!(
            "{subject} and platform {platform} specifies profile field which is only supported for TensorRT models"
        ));
    }
    if !group.secondary_devices.is_empty() {
        return Err(format!("{subject} specifies secondary devices, which no backend of this server can use"));
    }
    if group.count < 1 {
        return Err(format!("{subject} has count {}, expected 1 or more", group.count));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
