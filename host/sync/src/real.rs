//! The real ones.

pub use std::{sync::mpsc, thread};

pub use arc_swap::ArcSwap;
pub use parking_lot::{Condvar, Mutex, MutexGuard};
