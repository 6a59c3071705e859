//! XGBoost's objectives: what a sum becomes, and what sum a base score stands for.

use crate::{ForestError, Link, Task};

/// One objective.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objective {
    pub(crate) name: &'static str,
    pub(crate) task: Task,
    pub(crate) link: Link,
    base: Base,
}

/// In which space base scores are written.
#[derive(Clone, Copy, Debug)]
enum Base {
    Sum,
    Probability,
    Logarithm,
}

const SIGMOID: Link = Link::Sigmoid { alpha: 1.0 };

const OBJECTIVES: [Objective; 21] = [
    Objective::new("reg:squarederror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:linear", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:squaredlogerror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:pseudohubererror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:absoluteerror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:quantileerror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:expectileerror", Task::Regression, Link::Identity, Base::Sum),
    Objective::new("reg:logistic", Task::Regression, SIGMOID, Base::Probability),
    Objective::new("reg:gamma", Task::Regression, Link::Exponential, Base::Logarithm),
    Objective::new("reg:tweedie", Task::Regression, Link::Exponential, Base::Logarithm),
    Objective::new("count:poisson", Task::Regression, Link::Exponential, Base::Logarithm),
    Objective::new("survival:cox", Task::Regression, Link::Exponential, Base::Logarithm),
    Objective::new("survival:aft", Task::Regression, Link::Exponential, Base::Logarithm),
    Objective::new("binary:logistic", Task::Binary, SIGMOID, Base::Probability),
    Objective::new("binary:logitraw", Task::Binary, Link::Identity, Base::Sum),
    Objective::new("binary:hinge", Task::Binary, Link::Hinge, Base::Sum),
    Objective::new("multi:softmax", Task::MultiClass, Link::Softmax, Base::Sum),
    Objective::new("multi:softprob", Task::MultiClass, Link::Softmax, Base::Sum),
    Objective::new("rank:pairwise", Task::Ranking, Link::Identity, Base::Sum),
    Objective::new("rank:ndcg", Task::Ranking, Link::Identity, Base::Sum),
    Objective::new("rank:map", Task::Ranking, Link::Identity, Base::Sum),
];

// === impl Objective ===

impl Objective {
    const fn new(name: &'static str, task: Task, link: Link, base: Base) -> Self {
        Self { name, task, link, base }
    }

    pub(crate) fn named(name: &str) -> Result<Self, ForestError> {
        OBJECTIVES.into_iter().find(|objective| objective.name == name).ok_or_else(|| {
            let known: Vec<&str> = OBJECTIVES.iter().map(|objective| objective.name).collect();
            ForestError::unsupported(format!(
                "learner.objective.name: objective '{name}' is not served; served are {}",
                known.join(", ")
            ))
        })
    }

    /// The sum that a base score stands for.
    pub(crate) fn sum_of(self, score: f32) -> f32 {
        match self.base {
            Base::Sum => score,
            Base::Probability => -(1.0 / score - 1.0).ln(),
            Base::Logarithm => score.ln(),
        }
    }
}
