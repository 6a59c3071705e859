//! LightGBM's objectives: a name and its settings on one line, for example `binary sigmoid:1`.

use crate::{ForestError, Link, Task, readers::lightgbm::sections::Section};

/// What the sums mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Objective {
    pub(crate) task: Task,
    pub(crate) link: Link,
}

const IDENTITY: [&str; 8] =
    ["regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape", "custom"];
const EXPONENTIAL: [&str; 3] = ["poisson", "gamma", "tweedie"];
const RANKING: [&str; 2] = ["lambdarank", "rank_xendcg"];

// === impl Objective ===

impl Objective {
    /// The objective of a model; one without any was trained with a function of the user's own.
    pub(crate) fn of(header: &Section<'_>, classes: usize) -> Result<Self, ForestError> {
        let mut words = header.get("objective").unwrap_or("custom").split_whitespace();
        let name = words.next().unwrap_or("custom");
        let settings: Vec<&str> = words.collect();
        let setting = |key: &str| settings.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
        let alpha = match setting("sigmoid") {
            None => 1.0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|alpha: &f64| alpha.is_finite())
                .ok_or_else(|| header.error("objective", format!("has sigmoid '{text}', expected a number")))?,
        };
        let plain = |task, link| Ok(Self { task, link });
        match name {
            "regression" if settings.contains(&"sqrt") => plain(Task::Regression, Link::SignedSquare),
            "binary" => plain(Task::Binary, Link::Sigmoid { alpha }),
            "multiclass" | "softmax" => plain(Task::MultiClass, Link::Softmax),
            "multiclassova" => plain(Task::MultiClass, Link::Sigmoid { alpha }),
            "cross_entropy" | "xentropy" => plain(Task::Regression, Link::Sigmoid { alpha: 1.0 }),
            "cross_entropy_lambda" | "xentlambda" => plain(Task::Regression, Link::LogOnePlusExp),
            name if EXPONENTIAL.contains(&name) => plain(Task::Regression, Link::Exponential),
            name if RANKING.contains(&name) => plain(Task::Ranking, Link::Identity),
            name if IDENTITY.contains(&name) => {
                plain(if classes > 1 { Task::MultiClass } else { Task::Regression }, Link::Identity)
            }
            name => Err(ForestError::unsupported(format!(
                "header, objective: '{name}' is not served; served are binary, multiclass, multiclassova, cross_entropy, \
                 cross_entropy_lambda, {}, {}, {}",
                EXPONENTIAL.join(", "),
                RANKING.join(", "),
                IDENTITY.join(", ")
            ))),
        }
    }
}
