//! Seeded simulation of a whole server in virtual time: several models with their real policies, over the real limiter.
//! Requests arrive, expire and are cancelled, instances and models come and go, executions take random times, and a model
//! that was woken looks when it gets round to it. The invariants: nothing executes without a grant; what executes never
//! takes more than there is; the earliest turn is held up by executions alone, never by those behind it; whoever has work
//! for an idle instance asks; nobody else does; every request has one fate, and when all models are gone nothing is in use.
//! Turns move on as priorities say, and nobody gets what an earlier turn waits for. A failure prints its seed; `NEREID_SEED=n` replays it.

mod checks;
mod request;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_inference::{SequenceFlags, SequenceId};

use self::{
    checks::checked_exchange,
    request::{Cancelled, Request},
};
use super::*;
use crate::{
    BatchingSettings, ExpiryAction, QueuePolicy, SchedulerSettings, SequenceSettings, SequenceStrategy,
    policy::{Actions, Event, Place, Policy},
    queue::Wish,
    sequence::SequencePolicy,
    simulation::{MICROSECOND, Random, SEEDS, STEPS, for_every_seed},
    state::State,
};

const NAMES: [&str; 3] = ["R1", "R2", "G"];

/// Exchanges for one event: a few, and one for each instance that was granted for nothing.
const ROUNDS_MAX: usize = 50;

/// Steps until everything must have ended once no more requests come.
const DRAIN_STEPS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Running,
    Executed,
    NotExecuted,
}

struct Known {
    model: usize,
    fate: Fate,
    arrived: Instant,
    cancelled: Cancelled,
}

struct Model {
    policy: Box<dyn Policy<Request>>,
    gate: Gate,
    delay_max: Duration,
    has_sequences: bool,
    open: BTreeSet<u64>,
    demands: BTreeMap<InstanceIndex, Demand>,
    leaving: BTreeSet<InstanceIndex>,
    busy: BTreeMap<InstanceIndex, (Instant, Vec<usize>)>,
    wake_at: Option<Instant>,
    instances_made: usize,
    is_draining: bool,
}

struct World {
    random: Random,
    now: Instant,
    limiter: Limiter,
    supplies: Vec<Supply>,
    /// `None` is one that is gone.
    models: Vec<Option<Model>>,
    woken: BTreeSet<OwnerId>,
    requests: Vec<Known>,
    /// What was granted when that was looked at last.
    granted: BTreeMap<Resource, u64>,
}

// === impl World ===

impl World {
    fn new(seed: u64, now: Instant) -> Self {
        let mut random = Random::new(seed);
        let supplies = match random.chance(40) {
            true => NAMES.map(|name| Supply { name: name.into(), count: 3 + random.below(4), device: None }).to_vec(),
            false => vec![],
        };
        let limiter = Limiter::new(supplies.clone());
        let mut world = Self {
            random,
            now,
            limiter,
            supplies,
            models: vec![],
            woken: BTreeSet::new(),
            requests: vec![],
            granted: BTreeMap::new(),
        };
        for _ in 0..1 + world.random.below(4) {
            world.load();
        }
        world
    }

    fn load(&mut self) {
        let batch_rows_max = 1 + self.random.below(4);
        let delay_max = MICROSECOND * (self.random.below(2) * self.random.below(300)) as u32;
        let queue = QueuePolicy {
            requests_max: 3 + self.random.below(40) as usize,
            timeout: self.random.chance(40).then(|| MICROSECOND * (50 + self.random.below(1_000)) as u32),
            allow_timeout_override: false,
            expiry_action: if self.random.chance(80) { ExpiryAction::Reject } else { ExpiryAction::Delay },
        };
        let settings = SchedulerSettings {
            batch_rows_max,
            batching: self.random.chance(70).then_some(BatchingSettings { preferred_rows: vec![], delay_max }),
            queue: queue.into(),
            ..SchedulerSettings::unbatched()
        };
        let has_sequences = self.random.chance(30);
        let sequences = SequenceSettings {
            model_name: "m".into(),
            strategy: SequenceStrategy::Oldest,
            slots: batch_rows_max as usize,
            idle_max: Duration::from_secs(3_600),
            iterative: false,
            tensors: Arc::default(),
        };
        let policy: Box<dyn Policy<Request>> = match has_sequences {
            true => Box::new(SequencePolicy::new(settings, sequences)),
            false => Box::new(State::new(settings, 0)),
        };
        self.models.push(Some(Model {
            policy,
            gate: Gate::new(self.limiter.enter()),
            delay_max,
            has_sequences,
            open: BTreeSet::new(),
            demands: BTreeMap::new(),
            leaving: BTreeSet::new(),
            busy: BTreeMap::new(),
            wake_at: None,
            instances_made: 0,
            is_draining: false,
        }));
        for _ in 0..1 + self.random.below(3) {
            self.add_instance(self.models.len() - 1);
        }
        // An instance that always executes, so that a model whose demands were all refused can be drained.
        if self.model(self.models.len() - 1).demands.is_empty() {
            self.add_with(self.models.len() - 1, Demand::default());
        }
    }

