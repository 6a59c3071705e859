//! What the simulation of the limiter sends: one row, which fits every other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nereid_inference::SequenceFlags;

use crate::{batching::Batchable, sequence::Sequenced};

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) id: usize,
    pub(super) flags: SequenceFlags,
    pub(super) cancelled: Cancelled,
}

/// One thread drives the simulation, but a policy must be able to go to another.
#[derive(Clone, Debug, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Batchable for Request {
    fn rows(&self) -> u64 {
        1
    }

    fn fits(&self, _other: &Self) -> bool {
        true
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

impl Sequenced for Request {
    type Memory = ();

    fn flags(&self) -> Option<&SequenceFlags> {
        Some(&self.flags)
    }

    fn enter(&mut self, _memory: &mut ()) {}

    fn padding(&self) -> Self {
        Self { id: usize::MAX, ..self.clone() }
    }

    fn fits_with(&self, _memory: &(), other: &Self, _other_memory: &()) -> bool {
        self.fits(other)
    }
}

impl Cancelled {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
