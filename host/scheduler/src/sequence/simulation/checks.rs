//! What must hold when a request is refused, when a batch starts, and after every step.

use nereid_inference::{Awaited, BatchReason};

use super::*;
use crate::policy::{Refusal, Run};

// === impl World ===

impl World {
    pub(super) fn check_refusal(&mut self, id: usize, refusal: Refusal) {
        let Known { request, start, .. } = &self.known[id];
        let (start, flags) = (*start, request.flags.clone());
        match refusal {
            Refusal::QueueFull => {
                // The refused request itself is counted among those that wait.
                let waiting = self.with_fate(Fate::Waiting).count();
                assert!(waiting > self.settings.queue.default.requests_max, "refused while there was room");
                if start == id {
                    self.clients.retain(|_, client| client.start != start);
                }
            }
            Refusal::SequenceExpired => {
                let whole = self.known.iter().filter(|known| known.start == start && known.fate != Fate::Executed);
                let deadlines = whole.filter_map(|known| known.deadline);
                assert!(deadlines.min().is_some_and(|deadline| deadline <= self.now), "expired before its time");
                assert!(!self.places.contains_key(&start), "expired in a slot");
                self.clients.retain(|_, client| client.start != start);
            }
            Refusal::NotStarted => {
                assert!(!flags.start, "a start was refused");
                let SequenceId::Number(number) = flags.id else { unreachable!() };
                if let Some(client) = self.clients.get(&number) {
                    let pending = client
                        .requests
                        .iter()
                        .any(|other| *other != id && matches!(self.known[*other].fate, Fate::Waiting | Fate::Running));
                    assert!(!pending, "ended while it had requests");
                    assert!(self.now >= client.active + self.sequences.idle_max, "ended before it was silent for long");
                    self.clients.remove(&number);
                }
            }
            Refusal::Expired => panic!("single requests do not expire"),
        }
    }

    pub(super) fn check_run(&mut self, run: &Run<Request>) {
        let (instance, requests) = (run.instance, &run.requests);
        assert!(requests.len() as u64 <= self.settings.batch_rows_max, "batch of {} rows", requests.len());
        assert!(requests.iter().any(|request| !request.is_padding), "a batch of nothing");
        assert!(self.is_direct() || requests.iter().all(|request| !request.is_padding), "padded for nothing");
        assert!(requests.last().is_some_and(|request| !request.is_padding), "padded beyond the last request");
        assert!(requests.iter().all(|request| request.shape == requests[0].shape), "shapes mixed");
        self.check_cause(run);
        for (row, request) in requests.iter().enumerate().filter(|(_, request)| !request.is_padding) {
            assert!(!request.is_cancelled(), "a cancelled request was executed");
            let start = self.known[request.id].start;
            let row = self.is_direct().then_some(row);
            let place = *self.places.entry(start).or_insert((instance, row));
            assert_eq!(place, (instance, row), "a sequence has moved");
            self.check_sequence(start, request);
            self.check_slot(start, place);
        }
    }

    /// What is said of a batch is true of it.
    fn check_cause(&self, run: &Run<Request>) {
        let rows = run.requests.len() as u64;
        let clients = || run.requests.iter().filter(|request| !request.is_padding);
        let delay = match (&self.sequences.strategy, &self.settings.batching) {
            (SequenceStrategy::Direct(direct), _) if direct.slot_utilization_min == 0.0 => Duration::ZERO,
            (SequenceStrategy::Direct(direct), _) => direct.delay_max,
            (SequenceStrategy::Oldest, batching) => batching.as_ref().map_or(Duration::ZERO, |some| some.delay_max),
        };
        let oldest = clients().map(|request| self.known[request.id].arrived).min().unwrap();
        let is_true = match run.cause.reason {
            BatchReason::Full if self.is_direct() => rows as usize <= self.sequences.slots,
            BatchReason::Full => rows == self.settings.batch_rows_max,
            BatchReason::Preferred | BatchReason::AbovePreferred | BatchReason::OtherShape => !self.is_direct(),
            BatchReason::NoDelay => delay.is_zero(),
            BatchReason::DelayOver => !delay.is_zero() && oldest + delay <= self.now,
            BatchReason::SlotsInUse => self.is_direct() && !delay.is_zero(),
            BatchReason::Draining => true,
            BatchReason::Unbatched | BatchReason::NoRoom | BatchReason::OtherInputs => false,
        };
        assert!(is_true, "not true: {:?} of {rows} rows", run.cause);
        if run.cause.awaited == Awaited::Nothing {
            assert!(clients().count() == 1 && oldest == self.now, "it has waited");
        }
    }