    fn model(&mut self, model: usize) -> &mut Model {
        self.models[model].as_mut().unwrap()
    }

    /// Models that take requests.
    fn serving(&self) -> Vec<usize> {
        let serving = |model: &Option<Model>| model.as_ref().is_some_and(|model| !model.is_draining);
        (0..self.models.len()).filter(|model| serving(&self.models[*model])).collect()
    }

    fn demand(&mut self) -> Demand {
        let mut resources = BTreeMap::new();
        for (index, name) in NAMES.iter().enumerate() {
            if self.random.chance(40) {
                let scope = if index == 2 { Scope::Global } else { Scope::Device(0) };
                resources.insert(Resource { name: (*name).into(), scope }, self.random.below(5));
            }
        }
        Demand { resources, priority: self.random.below(4) as u32 }
    }

    fn add_instance(&mut self, model: usize) {
        let demand = self.demand();
        self.add_with(model, demand);
    }

    fn add_with(&mut self, index: usize, demand: Demand) {
        let instance = self.model(index).instances_made;
        if demand.is_limited() {
            let owner = self.model(index).gate.owner;
            let Ok(member) = self.limiter.join(owner, instance, demand.clone()) else {
                assert!(!self.supplies.is_empty(), "refused what there is no limit for");
                return;
            };
            self.woken.extend(self.limiter.settle([]));
            self.model(index).gate.add(instance, member);
        }
        let is_limited = demand.is_limited();
        let model = self.model(index);
        model.instances_made += 1;
        model.demands.insert(instance, demand);
        self.check_grants();
        self.tell(index, Some(Event::InstanceAdded { instance, is_limited }));
    }

    fn replace_an_instance(&mut self, index: usize) {
        let before = self.model(index).demands.len();
        self.add_instance(index);
        let model = self.model(index);
        let staying: Vec<InstanceIndex> =
            model.demands.keys().filter(|instance| !model.leaving.contains(instance)).copied().collect();
        if model.demands.len() > before && staying.len() > 1 {
            let chosen = staying[self.random.below(staying.len() as u64) as usize];
            self.model(index).leaving.insert(chosen);
            self.tell(index, Some(Event::InstanceRetired(chosen)));
        }
    }

    fn unload(&mut self, index: usize) {
        self.model(index).is_draining = true;
        self.tell(index, Some(Event::Drain));
    }

    fn arrive(&mut self, index: usize) {
        let id = self.requests.len();
        let number = if self.random.chance(60) { 1 + self.random.below(6) } else { 1_000 + id as u64 };
        let end = number > 1_000 || self.random.chance(40);
        let model = self.models[index].as_mut().unwrap();
        let start = !model.open.contains(&number);
        if end {
            model.open.remove(&number)
        } else {
            model.open.insert(number)
        };
        let flags = SequenceFlags { id: SequenceId::Number(number), start, end };
        let cancelled = Cancelled::default();
        let (fate, arrived) = (Fate::Waiting, self.now);
        self.requests.push(Known { model: index, fate, arrived, cancelled: cancelled.clone() });
        let item = Request { id, flags, cancelled };
        self.tell(index, Some(Event::Arrive { item, wish: Wish { timeout: None, priority: 0 }, place: Place(0) }));
    }

    fn cancel_one(&mut self) {
        let waiting: Vec<&Known> = self.requests.iter().filter(|known| known.fate == Fate::Waiting).collect();
        if !waiting.is_empty() {
            waiting[self.random.below(waiting.len() as u64) as usize].cancelled.set();
        }
    }

    fn look(&mut self) {
        let Some(owner) = self.woken.pop_first() else { return };
        let of = |model: &Option<Model>| model.as_ref().is_some_and(|model| model.gate.owner == owner);
        if let Some(index) = self.models.iter().position(of) {
            self.tell(index, None);
        }
    }

