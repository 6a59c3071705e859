//! The policy of sequences, one story per test, over time that the test makes.

mod iterative;
mod open;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nereid_inference::{Awaited, SequenceId};

use super::*;
use crate::{
    BatchingSettings, QueuePolicy, SchedulerSettings,
    policy::{Event, Place, Policy},
    queue::Wish,
};

const MS: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(1);

/// A request that is called by its text: `a1` is the first of sequence `a`.
#[derive(Clone, Debug)]
struct Request {
    name: &'static str,
    flags: SequenceFlags,
    cancelled: Arc<AtomicBool>,
}

impl Batchable for Request {
    fn rows(&self) -> u64 {
        1
    }

    /// Names in capitals have another shape.
    fn fits(&self, other: &Self) -> bool {
        let is_capital = |request: &Self| request.name.starts_with(char::is_uppercase);
        is_capital(self) == is_capital(other)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Sequenced for Request {
    type Memory = ();

    fn flags(&self) -> Option<&SequenceFlags> {
        Some(&self.flags)
    }

    fn enter(&mut self, (): &mut ()) {}

    fn padding(&self) -> Self {
        Self { name: "-", ..self.clone() }
    }

    fn fits_with(&self, (): &(), other: &Self, (): &()) -> bool {
        self.fits(other)
    }
}

struct Story {
    policy: SequencePolicy<Request>,
    now: Instant,
    cancelled: BTreeMap<&'static str, Arc<AtomicBool>>,
}

impl Story {
    fn new(strategy: SequenceStrategy, slots: usize, instances: usize) -> Self {
        Self::of(strategy, slots, instances, false)
    }

    fn iterative(strategy: SequenceStrategy, slots: usize) -> Self {
        Self::of(strategy, slots, 1, true)
    }

    fn of(strategy: SequenceStrategy, slots: usize, instances: usize, iterative: bool) -> Self {
        let sequences = SequenceSettings {
            model_name: "m".into(),
            strategy,
            slots,
            idle_max: IDLE,
            iterative,
            tensors: Arc::default(),
        };
        let batching = BatchingSettings { preferred_rows: vec![], delay_max: Duration::ZERO };
        let settings = SchedulerSettings {
            batch_rows_max: 2,
            batching: Some(batching),
            queue: QueuePolicy { requests_max: 6, ..QueuePolicy::default() }.into(),
            ..SchedulerSettings::unbatched()
        };
        let mut policy = SequencePolicy::new(settings, sequences);
        let now = Instant::now();
        for instance in 0..instances {
            policy.on(now, Event::InstanceAdded { instance, is_limited: false });
        }
        Self { policy, now, cancelled: BTreeMap::new() }
    }

    fn direct(slots: usize, instances: usize) -> Self {
        Self::new(SequenceStrategy::Direct(DirectSettings::default()), slots, instances)
    }

    /// `a^` starts a sequence, `a$` ends it, `a^$` does both; more of the name tells requests apart.
    #[track_caller]
    fn arrives(&mut self, name: &'static str, expected: &str) {
        self.arrives_with(name, None, expected);
    }

    #[track_caller]
    fn arrives_with(&mut self, name: &'static str, timeout: Option<Duration>, expected: &str) {
        let arrival = self.arrival(name, timeout);
        self.check(arrival, expected);
    }

    fn arrival(&mut self, name: &'static str, timeout: Option<Duration>) -> Event<Request> {
        let id = SequenceId::Text(name[..1].to_lowercase());
        let flags = SequenceFlags { id, start: name.contains('^'), end: name.contains('$') };
        let item = Request { name, flags, cancelled: Arc::default() };
        self.cancelled.insert(name, item.cancelled.clone());
        Event::Arrive { item, wish: Wish { timeout, priority: 0 }, place: Place(0) }
    }

    /// Why a batch goes when this happens; `None` when none does.
    #[track_caller]
    fn cause(&mut self, event: Event<Request>) -> Option<(BatchReason, Awaited)> {
        let actions = self.policy.on(self.now, event);
        assert!(actions.runs.len() <= 1);
        actions.runs.first().map(|run| (run.cause.reason, run.cause.awaited))
    }

    #[track_caller]
    fn finishes(&mut self, instance: InstanceIndex, expected: &str) {
        self.check(Event::InstanceIdle { instance, returned: vec![], place: Place(0) }, expected);
    }

    /// The execution is over, and these of its requests need another one.
    #[track_caller]
    fn hands_back(&mut self, names: &[&'static str], expected: &str) {
        let again = |name: &&'static str| {
            let flags = SequenceFlags { id: SequenceId::Text(name[..1].to_lowercase()), start: false, end: false };
            Request { name, flags, cancelled: self.cancelled[name].clone() }
        };
        let returned = names.iter().map(again).collect();
        self.check(Event::InstanceIdle { instance: 0, returned, place: Place(0) }, expected);
    }

    #[track_caller]
    fn wakes_after(&mut self, duration: Duration, expected: &str) {
        self.now += duration;
        self.check(Event::Wake, expected);
    }

    fn cancel(&self, name: &str) {
        self.cancelled[name].store(true, Ordering::Relaxed);
    }

    /// What is done: `0:a b` runs the two on instance 0, `!` comes before the refused, `x` before the cancelled.
    #[track_caller]
    fn check(&mut self, event: Event<Request>, expected: &str) {
        let actions = self.policy.on(self.now, event);
        let names = |requests: &[Request]| requests.iter().map(|request| request.name).collect::<Vec<_>>().join(" ");
        let mut said: Vec<String> =
            actions.runs.iter().map(|run| format!("{}:{}", run.instance, names(&run.requests))).collect();
        said.extend(actions.refused.iter().map(|(request, refusal)| format!("!{} {refusal:?}", request.name)));
        said.extend(actions.cancelled.iter().map(|request| format!("x{}", request.name)));
        said.extend(actions.gone.iter().map(|instance| format!("gone {instance}")));
        assert_eq!(said.join(", "), expected);
    }
}

#[test]
fn a_sequence_keeps_its_row_and_rows_below_it_are_padded() {
    let mut story = Story::direct(3, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.arrives("c^", "");
    story.finishes(0, "0:- b^ c^");
    story.arrives("b2", "");
    story.arrives("a2$", "");
    story.finishes(0, "0:a2$ b2");
    story.arrives("c2", "");
    story.finishes(0, "0:- - c2");
}

#[test]
fn a_batch_says_what_it_waited_for() {
    let delayed = DirectSettings { delay_max: 5 * MS, slot_utilization_min: 0.6 };
    let mut story = Story::new(SequenceStrategy::Direct(delayed), 2, 1);
    let arrival = story.arrival("a^", None);
    assert_eq!(story.cause(arrival), None);
    story.now += 5 * MS;
    assert_eq!(story.cause(Event::Wake), Some((BatchReason::DelayOver, Awaited::Company)));
    let arrival = story.arrival("b^", None);
    assert_eq!(story.cause(arrival), None);
    let arrival = story.arrival("a2", None);
    assert_eq!(story.cause(arrival), None);
    assert_eq!(
        story.cause(Event::InstanceIdle { instance: 0, returned: vec![], place: Place(0) }),
        Some((BatchReason::Full, Awaited::Instance))
    );
    let arrival = story.arrival("c^", None);
    assert_eq!(story.cause(arrival), None);
    assert_eq!(story.cause(Event::InstanceIdle { instance: 0, returned: vec![], place: Place(0) }), None);
    story.now += IDLE;
    assert_eq!(story.cause(Event::Wake), Some((BatchReason::DelayOver, Awaited::Slot)));
}

#[test]
fn a_sequence_with_every_slot_for_itself_waits_for_nothing() {
    let mut story = Story::direct(1, 1);
    let arrival = story.arrival("a^", None);
    assert_eq!(story.cause(arrival), Some((BatchReason::Full, Awaited::Nothing)));
}

#[test]
fn sequences_spread_over_instances_before_they_share_one() {
    let mut story = Story::direct(2, 2);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "1:b^");
    story.arrives("c^", "");
    story.finishes(0, "0:- c^");
}

#[test]
fn a_sequence_without_a_slot_waits_and_goes_where_one_ends() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.arrives("c^$", "");
    story.arrives("b2$", "");
    story.arrives("a2$", "");
    story.finishes(0, "0:a2$");
    story.finishes(0, "0:b^");
    story.finishes(0, "0:b2$");
    story.finishes(0, "0:c^$");
    story.finishes(0, "");
}

#[test]
fn a_request_of_an_unknown_sequence_must_start_it() {
    let mut story = Story::direct(1, 1);
    story.arrives("a", "!a NotStarted");
    story.arrives("a^", "0:a^");
    story.arrives("a2$", "");
    story.arrives("a3", "!a3 NotStarted");
}

#[test]
fn a_start_within_a_sequence_goes_to_the_same_slot() {
    let mut story = Story::direct(2, 1);
    story.arrives("a^", "0:a^");
    story.arrives("a2^", "");
    story.finishes(0, "0:a2^");
}

#[test]
fn an_ended_id_begins_a_new_sequence_behind_those_that_wait() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^$", "");
    story.arrives("a2$", "");
    story.arrives("a3^$", "");
    story.finishes(0, "0:a2$");
    story.finishes(0, "0:b^$");
    story.finishes(0, "0:a3^$");
}

