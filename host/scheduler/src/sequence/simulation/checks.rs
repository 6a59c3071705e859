//! What must hold of everything that the policy says.
//!
//! Every request has one fate, and one that is refused is refused exactly when it should be. A sequence runs in order, one
//! request at a time, in one seat of one instance, with what its own START left; no seat has two sequences, none is given
//! by an instance that is to leave, and the sequence that waits longest gets the next. Nobody waits for a seat while one is
//! free. An idle instance executes exactly what its strategy calls for, when it calls for it: the oldest strategy what
//! dynamic batching would, the direct one every row that fits its oldest. Cancellation, expiry and silence take the whole
//! sequence, at their time, and every timer is set.

use nereid_inference::{Awaited, BatchReason};

use super::*;
use crate::{
    policy::{Policy, Run},
    simulation::{Candidate, Expected, batching},
};

// === impl World ===

impl World {
    pub(super) fn check_actions(&mut self, actions: Actions<Request>) {
        assert_eq!(actions.restarted, self.expected_restart.take(), "a second start was missed, or made up");
        self.check_refused(&actions.refused);
        self.check_cancelled(&actions.cancelled);
        let seated = self.note_seats();
        for run in &actions.runs {
            self.check_run(run, &seated);
        }
        self.check_seats(&seated);
        self.check_progress(actions.wake_at);
        self.check_gone(&actions.gone);
        let may_return = self.sequences.iterative && !self.stage.busy.is_empty();
        let is_drained = self.is_draining && self.waiting_count() == 0 && !may_return;
        assert_eq!(self.stage.policy.is_drained(), is_drained, "drained, or not, wrongly");
    }

    fn check_refused(&mut self, refused: &[(Request, Refusal)]) {
        let mut expired = Vec::new();
        for (request, refusal) in refused {
            if *refusal == Refusal::SequenceExpired {
                self.settle(request.id, Fate::Waiting, Fate::Refused);
                expired.push(self.known[request.id].sequence);
            } else {
                assert_eq!(self.expected_refusal.take(), Some((request.id, *refusal)), "refused wrongly");
            }
        }
        assert_eq!(self.expected_refusal, None, "admitted what should be refused");
        expired.dedup();
        for key in expired {
            let live = self.end(key);
            assert!(live.seat.is_none(), "expired in a seat");
            assert!(live.expires.is_some_and(|at| at <= self.stage.now), "expired before its time");
            assert!(live.queue.iter().all(|id| self.known[*id].fate == Fate::Refused), "only a part expired");
        }
    }

    fn check_cancelled(&mut self, cancelled: &[Request]) {
        let mut keys = Vec::new();
        for request in cancelled {
            self.settle(request.id, Fate::Waiting, Fate::Cancelled);
            keys.push(self.known[request.id].sequence);
        }
        keys.dedup();
        for key in keys {
            let live = self.end(key);
            let mut whole = live.queue.iter().map(|id| &self.known[*id]);
            assert!(whole.clone().any(|known| known.request.is_cancelled()), "cancelled without a reason");
            assert!(whole.all(|known| known.fate == Fate::Cancelled), "only a part was cancelled");
            assert_eq!(live.running, None, "cancelled while it runs");
        }
    }

    /// Sequences that were given a seat and have not ended since.
    fn note_seats(&mut self) -> Vec<SequenceKey> {
        let mut seated = Vec::new();
        for (seat, id, first) in self.stage.policy.seats() {
            let is_same = |live: &Live| live.id == *id;
            let key = match first {
                Some(request) => self.known[request.id].sequence,
                None => *self.open.values().find(|key| is_same(&self.live[key])).expect("a seat for nobody"),
            };
            let live = self.live.get_mut(&key).expect("a seat of a sequence that has ended");
            assert!(is_same(live), "a request in the seat of another sequence");
            let seat = (seat.instance, seat.slot);
            if live.seat.is_none() {
                seated.push(key);
            }
            assert_eq!(*live.seat.get_or_insert(seat), seat, "a sequence has moved");
            live.expires = None;
        }
        seated
    }

