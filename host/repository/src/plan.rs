//! Which models an operation is about: those asked for and the members of their ensembles, each prepared to be loaded,
//! or found to be what is served already.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use nereid_inference::{InferError, ModelConfig, ModelLoader};

use crate::{
    RepositorySettings, config_file, ensembles, layout,
    order::find_cycle,
    parallel,
    prepare::{Prepared, prepare},
    source::{Given, Source},
    standing::Standing,
};

/// The index's reason for a name that is taken twice.
pub(crate) const AMBIGUOUS: &str = "model appears in two or more repositories";

/// Every model of the operation, prepared or refused.
pub(crate) type Plan = BTreeMap<String, Result<Prepared, InferError>>;

/// Where plans are made from.
pub(crate) struct Planner<'a> {
    settings: &'a RepositorySettings,
    repositories: &'a [PathBuf],
    loader: &'a dyn ModelLoader,
    wanted: Vec<String>,
    /// What a client sent for the one model that is wanted.
    given: Option<Arc<Given>>,
    /// The wanted models stay what they are and are linked to their members anew.
    relinks: bool,
    /// What is served of a model.
    standing: &'a (dyn Fn(&str) -> Option<Standing> + Sync),
}

// === impl Planner ===

impl<'a> Planner<'a> {
    /// A planner for `wanted`, of which nothing is served yet.
    pub(crate) fn new(
        settings: &'a RepositorySettings,
        repositories: &'a [PathBuf],
        loader: &'a dyn ModelLoader,
        wanted: Vec<String>,
    ) -> Self {
        Self { settings, repositories, loader, wanted, given: None, relinks: false, standing: &|_| None }
    }

    /// The same planner, which knows what is served.
    #[must_use]
    pub(crate) fn over(self, standing: &'a (dyn Fn(&str) -> Option<Standing> + Sync)) -> Self {
        Self { standing, ..self }
    }

    /// The same planner, for what a client sent.
    #[must_use]
    pub(crate) fn given(self, given: Option<Arc<Given>>) -> Self {
        Self { given, ..self }
    }

    /// The same planner, for ensembles whose members have changed.
    #[must_use]
    pub(crate) fn relinking(self, relinks: bool) -> Self {
        Self { relinks, ..self }
    }

    /// Plans for the wanted models and the members of their ensembles.
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        let mut names = self.wanted.clone();
        while !names.is_empty() {
            let prepared = parallel::map(self.settings.load_thread_count, names, |name| {
                let result = self.prepare(&name);
                (name, result)
            });
            let configs = prepared.iter().filter_map(|(_, result)| result.as_ref().ok()).map(|model| &model.config);
            let new_members: BTreeSet<String> = configs.flat_map(ensembles::members).collect();
            plan.extend(prepared);
            let lacking = |name: &String| !plan.contains_key(name) && self.is_to_be_loaded(name);
            names = new_members.into_iter().filter(lacking).collect();
        }
        refuse_cycles(&mut plan);
        plan
    }

    /// The names that the plan will be about, by the configurations alone: what is to be held before it is made.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut unexplored = self.wanted.clone();
        while let Some(name) = unexplored.pop() {
            let config = self.written_config(&name);
            if names.insert(name) {
                let members = config.map(|config| ensembles::members(&config)).unwrap_or_default();
                unexplored.extend(members.into_iter().filter(|member| self.is_to_be_loaded(member)));
            }
        }
        names
    }

    /// Members that came from a client are left as they are.
    fn is_to_be_loaded(&self, member: &str) -> bool {
        let came_from_a_client = || (self.standing)(member).is_some_and(|standing| standing.source.has_files());
        !layout::find(self.repositories, member).is_empty() && !came_from_a_client()
    }

    fn written_config(&self, name: &str) -> Option<ModelConfig> {
        let given = self.given.clone().or_else(|| (self.standing)(name)?.source.given.clone());
        if let Some(given) = given {
            return Some(given.config.clone());
        }
        let directory = layout::find(self.repositories, name).into_iter().next()?;
        config_file::read(&config_file::path(&directory, self.settings.config_name.as_deref()), name).ok()?
    }

    fn prepare(&self, name: &str) -> Result<Prepared, InferError> {
        let standing = (self.standing)(name);
        let source = self.source(name, standing.as_ref())?;
        if let Some(standing) = standing.filter(|standing| standing.is_whole && source.is_same(&standing.source)) {
            return Ok(standing.prepared());
        }
        prepare(name, source, self.settings.auto_complete, self.loader)
    }

    /// What the model is to be loaded from now.
    fn source(&self, name: &str, standing: Option<&Standing>) -> Result<Source, InferError> {
        let config_name = self.settings.config_name.as_deref();
        let found = layout::find(self.repositories, name);
        let given = self.given.as_ref().filter(|_| self.wanted.iter().any(|wanted| wanted == name));
        let kept = standing.map(|standing| &*standing.source).filter(|source| self.relinks && source.has_files());
        let with_files = given.or(kept.and_then(|source| source.given.as_ref()));
        if let Some(files) = with_files.and_then(|given| given.files.as_ref()) {
            let mut source = Source::look(files.path().to_owned(), config_name, with_files.cloned());
            source.is_ephemeral = found.is_empty();
            return Ok(source);
        }
        let mut source = match found.as_slice() {
            [] => {
                let text = format!("failed to load '{name}', failed to poll from model repository");
                return Err(InferError::internal(text));
            }
            [directory] => Source::look(directory.clone(), config_name, given.cloned()),
            _ => return Err(InferError::internal(AMBIGUOUS)),
        };
        // A configuration that was sent earlier stays until somebody touches the file.
        let sent_earlier = standing.filter(|standing| {
            let earlier = &standing.source;
            given.is_none() && !earlier.has_files() && source.keeps_config(earlier)
        });
        if let Some(sent) = sent_earlier.and_then(|standing| standing.source.given.clone()) {
            source.given = Some(sent);
        }
        Ok(source)
    }
}

/// The members of every prepared model.
pub(crate) fn members(plan: &Plan) -> BTreeMap<String, BTreeSet<String>> {
    let prepared = plan.iter().filter_map(|(name, result)| Some((name, result.as_ref().ok()?)));
    prepared.map(|(name, model)| (name.clone(), ensembles::members(&model.config))).collect()
}

fn refuse_cycles(plan: &mut Plan) {
    while let Some(cycle) = find_cycle(&members(plan)) {
        let text = format!("circular dependency between ensembles: {}", cycle.join(" -> "));
        for name in cycle {
            plan.insert(name, Err(InferError::invalid_argument(text.clone())));
        }
    }
}
