//! The policy of sequences: who has which slot, who waits for one, and when silence is over.
//!
//! A sequence begins with its START and is known by its id until its END, or until it is silent for too long. Its slot is
//! free again when its last request has left the queue: the next sequence's first request runs after that one anyway.

mod instances;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use nereid_inference::{Awaited, BatchReason, SequenceId};

use super::{
    Chosen, Pick, Seat, SequenceSettings, Sequenced,
    backlog::Backlog,
    bench::{Bench, Permit, Queued, Sequence, Slot},
};
use crate::{
    SchedulerSettings,
    policy::{Actions, Cause, Claim, Event, InstanceIndex, Policy, Refusal, Run},
    queue::Wish,
};

/// Where the next request of a sequence goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Seat(Seat),
    Backlog(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// No more requests come: a sequence without requests has ended.
    Draining,
}

/// Sequences, the slots that they have, and those that wait for one.
pub(crate) struct SequencePolicy<T: Sequenced> {
    settings: SchedulerSettings,
    sequences: SequenceSettings,
    /// Sequences that more requests may come for.
    known: HashMap<SequenceId, Place>,
    backlog: Backlog<T>,
    benches: BTreeMap<InstanceIndex, Bench<T>>,
    free: BTreeSet<Seat>,
    /// When sequences that are silent end.
    silent: BTreeSet<(Instant, Seat)>,
    /// When instances that wait for company want to be asked again.
    due: BTreeSet<(Instant, InstanceIndex)>,
    /// Instances whose slots have changed since they were asked last.
    changed: BTreeSet<InstanceIndex>,
    /// What has just come.
    came: Awaited,
    /// Instances of which a slot has just gone to a sequence that waited for one.
    seated: BTreeSet<InstanceIndex>,
    next_number: u64,
    waiting: usize,
    reported_waiting: usize,
    life: Life,
}

// === impl SequencePolicy ===

impl<T: Sequenced + Send> Policy<T> for SequencePolicy<T> {
    fn on(&mut self, now: Instant, event: Event<T>) -> Actions<T> {
        let mut actions = Actions::nothing();
        self.came = match &event {
            Event::Arrive { .. } => Awaited::Nothing,
            Event::InstanceIdle { .. } | Event::InstanceAdded { .. } => Awaited::Instance,
            Event::Granted(_) => Awaited::Resources,
            Event::Advised { .. } | Event::InstanceRetired(_) | Event::Wake | Event::Drain => Awaited::Company,
        };
        match event {
            Event::Arrive { item, wish, .. } => self.arrive(now, item, wish, &mut actions),
            Event::InstanceIdle { instance, returned, .. } => {
                returned.into_iter().for_each(|item| self.reschedule(now, item, &mut actions));
                self.instance_idle(now, instance, &mut actions);
            }
            Event::InstanceAdded { instance, is_limited } => self.add_instance(now, instance, is_limited, &mut actions),
            Event::Granted(instance) => self.grant(instance, &mut actions),
            Event::InstanceRetired(instance) => self.retire_instance(instance, &mut actions),
            Event::Advised { .. } => {}
            Event::Wake => self.changed.extend(self.due.iter().map(|(_, instance)| *instance)),
            Event::Drain => self.drain(now, &mut actions),
        }
        self.advance(now, &mut actions);
        actions
    }

    fn is_drained(&self) -> bool {
        // What executes of an iterative sequence may come back.
        let may_return = || self.sequences.iterative && self.benches.values().any(|bench| bench.busy);
        self.life == Life::Draining && self.waiting == 0 && !may_return()
    }

    /// A request of an iterative model is a sequence of its own: no other is to come.
    fn has_open_sequence(&self, id: Option<&SequenceId>) -> bool {
        !self.sequences.iterative && id.map_or(!self.known.is_empty(), |id| self.known.contains_key(id))
    }
}

