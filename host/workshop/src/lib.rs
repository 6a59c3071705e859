//! What is behind `nereid plugin`: a plugin is begun, built and looked at, without a server.
//!
//! Invariant: a component is judged here as the server judges it: the same engine, contract and texts.
//!
//! Deliberately absent: the command line, and servers that run.

mod error;
mod language;
mod units;
mod world;

mod kit;
mod new;

mod build;
mod homes;

mod sandbox;

mod inspect;

pub use crate::{
    build::{Built, build},
    error::WorkshopError,
    homes::Homes,
    inspect::{Report, inspect},
    language::Language,
    new::new,
    units::bytes,
    world::World,
};
