//! Requests that wait, in order of arrival, bounded in number and in time.
//!
//! Every operation is O(log n). A request whose time is over is handed back or moved behind all others, as configured.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{ExpiryAction, QueueSettings};

/// Position in order of arrival; never used twice.
pub(crate) type Ticket = u64;

/// Requests that wait.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    settings: QueueSettings,
    in_time: BTreeMap<Ticket, Waiting<T>>,
    /// Past their time, kept to run when nothing else waits.
    delayed: BTreeMap<Ticket, Waiting<T>>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    next_ticket: Ticket,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub(crate) item: T,
    pub(crate) arrived: Instant,
    deadline: Option<Instant>,
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            in_time: BTreeMap::new(),
            delayed: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            next_ticket: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_time.len() + self.delayed.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_time.is_empty() && self.delayed.is_empty()
    }

    /// Appends a request that asked to wait no longer than `timeout`; hands it back when the queue is full.
    pub(crate) fn push(&mut self, now: Instant, item: T, timeout: Option<Duration>) -> Result<(), T> {
        if self.len() >= self.settings.requests_max {
            return Err(item);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let deadline = self.settings.effective_timeout(timeout).and_then(|timeout| now.checked_add(timeout));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, ticket));
        }
        self.in_time.insert(ticket, Waiting { item, arrived: now, deadline });
        Ok(())
    }

    /// Takes out the requests whose time is over at `now`, or moves them behind all others.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some((deadline, ticket)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, ticket));
            let Some(waiting) = self.in_time.remove(&ticket) else { continue };
            match self.settings.expiry_action {
                ExpiryAction::Reject => expired.push(waiting.item),
                ExpiryAction::Delay => drop(self.delayed.insert(ticket, Waiting { deadline: None, ..waiting })),
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
        self.in_time.iter().chain(&self.delayed).map(|(ticket, waiting)| (*ticket, waiting))
    }

    /// Takes one request out, wherever it stands.
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let waiting = self.in_time.remove(&ticket).or_else(|| self.delayed.remove(&ticket))?;
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(waiting.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn queue(expiry_action: ExpiryAction) -> Queue<&'static str> {
        let settings = QueueSettings { requests_max: 2, timeout: Some(10 * MS), expiry_action, ..Default::default() };
        Queue::new(settings)
    }

    fn items(queue: &Queue<&'static str>) -> Vec<&'static str> {
        queue.iter().map(|(_, waiting)| waiting.item).collect()
    }

    #[test]
    fn refuses_a_request_when_the_queue_is_full() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        assert_eq!(queue.push(now, "a", None), Ok(()));
        assert_eq!(queue.push(now, "b", None), Ok(()));
        assert_eq!(queue.push(now, "c", None), Err("c"));
    }

    #[test]
    fn hands_back_what_waited_too_long() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        queue.push(now, "a", None).unwrap();
        queue.push(now + 5 * MS, "b", None).unwrap();
        assert_eq!(queue.next_deadline(), Some(now + 10 * MS));
        assert_eq!(queue.expire(now + 9 * MS), Vec::<&str>::new());
        assert_eq!(queue.expire(now + 10 * MS), ["a"]);
        assert_eq!(items(&queue), ["b"]);
    }

    #[test]
    fn a_delayed_request_runs_after_those_in_time() {
        let (mut queue, now) = (queue(ExpiryAction::Delay), Instant::now());
        queue.push(now, "late", None).unwrap();
        assert!(queue.expire(now + 10 * MS).is_empty());
        queue.push(now + 10 * MS, "in time", None).unwrap();
        assert_eq!(items(&queue), ["in time", "late"]);
        assert_eq!(queue.next_deadline(), Some(now + 20 * MS));
    }

    #[test]
    fn removing_forgets_the_deadline() {
        let (mut queue, now) = (queue(ExpiryAction::Reject), Instant::now());
        queue.push(now, "a", None).unwrap();
        let ticket = queue.iter().next().unwrap().0;
        assert_eq!(queue.remove(ticket), Some("a"));
        assert_eq!(queue.next_deadline(), None);
        assert!(queue.is_empty());
    }
}
