//! Which instances wait, which work, and which leave after their work: instances come and go while the model serves.
//!
//! An instance that is to leave is given nothing new; it is gone when it is idle, and its index may then be used again.
//! A limited one is idle, in the eyes of who looks for an instance, only while it has a grant.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::{Claim, InstanceIndex, Place};

/// Idle instances among which one is looked for that worked at a place: more threads than this seldom make requests of one model, and
/// those used last come first.
const LOOKED_AT_MAX: usize = 64;

/// The instances of one model.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The one used last is used next, and before it the one used last where it is used next: its caches are warm.
    idle: Vec<Idle>,
    /// Idle, or working to stay.
    staying: usize,
    /// Working, and gone after that.
    leaving: BTreeSet<InstanceIndex>,
    /// Those that execute only what was granted.
    limited: BTreeSet<InstanceIndex>,
    /// Limited ones that do not work and have no grant, and whether they ask for one.
    resting: BTreeMap<InstanceIndex, bool>,
}

/// An instance that could work now.
#[derive(Clone, Copy, Debug)]
struct Idle {
    instance: InstanceIndex,
    /// Where it worked last.
    place: Option<Place>,
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It waits for work, or works.
    Here,
    /// Nothing refers to it any more.
    Gone,
}

// === impl Roster ===

impl Roster {
    /// Instances `0..count`, all idle.
    pub(crate) fn new(count: usize) -> Self {
        Self { idle: (0..count).rev().map(Idle::new).collect(), staying: count, ..Self::default() }
    }

    /// The instance that the next execution would get.
    pub(crate) fn next(&self) -> Option<InstanceIndex> {
        self.idle.last().map(|idle| idle.instance)
    }

    /// The instance that an execution at this place would get.
    pub(crate) fn next_at(&self, place: Place) -> Option<InstanceIndex> {
        let known = self.idle.iter().rev().take(LOOKED_AT_MAX).find(|idle| idle.place == Some(place));
        known.or(self.idle.last()).map(|idle| idle.instance)
    }

    /// An idle instance begins to work.
    pub(crate) fn take(&mut self, instance: InstanceIndex) {
        if let Some(position) = self.idle.iter().rposition(|idle| idle.instance == instance) {
            self.idle.remove(position);
        }
    }

    /// Whether nobody works.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.len() + self.resting.len() == self.staying && self.leaving.is_empty()
    }

    /// Whether some instances are limited.
    pub(crate) fn has_limited(&self) -> bool {
        !self.limited.is_empty()
    }

    /// An instance is new, and idle; those that worked before are used before it.
    pub(crate) fn add(&mut self, instance: InstanceIndex, is_limited: bool) {
        self.staying += 1;
        if is_limited {
            self.limited.insert(instance);
            self.resting.insert(instance, false);
        } else {
            self.idle.insert(0, Idle::new(instance));
        }
    }

    /// A limited instance may work once, and is used next.
    pub(crate) fn grant(&mut self, instance: InstanceIndex) {
        if self.resting.remove(&instance).is_some() {
            self.idle.push(Idle::new(instance));
        }
    }

    /// Lets all limited instances that rest ask when there is work for them, and none when there is not. Grants that
    /// were not used are given back.
    pub(crate) fn claim(&mut self, has_work: bool) -> Vec<Claim> {
        let is_unused = |idle: &mut Idle| self.limited.contains(&idle.instance);
        let unused: Vec<InstanceIndex> = self.idle.extract_if(.., is_unused).map(|idle| idle.instance).collect();
        self.resting.extend(unused.iter().map(|instance| (*instance, false)));
        let mut claims: Vec<Claim> = unused.into_iter().map(Claim::LetGo).collect();
        let changed = self.resting.iter_mut().filter(|(_, asks)| **asks != has_work);
        claims.extend(changed.map(|(instance, asks)| {
            *asks = has_work;
            if has_work { Claim::Ask(*instance) } else { Claim::LetGo(*instance) }
        }));
        claims
    }

    /// An instance has finished its work at this place.
    pub(crate) fn finished(&mut self, instance: InstanceIndex, place: Place) -> Presence {
        if self.leaving.remove(&instance) {
            return Presence::Gone;
        }
        if self.limited.contains(&instance) {
            self.resting.insert(instance, false);
        } else {
            self.idle.push(Idle { instance, place: Some(place) });
        }
        Presence::Here
    }

    /// An instance is to leave, now or when it has finished.
    pub(crate) fn retire(&mut self, instance: InstanceIndex) -> Presence {
        if self.leaving.contains(&instance) {
            return Presence::Here;
        }
        self.staying = self.staying.saturating_sub(1);
        self.limited.remove(&instance);
        if self.resting.remove(&instance).is_some() {
            return Presence::Gone;
        }
        if let Some(position) = self.idle.iter().position(|idle| idle.instance == instance) {
            self.idle.remove(position);
            return Presence::Gone;
        }
        self.leaving.insert(instance);
        Presence::Here
    }
}

