//! Seeded simulation of independent requests: random arrivals, cancellations, timeouts and executions over the real state
//! machine in virtual time. The invariants: no request is lost or answered twice; one is refused exactly when its level is
//! full, and expires exactly when its time is over; batches are those that the [`oracle`](super::oracle) calls for, when it
//! calls for them, so that nobody is overtaken by a less urgent or a younger request; a cancelled request is never executed;
//! the timer is set for what comes next, and for nothing else; answers come in order when that is asked for; a batching
//! strategy is asked about who could join next, and whatever it does, nobody waits for it for ever.

mod causes;
mod queues;
mod strategy;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use nereid_inference::{
    InferResponse, RequestProfile, ResponseOrder, ResponseSender, ResponseStream, response_channel,
};

use self::{
    queues::{allowed_wait, queue_settings},
    strategy::{Actor, Unasked},
};
use super::{Candidate, Expected, MICROSECOND, Play, Random, SEEDS, STEPS, Stage, batching, for_every_seed};
use crate::{
    BatchingSettings, ExpiryAction, PrioritySettings, QueuePolicy, QueueSettings, RaggedInputs, SchedulerSettings,
    batching::Batchable,
    policy::{Actions, Event, InstanceIndex, Refusal, Run},
    queue::Wish,
    state::State,
};

/// Longest step of time in which nothing ends, in microseconds.
const STEP_US_MAX: u64 = 300;

#[derive(Clone, Debug)]
struct Request {
    id: usize,
    rows: u64,
    /// The inputs that it brings, with their inner shapes; `B` may be left out.
    inputs: Vec<(&'static str, [u64; 1])>,
    ragged_inputs: RaggedInputs,
    /// Requests of the same number may share a batch: the rule once more, in other words than those of the code.
    shape: u64,
    cancelled: Arc<AtomicBool>,
}

/// What the simulation knows of a request.
struct Known {
    request: Request,
    fate: Fate,
    arrived: Instant,
    level: u64,
    deadline: Option<Instant>,
    sender: Option<ResponseSender>,
    stream: ResponseStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Running,
    Executed,
    Expired,
    Cancelled,
    Refused,
}

struct World {
    stage: Stage<State<Request>>,
    settings: SchedulerSettings,
    /// Whether input `A` may differ within a batch.
    is_ragged: bool,
    requests: Vec<Known>,
    /// The batching strategy.
    actor: Option<Actor>,
    order: Option<ResponseOrder>,
    /// How many answers from the first on have been read.
    read: usize,
    is_draining: bool,
}

impl Batchable for Request {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn fits(&self, other: &Self) -> bool {
        fn shapes(request: &Request) -> impl ExactSizeIterator<Item = (&str, &[u64])> {
            request.inputs.iter().map(|(name, shape)| (*name, shape.as_slice()))
        }
        self.ragged_inputs.may_share(shapes(self), shapes(other))
    }

