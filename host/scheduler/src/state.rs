//! The policy of models whose requests are independent: one queue, and whichever instance is idle.

use std::time::{Duration, Instant};

use nereid_inference::{Awaited, BatchReason, Verdict};

use crate::{
    SchedulerSettings,
    batching::{Batchable, Decision, decide, everybody_joins},
    counsel::{Counsel, PATIENCE},
    policy::{Actions, Cause, Event, InstanceIndex, Place, Policy, Refusal, Run},
    queue::{Queue, Ticket, Wish},
    roster::{Presence, Roster},
};

/// Requests that wait and instances that do.
pub(crate) struct State<T> {
    settings: SchedulerSettings,
    queue: Queue<T>,
    /// What the batching strategy says, where there is one.
    counsel: Option<Counsel>,
    roster: Roster,
    life: Life,
    /// The number of waiting requests that was reported last.
    reported_waiting: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// No more requests come; those that wait go without delay.
    Draining,
}

// === impl State ===

impl<T: Batchable + Send> Policy<T> for State<T> {
    fn on(&mut self, now: Instant, event: Event<T>) -> Actions<T> {
        match event {
            Event::Arrive { item, wish, place } => self.arrive(now, item, wish, place),
            Event::InstanceIdle { instance, place, .. } => self.instance_idle(now, instance, place),
            Event::InstanceAdded { instance, is_limited } => self.add_instance(now, instance, is_limited),
            Event::Granted(instance) => self.grant(now, instance),
            Event::InstanceRetired(instance) => self.retire_instance(now, instance),
            Event::Advised { number, verdict } => self.advise(now, number, verdict),
            Event::Wake => self.wake(now),
            Event::Drain => self.drain(now),
        }
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }
}

impl<T: Batchable> State<T> {
    pub(crate) fn new(settings: SchedulerSettings, instances: usize) -> Self {
        let queue = Queue::new(settings.queue.clone());
        let counsel = settings.strategy.is_some().then(|| Counsel::new(PATIENCE));
        Self { settings, queue, counsel, roster: Roster::new(instances), life: Life::Serving, reported_waiting: 0 }
    }

    /// A request arrives.
    ///
    /// With an idle instance, an empty queue and nothing to wait for, the request goes straight to the instance.
    pub(crate) fn arrive(&mut self, now: Instant, item: T, wish: Wish, place: Place) -> Actions<T> {
        if self.counsel.is_none()
            && self.queue.is_empty()
            && let Some(instance) = self.roster.next_at(place)
            && let Decision::Run { reason, .. } =
                decide(&self.settings, now, std::iter::once((&item, now)), everybody_joins)
        {
            let is_alone = self.roster.is_idle();
            self.roster.take(instance);
            let cause = self.cause(now, reason, Awaited::Nothing);
            let runs = vec![Run { instance, requests: vec![item], is_alone, cause }];
            return Actions { runs, ..Actions::nothing() };
        }
        let awaited = if self.queue.is_empty() { Awaited::Nothing } else { Awaited::Company };
        let refused = self.queue.push(now, item, wish).err();
        let mut actions = self.advance(now, awaited);
        actions.refused.extend(refused.map(|item| (item, Refusal::QueueFull)));
        actions
    }

    /// An instance has finished its execution.
    pub(crate) fn instance_idle(&mut self, now: Instant, instance: InstanceIndex, place: Place) -> Actions<T> {
        let awaited = self.awaits_instance();
        let presence = self.roster.finished(instance, place);
        Actions { gone: gone(instance, presence), ..self.advance(now, awaited) }
    }

    /// An instance is there that was not; it is idle.
    pub(crate) fn add_instance(&mut self, now: Instant, instance: InstanceIndex, is_limited: bool) -> Actions<T> {
        let awaited = self.awaits_instance();
        self.roster.add(instance, is_limited);
        self.advance(now, awaited)
    }

    /// A limited instance may execute.
    fn grant(&mut self, now: Instant, instance: InstanceIndex) -> Actions<T> {
        self.roster.grant(instance);
        self.advance(now, Awaited::Resources)
    }

    /// An instance is to leave; what it executes now is finished.
    pub(crate) fn retire_instance(&mut self, now: Instant, instance: InstanceIndex) -> Actions<T> {
        let presence = self.roster.retire(instance);
        Actions { gone: gone(instance, presence), ..self.advance(now, Awaited::Company) }
    }

    /// The batching strategy has answered.
    fn advise(&mut self, now: Instant, number: u64, verdict: Verdict) -> Actions<T> {
        if let Some(counsel) = &mut self.counsel {
            counsel.answered(number, verdict);
        }
        self.advance(now, Awaited::Strategy)
    }

    /// The time that [`Actions::wake_at`] named has come.
    pub(crate) fn wake(&mut self, now: Instant) -> Actions<T> {
        self.advance(now, Awaited::Company)
    }

    /// No more requests will come.
    pub(crate) fn drain(&mut self, now: Instant) -> Actions<T> {
        self.life = Life::Draining;
        if let Some(batching) = &mut self.settings.batching {
            batching.delay_max = Duration::ZERO;
        }
        self.advance(now, Awaited::Company)
    }