#[test]
fn silence_ends_a_sequence_and_frees_its_slot() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.wakes_after(2 * IDLE, "");
    story.finishes(0, "");
    story.wakes_after(IDLE - MS, "");
    story.arrives("a2", "0:a2");
    story.finishes(0, "");
    story.arrives("b^$", "");
    story.wakes_after(IDLE, "0:b^$");
    story.arrives("a3", "!a3 NotStarted");
}

#[test]
fn a_cancelled_request_takes_the_rest_of_its_sequence_with_it() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives("a2", "");
    story.arrives("a3", "");
    story.arrives("b^", "");
    story.arrives("b2", "");
    story.arrives("c^", "");
    story.cancel("a2");
    story.cancel("b2");
    story.finishes(0, "0:c^, xa2, xa3, xb^, xb2");
    story.arrives("a4", "!a4 NotStarted");
    story.arrives("b3", "!b3 NotStarted");
}

#[test]
fn the_shortest_timeout_counts_for_a_whole_sequence_without_a_slot() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives_with("b^", Some(10 * MS), "");
    story.arrives_with("b2", Some(5 * MS), "");
    story.arrives("c^", "");
    story.wakes_after(4 * MS, "");
    story.wakes_after(MS, "!b^ SequenceExpired, !b2 SequenceExpired");
    story.arrives("b3", "!b3 NotStarted");
}

