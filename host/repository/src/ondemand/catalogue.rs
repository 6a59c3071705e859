//! Every model that can be loaded: its place in the policy, and the stand-ins that are routed to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use nereid_inference::{InferError, ModelConfig, ModelIdentity, ServedModel};

use crate::{
    ensembles,
    model_id::ModelId,
    ondemand::{OnDemand, policy::Slot, standin::Standin},
    plan::Plan,
    route::{ModelRoute, Route},
};

/// The models in the order of their places, and by identifier.
#[derive(Default)]
pub(super) struct Catalogue {
    ids: Arc<Vec<ModelId>>,
    models: BTreeMap<ModelId, Known>,
}

struct Known {
    slot: Slot,
    members: BTreeSet<ModelId>,
    /// Ascending by version.
    standins: Vec<Arc<Standin>>,
}

// === impl Catalogue: questions ===

impl Catalogue {
    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    /// Identifiers by place.
    pub(super) fn ids(&self) -> Arc<Vec<ModelId>> {
        self.ids.clone()
    }

    pub(super) fn slot(&self, id: &ModelId) -> Option<Slot> {
        self.models.get(id).map(|known| known.slot)
    }

    pub(super) fn called(&self, name: &str) -> BTreeSet<ModelId> {
        self.models.keys().filter(|id| *id.name == *name).cloned().collect()
    }

    /// Every model below an ensemble.
    fn below(&self, id: &ModelId) -> Vec<Slot> {
        let mut found = BTreeSet::new();
        let mut unexplored = vec![id.clone()];
        while let Some(id) = unexplored.pop() {
            let members = self.models.get(&id).map(|known| known.members.iter()).into_iter().flatten();
            unexplored.extend(members.filter(|member| found.insert((*member).clone())).cloned());
        }
        found.remove(id);
        found.iter().filter_map(|member| self.slot(member)).collect()
    }

    fn route(&self, has_namespaces: bool) -> Route {
        let mut route = Route::new(has_namespaces);
        for (id, known) in &self.models {
            let model = || ModelRoute {
                title: id.to_string().into(),
                ready: known.standins.iter().map(|model| (model.identity().version, model.clone() as _)).collect(),
                others: Vec::new(),
            };
            route.add(model());
            if id.namespace.is_some() {
                route.add_bare_name(id.name.clone(), model());
            }
        }
        route
    }
}

// === impl Catalogue: changes ===

impl Catalogue {
    /// Every model of the plan that can be loaded and is not known yet.
    pub(super) fn enter(&mut self, service: &OnDemand, plan: &Plan) {
        for (id, prepared) in plan {
            let Ok(prepared) = prepared else { continue };
            if self.models.contains_key(id) {
                continue;
            }
            let slot = self.slot_for(service, id);
            let identities = prepared.versions.iter().map(|version| prepared.model_source(*version).identity);
            let standins: Result<Vec<_>, InferError> =
                identities.map(|identity| Standin::of_config(&service.me, slot, identity, &prepared.config)).collect();
            match standins {
                Ok(standins) => self.replace(id, &prepared.config, standins),
                Err(error) => tracing::error!("model '{id}' cannot be loaded: {error}"),
            }
        }
        self.publish(service);
    }

    /// A load has ended: its models are described by what was loaded.
    pub(super) fn enter_loaded(&mut self, service: &OnDemand, id: &ModelId, served: &[Arc<dyn ServedModel>]) {
        let Some(last) = served.last() else { return };
        let slot = self.slot_for(service, id);
        let standins = served.iter().map(|model| Standin::of_model(&service.me, slot, &**model)).collect();
        self.replace(id, last.config(), standins);
    }

    /// Leads to the stand-ins that there are now.
    pub(super) fn publish(&self, service: &OnDemand) {
        let mut policy = service.policy.lock();
        for (id, known) in &self.models {
            policy.set_members(known.slot, self.below(id));
        }
        drop(policy);
        drop(service.route.swap(Arc::new(self.route(service.repository.settings.has_namespaces))));
    }

    fn replace(&mut self, id: &ModelId, config: &ModelConfig, standins: Vec<Arc<Standin>>) {
        if let Some(known) = self.models.get_mut(id) {
            known.members = ensembles::members(config);
            known.standins = standins;
        }
    }

    fn slot_for(&mut self, service: &OnDemand, id: &ModelId) -> Slot {
        if let Some(known) = self.models.get(id) {
            return known.slot;
        }
        let slot = service.policy.lock().add();
        Arc::make_mut(&mut self.ids).push(id.clone());
        self.models.insert(id.clone(), Known { slot, members: BTreeSet::new(), standins: Vec::new() });
        slot
    }
}

/// The identifier of a model that answers.
pub(super) fn id_of(identity: &ModelIdentity) -> ModelId {
    ModelId { name: identity.name.clone(), namespace: identity.namespace.clone() }
}
