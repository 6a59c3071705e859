//! Locks, threads, channels and the atomic pointer of the parts in which several threads meet.
//!
//! Invariant: without the feature `shuttle` this is a list of re-exports and costs nothing. With it, the same names are
//! shuttle's, whose scheduler decides at every operation who goes on; the tests called `interleavings` try the real code
//! under many such orders.
//!
//! Deliberately absent: atomics. Those that are not behind these names are counters and flags that no protocol hangs on.

#[cfg(feature = "shuttle")]
mod checked;
#[cfg(not(feature = "shuttle"))]
mod real;

#[cfg(feature = "shuttle")]
pub use crate::checked::{ArcSwap, Condvar, Mutex, MutexGuard, mpsc, thread};
#[cfg(not(feature = "shuttle"))]
pub use crate::real::{ArcSwap, Condvar, Mutex, MutexGuard, mpsc, thread};
#[cfg(feature = "shuttle")]
pub use shuttle;
