//! What batching strategies said, by model. Cost of a question: one relaxed addition.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The label that tells answers apart.
pub(crate) const LABEL: &str = "answer";

/// What came of a question to a batching strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyAnswer {
    /// The request joins the batch.
    Joins,
    /// The batch goes without it.
    Stays,
    /// There was none: the batch was formed without the strategy.
    Failed,
    /// It was not waited for any longer, which came to the same.
    Overdue,
}

/// The answers of one model's strategy.
#[derive(Debug, Default)]
pub(crate) struct StrategyAnswers([AtomicU64; StrategyAnswer::ALL.len()]);

// === impl StrategyAnswer ===

impl StrategyAnswer {
    pub(crate) const ALL: [Self; 4] = [Self::Joins, Self::Stays, Self::Failed, Self::Overdue];

    /// The value of the label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Joins => "joins",
            Self::Stays => "stays",
            Self::Failed => "failed",
            Self::Overdue => "overdue",
        }
    }
}

// === impl StrategyAnswers ===

impl StrategyAnswers {
    pub(crate) fn record(&self, answer: StrategyAnswer) {
        if let Some(count) = self.0.get(answer as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Every answer with its count.
    pub(crate) fn read(&self) -> impl Iterator<Item = (StrategyAnswer, f64)> {
        StrategyAnswer::ALL.into_iter().zip(&self.0).map(|(answer, count)| (answer, count.load(Relaxed) as f64))
    }
}
