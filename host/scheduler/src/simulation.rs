//! Seeded simulation: random arrivals, cancellations, timeouts and executions over the real state machine in virtual
//! time, with the invariants checked after every step: no request is lost or answered twice, batches are what the settings
//! allow, nobody is overtaken by a less urgent or a younger request, every timer is kept, answers come in order when that
//! is asked for, what is said of a batch is true. A failure prints its seed; `NEREID_SEED=n` replays it.

mod causes;

use std::{
    cell::Cell,
    collections::BTreeMap,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use nereid_inference::{InferResponse, ResponseOrder, ResponseSender, ResponseStream, response_channel};

use crate::{
    BatchingSettings, ExpiryAction, PrioritySettings, QueuePolicy, QueueSettings, SchedulerSettings,
    batching::Batchable,
    policy::{Actions, Refusal},
    queue::Wish,
    random::{Random, for_every_seed},
    state::State,
};

const SEEDS: u64 = 1_000;
const STEPS: usize = 300;
const MICROSECOND: Duration = Duration::from_micros(1);

#[derive(Clone, Debug)]
struct Request {
    id: usize,
    rows: u64,
    shape: u64,
    cancelled: Rc<Cell<bool>>,
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
    random: Random,
    now: Instant,
    settings: SchedulerSettings,
    state: State<Request>,
    requests: Vec<Known>,
    order: Option<ResponseOrder>,
    /// How many answers from the first on have been read.
    read: usize,
    /// What each busy instance executes, and when it ends.
    busy: BTreeMap<usize, (Instant, Vec<usize>)>,
    wake_at: Option<Instant>,
    /// Not retired.
    staying: Vec<usize>,
    instances_made: usize,
    draining: bool,
}

impl Batchable for Request {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn fits(&self, other: &Self) -> bool {
        self.shape == other.shape
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

// === impl World ===

impl World {
    fn new(seed: u64, start: Instant) -> Self {
        let mut random = Random::new(seed);
        let batch_rows_max = 1 + random.below(8);
        let preferred = (1..=batch_rows_max).filter(|_| random.chance(25)).collect();
        let delay_max = MICROSECOND * (random.below(3) * random.below(500)) as u32;
        let batching = random.chance(80).then_some(BatchingSettings { preferred_rows: preferred, delay_max });
        let queue = queue_settings(&mut random);
        // The configuration allows one level and no delays where order is preserved.
        let delays = |policy: &QueuePolicy| policy.expiry_action == ExpiryAction::Delay;
        let preserve_order = queue.priorities.is_none() && !delays(&queue.default) && random.chance(50);
        let settings = SchedulerSettings {
            batch_rows_max,
            batching,
            queue,
            preserve_order,
            sequences: None,
            rate_limiter: None,
            brief_execution_max: Duration::ZERO,
        };
        let instances = 1 + random.below(3) as usize;
        let state = State::new(settings.clone(), instances);
        Self {
            random,
            now: start,
            state,
            requests: vec![],
            order: settings.preserve_order.then(ResponseOrder::default),
            read: 0,
            settings,
            busy: BTreeMap::new(),
            wake_at: None,
            staying: (0..instances).collect(),
            instances_made: instances,
            draining: false,
        }
    }

    fn arrive(&mut self) {
        let rows = 1 + self.random.below(self.settings.batch_rows_max);
        let (id, shape) = (self.requests.len(), self.random.below(2));
        let request = Request { id, rows, shape, cancelled: Rc::default() };
        let timeout = self.random.chance(30).then(|| MICROSECOND * (1 + self.random.below(1_000)) as u32);
        let priority = self.random.below(5);
        let level = self.settings.queue.level(priority);
        let policy = self.settings.queue.policy(level);
        let deadline = policy.effective_timeout(timeout).map(|timeout| self.now + timeout);
        let (mut sender, stream) = response_channel();
        if let Some(order) = &self.order {
            order.admit(&mut sender);
        }
        self.requests.push(Known {
            request: request.clone(),
            fate: Fate::Waiting,
            arrived: self.now,
            level,
            deadline,
            sender: Some(sender),
            stream,
        });
        let actions = self.state.arrive(self.now, request, Wish { timeout, priority });
        self.apply(actions);
    }

    fn cancel_one(&mut self) {
        let waiting: Vec<usize> =
            self.requests.iter().filter(|known| known.fate == Fate::Waiting).map(|known| known.request.id).collect();
        if !waiting.is_empty() {
            let chosen = waiting[self.random.below(waiting.len() as u64) as usize];
            self.requests[chosen].request.cancelled.set(true);
        }
    }

    /// A new instance takes the place of one that there is.
    fn replace_an_instance(&mut self) {
        let retired = self.staying.swap_remove(self.random.below(self.staying.len() as u64) as usize);
        self.staying.push(self.instances_made);
        let actions = self.state.add_instance(self.now, self.instances_made, false);
        self.instances_made += 1;
        self.apply(actions);
        let is_busy = self.busy.contains_key(&retired);
        let actions = self.state.retire_instance(self.now, retired);
        assert_eq!(actions.gone, if is_busy { vec![] } else { vec![retired] }, "gone with work, or here without");
        self.apply(actions);
    }

    /// Goes on to the next thing that is due, or a little further.
    fn pass_time(&mut self) {
        let next_end = self.busy.values().map(|(end, _)| *end).min();
        let idle_step = self.now + MICROSECOND * self.random.below(300) as u32;
        let due = next_end.into_iter().chain(self.wake_at).min().unwrap_or(idle_step);
        self.now = if self.random.chance(50) { due.max(self.now) } else { idle_step.min(due).max(self.now) };
        self.run_what_is_due();
    }

    fn run_what_is_due(&mut self) {
        while let Some(instance) = self.busy.iter().find(|(_, (end, _))| *end <= self.now).map(|(i, _)| *i) {
            let (_, ids) = self.busy.remove(&instance).unwrap();
            for id in ids {
                self.settle(id, Fate::Running, Fate::Executed);
            }
            let actions = self.state.instance_idle(self.now, instance);
            let gone = if self.staying.contains(&instance) { vec![] } else { vec![instance] };
            assert_eq!(actions.gone, gone, "stays or leaves wrongly");
            self.apply(actions);
        }
        if self.wake_at.is_some_and(|at| at <= self.now) {
            let actions = self.state.wake(self.now);
            self.apply(actions);
            assert!(self.wake_at.is_none_or(|at| at > self.now), "woken for a time that has passed");
        }
    }

    fn apply(&mut self, actions: Actions<Request>) {
        for (request, refusal) in actions.refused {
            if refusal == Refusal::QueueFull {
                let queue = &self.settings.queue;
                let level = self.requests[request.id].level;
                // The refused request itself is counted among those that wait.
                let in_level = self.waiting().filter(|known| known.level == level).count();
                assert!(in_level > queue.policy(level).requests_max, "refused while there was room");
                self.settle(request.id, Fate::Waiting, Fate::Refused);
                continue;
            }
            assert_eq!(refusal, Refusal::Expired);
            assert!(self.is_late(request.id), "expired before its time");
            assert_eq!(self.expiry_action(request.id), ExpiryAction::Reject);
            self.settle(request.id, Fate::Waiting, Fate::Expired);
        }
        let nobody_left = actions.cancelled.is_empty();
        for request in actions.cancelled {
            assert!(request.is_cancelled());
            self.settle(request.id, Fate::Waiting, Fate::Cancelled);
        }
        for run in actions.runs {
            self.check_batch(&run.requests);
            if nobody_left {
                self.check_cause(&run);
            }
            // A new instance may start before the one that it replaces is told to leave.
            assert!(run.instance < self.instances_made, "an instance that is not there");
            let end = self.now + MICROSECOND * (1 + self.random.below(400)) as u32;
            let ids: Vec<usize> = run.requests.iter().map(|request| request.id).collect();
            for id in &ids {
                self.settle(*id, Fate::Waiting, Fate::Running);
            }
            assert!(self.busy.insert(run.instance, (end, ids)).is_none(), "an instance got two batches");
        }
        // The direct path reports nothing about the others, because there are none.
        self.wake_at = actions.wake_at;
    }

    fn check_batch(&self, batch: &[Request]) {
        assert!(!batch.is_empty(), "empty batch");
        let rows: u64 = batch.iter().map(|request| request.rows).sum();
        assert!(rows <= self.settings.batch_rows_max || batch.len() == 1, "batch of {rows} rows");
        assert!(batch.iter().all(|request| request.shape == batch[0].shape), "shapes mixed");
        assert!(batch.iter().all(|request| !request.is_cancelled()), "a cancelled request was executed");
        assert!(self.settings.batching.is_some() || batch.len() == 1, "batched without being asked to");
        let ids: Vec<usize> = batch.iter().map(|request| request.id).collect();
        assert!(ids.iter().is_sorted_by_key(|id| self.position(*id)), "overtaken in the batch");
        let last = ids.iter().map(|id| self.position(*id)).max();
        let passed_over = self
            .waiting()
            .filter(|known| !known.request.is_cancelled() && !ids.contains(&known.request.id))
            .find(|known| Some(self.position(known.request.id)) < last);
        assert!(passed_over.is_none(), "somebody who waits should have run before");
        for id in ids {
            let refused = self.expiry_action(id) == ExpiryAction::Reject && self.is_late(id);
            assert!(!refused, "executed after its time was over");
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Known> {
        self.requests.iter().filter(|known| known.fate == Fate::Waiting)
    }

    fn expiry_action(&self, id: usize) -> ExpiryAction {
        self.settings.queue.policy(self.requests[id].level).expiry_action
    }

    fn is_late(&self, id: usize) -> bool {
        self.requests[id].deadline.is_some_and(|deadline| deadline <= self.now)
    }

    /// Where a request should stand: the urgent first, late ones behind the others of their level, then by age.
    fn position(&self, id: usize) -> (u64, bool, usize) {
        (self.requests[id].level, self.is_late(id), id)
    }

    fn settle(&mut self, id: usize, from: Fate, to: Fate) {
        let known = &mut self.requests[id];
        assert_eq!(known.fate, from, "request {id} cannot become {to:?}");
        known.fate = to;
        if to != Fate::Running {
            known.sender.take().unwrap().respond(Ok(InferResponse::default()));
        }
    }

    fn count(&self, fate: Fate) -> usize {
        self.requests.iter().filter(|known| known.fate == fate).count()
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

    /// After every step: nothing that could run stands still, and no timer is forgotten.
    fn check_progress(&self) {
        let waiting = || self.waiting().filter(|known| !known.request.is_cancelled());
        let instances = self.state_instances();
        if self.busy.len() < instances && waiting().next().is_some() {
            assert!(self.wake_at.is_some(), "an instance idles, requests wait, and nobody will wake");
            let delay = self.settings.batching.as_ref().map_or(Duration::ZERO, |batching| batching.delay_max);
            let oldest = waiting().map(|known| known.arrived).min().unwrap();
            assert!(
                self.now < oldest + delay,
                "the oldest request waits longer than the delay while an instance idles"
            );
        }
        let rejected = waiting().filter(|known| self.expiry_action(known.request.id) == ExpiryAction::Reject);
        if let Some(deadline) = rejected.filter_map(|known| known.deadline).min() {
            assert!(self.wake_at.is_some_and(|at| at <= deadline), "a timeout has no timer");
        }
    }

    fn state_instances(&self) -> usize {
        self.busy.len() + self.state.idle_count()
    }
}

fn queue_policy(random: &mut Random) -> QueuePolicy {
    QueuePolicy {
        requests_max: 1 + random.below(40) as usize,
        timeout: random.chance(50).then(|| MICROSECOND * (1 + random.below(2_000)) as u32),
        allow_timeout_override: random.chance(50),
        expiry_action: if random.chance(70) { ExpiryAction::Reject } else { ExpiryAction::Delay },
    }
}

fn queue_settings(random: &mut Random) -> QueueSettings {
    let default = queue_policy(random);
    let levels = 1 + random.below(4);
    let policies = (1..=levels).filter(|_| random.chance(50)).collect::<Vec<_>>();
    let policies = policies.into_iter().map(|level| (level, queue_policy(random))).collect();
    let priorities = PrioritySettings { levels, default_level: 1 + random.below(levels), policies };
    QueueSettings { default, priorities: random.chance(50).then_some(priorities) }
}

fn simulate(seed: u64, start: Instant) {
    let mut world = World::new(seed, start);
    for _ in 0..STEPS {
        match world.random.below(10) {
            0..=4 => world.arrive(),
            5 => world.cancel_one(),
            6 if world.random.chance(20) => world.replace_an_instance(),
            _ => world.pass_time(),
        }
        world.check_progress();
        world.check_order();
    }
    world.draining = true;
    let actions = world.state.drain(world.now);
    world.apply(actions);
    while !world.busy.is_empty() {
        world.now = world.busy.values().map(|(end, _)| *end).min().unwrap();
        world.run_what_is_due();
    }
    assert!(world.state.is_drained(), "drained, and requests are left");
    assert_eq!(world.count(Fate::Waiting) + world.count(Fate::Running), 0, "a request was lost");
    world.check_order();
}

#[test]
fn every_seed_keeps_the_invariants() {
    for_every_seed(SEEDS, simulate);
}
