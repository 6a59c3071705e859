//! In which order models are loaded: members before the ensembles that are made of them, everything else at once.
//!
//! A state machine without threads: workers ask it for the next model and tell it when one is done. A member that
//! failed is done too; its ensembles then fail with its reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::model_id::ModelId;

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Load(ModelId),
    /// Others must be done first.
    Wait,
    /// Nothing is left to begin.
    Done,
}

/// The models of one operation and whom each waits for.
#[derive(Debug, Default)]
pub(crate) struct LoadOrder {
    /// Not begun; each with the members that are not done.
    waiting: BTreeMap<ModelId, BTreeSet<ModelId>>,
}

// === impl LoadOrder ===

impl LoadOrder {
    /// Orders models given with their members. Members outside the operation are not waited for. Models that wait for
    /// themselves, and those that wait for such ones, must have been taken out: see [`find_cycle`].
    pub(crate) fn new(models: &BTreeMap<ModelId, BTreeSet<ModelId>>) -> Self {
        let inside = |members: &BTreeSet<ModelId>| -> BTreeSet<ModelId> {
            members.iter().filter(|member| models.contains_key(*member)).cloned().collect()
        };
        Self { waiting: models.iter().map(|(id, members)| (id.clone(), inside(members))).collect() }
    }

    /// The next model that waits for nobody.
    pub(crate) fn next(&mut self) -> Next {
        let free = self.waiting.iter().find(|(_, members)| members.is_empty()).map(|(id, _)| id.clone());
        match free {
            Some(id) => {
                self.waiting.remove(&id);
                Next::Load(id)
            }
            None if self.waiting.is_empty() => Next::Done,
            None => Next::Wait,
        }
    }

    /// A model is done, loaded or not.
    pub(crate) fn done(&mut self, id: &ModelId) {
        for members in self.waiting.values_mut() {
            members.remove(id);
        }
    }
}

/// The models of one cycle, in the order in which they call each other, the first one again at the end.
pub(crate) fn find_cycle(models: &BTreeMap<ModelId, BTreeSet<ModelId>>) -> Option<Vec<ModelId>> {
    // What remains when models that wait for nobody are taken away again and again.
    let mut order = LoadOrder::new(models);
    while let Next::Load(id) = order.next() {
        order.done(&id);
    }
    let mut path: Vec<ModelId> = vec![order.waiting.keys().next()?.clone()];
    // Every model that remains has a member that remains, so the walk ends only by meeting itself.
    for _ in 0..=order.waiting.len() {
        let next = path.last().and_then(|id| order.waiting.get(id)).and_then(|members| members.first())?.clone();
        if let Some(start) = path.iter().position(|id| *id == next) {
            path.push(next);
            return Some(path.split_off(start));
        }
        path.push(next);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(edges: &[(&str, &[&str])]) -> BTreeMap<ModelId, BTreeSet<ModelId>> {
        let set = |members: &[&str]| members.iter().map(|member| ModelId::plain(member)).collect();
        edges.iter().map(|(name, members)| (ModelId::plain(name), set(members))).collect()
    }

    #[test]
    fn members_come_first_and_the_independent_need_not_wait() {
        let mut order =
            LoadOrder::new(&models(&[("e", &["a", "b"]), ("f", &["e"]), ("a", &[]), ("b", &[]), ("c", &[])]));
        let first: Vec<Next> = (0..3).map(|_| order.next()).collect();
        assert_eq!(first, ["a", "b", "c"].map(|name| Next::Load(ModelId::plain(name))));
        assert_eq!(order.next(), Next::Wait);
        order.done(&ModelId::plain("a"));
        assert_eq!(order.next(), Next::Wait);
        order.done(&ModelId::plain("b"));
        assert_eq!(order.next(), Next::Load(ModelId::plain("e")));
        order.done(&ModelId::plain("e"));
        assert_eq!(order.next(), Next::Load(ModelId::plain("f")));
        assert_eq!(order.next(), Next::Done);
    }

    #[test]
    fn members_outside_the_operation_are_not_waited_for() {
        let mut order = LoadOrder::new(&models(&[("e", &["loaded before"])]));
        assert_eq!(order.next(), Next::Load(ModelId::plain("e")));
    }

    #[test]
    fn a_cycle_is_shown_whole() {
        let cycle = |edges: &[(&str, &[&str])]| {
            let ids = find_cycle(&models(edges))?;
            Some(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" > "))
        };
        assert_eq!(cycle(&[("e", &["e"])]), Some("e > e".to_owned()));
        assert_eq!(
            cycle(&[("e", &["f", "a"]), ("f", &["g"]), ("g", &["e"]), ("a", &[])]),
            Some("e > f > g > e".to_owned())
        );
        assert_eq!(cycle(&[("d", &["e"]), ("e", &["f"]), ("f", &["e"])]), Some("e > f > e".to_owned()));
        assert_eq!(cycle(&[("e", &["a", "b"]), ("f", &["e", "a"]), ("a", &[]), ("b", &[])]), None);
    }
}