    fn check_run(&mut self, run: &Run<Request>, seated: &[SequenceKey]) {
        let requests = || run.requests.iter().filter(|request| !request.is_padding);
        assert!(requests().next().is_some(), "a batch of nothing");
        assert!(run.requests.last().is_some_and(|request| !request.is_padding), "padded beyond the last request");
        assert!(run.requests.iter().all(|request| request.shape == run.requests[0].shape), "shapes mixed");
        if let Some(candidates) = self.candidates_of(run, seated) {
            let mut ids: Vec<usize> = requests().map(|request| request.id).collect();
            let mut expected = self.expected_run(&candidates).expect("executes too early");
            if self.is_direct() {
                ids.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(ids, expected, "another batch than it should be");
        }
        self.check_cause(run);
        for (row, request) in run.requests.iter().enumerate().filter(|(_, request)| !request.is_padding) {
            self.run_one(run.instance, row, request);
        }
        assert!(!run.is_alone || self.waiting_count() == 0, "alone, and others wait");
        self.stage.begin(run.instance, requests().map(|request| request.id).collect(), run.is_alone);
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
            BatchReason::DelayOver => !delay.is_zero() && oldest + delay <= self.stage.now,
            BatchReason::SlotsInUse => self.is_direct() && !delay.is_zero(),
            BatchReason::Draining => true,
            BatchReason::Unbatched | BatchReason::NoRoom | BatchReason::OtherInputs | BatchReason::Strategy => false,
        };
        assert!(is_true, "not true: {:?} of {rows} rows", run.cause);
        if run.cause.awaited == Awaited::Nothing {
            assert!(clients().count() == 1 && oldest == self.stage.now, "it has waited");
        }
    }

    /// Who could have run on the instance when the batch was put together, oldest first; `None` when that cannot be told:
    /// a seat was given, left and given again within one event.
    fn candidates_of(&self, run: &Run<Request>, seated: &[SequenceKey]) -> Option<Vec<Candidate>> {
        let (mut left, mut unknown) = (Vec::new(), false);
        for request in run.requests.iter().filter(|request| !request.is_padding && request.flags.end) {
            let seat = self.live[&self.known[request.id].sequence].seat;
            unknown |= seat.is_none();
            left.extend(seat);
        }
        if unknown && !seated.is_empty() {
            return None;
        }
        let is_in_run = |id: usize| run.requests.iter().any(|request| request.id == id);
        // Who got the seat of one that ends with this batch came when the batch was put together.
        let came_later =
            |key: &SequenceKey, live: &Live| seated.contains(key) && live.seat.is_some_and(|seat| left.contains(&seat));
        let here = self.live.iter().filter(|(key, live)| {
            let is_seated = live.seat.is_some_and(|(instance, _)| instance == run.instance);
            live.queue.front().is_some_and(|id| is_in_run(*id) || (is_seated && !came_later(key, live)))
        });
        Some(self.in_order(here.map(|(_, live)| live)))
    }

