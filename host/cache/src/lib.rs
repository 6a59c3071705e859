//! Answers kept for requests that come again, and one execution for identical requests that come at the same time.
//!
//! Invariant: a request is answered from here only with what the same generation of the same model answered to a request
//! that cannot be told apart from it; a store that is away, slow or wrong is a miss, never an error.
//!
//! Deliberately absent: which models cache, statistics, and anything of a wire but Redis'.

mod entry;
mod flights;
mod handover;
mod key;
mod limits;
mod local;
mod redis;
mod seam;

pub use crate::{
    flights::JOINS_MAX,
    handover::{Flights, Joined, Landed, LeaderLeft, Leadership, Seat},
    key::{CacheKey, Generation},
    limits::CacheLimits,
    local::LocalCache,
    redis::{RedisCache, RedisSettings, RedisSettingsError, RedisStartError, RedisTls},
    seam::{Lookup, ResponseCache},
};

#[cfg(all(test, feature = "shuttle"))]
mod interleavings;
#[cfg(test)]
mod simulation;
