//! What a batching strategy has said of the batch that is being formed: a state machine that is told the time.
//!
//! The strategy is asked about the requests at the head of the queue, one after the other, also while every instance is busy, so that the
//! answers are there when one is idle. Other requests that come before those begin the batch anew. A strategy that fails, or does not
//! answer for as long as is waited for it, is left out: the rest of the batch is formed by rows and shapes alone. Hence
//! an idle instance waits for no longer than that, whatever the strategy does.

use std::time::{Duration, Instant};

use nereid_inference::{RequestProfile, Verdict};

/// How long a batch waits for an answer. A strategy that works answers in microseconds, and a guest is ended after a tenth of a second;
/// longer takes only a machine that is beyond its means.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// What may be known of a request that could be the next of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Join,
    Stay,
    /// The strategy is to be asked.
    Unknown,
}

/// What is to be done about the strategy, in this order.
#[derive(Debug)]
pub(crate) enum StrategyCall {
    /// Ask it; the answer has the question's number.
    Consider { number: u64, begins: bool, profile: Box<RequestProfile> },
    /// Tell it that the batch is complete, or begins anew.
    Formed,
    /// It has not answered in time: the batch goes on without it.
    Overdue,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Counsel {
    patience: Duration,
    /// Those at the head of the queue that join, in order, by their numbers there.
    joined: Vec<u64>,
    /// The next one, when it does not.
    stays: Option<u64>,
    /// The strategy was told that a batch begins, and not yet that it is formed.
    is_open: bool,
    /// The rest of the batch is formed without it.
    is_left_out: bool,
    asked: Option<Asked>,
    questions: u64,
    /// Since when somebody could join if only the strategy said so.
    undecided_since: Option<Instant>,
    calls: Vec<StrategyCall>,
}

/// A question without an answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    about: u64,
    number: u64,
    /// The batch that it is about has gone, or has begun anew.
    is_stale: bool,
}

// === impl Counsel ===

impl Counsel {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            joined: Vec::new(),
            stays: None,
            is_open: false,
            is_left_out: false,
            asked: None,
            questions: 0,
            undecided_since: None,
            calls: Vec::new(),
        }
    }

    /// The queue is this now, in the order in which requests should run.
    pub(crate) fn look(&mut self, now: Instant, queue: impl Iterator<Item = u64>) {
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.is_left_out = true;
            self.undecided_since = None;
            self.calls.push(StrategyCall::Overdue);
        }
        let asked = self.current().map(|asked| &asked.about);
        let considered: Vec<u64> = self.joined.iter().chain(&self.stays).chain(asked).copied().collect();
        if !queue.take(considered.len()).eq(considered) {
            self.begin_anew();
            // One that has failed gets another try; one that still thinks has none.
            self.is_left_out &= self.asked.is_some();
        }
    }

    /// What is known of the request that would be the `index`th of the batch.
    pub(crate) fn advice(&self, index: usize) -> Advice {
        match (index < self.joined.len(), self.stays) {
            (true, _) => Advice::Join,
            (false, Some(_)) => Advice::Stay,
            (false, None) if self.is_left_out => Advice::Join,
            (false, None) => Advice::Unknown,
        }
    }

    /// The next request of the batch is this one, and nothing is known of it.
    pub(crate) fn ask(&mut self, now: Instant, about: u64, profile: impl FnOnce() -> RequestProfile) {
        self.undecided_since.get_or_insert(now);
        if self.asked.is_some() {
            return;
        }
        self.questions += 1;
        let (number, begins) = (self.questions, !self.is_open);
        self.is_open = true;
        self.asked = Some(Asked { about, number, is_stale: false });
        self.calls.push(StrategyCall::Consider { number, begins, profile: Box::new(profile()) });
    }

    /// The strategy has answered.
    pub(crate) fn answered(&mut self, number: u64, verdict: Verdict) {
        let Some(asked) = self.asked.take_if(|asked| asked.number == number) else { return };
        if asked.is_stale || self.is_left_out {
            return;
        }
        self.undecided_since = None;
        match verdict {
            Verdict::Joins => self.joined.push(asked.about),
            // A batch has one request at least: nobody would ever be executed otherwise.
            Verdict::Stays if self.joined.is_empty() => self.joined.push(asked.about),
            Verdict::Stays => self.stays = Some(asked.about),
            Verdict::Failed => {
                self.joined.push(asked.about);
                self.is_left_out = true;
            }
        }
    }

    /// The batch was sent.
    pub(crate) fn sent(&mut self) {
        self.begin_anew();
        // One that still thinks about an earlier batch is not waited for a second time.
        self.is_left_out = self.asked.is_some();
    }

    /// Nothing is undecided now.
    pub(crate) fn settled(&mut self) {
        self.undecided_since = None;
    }

    /// When the strategy will have been waited for long enough.
    pub(crate) fn overdue_at(&self) -> Option<Instant> {
        self.undecided_since.and_then(|since| since.checked_add(self.patience))
    }

    /// What is to be done since this was asked last.
    pub(crate) fn take_calls(&mut self) -> Vec<StrategyCall> {
        std::mem::take(&mut self.calls)
    }

    /// The question about the batch that is being formed.
    fn current(&self) -> Option<&Asked> {
        self.asked.as_ref().filter(|asked| !asked.is_stale)
    }

    fn begin_anew(&mut self) {
        self.joined.clear();
        self.stays = None;
        if let Some(asked) = &mut self.asked {
            asked.is_stale = true;
        }
        if std::mem::take(&mut self.is_open) {
            self.calls.push(StrategyCall::Formed);
        }
    }
}