    /// Draining, and nothing waits: instances that are idle are not needed again.
    pub(crate) fn is_drained(&self) -> bool {
        self.life == Life::Draining && self.queue.is_empty()
    }

    /// What kept those who wait, before another instance has become idle.
    fn awaits_instance(&self) -> Awaited {
        if self.roster.next().is_some() { Awaited::Company } else { Awaited::Instance }
    }

    fn cause(&self, now: Instant, reason: BatchReason, awaited: Awaited) -> Cause {
        let reason = match reason {
            BatchReason::NoDelay if self.life == Life::Draining => BatchReason::Draining,
            reason => reason,
        };
        Cause { decided: now, reason, awaited, waiting: self.queue.len() }
    }

    /// `awaited` is what has just come.
    fn advance(&mut self, now: Instant, awaited: Awaited) -> Actions<T> {
        let expired = self.queue.expire(now).into_iter().map(|item| (item, Refusal::Expired));
        let mut actions = Actions { refused: expired.collect(), ..Actions::nothing() };
        let mut batch_due = None;
        while let Some(instance) = self.roster.next() {
            self.drop_cancelled_head(&mut actions.cancelled);
            match self.decide(now) {
                Decision::Run { requests, reason } => {
                    let requests = self.take(requests, &mut actions.cancelled);
                    self.counsel.iter_mut().for_each(Counsel::sent);
                    if !requests.is_empty() {
                        self.roster.take(instance);
                        let cause = self.cause(now, reason, awaited);
                        actions.runs.push(Run { instance, requests, is_alone: false, cause });
                    }
                }
                Decision::Wait { until } => {
                    batch_due = Some(until);
                    break;
                }
                Decision::Ask { .. } | Decision::Nothing => break,
            }
        }
        if self.roster.has_limited() {
            self.claim(now, &mut actions, &mut batch_due);
        }
        if self.counsel.is_some() {
            self.consult(now, &mut actions, &mut batch_due);
        }
        actions.wake_at = batch_due.into_iter().chain(self.queue.next_deadline()).min();
        actions.waiting = (self.queue.len() != self.reported_waiting).then_some(self.queue.len());
        self.reported_waiting = self.queue.len();
        actions
    }

    /// Limited instances ask while those who still wait could run at once: a batch that is not due yet asks for nothing.
    fn claim(&mut self, now: Instant, actions: &mut Actions<T>, batch_due: &mut Option<Instant>) {
        self.drop_cancelled_head(&mut actions.cancelled);
        let decision = self.decide(now);
        if let Decision::Wait { until } = decision {
            *batch_due = Some(until);
        }
        actions.claims = self.roster.claim(matches!(decision, Decision::Run { .. }));
    }

    /// What an idle instance should do now.
    fn decide(&mut self, now: Instant) -> Decision {
        let waiting = self.queue.iter().map(|(_, waiting)| (&waiting.item, waiting.arrived));
        let Some(counsel) = &mut self.counsel else {
            return decide(&self.settings, now, waiting, everybody_joins);
        };
        counsel.look(now, self.queue.iter().map(|(ticket, _)| ticket.number()));
        decide(&self.settings, now, waiting, |index| counsel.advice(index))
    }

    /// Asks the batching strategy about the next request, whether or not an instance is idle; a batch that waits for an answer goes
    /// without one some day.
    fn consult(&mut self, now: Instant, actions: &mut Actions<T>, batch_due: &mut Option<Instant>) {
        self.drop_cancelled_head(&mut actions.cancelled);
        let decision = self.decide(now);
        let Some(counsel) = &mut self.counsel else { return };
        let next = match decision {
            Decision::Ask { index } => self.queue.iter().nth(index),
            _ => None,
        };
        match next {
            Some((ticket, waiting)) => counsel.ask(now, ticket.number(), || waiting.item.profile()),
            None => counsel.settled(),
        }
        *batch_due = (*batch_due).or(counsel.overdue_at());
        actions.calls = counsel.take_calls();
    }

    /// Takes the first `count` requests out, cancelled ones apart.
    fn take(&mut self, count: usize, cancelled: &mut Vec<T>) -> Vec<T> {
        let tickets: Vec<Ticket> = self.queue.iter().take(count).map(|(ticket, _)| ticket).collect();
        let mut taken = Vec::with_capacity(count);
        for item in tickets.into_iter().filter_map(|ticket| self.queue.remove(ticket)) {
            match item.is_cancelled() {
                true => cancelled.push(item),
                false => taken.push(item),
            }
        }
        taken
    }

    /// A cancelled request at the head must not decide when the batch goes.
    fn drop_cancelled_head(&mut self, cancelled: &mut Vec<T>) {
        loop {
            let head = self.queue.iter().next().filter(|(_, waiting)| waiting.item.is_cancelled());
            let Some(ticket) = head.map(|(ticket, _)| ticket) else { return };
            cancelled.extend(self.queue.remove(ticket));
        }
    }
}

fn gone(instance: InstanceIndex, presence: Presence) -> Vec<InstanceIndex> {
    if presence == Presence::Gone { vec![instance] } else { vec![] }
}
