//! Tree forests: what XGBoost, LightGBM, scikit-learn and Treelite write is read into one form, evaluated and explained.
//!
//! Invariant: a [`Forest`] that exists can be walked: every child is there, no node is reached twice, no tree is deeper
//! than a limit, every feature and every output is in range. Nothing that evaluates checks again, and nothing recurses.
//!
//! Deliberately absent: files, tensors, configuration, training.

mod error;
mod limits;

mod forest;
mod growth;
mod link;
mod test;

mod document;
mod readers;

mod ask;
mod bit_trees;
mod evaluator;
mod flat;
mod kernel;
mod number;
mod packed;
mod shap;
mod threads;
mod trees;

pub use crate::{
    error::ForestError,
    evaluator::Evaluator,
    flat::{FlatForest, Numbers},
    forest::{Forest, LeafOutputs, Node, NodeKind, Precision, Task, Tree},
    limits::{FILE_BYTES_MAX, THREADS_MAX},
    link::Link,
    readers::{Format, ReadOptions, read},
    shap::Explainer,
    test::{Split, Test},
    threads::Threads,
};
