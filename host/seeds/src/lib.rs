//! Seeded simulations: a generator whose whole state is the seed, and the loop over seeds. For tests alone.
//!
//! Invariant: a seed is a story; who runs it again sees the same. A seed that fails says which it is, and one that hangs
//! ends the process and says so too.
//!
//! Deliberately absent: what is simulated.

mod garble;
mod random;
mod seeds;

pub use crate::{
    garble::garbled,
    random::Random,
    seeds::{for_every_random, for_every_seed},
};