    fn profile(&self) -> RequestProfile {
        RequestProfile { id: self.id.to_string(), rows: self.rows, ..RequestProfile::default() }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Play for World {
    type Item = Request;
    type Policy = State<Request>;

    fn stage(&mut self) -> &mut Stage<State<Request>> {
        &mut self.stage
    }

    fn waiting_count(&self) -> usize {
        self.waiting().count()
    }

    fn actors_act_at(&self) -> Option<Instant> {
        let actor = self.actor.as_ref()?;
        actor.answers_at().into_iter().chain(actor.overdue_at()).min()
    }

    fn let_actors_act(&mut self) {
        self.hear_the_strategy();
    }

    fn executed(&mut self, ids: &[usize]) -> Vec<Request> {
        ids.iter().for_each(|id| self.settle(*id, Fate::Running, Fate::Executed));
        vec![]
    }

    fn apply(&mut self, actions: Actions<Request>) {
        for (request, refusal) in &actions.refused {
            self.apply_refusal(request.id, *refusal);
        }
        let overdue = self.waiting().find(|known| self.is_late(known) && self.rejects(known));
        assert!(overdue.is_none(), "nobody was told that its time is over");
        let mut runs = actions.runs.into_iter();
        let (mut cancelled, mut batch_due) = (Vec::new(), None);
        while let Some(decision) = self.decision(&mut cancelled) {
            match decision {
                Expected::Run { requests } => self.apply_run(requests, &mut runs, &mut cancelled),
                Expected::Wait { until } => {
                    batch_due = Some(until);
                    break;
                }
                Expected::Ask { .. } | Expected::Nothing => break,
            }
        }
        let batch_due = batch_due.or(self.check_calls(actions.calls, &mut cancelled));
        assert!(runs.next().is_none(), "executes more than it should");
        let told: Vec<usize> = actions.cancelled.iter().map(|request| request.id).collect();
        assert_eq!(told, cancelled, "cancelled wrongly");
        self.check_timer(actions.wake_at, batch_due);
        self.check_leaving(&actions.gone);
    }
}

// === impl World ===

impl World {
    fn new(seed: u64, start: Instant) -> Self {
        let mut random = Random::new(seed);
        let batch_rows_max = 1 + random.below(8);
        let preferred_rows = (1..=batch_rows_max).filter(|_| random.chance(25)).collect();
        let delay_max = MICROSECOND * (random.below(3) * random.below(500)) as u32;
        let batching = random.chance(80).then_some(BatchingSettings { preferred_rows, delay_max });
        let queue = queue_settings(&mut random);
        // The configuration allows one level and no delays where order is preserved.
        let delays = |policy: &QueuePolicy| policy.expiry_action == ExpiryAction::Delay;
        let preserve_order = queue.priorities.is_none() && !delays(&queue.default) && random.chance(50);
        let is_ragged = random.chance(40);
        let ragged_inputs = RaggedInputs::new(is_ragged.then(|| "A".into()));
        let actor = random.chance(40).then(|| Actor::new(&mut random));
        let settings = SchedulerSettings {
            strategy: actor.as_ref().map(|_| Arc::new(Unasked) as _),
            batch_rows_max,
            batching,
            ragged_inputs,
            queue,
            preserve_order,
            ..SchedulerSettings::unbatched()
        };
        let instances = 1 + random.below(3);
        let mut world = Self {
            stage: Stage::new(random, start, State::new(settings.clone(), 0)),
            order: settings.preserve_order.then(ResponseOrder::default),
            settings,
            is_ragged,
            actor,
            requests: vec![],
            read: 0,
            is_draining: false,
        };
        (0..instances).for_each(|_| world.add_instance());
        world
    }

    fn arrive(&mut self) {
        let random = &mut self.stage.random;
        let (id, rows) = (self.requests.len(), 1 + random.below(self.settings.batch_rows_max));
        let (a, b) = (u64::from(random.chance(30)), random.chance(85).then(|| u64::from(random.chance(10))));
        let inputs = [("A", [a])].into_iter().chain(b.map(|b| ("B", [b]))).collect();
        let shape = b.map_or(0, |b| 1 + b) * 2 + if self.is_ragged { 0 } else { a };
        let ragged_inputs = self.settings.ragged_inputs.clone();
        let request = Request { id, rows, inputs, ragged_inputs, shape, cancelled: Arc::default() };
        let timeout = random.chance(30).then(|| MICROSECOND * random.below(1_000) as u32);
        let priority = random.below(5);
        let (level, policy) = self.level(priority);
        let deadline = allowed_wait(policy, timeout).map(|wait| self.stage.now + wait);
        let is_full = self.waiting().filter(|known| known.level == level).count() >= policy.requests_max;
        let (mut sender, stream) = response_channel();
        if let Some(order) = &self.order {
            order.admit(&mut sender);
        }
        self.requests.push(Known {
            request: request.clone(),
            fate: Fate::Waiting,
            arrived: self.stage.now,
            level,
            deadline,
            sender: Some(sender),
            stream,
        });
        if is_full {
            self.requests[id].fate = Fate::Refused;
        }
        let place = self.stage.place();
        self.tell(Event::Arrive { item: request, wish: Wish { timeout, priority }, place });
        assert_eq!(self.requests[id].sender.is_none(), is_full, "refused with room, or admitted without");
    }

    /// The level of a request, and its policy: 0 without levels, the default one where it asks for one that there is not.
    fn level(&self, priority: u64) -> (u64, &QueuePolicy) {
        let queue = &self.settings.queue;
        let Some(priorities) = &queue.priorities else { return (0, &queue.default) };
        let exists = priority >= 1 && priority <= priorities.levels;
        let level = if exists { priority } else { priorities.default_level };
        (level, priorities.policies.get(&level).unwrap_or(&queue.default))
    }

    fn cancel_one(&mut self) {
        let waiting: Vec<usize> = self.waiting().map(|known| known.request.id).collect();
        if !waiting.is_empty() {
            let chosen = waiting[self.stage.random.index(waiting.len())];
            self.requests[chosen].request.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn apply_refusal(&mut self, id: usize, refusal: Refusal) {
        match refusal {
            // That it should be was found when it arrived.
            Refusal::QueueFull => self.settle(id, Fate::Refused, Fate::Refused),
            Refusal::Expired => {
                let known = &self.requests[id];
                assert!(self.is_late(known) && self.rejects(known), "expired before its time");
                self.settle(id, Fate::Waiting, Fate::Expired);
            }
            other => panic!("{other:?} without sequences"),
        }
    }

    /// What an idle instance should do now, if there is one. Cancelled requests at the head count for nothing.
    fn decision(&mut self, cancelled: &mut Vec<usize>) -> Option<Expected> {
        let staying = self.stage.instances.difference(&self.stage.leaving);
        staying.into_iter().find(|instance| !self.stage.busy.contains_key(instance))?;
        self.drop_cancelled_head(cancelled);
        let queue = self.queue();
        Some(self.batching(&queue))
    }

    /// The first `requests` of the queue go now, cancelled ones apart.
    fn apply_run(
        &mut self,
        requests: usize,
        runs: &mut impl Iterator<Item = Run<Request>>,
        cancelled: &mut Vec<usize>,
    ) {
        let batch: Vec<usize> = self.queue().iter().take(requests).map(|candidate| candidate.id).collect();
        let (dropped, batch): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|id| self.requests[*id].request.is_cancelled());
        dropped.iter().for_each(|id| self.settle(*id, Fate::Waiting, Fate::Cancelled));
        cancelled.extend(dropped);
        self.actor.iter_mut().for_each(Actor::sent);
        if batch.is_empty() {
            return;
        }
        let nobody_left = cancelled.is_empty();
        let run = runs.next().expect("does not execute what it should");
        let ids: Vec<usize> = run.requests.iter().map(|request| request.id).collect();
        assert_eq!(ids, batch, "another batch than it should be");
        if nobody_left {
            self.check_cause(&run);
        }
        ids.iter().for_each(|id| self.settle(*id, Fate::Waiting, Fate::Running));
        assert!(!run.is_alone || self.waiting().next().is_none(), "alone, and others wait");
        assert!(!self.stage.leaving.contains(&run.instance), "an instance that is to leave got work");
        self.stage.begin(run.instance, ids, run.is_alone);
    }

    /// Those who wait, in the order in which they should run: the urgent first, late ones behind the others of their level,
    /// then by age.
    fn queue(&self) -> Vec<Candidate> {
        let mut waiting: Vec<&Known> = self.waiting().collect();
        waiting.sort_by_key(|known| (known.level, self.is_late(known), known.request.id));
        let candidate = |known: &Known| {
            let Request { id, rows, shape, .. } = known.request;
            Candidate { id, rows, shape, arrived: known.arrived }
        };
        waiting.into_iter().map(candidate).collect()
    }

    /// The timer is set for the batch that waits, or for the next whose time is over: it is told so, or goes behind the
    /// others, which may change who runs.
    fn check_timer(&self, wake_at: Option<Instant>, batch_due: Option<Instant>) {
        let deadlines = self.waiting().filter(|known| !self.is_late(known)).filter_map(|known| known.deadline);
        assert_eq!(wake_at, deadlines.chain(batch_due).min(), "the timer is set wrongly");
    }

    /// An instance that was asked to leave is gone as soon as it does not work.
    fn check_leaving(&self, gone: &[InstanceIndex]) {
        let mut leaving = self.stage.leaving.iter();
        let stays = leaving.find(|instance| !self.stage.busy.contains_key(instance) && !gone.contains(instance));
        assert!(stays.is_none(), "stays without work");
    }

    fn waiting(&self) -> impl Iterator<Item = &Known> {
        self.requests.iter().filter(|known| known.fate == Fate::Waiting)
    }

    fn rejects(&self, known: &Known) -> bool {
        self.level(known.level).1.expiry_action == ExpiryAction::Reject
    }

    fn is_late(&self, known: &Known) -> bool {
        known.deadline.is_some_and(|deadline| deadline <= self.stage.now)
    }

    fn settle(&mut self, id: usize, from: Fate, to: Fate) {
        let known = &mut self.requests[id];
        assert_eq!(known.fate, from, "request {id} cannot become {to:?}");
        known.fate = to;
        if to != Fate::Running {
            known.sender.take().expect("answered twice").respond(Ok(InferResponse::default()));
        }
    }

    /// After every step: exactly those answers can be read that have none before them that is missing.
    fn check_order(&mut self) {
        if self.order.is_none() {
            return;
        }
        let first_missing =
            self.requests.iter().position(|known| known.sender.is_some()).unwrap_or(self.requests.len());
        for (id, known) in self.requests.iter_mut().enumerate().skip(self.read) {
            let shown = known.stream.next().now_or_never().is_some();
            assert_eq!(shown, id < first_missing, "answer {id} was shown out of order");
        }
        self.read = first_missing;
    }
}

fn simulate(seed: u64, start: Instant) {
    let mut world = World::new(seed, start);
    for _ in 0..STEPS {
        match world.stage.random.below(10) {
            0..=4 => world.arrive(),
            5 => world.cancel_one(),
            6 if world.stage.random.chance(20) => world.replace_an_instance(),
            _ => world.pass_time(STEP_US_MAX),
        }
        world.check_order();
    }
    world.is_draining = true;
    if let Some(batching) = &mut world.settings.batching {
        // Nobody waits for company that cannot come any more.
        batching.delay_max = Duration::ZERO;
    }
    world.drain();
    assert!(world.requests.iter().all(|known| known.sender.is_none()), "a request was lost");
    world.check_strategy_is_done();
    world.check_order();
}

#[test]
fn every_seed_keeps_the_invariants() {
    for_every_seed(SEEDS, simulate);
}
