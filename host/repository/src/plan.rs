//! Which models an operation is about: those asked for and the members of their ensembles, each prepared to be loaded,
//! or found to be what is served already.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use nereid_inference::{InferError, ModelConfig, ModelLoader};

use crate::{
    RepositorySettings, config_file, ensembles,
    model_id::ModelId,
    order::find_cycle,
    parallel,
    places::Places,
    prepare::{Prepared, prepare},
    source::{Given, Source},
    standing::Standing,
};

/// The index's reason for a name that is taken twice.
pub(crate) const AMBIGUOUS: &str = "model appears in two or more repositories";

/// Every model of the operation, prepared or refused.
pub(crate) type Plan = BTreeMap<ModelId, Result<Prepared, InferError>>;

/// Where plans are made from.
pub(crate) struct Planner<'a> {
    settings: &'a RepositorySettings,
    places: &'a Places,
    loader: &'a dyn ModelLoader,
    wanted: Vec<ModelId>,
    /// What a client sent for the one model that is wanted.
    given: Option<Arc<Given>>,
    /// A configuration that was sent with an earlier load does not count.
    is_fresh: bool,
    /// The wanted models stay what they are and are linked to their members anew.
    relinks: bool,
    /// What is served of a model.
    standing: &'a (dyn Fn(&ModelId) -> Option<Standing> + Sync),
}

// === impl Planner ===

impl<'a> Planner<'a> {
    /// A planner for `wanted`, of which nothing is served yet.
    pub(crate) fn new(
        settings: &'a RepositorySettings,
        places: &'a Places,
        loader: &'a dyn ModelLoader,
        wanted: Vec<ModelId>,
    ) -> Self {
        Self { settings, places, loader, wanted, given: None, is_fresh: false, relinks: false, standing: &|_| None }
    }

    /// The same planner, which knows what is served.
    #[must_use]
    pub(crate) fn over(self, standing: &'a (dyn Fn(&ModelId) -> Option<Standing> + Sync)) -> Self {
        Self { standing, ..self }
    }

    /// The same planner, for what a client sent.
    #[must_use]
    pub(crate) fn given(self, given: Option<Arc<Given>>) -> Self {
        Self { given, ..self }
    }

    /// The same planner, for what lies in the repository alone, but for what a client sent now.
    #[must_use]
    pub(crate) fn fresh(self, is_fresh: bool) -> Self {
        Self { is_fresh, ..self }
    }

    /// The same planner, for ensembles whose members have changed.
    #[must_use]
    pub(crate) fn relinking(self, relinks: bool) -> Self {
        Self { relinks, ..self }
    }

