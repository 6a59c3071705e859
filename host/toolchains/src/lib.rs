//! The compilers that turn plugins into components: where they are, how they are fetched, how they are called.
//!
//! Invariant: what is fetched lands in one folder ([`Home`]), whole or not at all, in pinned versions. The one exception,
//! Debian packages that need root, is announced with the exact command.
//!
//! Deliberately absent: what a plugin is. Two programs use this, `cargo xtask` in a checkout and `nereid plugin` elsewhere.

pub mod c;
pub mod command;
pub mod debian;
pub mod environment;
pub mod failure;
pub mod folders;
pub mod go;
pub mod javascript;
pub mod manifest;
pub mod python;
pub mod rust;

mod home;
mod toolchain;

pub use crate::{
    failure::Failure,
    home::Home,
    toolchain::{Sources, Toolchain},
};
