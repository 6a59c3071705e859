//! The same names over shuttle, with the methods that are used and the meaning of the originals.

mod arc_swap;
mod locks;

pub use shuttle::{sync::mpsc, thread};

pub use self::{
    arc_swap::ArcSwap,
    locks::{Condvar, Mutex, MutexGuard},
};