    /// Plans for the wanted models and the members of their ensembles.
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        let mut ids = self.wanted.clone();
        while !ids.is_empty() {
            let prepared = parallel::map(self.settings.load_thread_count, ids, |id| {
                let result = self.prepare(&id);
                (id, result)
            });
            let configs = prepared.iter().filter_map(|(_, result)| result.as_ref().ok()).map(|model| &model.config);
            let new_members: BTreeSet<ModelId> = configs.flat_map(ensembles::members).collect();
            plan.extend(prepared);
            let lacking = |id: &ModelId| !plan.contains_key(id) && self.is_to_be_loaded(id);
            ids = new_members.into_iter().filter(lacking).collect();
        }
        refuse_cycles(&mut plan);
        plan
    }

    /// The models that the plan will be about, by the configurations alone: what is to be held before it is made.
    pub(crate) fn models(&self) -> BTreeSet<ModelId> {
        let mut models = BTreeSet::new();
        let mut unexplored = self.wanted.clone();
        while let Some(id) = unexplored.pop() {
            let config = self.written_config(&id);
            if models.insert(id) {
                let members = config.map(|config| ensembles::members(&config)).unwrap_or_default();
                unexplored.extend(members.into_iter().filter(|member| self.is_to_be_loaded(member)));
            }
        }
        models
    }

    /// Members that came from a client, or were rolled back, are left as they are.
    fn is_to_be_loaded(&self, member: &ModelId) -> bool {
        let is_held = |standing: Standing| standing.source.has_files() || standing.is_rolled_back;
        !self.places.find(member).is_empty() && !(self.standing)(member).is_some_and(is_held)
    }

    fn written_config(&self, id: &ModelId) -> Option<ModelConfig> {
        let given = self.given.clone().or_else(|| (self.standing)(id)?.source.given.clone());
        let mut config = match given {
            Some(given) => given.config.clone(),
            None => {
                let directory = self.places.find(id).into_iter().next()?;
                let path = config_file::path(&directory, self.settings.config_name.as_deref());
                config_file::read(&path, &id.name).ok()??
            }
        };
        self.fill_namespaces(id, &mut config);
        Some(config)
    }

    fn prepare(&self, id: &ModelId) -> Result<Prepared, InferError> {
        let standing = (self.standing)(id);
        let source = self.source(id, standing.as_ref())?;
        // With namespaces a member may be another model than before, though no file of the ensemble has changed.
        let may_stand = !(self.relinks && self.places.have_namespaces());
        let is_same = |standing: &Standing| may_stand && standing.is_whole && source.is_same(&standing.source);
        if let Some(standing) = standing.filter(is_same) {
            return Ok(standing.prepared(id));
        }
        let mut prepared = prepare(id, source, self.settings.auto_complete, self.loader)?;
        if !self.places.have_namespaces() {
            ensembles::refuse_namespaces(&prepared.config)?;
        }
        self.fill_namespaces(id, &mut prepared.config);
        Ok(prepared)
    }

    fn fill_namespaces(&self, id: &ModelId, config: &mut ModelConfig) {
        if self.places.have_namespaces() {
            ensembles::fill_namespaces(config, id, |name| self.called(name));
        }
    }

    /// In the repositories, or sent by a client.
    fn called(&self, name: &str) -> BTreeSet<ModelId> {
        let mut called = self.places.called(name);
        called.extend(Some(ModelId::plain(name)).filter(|plain| (self.standing)(plain).is_some()));
        called
    }

    /// What the model is to be loaded from now.
    fn source(&self, id: &ModelId, standing: Option<&Standing>) -> Result<Source, InferError> {
        let config_name = self.settings.config_name.as_deref();
        let found = self.places.find(id);
        let given = self.given.as_ref().filter(|_| self.wanted.contains(id));
        let kept = standing.map(|standing| &*standing.source).filter(|source| self.relinks && source.has_files());
        let with_files = given.or(kept.and_then(|source| source.given.as_ref()));
        if let Some(files) = with_files.and_then(|given| given.files.as_ref()) {
            let mut source = Source::look(files.path().to_owned(), config_name, with_files.cloned());
            source.is_ephemeral = found.is_empty();
            return Ok(source);
        }
        let mut source = match found.as_slice() {
            [] => {
                let text = format!("failed to load '{id}', failed to poll from model repository");
                return Err(InferError::internal(text));
            }
            [directory] => Source::look(directory.clone(), config_name, given.cloned()),
            _ => return Err(InferError::internal(AMBIGUOUS)),
        };
        // A configuration that was sent earlier stays until somebody touches the file.
        let sent_earlier = standing.filter(|standing| {
            let earlier = &standing.source;
            given.is_none() && !self.is_fresh && !earlier.has_files() && source.keeps_config(earlier)
        });
        if let Some(sent) = sent_earlier.and_then(|standing| standing.source.given.clone()) {
            source.given = Some(sent);
        }
        Ok(source)
    }
}

/// The members of every prepared model.
pub(crate) fn members(plan: &Plan) -> BTreeMap<ModelId, BTreeSet<ModelId>> {
    let prepared = plan.iter().filter_map(|(id, result)| Some((id, result.as_ref().ok()?)));
    prepared.map(|(id, model)| (id.clone(), ensembles::members(&model.config))).collect()
}

fn refuse_cycles(plan: &mut Plan) {
    while let Some(cycle) = find_cycle(&members(plan)) {
        let names: Vec<String> = cycle.iter().map(ToString::to_string).collect();
        let text = format!("circular dependency between ensembles: {}", names.join(" -> "));
        for id in cycle {
            plan.insert(id, Err(InferError::invalid_argument(text.clone())));
        }
    }
}