    /// In order, one at a time, with the memory of its own start.
    pub(super) fn check_sequence(&self, start: usize, request: &Request) {
        let whole = || self.known.iter().filter(|known| known.start == start);
        let earlier = whole().filter(|known| known.request.id < request.id);
        let is_over = |known: &Known| matches!(known.fate, Fate::Executed | Fate::Refused);
        assert!(earlier.clone().all(is_over), "overtaken, or two at a time");
        assert!(whole().all(|known| known.fate != Fate::Running), "two requests of a sequence at a time");
        let starts = whole().filter(|known| known.request.flags.start && known.fate != Fate::Refused);
        let newest_start = starts.filter(|known| known.request.id <= request.id).map(|known| known.request.id).max();
        assert_eq!(request.started_by, newest_start, "memory of another sequence");
    }

    /// No other sequence that still goes on has this row.
    pub(super) fn check_slot(&self, start: usize, place: (InstanceIndex, Option<usize>)) {
        if place.1.is_none() {
            return;
        }
        let pending = |known: &&Known| matches!(known.fate, Fate::Waiting | Fate::Running);
        let others = self.places.iter().filter(|(other, found)| **other != start && **found == place);
        for (other, _) in others {
            let unfinished = self.known.iter().filter(|known| known.start == *other).find(pending);
            assert!(unfinished.is_none(), "a row has two sequences");
        }
    }

    /// The first request that waits of every sequence that does, unless one of the sequence runs.
    fn heads(&self) -> BTreeMap<usize, &Known> {
        let mut heads: BTreeMap<usize, &Known> = BTreeMap::new();
        for known in self.with_fate(Fate::Waiting) {
            heads.entry(known.start).or_insert(known);
        }
        for known in self.with_fate(Fate::Running) {
            heads.remove(&known.start);
        }
        heads
    }

    /// After every step: nothing that could run stands still, and no timer is forgotten.
    pub(super) fn check_progress(&self) {
        assert_eq!(self.policy.waiting, self.with_fate(Fate::Waiting).count(), "miscounted");
        let delay = match (&self.sequences.strategy, &self.settings.batching) {
            (SequenceStrategy::Direct(direct), _) if direct.slot_utilization_min > 0.0 => direct.delay_max,
            (SequenceStrategy::Oldest, Some(batching)) => batching.delay_max,
            _ => Duration::ZERO,
        };
        let in_backlog = self.policy.backlog_len();
        assert!(in_backlog == 0 || self.policy.free.is_empty(), "a sequence waits while a slot is free");
        for known in self.heads().values() {
            let Some((instance, _)) = self.places.get(&known.start) else { continue };
            if self.busy.contains_key(instance) || known.request.is_cancelled() {
                continue;
            }
            assert!(self.now < known.arrived + delay, "waits for an idle instance longer than the delay");
            assert!(self.wake_at.is_some_and(|at| at <= known.arrived + delay), "nobody will wake");
        }
        let silent = self.clients.values().filter(|client| {
            self.places.contains_key(&client.start)
                && client.requests.iter().all(|id| !matches!(self.known[*id].fate, Fate::Waiting | Fate::Running))
        });
        for client in silent {
            let until = client.active + self.sequences.idle_max;
            let is_known = self.policy.known.contains_key(&client.id);
            assert!(is_known || self.now >= until, "forgotten before it was silent for long");
            assert!(!is_known || self.wake_at.is_some_and(|at| at <= until), "silence has no timer");
        }
    }
}
