//! Requests that wait: by priority, then in order of arrival, bounded in number and in time.
//!
//! Every level has a policy of its own: how many may wait, for how long, and what happens then. One whose time is over is
//! handed back or moved behind the others of its level, as configured. Every operation is O(log n), however many levels
//! are in use; a level costs nothing while nobody waits in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{ExpiryAction, QueueSettings};

/// Where a request stands; the order of these is the order in which requests should run. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    /// 1 is the most urgent; 0 without priorities.
    level: u64,
    /// Past its time, kept to run when no other of its level waits.
    late: bool,
    /// In order of arrival.
    number: u64,
}

/// What a request asks of the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// It wants to wait no longer than this.
    pub(crate) timeout: Option<Duration>,
    /// 0 is the model's default level.
    pub(crate) priority: u64,
}

/// Requests that wait.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    settings: QueueSettings,
    /// Of all levels together; asked for by every request, and a sum over as many policies as the model has.
    total_max: usize,
    waiting: BTreeMap<Ticket, Waiting<T>>,
    /// How many wait in each level in which somebody does.
    counts: BTreeMap<u64, usize>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    next_number: u64,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub(crate) item: T,
    pub(crate) arrived: Instant,
    deadline: Option<Instant>,
}

// === impl Ticket ===

impl Ticket {
    /// What stays the same when the request is moved.
    pub(crate) fn number(self) -> u64 {
        self.number
    }
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        Self {
            total_max: settings.total_max(),
            settings,
            waiting: BTreeMap::new(),
            counts: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_number: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends a request to its level; hands it back when the level, or the whole queue, is full.
    pub(crate) fn push(&mut self, now: Instant, item: T, wish: Wish) -> Result<(), T> {
        let level = self.settings.level(wish.priority);
        let policy = self.settings.policy(level);
        let in_level = self.counts.get(&level).copied().unwrap_or(0);
        if in_level >= policy.requests_max || self.len() >= self.total_max {
            return Err(item);
        }
        let ticket = Ticket { level, late: false, number: self.next_number };
        self.next_number += 1;
        let deadline = policy.effective_timeout(wish.timeout).and_then(|timeout| now.checked_add(timeout));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, ticket));
        }
        self.waiting.insert(ticket, Waiting { item, arrived: now, deadline });
        *self.counts.entry(level).or_insert(0) += 1;
        Ok(())
    }

    /// Takes out the requests whose time is over at `now`, or moves them behind the others of their level.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some((_, ticket)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            match self.settings.policy(ticket.level).expiry_action {
                ExpiryAction::Reject => expired.extend(self.remove(ticket)),
                ExpiryAction::Delay => self.put_behind(ticket),
            }
        }
        expired
    }

    /// When the next request's time is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// In the order in which they should run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ticket, &Waiting<T>)> {
        self.waiting.iter().map(|(ticket, waiting)| (*ticket, waiting))
    }

    /// Takes one request out, wherever it stands.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let waiting = self.waiting.remove(&ticket)?;
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        if let Some(count) = self.counts.get_mut(&ticket.level) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&ticket.level);
            }
        }
        Some(waiting.item)
    }

    fn put_behind(&mut self, ticket: Ticket) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        self.waiting.insert(Ticket { late: true, ..ticket }, Waiting { deadline: None, ..waiting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrioritySettings, QueuePolicy};

    const MS: Duration = Duration::from_millis(1);

    fn policy(expiry_action: ExpiryAction) -> QueuePolicy {
        QueuePolicy { requests_max: 2, timeout: Some(10 * MS), expiry_action, ..Default::default() }
    }

    fn queue(expiry_action: ExpiryAction) -> Queue<&'static str> {
        Queue::new(QueueSettings::from(policy(expiry_action)))
    }

    /// Two levels; the second is the default and has a policy of its own.
    fn prioritized(second: QueuePolicy) -> Queue<&'static str> {
        let priorities = PrioritySettings { levels: 3, default_level: 2, policies: [(2, second)].into() };
        let default = QueuePolicy { requests_max: 2, ..QueuePolicy::default() };
        Queue::new(QueueSettings { default, priorities: Some(priorities) })
    }

    fn priority(priority: u64) -> Wish {
        Wish { priority, ..Wish::default() }
    }

    fn items(queue: &Queue<&'static str>) -> Vec<&'static str> {
        queue.iter().map(|(_, waiting)| waiting.item).collect()
    }

    #[test]
    fn refuses_a_request_when_the_queue_is_full() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        assert_eq!(queue.push(now, "a", Wish::default()), Ok(()));
        assert_eq!(queue.push(now, "b", Wish::default()), Ok(()));
        assert_eq!(queue.push(now, "c", Wish::default()), Err("c"));
    }

    #[test]
    fn hands_back_what_waited_too_long() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        queue.push(now, "a", Wish::default()).unwrap();
        queue.push(now + 5 * MS, "b", Wish::default()).unwrap();
        assert_eq!(queue.next_deadline(), Some(now + 10 * MS));
        assert_eq!(queue.expire(now + 9 * MS), Vec::<&str>::new());
        assert_eq!(queue.expire(now + 10 * MS), ["a"]);
        assert_eq!(items(&queue), ["b"]);
    }

    #[test]
    fn a_delayed_request_runs_after_those_in_time() {
        let (mut queue, now) = (queue(ExpiryAction::Delay), Instant::now());
        queue.push(now, "late", Wish::default()).unwrap();
        assert!(queue.expire(now + 10 * MS).is_empty());
        queue.push(now + 10 * MS, "in time", Wish::default()).unwrap();
        assert_eq!(items(&queue), ["in time", "late"]);
        assert_eq!(queue.next_deadline(), Some(now + 20 * MS));
    }

    #[test]
    fn removing_forgets_the_deadline_and_makes_room() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        queue.push(now, "a", Wish::default()).unwrap();
        let ticket = queue.iter().next().unwrap().0;
        assert_eq!(queue.remove(ticket), Some("a"));
        assert_eq!(queue.next_deadline(), None);
        assert!(queue.is_empty() && queue.counts.is_empty());
    }

    #[test]
    fn urgent_levels_come_first_and_unknown_ones_are_the_default() {
        let (mut queue, now) = (prioritized(policy(ExpiryAction::Delay)), Instant::now());
        for (item, level) in [("low", 3), ("default", 0), ("unknown", 4), ("high", 1)] {
            queue.push(now, item, priority(level)).unwrap();
        }
        assert_eq!(items(&queue), ["high", "default", "unknown", "low"]);
    }

    #[test]
    fn every_level_is_full_by_itself() {
        let (mut queue, now) = (prioritized(policy(ExpiryAction::Reject)), Instant::now());
        for level in [1, 2] {
            assert_eq!(queue.push(now, "first", priority(level)), Ok(()));
            assert_eq!(queue.push(now, "second", priority(level)), Ok(()));
            assert_eq!(queue.push(now, "third", priority(level)), Err("third"));
        }
    }

    #[test]
    fn a_late_request_still_runs_before_lower_levels() {
        let (mut queue, now) = (prioritized(policy(ExpiryAction::Delay)), Instant::now());
        queue.push(now, "late", priority(2)).unwrap();
        queue.push(now, "low", priority(3)).unwrap();
        queue.push(now + 5 * MS, "in time", priority(2)).unwrap();
        assert!(queue.expire(now + 10 * MS).is_empty());
        assert_eq!(items(&queue), ["in time", "late", "low"]);
    }
}
