//! What is served of a model when it is to be loaded again, and what therefore is to be done about each version.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{LoadClock, ModelConfig, ServedModel};

use crate::{model_id::ModelId, prepare::Prepared, source::Source};

/// The generations of a model that answer now, and what they were loaded from.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) source: Arc<Source>,
    /// Never empty, unless the model cannot answer any more.
    pub(crate) served: BTreeMap<u64, Arc<dyn ServedModel>>,
    /// Every version that was to be loaded is served.
    pub(crate) is_whole: bool,
    /// It was served before, and is not what lies in its place: only who asks for it by name changes that.
    pub(crate) is_rolled_back: bool,
}

/// What becomes of one version.
pub(crate) enum Step {
    /// It is what is wanted.
    Keep(Arc<dyn ServedModel>),
    /// It is, but for its instances.
    Reconfigure(Arc<dyn ServedModel>),
    Load,
}

// === impl Standing ===

impl Standing {
    /// What is served, as if it had been prepared again: nothing about it has changed.
    pub(crate) fn prepared(self, id: &ModelId) -> Prepared {
        let config = self.served.values().next_back().map(|served| served.config().clone()).unwrap_or_default();
        let (id, versions) = (id.clone(), self.served.into_keys().collect());
        Prepared { id, source: self.source, config, versions, warnings: Vec::new(), clock: LoadClock::default() }
    }

    /// What is to be done for `prepared` to be served in `version`.
    pub(crate) fn step(&self, prepared: &Prepared, version: u64) -> Step {
        let Some(served) = self.served.get(&version) else { return Step::Load };
        let same_files =
            Arc::ptr_eq(&prepared.source, &self.source) || prepared.source.is_same_for(&self.source, version);
        if !same_files || !is_same_but_for_instances(served.config(), &prepared.config) {
            return Step::Load;
        }
        if served.config().instance_groups == prepared.config.instance_groups
            && served.config().version_policy == prepared.config.version_policy
        {
            return Step::Keep(served.clone());
        }
        Step::Reconfigure(served.clone())
    }
}

fn is_same_but_for_instances(one: &ModelConfig, other: &ModelConfig) -> bool {
    let bare =
        |config: &ModelConfig| ModelConfig { instance_groups: Vec::new(), version_policy: None, ..config.clone() };
    bare(one) == bare(other)
}
