//! A batching strategy as one more actor: it answers sooner, later or never, yes, no, or that it failed. What follows from its answers is
//! told here a second time: over the requests by their numbers, instead of places in a queue.

use nereid_inference::{BatchStrategy, Considering, RequestProfile, Verdict};

use super::*;
use crate::counsel::{PATIENCE, StrategyCall};

/// The actor, and what the world knows of its answers.
pub(super) struct Actor {
    manner: Manner,
    question: Option<Question>,
    /// What it has said of the batch that is formed: who, and whether they join.
    said: Vec<(usize, bool)>,
    is_left_out: bool,
    /// It was waited for long enough, and nobody has been told so. The batch that went without it may have gone already.
    is_overdue: bool,
    /// It was told that a batch begins, and not yet that it is formed.
    is_open: bool,
    undecided_since: Option<Instant>,
}

/// What it is like.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Fickle,
    AlwaysYes,
    AlwaysNo,
    Failing,
    /// Answers after everybody has given up.
    Slow,
}

struct Question {
    number: u64,
    about: usize,
    answered_at: Instant,
    verdict: Verdict,
    is_stale: bool,
}

/// What the settings carry; the policy only looks whether there is one.
#[derive(Debug)]
pub(super) struct Unasked;

impl BatchStrategy for Unasked {
    fn consider<'a>(&'a self, _: &'a RequestProfile, _: bool) -> Considering<'a, Verdict> {
        unreachable!("policies ask nobody themselves")
    }

    fn formed(&self) -> Considering<'_, ()> {
        unreachable!("policies tell nobody themselves")
    }
}

// === impl Actor ===

impl Actor {
    pub(super) fn new(random: &mut Random) -> Self {
        let manners =
            [Manner::Fickle, Manner::Fickle, Manner::AlwaysYes, Manner::AlwaysNo, Manner::Failing, Manner::Slow];
        Self {
            manner: manners[random.index(manners.len())],
            question: None,
            said: Vec::new(),
            is_left_out: false,
            is_overdue: false,
            is_open: false,
            undecided_since: None,
        }
    }

    pub(super) fn answers_at(&self) -> Option<Instant> {
        self.question.as_ref().map(|question| question.answered_at)
    }

    pub(super) fn overdue_at(&self) -> Option<Instant> {
        self.undecided_since.map(|since| since + PATIENCE)
    }

    /// Whether the request at this place of the queue joins; `None` while that is not known.
    pub(super) fn advice(&self, place: usize) -> Option<bool> {
        self.said.get(place).map(|(_, joins)| *joins).or(self.is_left_out.then_some(true))
    }

    /// Looks at the queue: what was said of others than those at its head counts for nothing, and one that was waited for long enough
    /// is left out.
    pub(super) fn look(&mut self, now: Instant, queue: &[Candidate]) {
        if self.overdue_at().is_some_and(|at| at <= now) {
            (self.is_left_out, self.is_overdue, self.undecided_since) = (true, true, None);
        }
        let about = self.question.as_ref().filter(|question| !question.is_stale).map(|question| question.about);
        let considered = self.said.iter().map(|(id, _)| *id).chain(about);
        if considered.enumerate().any(|(place, id)| queue.get(place).is_none_or(|candidate| candidate.id != id)) {
            self.begin_anew();
            self.is_left_out &= self.question.is_some();
        }
    }

    /// A batch was sent.
    pub(super) fn sent(&mut self) {
        self.begin_anew();
        (self.is_left_out, self.undecided_since) = (self.question.is_some(), None);
    }

    fn begin_anew(&mut self) {
        self.said.clear();
        self.question.iter_mut().for_each(|question| question.is_stale = true);
    }

    /// The answer that is due now.
    fn answer(&mut self, now: Instant) -> Option<(u64, Verdict)> {
        let question = self.question.take_if(|question| question.answered_at <= now)?;
        if !question.is_stale && !self.is_left_out {
            self.undecided_since = None;
            match question.verdict {
                Verdict::Stays if !self.said.is_empty() => self.said.push((question.about, false)),
                verdict => {
                    self.said.push((question.about, true));
                    self.is_left_out = verdict == Verdict::Failed;
                }
            }
        }
        Some((question.number, question.verdict))
    }

