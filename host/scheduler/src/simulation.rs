//! What the seeded simulations have in common: a policy on a stage where time passes, instances come, work and go, and
//! executions end. Each play knows its own requests, and what must hold of them.
//!
//! The stage itself sees to this: an instance gets one execution at a time, none when it is not there; it is gone only when
//! it was asked to leave and does not work; a timer that has run is not set again; the gauge of those who wait is right;
//! one that is said to be alone is. A failure prints its seed; `NEREID_SEED=n` replays it, `NEREID_SEEDS=n` goes deep.

mod oracle;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

pub(crate) use nereid_seeds::{Random, for_every_seed};

pub(crate) use self::oracle::{Candidate, Expected, batching};
use crate::policy::{Actions, Event, InstanceIndex, Place, Policy};

/// What runs in CI; [`for_every_seed`] says how to run more.
pub(crate) const SEEDS: u64 = 1_000;

/// What happens in the world of one seed before it drains.
pub(crate) const STEPS: usize = 300;

pub(crate) const MICROSECOND: Duration = Duration::from_micros(1);

/// Longest execution.
const EXECUTION_US_MAX: u64 = 400;

/// A policy, its instances, and the time.
pub(crate) struct Stage<P> {
    pub(crate) random: Random,
    pub(crate) now: Instant,
    pub(crate) policy: P,
    pub(crate) wake_at: Option<Instant>,
    /// What each busy instance executes, and when it ends.
    pub(crate) busy: BTreeMap<InstanceIndex, (Instant, Vec<usize>)>,
    pub(crate) instances: BTreeSet<InstanceIndex>,
    /// Those of the instances that were asked to leave.
    pub(crate) leaving: BTreeSet<InstanceIndex>,
    instances_made: usize,
    reported_waiting: usize,
}

/// A simulation: requests of some kind before a policy.
pub(crate) trait Play: Sized {
    type Item;
    type Policy: Policy<Self::Item>;

    fn stage(&mut self) -> &mut Stage<Self::Policy>;

    /// How many requests wait.
    fn waiting_count(&self) -> usize;

    /// When somebody besides instances and timers does something next.
    fn actors_act_at(&self) -> Option<Instant> {
        None
    }

    /// They do what they do by now.
    fn let_actors_act(&mut self) {}

    /// Requests were executed; returns those that are handed back.
    fn executed(&mut self, ids: &[usize]) -> Vec<Self::Item>;

    /// The policy has spoken: checks it, and does it.
    fn apply(&mut self, actions: Actions<Self::Item>);

    /// Tells the policy what happens now.
    fn tell(&mut self, event: Event<Self::Item>) {
        let stage = self.stage();
        match &event {
            Event::InstanceAdded { instance, .. } => drop(stage.instances.insert(*instance)),
            Event::InstanceRetired(instance) => drop(stage.leaving.insert(*instance)),
            _ => {}
        }
        let actions = stage.policy.on(stage.now, event);
        stage.wake_at = actions.wake_at;
        stage.reported_waiting = actions.waiting.unwrap_or(stage.reported_waiting);
        let gone = actions.gone.clone();
        self.apply(actions);
        let waiting = self.waiting_count();
        let stage = self.stage();
        assert_eq!(stage.reported_waiting, waiting, "the gauge is wrong");
        for instance in gone {
            assert!(
                stage.leaving.remove(&instance) && stage.instances.remove(&instance),
                "gone without being asked to"
            );
            assert!(!stage.busy.contains_key(&instance), "gone while it works");
        }
    }

    fn add_instance(&mut self) {
        let stage = self.stage();
        let instance = stage.instances_made;
        stage.instances_made += 1;
        self.tell(Event::InstanceAdded { instance, is_limited: false });
    }

    /// A new instance takes the place of one that there is.
    fn replace_an_instance(&mut self) {
        let stage = self.stage();
        let staying: Vec<InstanceIndex> = stage.instances.difference(&stage.leaving).copied().collect();
        let retired = staying[stage.random.index(staying.len())];
        self.add_instance();
        self.tell(Event::InstanceRetired(retired));
    }

    /// Goes on to the next thing that is due, or a little further.
    fn pass_time(&mut self, step_us_max: u64) {
        let actors_act_at = self.actors_act_at();
        let stage = self.stage();
        let next_end = stage.busy.values().map(|(end, _)| *end).min();
        let idle_step = stage.now + MICROSECOND * stage.random.below(step_us_max) as u32;
        let due = next_end.into_iter().chain(stage.wake_at).chain(actors_act_at).min().unwrap_or(idle_step);
        let goal = if stage.random.chance(50) { due } else { idle_step.min(due) };
        stage.now = goal.max(stage.now);
        // Now and then a request is quicker than the thread that notices what is due.
        if !stage.random.chance(10) {
            self.run_what_is_due();
        }
    }

    /// Executions that end now and a timer that runs now come in either order, as they do to threads.
    fn run_what_is_due(&mut self) {
        if self.stage().random.chance(50) {
            self.wake_if_due();
        }
        loop {
            let stage = self.stage();
            let over = stage.busy.iter().find(|(_, (end, _))| *end <= stage.now).map(|(instance, _)| *instance);
            let Some(instance) = over else { break };
            let (_, ids) = stage.busy.remove(&instance).unwrap();
            let returned = self.executed(&ids);
            let place = self.stage().place();
            self.tell(Event::InstanceIdle { instance, returned, place });
        }
        self.let_actors_act();
        self.wake_if_due();
    }

    fn wake_if_due(&mut self) {
        let stage = self.stage();
        if stage.wake_at.is_some_and(|at| at <= stage.now) {
            self.tell(Event::Wake);
            let stage = self.stage();
            assert!(stage.wake_at.is_none_or(|at| at > stage.now), "woken for a time that has passed");
        }
    }

    /// No more requests come; everything that was admitted is still executed.
    fn drain(&mut self) {
        self.tell(Event::Drain);
        loop {
            let actors_act_at = self.actors_act_at();
            let ends = self.stage().busy.values().map(|(end, _)| *end);
            let Some(next) = ends.chain(actors_act_at).min() else { break };
            self.stage().now = next.max(self.stage().now);
            self.run_what_is_due();
        }
        assert!(self.stage().policy.is_drained(), "drained, and requests are left");
    }
}

// === impl Stage ===

impl<P> Stage<P> {
    /// Without instances.
    pub(crate) fn new(random: Random, now: Instant, policy: P) -> Self {
        Self {
            random,
            now,
            policy,
            wake_at: None,
            busy: BTreeMap::new(),
            instances: BTreeSet::new(),
            leaving: BTreeSet::new(),
            instances_made: 0,
            reported_waiting: 0,
        }
    }

    /// One of a few threads.
    pub(crate) fn place(&mut self) -> Place {
        Place(self.random.below(3) as u32)
    }

    /// An instance executes these requests from now on.
    pub(crate) fn begin(&mut self, instance: InstanceIndex, ids: Vec<usize>, is_alone: bool) {
        assert!(self.instances.contains(&instance), "an instance that is not there");
        assert!(!is_alone || self.busy.is_empty(), "not alone");
        let end = self.now + MICROSECOND * (1 + self.random.below(EXECUTION_US_MAX)) as u32;
        assert!(self.busy.insert(instance, (end, ids)).is_none(), "an instance got two executions");
    }
}
