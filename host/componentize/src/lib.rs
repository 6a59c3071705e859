//! From a plugin in C or Go to its component: bindings of the contract, the compiler, and the component around what it makes. Languages
//! whose compilers make components by themselves need none of this.
//!
//! Invariant: what is made depends on the sources, the SDK, the contract and the pinned compiler, and on nothing else of the machine.
//!
//! Deliberately absent: fetching compilers (that is `toolchains`), and which world a plugin wants.

mod bindings;
mod c;
mod component;
mod go;

pub use crate::{c::componentize as componentize_c, go::componentize as componentize_go};
