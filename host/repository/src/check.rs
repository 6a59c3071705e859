//! The same reading, completing and checking as at a start, without loading anything: `nereid check`.

use std::path::PathBuf;

use nereid_inference::{InferError, ModelLoader};

use crate::{
    RepositorySettings, config_file,
    ensembles::{self, Member},
    guard::guarded,
    model_id::ModelId,
    places::Places,
    plan::{Plan, Planner},
    prepare::Prepared,
};

/// Something about a model that its author should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub model: String,
    pub severity: Severity,
    /// The configuration, or the model's directory where there is none.
    pub file: PathBuf,
    /// May have several lines.
    pub text: String,
}

/// Whether the model would load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// Checks every model of the repositories; findings are ordered by model, errors first.
///
/// # Errors
/// A repository cannot be read.
pub fn check(settings: &RepositorySettings, loader: &dyn ModelLoader) -> Result<Vec<Finding>, InferError> {
    let places = Places::open(settings)?;
    let wanted = places.scan()?.into_keys().collect();
    let plan = Planner::new(settings, &places, loader, wanted).plan();
    let mut findings = Vec::new();
    for (id, prepared) in &plan {
        let file = places.find(id).into_iter().next().unwrap_or_default();
        let config = config_file::path(&file, settings.config_name.as_deref());
        let file = if config.is_file() { config } else { file };
        let finding = |severity, text: &str| Finding {
            model: id.to_string(),
            severity,
            file: file.clone(),
            text: text.to_owned(),
        };
        match prepared {
            Err(error) => findings.push(finding(Severity::Error, error.message())),
            Ok(prepared) => {
                findings.extend(prepared.warnings.iter().map(|warning| finding(Severity::Warning, warning)));
                if let Err(error) = check_prepared(prepared, &plan, loader) {
                    findings.push(finding(Severity::Error, error.message()));
                }
            }
        }
    }
    findings.sort();
    Ok(findings)
}

/// What a load would check beyond the configuration by itself: members, and what only the loader knows.
fn check_prepared(prepared: &Prepared, plan: &Plan, loader: &dyn ModelLoader) -> Result<(), InferError> {
    ensembles::check_members(&prepared.id, &prepared.config, |member| would_be(plan, member))?;
    let members = ensembles::members(&prepared.config);
    let peers = |name: &str| {
        let id = members.iter().find(|member| member.to_string() == name)?;
        plan.get(id)?.as_ref().ok().map(|peer| peer.config.clone())
    };
    prepared.versions.iter().try_for_each(|version| {
        guarded("validating the configuration", || loader.validate(&prepared.model_source(*version), &peers))
    })
}

/// The member as it would be if loading went well.
fn would_be(plan: &Plan, id: &ModelId) -> Member {
    match plan.get(id) {
        Some(Ok(prepared)) => Member::Ready(prepared.versions.clone()),
        Some(Err(error)) => Member::Failed(error.message().to_owned()),
        None => Member::Absent,
    }
}