// === impl Idle ===

impl Idle {
    /// One that has not worked yet, or works where it is told to.
    fn new(instance: InstanceIndex) -> Self {
        Self { instance, place: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place(0);
    const THERE: Place = Place(1);

    #[test]
    fn an_instance_works_again_where_it_worked_last() {
        let mut roster = Roster::new(3);
        roster.take(0);
        roster.take(1);
        assert_eq!((roster.finished(0, HERE), roster.finished(1, THERE)), (Presence::Here, Presence::Here));
        assert_eq!((roster.next_at(HERE), roster.next_at(THERE), roster.next()), (Some(0), Some(1), Some(1)));
        roster.take(1);
        assert_eq!((roster.next_at(THERE), roster.next()), (Some(0), Some(0)), "rather one that has worked at all");
        roster.take(0);
        assert_eq!((roster.next_at(HERE), roster.next()), (Some(2), Some(2)));
    }

    #[test]
    fn an_idle_instance_leaves_at_once_and_a_working_one_when_it_has_finished() {
        let mut roster = Roster::new(2);
        assert_eq!(roster.next(), Some(0));
        roster.take(0);
        assert!(!roster.is_idle());
        assert_eq!(roster.retire(1), Presence::Gone);
        assert_eq!((roster.retire(0), roster.next()), (Presence::Here, None));
        assert_eq!(roster.finished(0, HERE), Presence::Gone);
        assert!(roster.is_idle() && roster.next().is_none());
    }

    #[test]
    fn a_new_instance_is_idle_and_may_have_the_index_of_one_that_is_gone() {
        let mut roster = Roster::new(1);
        assert_eq!(roster.retire(0), Presence::Gone);
        roster.add(0, false);
        assert_eq!((roster.next(), roster.is_idle()), (Some(0), true));
        roster.take(0);
        assert_eq!(roster.finished(0, HERE), Presence::Here);
    }

    #[test]
    fn retiring_twice_is_retiring_once() {
        let mut roster = Roster::new(2);
        roster.take(0);
        assert_eq!((roster.retire(0), roster.retire(0)), (Presence::Here, Presence::Here));
        assert_eq!((roster.finished(0, HERE), roster.next(), roster.is_idle()), (Presence::Gone, Some(1), true));
    }

    #[test]
    fn a_limited_instance_works_only_with_a_grant_and_asks_once() {
        let mut roster = Roster::default();
        roster.add(0, true);
        assert_eq!((roster.next(), roster.is_idle()), (None, true));
        assert_eq!(roster.claim(true), [Claim::Ask(0)]);
        assert_eq!(roster.claim(true), []);
        roster.grant(0);
        assert_eq!(roster.next(), Some(0));
        roster.take(0);
        assert_eq!((roster.claim(true), roster.is_idle()), (vec![], false));
        assert_eq!((roster.finished(0, HERE), roster.next()), (Presence::Here, None));
    }

    #[test]
    fn what_is_not_needed_is_let_go() {
        let mut roster = Roster::default();
        roster.add(0, true);
        roster.add(1, true);
        assert_eq!(roster.claim(true), [Claim::Ask(0), Claim::Ask(1)]);
        roster.grant(0);
        assert_eq!(roster.claim(false), [Claim::LetGo(0), Claim::LetGo(1)]);
        assert_eq!((roster.next(), roster.claim(false)), (None, vec![]));
        assert_eq!((roster.retire(0), roster.claim(true)), (Presence::Gone, vec![Claim::Ask(1)]));
    }
}
