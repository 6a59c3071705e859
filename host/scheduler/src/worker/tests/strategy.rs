//! Batches under a strategy: one that says how many requests share a batch, and others that nobody may have to wait for.

use std::future::pending;

use nereid_inference::{BatchStrategy, Considering, RequestProfile, Verdict};

use super::*;
use crate::StrategyEnd;

/// What a strategy does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// That many requests share a batch.
    Most(usize),
    /// Thinks before each answer.
    Yielding,
    NeverAnswers,
    Panics,
}

#[derive(Debug)]
struct Strategy {
    manner: Manner,
    joined: Mutex<usize>,
    formed: Mutex<Vec<usize>>,
}

impl Strategy {
    fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner, joined: Mutex::default(), formed: Mutex::default() })
    }
}

impl BatchStrategy for Strategy {
    fn consider<'a>(&'a self, request: &'a RequestProfile, begins: bool) -> Considering<'a, Verdict> {
        Box::pin(async move {
            assert_eq!((request.rows, &*request.inputs[0].name, request.inputs[0].bytes), (1, "X", 4));
            let most = match self.manner {
                Manner::Most(most) => most,
                Manner::Yielding => {
                    tokio::task::yield_now().await;
                    2
                }
                Manner::NeverAnswers => pending().await,
                Manner::Panics => panic!("a strategy's own fault"),
            };
            let mut joined = self.joined.lock();
            *joined = if begins { 1 } else { *joined + 1 };
            if *joined <= most { Verdict::Joins } else { Verdict::Stays }
        })
    }

    fn formed(&self) -> Considering<'_, ()> {
        Box::pin(async move { self.formed.lock().push(*self.joined.lock()) })
    }
}

/// The sizes of the batches that nine requests make of which eight wait for an instance, and what was said of them.
async fn batches_of_nine(strategy: &Arc<Strategy>) -> (Vec<usize>, Arc<Notes>) {
    let (instance, mut begins, opener) = gate();
    let (scheduler, notes) =
        start(SchedulerSettings { strategy: Some(strategy.clone()), ..batching(Duration::ZERO) }, instance);
    let first = submit(&scheduler, 0.0);
    let mut sizes = vec![begins.recv().await.unwrap()];
    let streams: Vec<_> = (1..9).map(|value| submit(&scheduler, value as f32)).collect();
    opener.send(()).unwrap();
    first.single().await.unwrap();
    while sizes.iter().sum::<usize>() < 9 {
        sizes.push(begins.recv().await.unwrap());
        opener.send(()).unwrap();
    }
    for stream in streams {
        stream.single().await.unwrap();
    }
    (sizes, notes)
}

#[tokio::test]
async fn a_strategy_keeps_batches_smaller_than_they_could_be() {
    let strategy = Strategy::new(Manner::Most(3));
    let (sizes, notes) = batches_of_nine(&strategy).await;
    assert_eq!(sizes, [1, 3, 3, 2]);
    let reasons: Vec<BatchReason> = notes.decisions.lock().iter().map(|decision| decision.reason).collect();
    assert_eq!(reasons, [BatchReason::NoDelay, BatchReason::Strategy, BatchReason::Strategy, BatchReason::NoDelay]);
    assert_eq!(notes.decisions.lock()[0].awaited, Awaited::Strategy);
    // Of each batch the one that stayed was counted too.
    assert_eq!(*strategy.formed.lock(), [1, 4, 4, 2]);
    let count = |verdict| notes.strategy.lock().iter().filter(|end| **end == StrategyEnd::Answered(verdict)).count();
    assert_eq!((count(Verdict::Joins), count(Verdict::Stays), count(Verdict::Failed)), (9, 2, 0));
}

#[tokio::test]
async fn a_strategy_that_never_agrees_leaves_batches_of_one() {
    let (sizes, _) = batches_of_nine(&Strategy::new(Manner::Most(0))).await;
    assert_eq!(sizes, [1; 9]);
}

#[tokio::test]
async fn a_strategy_that_needs_another_poll_is_waited_for() {
    let (sizes, _) = batches_of_nine(&Strategy::new(Manner::Yielding)).await;
    assert_eq!(sizes, [1, 2, 2, 2, 2]);
}

#[tokio::test]
async fn a_strategy_that_never_answers_is_left_out() {
    let (sizes, notes) = batches_of_nine(&Strategy::new(Manner::NeverAnswers)).await;
    assert_eq!(sizes, [1, 8]);
    assert_eq!(*notes.strategy.lock(), [StrategyEnd::Overdue]);
}

#[tokio::test]
async fn a_strategy_that_panics_costs_nobody_an_answer() {
    let (sizes, notes) = batches_of_nine(&Strategy::new(Manner::Panics)).await;
    assert_eq!(sizes[0], 1);
    assert!(notes.strategy.lock().contains(&StrategyEnd::Answered(Verdict::Failed)));
}