    fn in_order<'a>(&self, sequences: impl Iterator<Item = &'a Live>) -> Vec<Candidate> {
        let mut heads: Vec<&Known> =
            sequences.filter_map(|live| live.queue.front()).map(|id| &self.known[*id]).collect();
        heads.sort_by_key(|known| known.number);
        let candidate = |known: &Known| {
            let Request { id, shape, .. } = known.request;
            Candidate { id, rows: 1, shape, arrived: known.arrived }
        };
        heads.into_iter().map(candidate).collect()
    }

    /// What an idle instance with these candidates should execute now; `Err` has the time until which it should wait.
    fn expected_run(&self, candidates: &[Candidate]) -> Result<Vec<usize>, Option<Instant>> {
        let SequenceStrategy::Direct(direct) = &self.sequences.strategy else {
            return match batching(&self.settings, self.stage.now, candidates, |_| Some(true)) {
                Expected::Run { requests } => Ok(candidates[..requests].iter().map(|candidate| candidate.id).collect()),
                Expected::Wait { until } => Err(Some(until)),
                Expected::Ask { .. } | Expected::Nothing => Err(None),
            };
        };
        let oldest = candidates.first().ok_or(None)?;
        let used = candidates.len() as f32 / self.sequences.slots as f32;
        let until = oldest.arrived + direct.delay_max;
        if used < direct.slot_utilization_min && self.stage.now < until {
            return Err(Some(until));
        }
        let fitting = candidates.iter().filter(|candidate| candidate.shape == oldest.shape);
        Ok(fitting.map(|candidate| candidate.id).collect())
    }

    fn run_one(&mut self, instance: InstanceIndex, row: usize, request: &Request) {
        assert!(!request.is_cancelled(), "a cancelled request was executed");
        let (key, is_direct) = (self.known[request.id].sequence, self.is_direct());
        self.settle(request.id, Fate::Waiting, Fate::Running);
        let live = self.live.get_mut(&key).expect("a sequence that has ended goes on");
        assert_eq!(live.queue.pop_front(), Some(request.id), "overtaken");
        assert_eq!(live.running.replace(request.id), None, "two requests of a sequence at a time");
        if request.flags.start {
            live.started_by = Some(request.id);
        }
        assert_eq!(request.started_by, live.started_by, "memory of another sequence");
        if let Some((seat_instance, slot)) = live.seat {
            assert_eq!(seat_instance, instance, "a sequence has moved");
            assert!(!is_direct || slot == row, "a sequence has another row");
        }
        if request.flags.end {
            self.end(key);
        }
    }

    fn check_seats(&self, seated: &[SequenceKey]) {
        let mut seats: Vec<_> = self.live.values().filter_map(|live| live.seat).collect();
        seats.sort_unstable();
        assert!(seats.windows(2).all(|pair| pair[0] != pair[1]), "a seat has two sequences");
        let staying = self.stage.instances.difference(&self.stage.leaving).count();
        let taken = seats.iter().filter(|(instance, _)| !self.stage.leaving.contains(instance)).count();
        let longest_waiting = self.live.iter().find(|(_, live)| live.seat.is_none()).map(|(key, _)| *key);
        assert!(
            longest_waiting.is_none() || taken == staying * self.sequences.slots,
            "a sequence waits while a seat is free"
        );
        for key in seated {
            assert!(longest_waiting.is_none_or(|waiting| *key < waiting), "another sequence has waited longer");
            let Some(live) = self.live.get(key) else { continue };
            let is_leaving = live.seat.is_some_and(|(instance, _)| self.stage.leaving.contains(&instance));
            assert!(!is_leaving, "a new sequence on an instance that is to leave");
            assert!(!self.is_cancelled(live), "a seat for a sequence that was cancelled");
        }
    }

    /// Nothing that could run stands still, and the timer is set for what comes next and for nothing else.
    fn check_progress(&self, wake_at: Option<Instant>) {
        let mut timers = Vec::new();
        for instance in self.stage.instances.iter().filter(|instance| !self.stage.busy.contains_key(instance)) {
            let here = |live: &&Live| live.seat.is_some_and(|(seat_instance, _)| seat_instance == *instance);
            match self.expected_run(&self.in_order(self.live.values().filter(here))) {
                // The timer for it is due, and nobody has noticed yet.
                Ok(_) if wake_at.is_some_and(|at| at <= self.stage.now) => timers.extend(wake_at),
                Ok(ids) => panic!("{ids:?} wait for an idle instance"),
                Err(until) => timers.extend(until),
            }
        }
        timers.extend(self.live.values().filter_map(|live| live.expires));
        let until = |since: Instant| since + self.sequences.idle_max;
        timers.extend(self.live.values().filter_map(|live| live.silent_since.map(until)));
        assert_eq!(wake_at, timers.into_iter().min(), "the timer is set wrongly");
        let overdue = self.live.values().filter_map(|live| live.expires).find(|at| *at <= self.stage.now);
        assert!(overdue.is_none(), "nobody was told that its time is over");
    }

    /// An instance that was asked to leave is gone as soon as it has neither work nor sequences.
    fn check_gone(&self, gone: &[InstanceIndex]) {
        for instance in &self.stage.leaving {
            let has_sequences = self.live.values().any(|live| live.seat.is_some_and(|(seat, _)| seat == *instance));
            let has_work = self.stage.busy.contains_key(instance);
            assert_eq!(gone.contains(instance), !has_sequences && !has_work, "gone too early, or not at all");
        }
    }

    fn is_direct(&self) -> bool {
        matches!(self.sequences.strategy, SequenceStrategy::Direct(_))
    }
}
