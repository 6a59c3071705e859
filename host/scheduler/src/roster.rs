//! Which instances wait, which work, and which leave after their work: instances come and go while the model serves.
//!
//! An instance that is to leave is given nothing new; it is gone when it is idle, and its index may then be used again.

use std::collections::BTreeSet;

use crate::policy::InstanceIndex;

/// The instances of one model.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The one used last is used next: its caches are warm.
    idle: Vec<InstanceIndex>,
    /// Idle, or working to stay.
    staying: usize,
    /// Working, and gone after that.
    leaving: BTreeSet<InstanceIndex>,
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
        Self { idle: (0..count).rev().collect(), staying: count, leaving: BTreeSet::new() }
    }

    /// The instance that the next execution would get.
    pub(crate) fn next(&self) -> Option<InstanceIndex> {
        self.idle.last().copied()
    }

    /// The instance that [`Roster::next`] showed begins to work.
    pub(crate) fn take(&mut self) {
        self.idle.pop();
    }

    /// Whether nobody works.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.len() == self.staying && self.leaving.is_empty()
    }

    /// An instance is new, and idle; those that worked before are used before it.
    pub(crate) fn add(&mut self, instance: InstanceIndex) {
        self.staying += 1;
        self.idle.insert(0, instance);
    }

    /// An instance has finished its work.
    pub(crate) fn finished(&mut self, instance: InstanceIndex) -> Presence {
        if self.leaving.remove(&instance) {
            return Presence::Gone;
        }
        self.idle.push(instance);
        Presence::Here
    }

    /// An instance is to leave, now or when it has finished.
    pub(crate) fn retire(&mut self, instance: InstanceIndex) -> Presence {
        if self.leaving.contains(&instance) {
            return Presence::Here;
        }
        self.staying = self.staying.saturating_sub(1);
        if let Some(position) = self.idle.iter().position(|idle| *idle == instance) {
            self.idle.remove(position);
            return Presence::Gone;
        }
        self.leaving.insert(instance);
        Presence::Here
    }

    #[cfg(test)]
    pub(crate) fn idle_count(&self) -> usize {
        self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_instance_leaves_at_once_and_a_working_one_when_it_has_finished() {
        let mut roster = Roster::new(2);
        assert_eq!(roster.next(), Some(0));
        roster.take();
        assert!(!roster.is_idle());
        assert_eq!(roster.retire(1), Presence::Gone);
        assert_eq!((roster.retire(0), roster.next()), (Presence::Here, None));
        assert_eq!(roster.finished(0), Presence::Gone);
        assert!(roster.is_idle() && roster.next().is_none());
    }

    #[test]
    fn a_new_instance_is_idle_and_may_have_the_index_of_one_that_is_gone() {
        let mut roster = Roster::new(1);
        assert_eq!(roster.retire(0), Presence::Gone);
        roster.add(0);
        assert_eq!((roster.next(), roster.is_idle()), (Some(0), true));
        roster.take();
        assert_eq!(roster.finished(0), Presence::Here);
    }

    #[test]
    fn retiring_twice_is_retiring_once() {
        let mut roster = Roster::new(2);
        roster.take();
        assert_eq!((roster.retire(0), roster.retire(0)), (Presence::Here, Presence::Here));
        assert_eq!((roster.finished(0), roster.next(), roster.is_idle()), (Presence::Gone, Some(1), true));
    }
}
