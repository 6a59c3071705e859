//! From a model's directory to the configuration and versions that are to be served, without loading anything.

use std::{path::Path, sync::Arc};

use nereid_inference::{
    AgentedLoad, AgentedModel, InferError, LoadClock, LoadStep, ModelConfig, ModelIdentity, ModelLoader, ModelSource,
};

use crate::{
    config_file, defaults, guard::guarded, layout, model_id::ModelId, platform, source::Source, unserved, validate,
    versions,
};

/// A model that can be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) id: ModelId,
    pub(crate) source: Arc<Source>,
    /// Complete, with defaults.
    pub(crate) config: ModelConfig,
    /// Ascending, never empty.
    pub(crate) versions: Vec<u64>,
    /// What was found and not used.
    pub(crate) warnings: Vec<String>,
    pub(crate) clock: LoadClock,
}

/// Reads, completes and checks.
///
/// # Errors
/// Whatever makes the model impossible to load, short of its file.
pub(crate) fn prepare(
    id: &ModelId,
    source: Source,
    auto_complete: bool,
    loader: &dyn ModelLoader,
) -> Result<Prepared, InferError> {
    let clock = LoadClock::default();
    clock.time(LoadStep::Check, || prepare_by(clock.clone(), id, source, (auto_complete, loader)))
}

fn prepare_by(
    clock: LoadClock,
    id: &ModelId,
    mut source: Source,
    (auto_complete, loader): (bool, &dyn ModelLoader),
) -> Result<Prepared, InferError> {
    let name = &*id.name;
    let written = match &source.given {
        Some(given) => Some(given.config.clone()),
        None => config_file::read(&source.config_path, name)?,
    };
    if written.is_none() && !auto_complete {
        return Err(InferError::invalid_argument(format!(
            "model '{name}' has no {}, and auto-complete is disabled; write one or remove --disable-auto-complete-config",
            source.config_path.display()
        )));
    }
    let mut config = written.unwrap_or_default();
    name.clone_into(&mut config.name);
    platform::resolve(&mut config)?;
    unserved::refuse(&config)?;
    source.agents = ask_agents(id, &source, &config, loader)?;
    let (versions, warnings) = choose_versions(&config, source.served_directory())?;
    let mut prepared = Prepared { id: id.clone(), source: Arc::new(source), config, versions, warnings, clock };
    if auto_complete && prepared.config.platform != platform::ENSEMBLE && prepared.config.ensemble().is_none() {
        complete(&mut prepared, loader)?;
    }
    let gpus = loader.gpus(&prepared.config);
    defaults::fill(&mut prepared.config, &gpus);
    validate::validate(&prepared.config, &gpus.ids, prepared.source.served_directory())?;
    Ok(prepared)
}

/// Asks the agents that the configuration names.
fn ask_agents(
    id: &ModelId,
    source: &Source,
    config: &ModelConfig,
    loader: &dyn ModelLoader,
) -> Result<Option<Arc<dyn AgentedLoad>>, InferError> {
    let agents = config.repository_agents.clone().unwrap_or_default();
    if agents.is_empty() {
        return Ok(None);
    }
    let nobody = || {
        InferError::unsupported(format!(
            "model '{id}' names agents in model_repository_agents, and nobody asks agents here; remove them from config.pbtxt"
        ))
    };
    let model = AgentedModel {
        name: id.to_string(),
        directory: source.directory.clone(),
        config: nereid_config::to_json(config),
        agents,
    };
    let asked = loader.agents().ok_or_else(nobody)?.begin(model);
    asked.map(Some).map_err(|error| error.prefixed(&format!("model '{id}': ")))
}

fn choose_versions(config: &ModelConfig, directory: &Path) -> Result<(Vec<u64>, Vec<String>), InferError> {
    let name = &config.name;
    let found = layout::version_directories(directory)?;
    let policy = config.version_policy.as_ref().unwrap_or(&versions::DEFAULT_POLICY);
    let choice = versions::choose(policy, &found.versions);
    let mut warnings = found.warnings;
    warnings.extend(choice.missing.iter().map(|version| {
        format!("version {version} is specified for model '{name}', but the version directory is not present")
    }));
    if choice.versions.is_empty() {
        return Err(InferError::invalid_argument(format!(
            "at least one version must be available under the version policy of model '{name}'; expected directories \
             such as '{}'",
            directory.join("1").display()
        )));
    }
    Ok((choice.versions, warnings))
}

/// Lets the backend fill in what is open, from the lowest version that is served.
fn complete(prepared: &mut Prepared, loader: &dyn ModelLoader) -> Result<(), InferError> {
    let Some(version) = prepared.versions.first() else { return Ok(()) };
    let name = prepared.config.name.clone();
    let source = prepared.model_source(*version);
    let mut config = guarded("completing the configuration", || loader.complete_config(&source))
        .map_err(|error| error.prefixed(&format!("failed to complete the configuration of model '{name}': ")))?;
    config.name = name;
    platform::resolve(&mut config)?;
    unserved::refuse(&config)?;
    prepared.config = config;
    Ok(())
}

// === impl Prepared ===

impl Prepared {
    /// What the loader gets to see of one version.
    pub(crate) fn model_source(&self, version: u64) -> ModelSource {
        let directory = self.source.served_directory();
        ModelSource {
            identity: ModelIdentity::new(self.id.name.clone(), version).within(self.id.namespace.clone()),
            model_directory: directory.to_owned(),
            version_directory: directory.join(version.to_string()),
            config: self.config.clone(),
            clock: self.clock.clone(),
        }
    }
}
