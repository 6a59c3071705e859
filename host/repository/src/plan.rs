//! Which models an operation is about: those asked for and the members that their ensembles still lack.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use nereid_inference::{InferError, ModelLoader};

use crate::{
    RepositorySettings, ensembles, layout,
    order::find_cycle,
    parallel,
    prepare::{Prepared, prepare},
};

/// The index's reason for a name that is taken twice.
const AMBIGUOUS: &str = "model appears in two or more repositories";

/// Every model of the operation, prepared or refused.
pub(crate) type Plan = BTreeMap<String, Result<Prepared, InferError>>;

/// Where plans are made from.
pub(crate) struct Planner<'a> {
    pub(crate) settings: &'a RepositorySettings,
    pub(crate) repositories: &'a [PathBuf],
    pub(crate) loader: &'a dyn ModelLoader,
}

// === impl Planner ===

impl Planner<'_> {
    /// Plans for `wanted`; members for which `is_ready` holds are left as they are.
    pub(crate) fn plan(&self, wanted: Vec<String>, is_ready: impl Fn(&str) -> bool) -> Plan {
        let mut plan = Plan::new();
        let mut names = wanted;
        while !names.is_empty() {
            let prepared = parallel::map(self.settings.load_thread_count, names, |name| {
                let result = self.prepare(&name);
                (name, result)
            });
            let new_members: BTreeSet<String> = prepared
                .iter()
                .filter_map(|(_, result)| result.as_ref().ok())
                .flat_map(|model| ensembles::members(&model.config))
                .collect();
            plan.extend(prepared);
            let lacking = |name: &String| {
                !plan.contains_key(name) && !is_ready(name) && !layout::find(self.repositories, name).is_empty()
            };
            names = new_members.into_iter().filter(lacking).collect();
        }
        refuse_cycles(&mut plan);
        plan
    }

    fn prepare(&self, name: &str) -> Result<Prepared, InferError> {
        match layout::find(self.repositories, name).as_slice() {
            [] => Err(InferError::internal(format!("failed to load '{name}', failed to poll from model repository"))),
            [directory] => prepare(name, directory, self.settings.auto_complete, self.loader),
            _ => Err(InferError::internal(AMBIGUOUS)),
        }
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
