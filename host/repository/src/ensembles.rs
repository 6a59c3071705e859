//! Which models an ensemble is made of, and whether they are there.

use std::collections::BTreeSet;

use nereid_inference::{InferError, ModelConfig, config::Scheduling};

use crate::model_id::ModelId;

/// What an ensemble must know of one of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// Ready in these versions.
    Ready(Vec<u64>),
    /// Known, and not ready for this reason.
    Failed(String),
    /// Not in any repository, or in two, or not loaded.
    Absent,
}

/// The models that the model calls; empty for one that is no ensemble. Namespaces must have been filled in.
pub(crate) fn members(config: &ModelConfig) -> BTreeSet<ModelId> {
    let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
    steps.iter().map(ModelId::of_step).collect()
}

/// Fills in the namespaces of an ensemble's steps where none is written: its own if that has such a model, else that of
/// the only model called so. `called` gives every model of a name. A step that finds none keeps none.
pub(crate) fn fill_namespaces(config: &mut ModelConfig, id: &ModelId, called: impl Fn(&str) -> BTreeSet<ModelId>) {
    let Some(Scheduling::Ensemble(ensemble)) = &mut config.scheduling else { return };
    for step in ensemble.steps.iter_mut().filter(|step| step.model_namespace.is_empty()) {
        let found = called(&step.model_name);
        let own = found.iter().find(|member| member.namespace == id.namespace);
        let only = found.iter().next().filter(|_| found.len() == 1);
        if let Some(namespace) = own.or(only).and_then(|member| member.namespace.as_deref()) {
            namespace.clone_into(&mut step.model_namespace);
        }
    }
}

/// Refuses namespaces where there are none.
///
/// # Errors
/// `InvalidArgument`, naming the step and what to do.
pub(crate) fn refuse_namespaces(config: &ModelConfig) -> Result<(), InferError> {
    let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
    match steps.iter().find(|step| !step.model_namespace.is_empty()) {
        None => Ok(()),
        Some(step) => Err(InferError::invalid_argument(format!(
            "ensemble '{}' wants model '{}' of the namespace '{}', and this server has no namespaces; start it with \
             --model-namespacing=true, or remove 'model_namespace'",
            config.name, step.model_name, step.model_namespace
        ))),
    }
}

/// Checks that every step of an ensemble finds its model.
///
/// # Errors
/// `InvalidArgument`, in Triton's words.
pub(crate) fn check_members(
    name: &ModelId,
    config: &ModelConfig,
    member: impl Fn(&ModelId) -> Member,
) -> Result<(), InferError> {
    let is_absent = |model: &ModelId| member(model) == Member::Absent;
    let absent: Vec<String> = members(config).into_iter().filter(is_absent).map(|model| model.to_string()).collect();
    if !absent.is_empty() {
        return Err(InferError::invalid_argument(format!(
            "ensemble {name} contains models that are not available or ambiguous: {}",
            absent.join(", ")
        )));
    }
    let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
    for step in steps {
        let model_name = ModelId::of_step(step);
        let text = match member(&model_name) {
            Member::Failed(reason) => format!(
                "ensemble '{name}' depends on '{model_name}' which has no loaded version. Model '{model_name}' loading \
                 failed with error: {reason}"
            ),
            Member::Ready(versions) if !has_version(&versions, step.model_version) => format!(
                "ensemble '{name}' depends on '{model_name}' whose required version {} is not loaded; ready versions \
                 are {versions:?}",
                step.model_version
            ),
            Member::Ready(_) | Member::Absent => continue,
        };
        return Err(InferError::invalid_argument(text));
    }
    Ok(())
}

/// -1 is any version.
fn has_version(versions: &[u64], wanted: i64) -> bool {
    u64::try_from(wanted).map_or(!versions.is_empty(), |wanted| versions.contains(&wanted))
}
