//! How large a forest and its file may be. The bytes of a file bound nearly everything; these numbers bound the rest.

/// Bytes of a model file. The largest forests in public benchmarks have a few hundred MiB.
pub const FILE_BYTES_MAX: u64 = 2 << 30;

/// Threads that evaluate large batches, for all models together; more than any processor we know has cores.
pub const THREADS_MAX: usize = 256;

/// Features of a row; the packed node keeps 24 bits for them.
pub(crate) const FEATURES_MAX: usize = 1 << 24;

/// Outputs of a forest: targets times classes. Each row has as many sums.
pub(crate) const OUTPUTS_MAX: usize = 1 << 16;

/// Trees of a forest.
pub(crate) const TREES_MAX: usize = 1 << 20;

/// Nodes of all trees together; the packed node keeps 32 bits for a place, and this leaves room.
pub(crate) const NODES_MAX: usize = 1 << 28;

/// Steps from the root to a leaf. A chain of splits costs every row its whole length.
pub(crate) const DEPTH_MAX: usize = 4096;

/// A category's largest number, exclusive: what a 32-bit float can count to.
pub(crate) const CATEGORY_MAX: u32 = 1 << 24;

/// Words of 32 bits in the category sets of all nodes together, 64 MiB. A single large category number makes a large set,
/// so that the bytes of the file do not bound this.
pub(crate) const CATEGORY_WORDS_MAX: usize = 1 << 24;

/// Objects inside arrays inside objects in JSON and UBJSON; XGBoost's files have eight.
pub(crate) const NESTING_MAX: usize = 32;

/// Values of a JSON or UBJSON document, numbers inside arrays of numbers not counted. XGBoost writes about 25 per tree.
pub(crate) const VALUES_MAX: usize = 1 << 25;

/// Depth of trees that SHAP values are given for; their cost grows with its square, and rounding with it.
pub(crate) const SHAP_DEPTH_MAX: usize = 128;
