//! One registered region, and how long it is needed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nereid_inference::SystemRegion;

use crate::{error::SharedMemoryError, mapping::Mapping};

/// A region, its bytes, and who uses them.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) description: SystemRegion,
    pub(crate) mapping: Mapping,
    /// Spans handed out and not yet dropped.
    uses: AtomicUsize,
    /// Unregistered by the client; goes with the last use.
    is_leaving: AtomicBool,
}

// === impl Region ===

impl Region {
    pub(crate) fn new(description: SystemRegion, mapping: Mapping) -> Self {
        Self { description, mapping, uses: AtomicUsize::new(0), is_leaving: AtomicBool::new(false) }
    }

    /// Counts one more use.
    pub(crate) fn enter(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends a use; returns whether the region is to go now.
    pub(crate) fn leave(&self) -> bool {
        self.uses.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_leaving.load(Ordering::SeqCst)
    }

    /// Marks the region as unregistered; returns whether it can go at once.
    ///
    /// The mark comes before the look at the uses, and in [`Region::leave`] the other way round: at least one of two
    /// that meet sees the other.
    pub(crate) fn retire(&self) -> bool {
        self.is_leaving.store(true, Ordering::SeqCst);
        self.is_over()
    }

    /// Whether it is unregistered and unused.
    pub(crate) fn is_over(&self) -> bool {
        self.is_leaving.load(Ordering::SeqCst) && self.uses.load(Ordering::SeqCst) == 0
    }

    /// Whether the object is as long as it was.
    pub(crate) fn check(&self) -> Result<(), SharedMemoryError> {
        if !self.mapping.is_damaged() {
            return Ok(());
        }
        let SystemRegion { name, key, byte_size, .. } = self.description.clone();
        Err(SharedMemoryError::Damaged { name, key, byte_size })
    }
}
