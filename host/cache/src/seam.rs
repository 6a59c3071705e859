//! The seam between models that cache and where answers are kept.

use std::{fmt, future::Future, pin::Pin};

use nereid_inference::InferResponse;

use crate::CacheKey;

/// Keeps answers by key. All models share one; keys of different models and generations never meet.
///
/// No call blocks, and none fails: what cannot be kept or found is a miss.
pub trait ResponseCache: Send + Sync {
    /// Whether other processes, and later ones, see what is kept here. Keys then need a generation that is the same in
    /// every process that serves the same files.
    fn is_shared(&self) -> bool;

    /// What is kept under `key`.
    fn lookup(&self, key: &CacheKey) -> Lookup;

    /// Keeps a copy of the answer's bytes under `key`, if it is not too large. The answer's own buffers are let go, be
    /// they parts of a batch or of a client's memory.
    fn insert(&self, key: &CacheKey, response: &InferResponse);
}

/// The outcome of a look.
pub enum Lookup {
    Hit(InferResponse),
    Miss,
    /// Somebody else must be asked. Nothing happens before the future is polled, and it ends within the time limit of
    /// whoever made it.
    Pending(Pin<Box<dyn Future<Output = Option<InferResponse>> + Send>>),
}

// === impl Lookup ===

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hit(_) => "Hit",
            Self::Miss => "Miss",
            Self::Pending(_) => "Pending",
        })
    }
}
