//! Instances of a model of sequences come, are allowed to execute, and go when their last sequence has ended.

use std::time::Instant;

use super::SequencePolicy;
use crate::{
    policy::{Actions, Claim, InstanceIndex},
    sequence::{
        Seat, Sequenced,
        bench::{Bench, Permit},
    },
};

// === impl SequencePolicy ===

impl<T: Sequenced> SequencePolicy<T> {
    pub(super) fn add_instance(
        &mut self,
        now: Instant,
        instance: InstanceIndex,
        is_limited: bool,
        actions: &mut Actions<T>,
    ) {
        let permit = if is_limited { Permit::Absent } else { Permit::NotNeeded };
        self.benches.insert(instance, Bench::new(self.sequences.slots, permit));
        for slot in 0..self.sequences.slots {
            self.release(now, Seat { slot, instance }, actions);
        }
    }

    /// A limited instance may execute.
    pub(super) fn grant(&mut self, instance: InstanceIndex, actions: &mut Actions<T>) {
        match self.benches.get_mut(&instance) {
            Some(bench) if bench.permit == Permit::Asked => {
                bench.permit = Permit::Held;
                self.changed.insert(instance);
            }
            _ => actions.claims.push(Claim::LetGo(instance)),
        }
    }

    /// Its sequences go on to their end; it gets no new ones.
    pub(super) fn retire_instance(&mut self, instance: InstanceIndex, actions: &mut Actions<T>) {
        let Some(bench) = self.benches.get_mut(&instance) else { return };
        bench.leaving = true;
        self.free.retain(|seat| seat.instance != instance);
        self.leave_if_empty(instance, actions);
    }

    pub(super) fn leave_if_empty(&mut self, instance: InstanceIndex, actions: &mut Actions<T>) {
        let is_over = |bench: &Bench<T>| bench.leaving && !bench.busy && bench.is_empty();
        if self.benches.get(&instance).is_some_and(is_over) {
            self.benches.remove(&instance);
            self.due.retain(|(_, due)| *due != instance);
            actions.gone.push(instance);
        }
    }
}