    fn asked(&mut self, random: &mut Random, now: Instant, number: u64, about: usize) {
        let soon = MICROSECOND * random.below(100) as u32;
        let (delay, verdict) = match self.manner {
            Manner::AlwaysYes => (soon, Verdict::Joins),
            Manner::AlwaysNo => (soon, Verdict::Stays),
            Manner::Failing => (soon, Verdict::Failed),
            Manner::Slow => (PATIENCE + soon, Verdict::Stays),
            Manner::Fickle if random.chance(3) => (PATIENCE * 2, Verdict::Joins),
            Manner::Fickle if random.chance(5) => (soon, Verdict::Failed),
            Manner::Fickle => (soon, if random.chance(70) { Verdict::Joins } else { Verdict::Stays }),
        };
        self.question = Some(Question { number, about, answered_at: now + delay, verdict, is_stale: false });
    }
}

// === impl World ===

impl World {
    pub(super) fn drop_cancelled_head(&mut self, cancelled: &mut Vec<usize>) {
        while let Some(head) = self.queue().first().map(|head| head.id)
            && self.requests[head].request.is_cancelled()
        {
            self.settle(head, Fate::Waiting, Fate::Cancelled);
            cancelled.push(head);
        }
    }

    /// What should be done with this queue.
    pub(super) fn batching(&mut self, queue: &[Candidate]) -> Expected {
        let now = self.stage.now;
        if let Some(actor) = &mut self.actor {
            actor.look(now, queue);
        }
        let advice = |place| self.actor.as_ref().map_or(Some(true), |actor| actor.advice(place));
        super::batching(&self.settings, now, queue, advice)
    }

    /// What the strategy has to say now.
    pub(super) fn hear_the_strategy(&mut self) {
        let now = self.stage.now;
        while let Some((number, verdict)) = self.actor.as_mut().and_then(|actor| actor.answer(now)) {
            self.tell(Event::Advised { number, verdict });
        }
    }

    /// The strategy is asked about the next request when that is what decides, and is told of its batches; says until when its answer is
    /// waited for.
    pub(super) fn check_calls(&mut self, calls: Vec<StrategyCall>, cancelled: &mut Vec<usize>) -> Option<Instant> {
        if self.actor.is_none() {
            assert!(calls.is_empty(), "there is nobody to ask");
            return None;
        }
        self.drop_cancelled_head(cancelled);
        let queue = self.queue();
        let now = self.stage.now;
        let decision = self.batching(&queue);
        let actor = self.actor.as_mut()?;
        let mut wanted = None;
        match decision {
            Expected::Ask { place } => {
                actor.undecided_since.get_or_insert(now);
                wanted = actor.question.is_none().then(|| queue[place].id);
            }
            _ => actor.undecided_since = None,
        }
        for call in calls {
            match call {
                StrategyCall::Consider { number, begins, profile } => {
                    let about = profile.id.parse().unwrap();
                    assert_eq!(Some(about), wanted.take(), "asks about another request");
                    assert_eq!(begins, actor.said.is_empty(), "batches begin with their first request");
                    assert_eq!(actor.is_open, !begins, "a batch begins before another is formed");
                    actor.is_open = true;
                    actor.asked(&mut self.stage.random, now, number, about);
                }
                StrategyCall::Formed => assert!(std::mem::take(&mut actor.is_open), "what never began is formed"),
                StrategyCall::Overdue => assert!(std::mem::take(&mut actor.is_overdue), "gives up early, or twice"),
            }
        }
        assert!(!actor.is_overdue, "gives up, and tells nobody");
        assert_eq!(wanted, None, "does not ask what it should");
        actor.overdue_at()
    }

    pub(super) fn check_strategy_is_done(&self) {
        assert!(self.actor.as_ref().is_none_or(|actor| !actor.is_open), "a batch was never formed");
    }
}