impl<T: Sequenced> SequencePolicy<T> {
    pub(crate) fn new(settings: SchedulerSettings, sequences: SequenceSettings) -> Self {
        Self {
            settings,
            sequences,
            known: HashMap::new(),
            backlog: Backlog::default(),
            benches: BTreeMap::new(),
            free: BTreeSet::new(),
            silent: BTreeSet::new(),
            due: BTreeSet::new(),
            changed: BTreeSet::new(),
            came: Awaited::Nothing,
            seated: BTreeSet::new(),
            next_number: 0,
            waiting: 0,
            reported_waiting: 0,
            life: Life::Serving,
        }
    }

    fn arrive(&mut self, now: Instant, item: T, wish: Wish, actions: &mut Actions<T>) {
        // Silence that is over now was over before this request came.
        self.end_silent(now, actions);
        let Some(flags) = item.flags().cloned() else {
            return actions.refused.push((item, Refusal::NotStarted));
        };
        let place = self.known.get(&flags.id).copied();
        if place.is_none() && !flags.start {
            return actions.refused.push((item, Refusal::NotStarted));
        }
        if self.waiting >= self.settings.queue.default.requests_max {
            return actions.refused.push((item, Refusal::QueueFull));
        }
        actions.restarted = (place.is_some() && flags.start).then(|| flags.id.clone());
        let queued = Queued { item, arrived: now, number: self.next_number, end: flags.end };
        self.next_number += 1;
        self.waiting += 1;
        let place = match place {
            Some(Place::Seat(seat)) => {
                self.push(seat, queued);
                Place::Seat(seat)
            }
            Some(Place::Backlog(number)) => {
                self.backlog.push(number, queued, wish.timeout);
                Place::Backlog(number)
            }
            None => self.begin(flags.id.clone(), queued, wish.timeout),
        };
        match flags.end {
            true => drop(self.known.remove(&flags.id)),
            false => drop(self.known.insert(flags.id, place)),
        }
    }

    /// A new sequence gets a slot, or waits for one.
    fn begin(&mut self, id: SequenceId, first: Queued<T>, timeout: Option<Duration>) -> Place {
        let Some(seat) = self.free.pop_first() else {
            return Place::Backlog(self.backlog.open(id, first, timeout));
        };
        if let Some(bench) = self.benches.get_mut(&seat.instance) {
            bench.seat(seat.slot, Sequence::new(id));
        }
        self.push(seat, first);
        Place::Seat(seat)
    }

    fn push(&mut self, seat: Seat, queued: Queued<T>) {
        let Some(bench) = self.benches.get_mut(&seat.instance) else { return };
        if let Some(until) = bench.push(seat.slot, queued) {
            self.silent.remove(&(until, seat));
        }
        self.changed.insert(seat.instance);
    }

    /// A request that was executed needs another execution: it goes before the requests of its sequence that wait, and
    /// counts as the youngest of all others. It has been admitted already, however many wait.
    fn reschedule(&mut self, now: Instant, item: T, actions: &mut Actions<T>) {
        let place = item.flags().and_then(|flags| self.known.get(&flags.id).copied());
        let Some(Place::Seat(seat)) = place else {
            return actions.refused.push((item, Refusal::NotStarted));
        };
        let queued = Queued { item, arrived: now, number: self.next_number, end: false };
        self.next_number += 1;
        self.waiting += 1;
        if let Some(bench) = self.benches.get_mut(&seat.instance) {
            bench.push_front(seat.slot, queued);
        }
    }

    fn instance_idle(&mut self, now: Instant, instance: InstanceIndex, actions: &mut Actions<T>) {
        let Some(bench) = self.benches.get_mut(&instance) else { return };
        let rested = bench.finished();
        self.changed.insert(instance);
        for slot in rested {
            self.rest(now, Seat { slot, instance }, actions);
        }
    }

