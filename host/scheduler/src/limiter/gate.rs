//! One model's side of the limiter: its policy says which instances have work, the limiter which of them may do it.
//!
//! Requests stay in the model's queue until an instance may execute: while they wait for it they expire, are cancelled and
//! are joined by others as they would while every instance is busy.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{Change, Exchange, MemberId, OwnerId};
use crate::policy::{Actions, Claim, Event, InstanceIndex, Policy};

/// The limited instances of one scheduler.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) owner: OwnerId,
    members: BTreeMap<InstanceIndex, MemberId>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(owner: OwnerId) -> Self {
        Self { owner, members: BTreeMap::new() }
    }

    /// An instance that executes only when it may.
    pub(crate) fn add(&mut self, instance: InstanceIndex, member: MemberId) {
        self.members.insert(instance, member);
    }

    /// Takes an instance out that nobody ever heard of.
    pub(crate) fn remove(&mut self, instance: InstanceIndex) -> Option<MemberId> {
        self.members.remove(&instance)
    }

    /// Every instance, for when the scheduler ends.
    pub(crate) fn take_all(&mut self) -> Vec<(MemberId, Change)> {
        std::mem::take(&mut self.members).into_values().map(|member| (member, Change::Leave)).collect()
    }

    /// Tells the policy what happened, the limiter what follows from it, and the policy what that allows, until neither has
    /// anything more to say. Without an event it only looks what was granted, and decides nothing when that is nothing. Also
    /// says who else is to look.
    pub(crate) fn on<T>(
        &mut self,
        policy: &mut dyn Policy<T>,
        now: Instant,
        event: Option<Event<T>>,
        mut exchange: impl FnMut(Vec<(MemberId, Change)>) -> Exchange,
    ) -> (Option<Actions<T>>, BTreeSet<OwnerId>) {
        let (mut actions, mut woken, mut changes) = (None, BTreeSet::new(), Vec::new());
        let mut looks = event.is_none();
        if let Some(event) = event {
            if let Event::InstanceIdle { instance, .. } = &event {
                changes.extend(self.change(*instance, Change::Executed));
            }
            let mut first = policy.on(now, event);
            self.note(&mut first, &mut changes);
            actions = Some(first);
        }
        while looks || !changes.is_empty() {
            looks = false;
            let Exchange { granted, woken: others } = exchange(std::mem::take(&mut changes));
            woken.extend(others);
            for instance in granted {
                let mut more = policy.on(now, Event::Granted(instance));
                self.note(&mut more, &mut changes);
                match &mut actions {
                    Some(actions) => actions.extend(more),
                    None => actions = Some(more),
                }
            }
        }
        (actions, woken)
    }

    /// What the policy's actions mean for the limiter.
    fn note<T>(&mut self, actions: &mut Actions<T>, changes: &mut Vec<(MemberId, Change)>) {
        for claim in actions.claims.drain(..) {
            changes.extend(match claim {
                Claim::Ask(instance) => self.change(instance, Change::Ask),
                Claim::LetGo(instance) => self.change(instance, Change::LetGo),
            });
        }
        let gone = actions.gone.iter().filter_map(|instance| self.members.remove(instance));
        changes.extend(gone.map(|member| (member, Change::Leave)));
    }

    #[cfg(test)]
    pub(crate) fn member(&self, instance: InstanceIndex) -> Option<MemberId> {
        self.members.get(&instance).copied()
    }

    fn change(&self, instance: InstanceIndex, change: Change) -> Option<(MemberId, Change)> {
        self.members.get(&instance).map(|member| (*member, change))
    }
}
