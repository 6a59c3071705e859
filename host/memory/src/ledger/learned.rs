//! What the last load of each version took.

use std::collections::{BTreeMap, VecDeque};

use nereid_inference::ModelIdentity;

use super::nouns::{LoadFacts, Measured};

/// What was measured, the oldest first.
#[derive(Debug)]
pub(super) struct Learned {
    versions_max: usize,
    versions: BTreeMap<ModelIdentity, (u64, Measured)>,
    order: VecDeque<ModelIdentity>,
}

// === impl Learned ===

impl Learned {
    pub(super) fn new(versions_max: usize) -> Self {
        Self { versions_max, versions: BTreeMap::new(), order: VecDeque::new() }
    }

    /// What the last load took, if it was of the same files.
    pub(super) fn of(&self, facts: &LoadFacts) -> Option<Measured> {
        let (files_bytes, measured) = self.versions.get(&facts.model)?;
        (*files_bytes == facts.files_bytes).then_some(*measured)
    }

    /// Forgets the version that was loaded longest ago when there are too many.
    pub(super) fn learn(&mut self, facts: &LoadFacts, measured: Measured) {
        self.order.retain(|model| *model != facts.model);
        self.order.push_back(facts.model.clone());
        self.versions.insert(facts.model.clone(), (facts.files_bytes, measured));
        while self.order.len() > self.versions_max {
            if let Some(oldest) = self.order.pop_front() {
                self.versions.remove(&oldest);
            }
        }
    }
}