    /// A sequence has nothing that waits or runs: it is silent from now on. An iterative one is over: a request of it that
    /// comes again is a sequence of its own.
    fn rest(&mut self, now: Instant, seat: Seat, actions: &mut Actions<T>) {
        if self.life == Life::Draining || self.sequences.iterative {
            return self.end(now, seat, actions);
        }
        let until = now.checked_add(self.sequences.idle_max);
        let Some(sequence) = self.slot_mut(seat).and_then(Slot::sequence_mut) else { return };
        sequence.silent_until = until;
        self.silent.extend(until.map(|until| (until, seat)));
    }

    fn end_silent(&mut self, now: Instant, actions: &mut Actions<T>) {
        while let Some((_, seat)) = self.silent.first().copied().filter(|(until, _)| *until <= now) {
            self.silent.pop_first();
            self.end(now, seat, actions);
        }
    }

    /// The sequence of a slot ends; what is left of it is cancelled.
    fn end(&mut self, now: Instant, seat: Seat, actions: &mut Actions<T>) {
        let Some(bench) = self.benches.get_mut(&seat.instance) else { return };
        let Some(sequence) = bench.clear(seat.slot) else { return };
        if let Some(until) = sequence.silent_until {
            self.silent.remove(&(until, seat));
        }
        if sequence.open {
            self.known.remove(&sequence.id);
        }
        self.waiting -= sequence.queue.len();
        actions.cancelled.extend(sequence.queue.into_iter().map(|queued| queued.item));
        self.release(now, seat, actions);
    }

    /// A slot without a sequence goes to the sequence that waits longest, or is free.
    fn release(&mut self, now: Instant, seat: Seat, actions: &mut Actions<T>) {
        self.changed.insert(seat.instance);
        if self.benches.get(&seat.instance).is_none_or(|bench| bench.leaving) {
            return;
        }
        let Some(sequence) = self.next_in_backlog(actions) else {
            self.free.insert(seat);
            return;
        };
        if sequence.open {
            self.known.insert(sequence.id.clone(), Place::Seat(seat));
        }
        let is_silent = sequence.queue.is_empty();
        if let Some(bench) = self.benches.get_mut(&seat.instance) {
            bench.seat(seat.slot, sequence);
            self.seated.insert(seat.instance);
        }
        if is_silent {
            self.rest(now, seat, actions);
        }
    }

    /// The oldest sequence without a slot of which no request is cancelled.
    fn next_in_backlog(&mut self, actions: &mut Actions<T>) -> Option<Sequence<T>> {
        while let Some(sequence) = self.backlog.take_next() {
            if !sequence.queue.iter().any(|queued| queued.item.is_cancelled()) {
                return Some(sequence);
            }
            if sequence.open {
                self.known.remove(&sequence.id);
            }
            self.waiting -= sequence.queue.len();
            actions.cancelled.extend(sequence.queue.into_iter().map(|queued| queued.item));
        }
        None
    }

    fn expire_backlog(&mut self, now: Instant, actions: &mut Actions<T>) {
        for sequence in self.backlog.expire(now) {
            if sequence.open {
                self.known.remove(&sequence.id);
            }
            self.waiting -= sequence.queue.len();
            let expired = sequence.queue.into_iter().map(|queued| (queued.item, Refusal::SequenceExpired));
            actions.refused.extend(expired);
        }
    }

    fn drain(&mut self, now: Instant, actions: &mut Actions<T>) {
        self.life = Life::Draining;
        self.sequences.strategy.do_not_wait();
        if let Some(batching) = &mut self.settings.batching {
            batching.delay_max = Duration::ZERO;
        }
        while let Some((_, seat)) = self.silent.pop_first() {
            self.end(now, seat, actions);
        }
        self.changed.extend(self.benches.keys());
    }

    fn advance(&mut self, now: Instant, actions: &mut Actions<T>) {
        self.expire_backlog(now, actions);
        self.end_silent(now, actions);
        while let Some(instance) = self.changed.pop_first() {
            self.start(now, instance, actions);
            self.leave_if_empty(instance, actions);
        }
        self.seated.clear();
        let next_silent = self.silent.first().map(|(at, _)| *at);
        let next_due = self.due.first().map(|(at, _)| *at);
        actions.wake_at = next_silent.into_iter().chain(next_due).chain(self.backlog.next_deadline()).min();
        actions.waiting = (self.waiting != self.reported_waiting).then_some(self.waiting);
        self.reported_waiting = self.waiting;
    }

