//! Asks the batching strategy, one question after the other, without anybody waiting for it under a lock.
//!
//! What is to be asked is noted under the policy's lock, in the order in which it was decided. Whoever notes it first goes on to ask, on its
//! own thread for as long as the strategy needs no second poll; the rest is a task.

use std::{collections::VecDeque, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Instant};

use futures_util::FutureExt;
use nereid_inference::{BatchStrategy, Verdict};
use nereid_sync::Mutex;

use super::{Shared, run_here_or_spawn};
use crate::{
    StrategyEnd,
    counsel::StrategyCall,
    job::Job,
    policy::{Actions, Event},
};

/// Questions that are asked in one go: whoever came with one request is not kept busy with those of others.
const CALLS_IN_A_ROW_MAX: usize = 32;

/// A strategy, and what it is still to be asked.
pub(super) struct Adviser {
    strategy: Arc<dyn BatchStrategy>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    calls: VecDeque<StrategyCall>,
    /// Somebody asks, and will see what is added.
    is_asking: bool,
}

// === impl Adviser ===

impl Adviser {
    pub(super) fn new(strategy: Arc<dyn BatchStrategy>) -> Self {
        Self { strategy, waiting: Mutex::default() }
    }

    /// Whether there is something to ask, and nobody who does.
    fn begins(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let begins = !waiting.is_asking && !waiting.calls.is_empty();
        waiting.is_asking |= begins;
        begins
    }

    fn next(&self) -> Option<StrategyCall> {
        let mut waiting = self.waiting.lock();
        let next = waiting.calls.pop_front();
        waiting.is_asking = next.is_some();
        next
    }
}

// === impl Shared ===

impl Shared {
    /// Notes what is to be asked; under the policy's lock.
    pub(super) fn note_calls(&self, actions: &mut Actions<Job>) {
        let Some(adviser) = &self.adviser else { return };
        for call in actions.calls.drain(..) {
            match call {
                // Not behind the question that has no answer.
                StrategyCall::Overdue => self.observer.strategy_asked(StrategyEnd::Overdue),
                call => adviser.waiting.lock().calls.push_back(call),
            }
        }
    }

    /// Asks what was noted, unless somebody does.
    pub(super) fn ask_strategy(self: &Arc<Self>) {
        if self.adviser.as_ref().is_some_and(Adviser::begins) {
            // A thread of an instance belongs to no runtime.
            let _within = self.runtime.enter();
            run_here_or_spawn(&self.runtime, self.clone().ask());
        }
    }

    fn ask(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let Some(adviser) = &self.adviser else { return };
            let mut in_a_row = 0;
            while let Some(call) = adviser.next() {
                self.call_strategy(&*adviser.strategy, call).await;
                in_a_row += 1;
                if in_a_row % CALLS_IN_A_ROW_MAX == 0 {
                    tokio::task::yield_now().await;
                }
            }
            self.dismiss_if_drained();
        })
    }

    async fn call_strategy(self: &Arc<Self>, strategy: &dyn BatchStrategy, call: StrategyCall) {
        match call {
            StrategyCall::Consider { number, begins, profile } => {
                let considering = AssertUnwindSafe(strategy.consider(&profile, begins)).catch_unwind();
                let verdict = considering.await.unwrap_or(Verdict::Failed);
                self.observer.strategy_asked(StrategyEnd::Answered(verdict));
                let actions = self.decide(Instant::now(), Event::Advised { number, verdict });
                self.perform(actions);
            }
            StrategyCall::Formed => drop(AssertUnwindSafe(strategy.formed()).catch_unwind().await),
            StrategyCall::Overdue => {}
        }
    }
}
