//! Who may use which part of the server, whichever port they come through.
//!
//! Invariant: a [`Policy`] decides from a request's category and headers alone, and answers the same for a path that
//! exists and one that does not; frontends ask it before anything else and only say how a [`Denial`] looks on their wire.
//!
//! Deliberately absent: routes (each frontend lists its own with their categories), statuses, and timers.

mod category;
mod policy;
mod restriction;

pub use crate::{
    category::Category,
    policy::{Denial, Policy},
    restriction::{RestrictionError, Restrictions, Surface},
};