#[test]
fn refuses_a_request_when_too_many_wait() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    for name in ["a2", "a3", "a4", "b^", "b2", "c^"] {
        story.arrives(name, "");
    }
    story.arrives("d^", "!d^ QueueFull");
}

#[test]
fn a_batch_waits_for_company_until_enough_slots_are_used() {
    let settings = DirectSettings { delay_max: 10 * MS, slot_utilization_min: 0.5 };
    let mut story = Story::new(SequenceStrategy::Direct(settings), 4, 1);
    story.arrives("a^", "");
    story.arrives("b^", "0:a^ b^");
    story.finishes(0, "");
    story.arrives("b2", "");
    story.wakes_after(9 * MS, "");
    story.wakes_after(MS, "0:- b2");
}

#[test]
fn another_shape_waits_for_its_turn() {
    let mut story = Story::direct(3, 1);
    story.arrives("a^", "0:a^");
    story.arrives("B^", "");
    story.arrives("c^", "");
    story.arrives("a2", "");
    story.finishes(0, "0:- B^");
    story.finishes(0, "0:a2 - c^");
}

#[test]
fn the_oldest_strategy_takes_the_oldest_without_padding() {
    let mut story = Story::new(SequenceStrategy::Oldest, 4, 1);
    story.arrives("a^", "0:a^");
    for name in ["b^", "c^", "d^", "a2", "c2"] {
        story.arrives(name, "");
    }
    story.finishes(0, "0:b^ c^");
    story.finishes(0, "0:d^ a2");
    story.finishes(0, "0:c2");
}

#[test]
fn a_new_instance_takes_sequences_that_wait_and_a_leaving_one_gets_no_more() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.check(Event::InstanceAdded { instance: 1, is_limited: false }, "1:b^");
    story.check(Event::InstanceRetired(0), "");
    story.arrives("c^$", "");
    story.finishes(0, "");
    story.arrives("a2$", "0:a2$");
    story.finishes(0, "gone 0");
    story.arrives("b2$", "");
    story.finishes(1, "1:b2$");
    story.finishes(1, "1:c^$");
}

#[test]
fn draining_executes_what_waits_and_expects_no_more() {
    let mut story = Story::direct(1, 1);
    story.arrives("a^", "0:a^");
    story.arrives("b^", "");
    story.arrives("c^", "");
    story.check(Event::Drain, "");
    story.finishes(0, "0:b^");
    assert!(!story.policy.is_drained());
    story.finishes(0, "0:c^");
    assert!(story.policy.is_drained());
}