    fn tell(&mut self, index: usize, event: Option<Event<Request>>) {
        let model = self.models[index].as_mut().unwrap();
        let (limiter, owner) = (&mut self.limiter, model.gate.owner);
        let mut rounds = 0;
        let (actions, woken) = model.gate.on(&mut *model.policy, self.now, event, |changes| {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "policy and limiter never come to an end");
            checked_exchange(limiter, owner, changes)
        });
        self.woken.extend(woken);
        let gone = actions.iter().flat_map(|actions| &actions.gone);
        gone.for_each(|instance| drop(model.demands.remove(instance)));
        self.check_grants();
        if let Some(actions) = actions {
            self.apply(index, actions);
        }
    }

    fn apply(&mut self, index: usize, actions: Actions<Request>) {
        let refused = actions.refused.into_iter().map(|(request, _)| request);
        for request in refused.chain(actions.cancelled) {
            self.settle(request.id, Fate::Waiting, Fate::NotExecuted);
        }
        for run in actions.runs {
            let end = self.now + MICROSECOND * (1 + self.random.below(300)) as u32;
            let ids: Vec<usize> =
                run.requests.iter().map(|request| request.id).filter(|id| *id != usize::MAX).collect();
            ids.iter().for_each(|id| self.settle(*id, Fate::Waiting, Fate::Running));
            let model = self.model(index);
            assert!(model.demands.contains_key(&run.instance), "executes on an instance that is gone");
            assert!(model.busy.insert(run.instance, (end, ids)).is_none(), "an instance got two executions");
            self.check_grant(index, run.instance);
        }
        for instance in actions.gone {
            let model = self.model(index);
            assert!(model.leaving.remove(&instance), "gone without being asked to");
            assert!(!model.busy.contains_key(&instance), "gone while it executes");
        }
        self.model(index).wake_at = actions.wake_at;
        let model = self.model(index);
        if model.is_draining && model.policy.is_drained() && model.busy.is_empty() {
            let changes = model.gate.take_all();
            self.woken.extend(self.limiter.settle(changes));
            self.models[index] = None;
        }
    }

    fn settle(&mut self, id: usize, from: Fate, to: Fate) {
        assert_eq!(self.requests[id].fate, from, "request {id} cannot become {to:?}");
        self.requests[id].fate = to;
    }

    fn pass_time(&mut self) {
        let ends = self.every_model().flat_map(|model| model.busy.values().map(|(end, _)| *end));
        let due = ends.chain(self.every_model().filter_map(|model| model.wake_at)).min();
        let step = self.now + MICROSECOND * self.random.below(200) as u32;
        self.now = due.map_or(step, |due| if self.random.chance(60) { due } else { due.min(step) }).max(self.now);
        for index in 0..self.models.len() {
            self.run_what_is_due(index);
        }
    }

    fn run_what_is_due(&mut self, index: usize) {
        while let Some(model) = &mut self.models[index] {
            let ended = model.busy.iter().find(|(_, (end, _))| *end <= self.now).map(|(instance, _)| *instance);
            let Some(instance) = ended else { break };
            let (_, ids) = model.busy.remove(&instance).unwrap();
            ids.into_iter().for_each(|id| self.settle(id, Fate::Running, Fate::Executed));
            self.tell(index, Some(Event::InstanceIdle { instance, returned: vec![], place: Place(0) }));
        }
        if self.models[index].as_ref().is_some_and(|model| model.wake_at.is_some_and(|at| at <= self.now)) {
            self.tell(index, Some(Event::Wake));
        }
    }
}

fn simulate(seed: u64, start: Instant) {
    let mut world = World::new(seed, start);
    for _ in 0..STEPS {
        let serving = world.serving();
        let chosen = (!serving.is_empty()).then(|| serving[world.random.below(serving.len() as u64) as usize]);
        match (world.random.below(40), chosen) {
            (0, _) if world.models.len() < 8 => world.load(),
            (1, Some(model)) if world.random.chance(30) => world.unload(model),
            (2 | 3, Some(model)) => world.replace_an_instance(model),
            (4..=6, _) => world.cancel_one(),
            (7..=22, Some(model)) => world.arrive(model),
            (23..=30, _) => world.look(),
            _ => world.pass_time(),
        }
        world.check();
    }
    for model in world.serving() {
        world.unload(model);
    }
    for _ in 0..DRAIN_STEPS_MAX {
        if world.every_model().next().is_none() {
            break;
        }
        world.look();
        world.pass_time();
        world.check();
    }
    assert!(world.every_model().next().is_none(), "a model waits for ever");
    assert!(world.requests.iter().all(|known| matches!(known.fate, Fate::Executed | Fate::NotExecuted)));
    assert!(world.limiter.members.is_empty() && world.limiter.pools.in_use().next().is_none(), "something is left");
}

#[test]
fn every_seed_keeps_the_invariants() {
    for_every_seed(SEEDS, simulate);
}
