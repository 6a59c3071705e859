//! On whose account requests go: tenants, their quotas, and what they used.
//!
//! Invariant: a request beyond its tenant's quota is refused before anything is done for it, with what was exceeded and when to
//! come again; what one tenant does changes no other tenant's figures.
//!
//! Deliberately absent: who is whose (API keys, in `access`), what a tenant's plugins may have (`backends/wasm`), and models.

mod account;
mod quota;
mod tenants;

pub use crate::{
    quota::{Quota, Rate},
    tenants::{TENANTS_MAX, Tenants, UnknownTenant},
};