    /// Starts the next execution of an instance, if it is idle and there is one.
    fn start(&mut self, now: Instant, instance: InstanceIndex, actions: &mut Actions<T>) {
        loop {
            let Some(bench) = self.benches.get_mut(&instance) else { return };
            if let Some(due) = bench.due.take() {
                self.due.remove(&(due, instance));
            }
            if bench.busy {
                return;
            }
            match self.sequences.strategy.pick(&self.settings, now, bench) {
                Pick::Nothing => {
                    actions.claims.extend(bench.let_go().then_some(Claim::LetGo(instance)));
                    return;
                }
                Pick::Wait { until } => {
                    actions.claims.extend(bench.let_go().then_some(Claim::LetGo(instance)));
                    bench.due = Some(until);
                    self.due.insert((until, instance));
                    return;
                }
                Pick::Run(chosen) => match bench.first_cancelled(&chosen.rows) {
                    Some(slot) => self.end(now, Seat { slot, instance }, actions),
                    None if bench.permit == Permit::Asked => return,
                    None if bench.permit == Permit::Absent => {
                        bench.permit = Permit::Asked;
                        actions.claims.push(Claim::Ask(instance));
                        return;
                    }
                    None => return self.run(now, instance, &chosen, actions),
                },
            }
        }
    }

    fn run(&mut self, now: Instant, instance: InstanceIndex, chosen: &Chosen, actions: &mut Actions<T>) {
        let others_idle = self.benches.values().all(|bench| !bench.busy);
        let awaited = self.awaited(now, instance);
        let Some(bench) = self.benches.get_mut(&instance) else { return };
        let (requests, ended) = bench.take(&chosen.rows);
        self.waiting -= chosen.rows.iter().flatten().count();
        let is_alone = others_idle && self.waiting == 0 && requests.len() == 1;
        let reason = match chosen.reason {
            BatchReason::NoDelay if self.life == Life::Draining => BatchReason::Draining,
            reason => reason,
        };
        let cause = Cause { decided: now, reason, awaited, waiting: self.waiting };
        actions.runs.push(Run { instance, requests, is_alone, cause });
        // Another sequence may have the slot at once: its requests run after this execution.
        for slot in ended {
            self.release(now, Seat { slot, instance }, actions);
        }
        self.changed.remove(&instance);
    }

    /// What the requests of an instance that is idle now have waited for.
    fn awaited(&self, now: Instant, instance: InstanceIndex) -> Awaited {
        // More than the one that has just come, or another that a late timer has left waiting.
        let came_before = |bench: &Bench<T>| bench.candidates().any(|candidate| candidate.queued.arrived < now);
        let has_others = || {
            let bench = self.benches.get(&instance);
            bench.is_some_and(|bench| bench.ready_count() > 1 || came_before(bench))
        };
        match self.came {
            _ if self.seated.contains(&instance) => Awaited::Slot,
            Awaited::Nothing if has_others() => Awaited::Company,
            came => came,
        }
    }

    /// Every seat that is taken, by whom, and the first of its requests that waits.
    #[cfg(test)]
    pub(super) fn seats(&self) -> impl Iterator<Item = (Seat, &SequenceId, Option<&T>)> {
        self.benches.iter().flat_map(|(instance, bench)| {
            bench.slots.iter().enumerate().filter_map(|(slot, taken)| {
                let sequence = taken.sequence()?;
                let first = sequence.queue.front().map(|queued| &queued.item);
                Some((Seat { slot, instance: *instance }, &sequence.id, first))
            })
        })
    }

    fn slot_mut(&mut self, seat: Seat) -> Option<&mut Slot<T>> {
        self.benches.get_mut(&seat.instance)?.slots.get_mut(seat.slot)
    }
}
