//! Which models an ensemble is made of, and whether they are there.

use std::collections::BTreeSet;

use nereid_inference::{InferError, ModelConfig};

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

/// The names of the models that the model calls; empty for one that is no ensemble.
pub(crate) fn members(config: &ModelConfig) -> BTreeSet<String> {
    let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
    steps.iter().map(|step| step.model_name.clone()).collect()
}

/// Checks that every step of an ensemble finds its model.
///
/// # Errors
/// `InvalidArgument`, in Triton's words.
pub(crate) fn check_members(config: &ModelConfig, member: impl Fn(&str) -> Member) -> Result<(), InferError> {
    let name = &config.name;
    let absent: Vec<String> =
        members(config).into_iter().filter(|model_name| member(model_name) == Member::Absent).collect();
    if !absent.is_empty() {
        return Err(InferError::invalid_argument(format!(
            "ensemble {name} contains models that are not available or ambiguous: {}",
            absent.join(", ")
        )));
    }
    let steps = config.ensemble().map(|ensemble| ensemble.steps.as_slice()).unwrap_or_default();
    for step in steps {
        let model_name = &step.model_name;
        let text = match member(model_name) {
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
