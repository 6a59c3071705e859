//! All tenants of a server.
//!
//! An operator who lists tenants has all of them known: a key of another one is a slip of the pen that would have no quota. Who
//! lists none may name tenants in keys alone, to have them counted.

use std::{collections::BTreeMap, sync::Arc};

use nereid_inference::{Tenant, TenantReading};
use parking_lot::Mutex;

use crate::{account::Account, quota::Quota};

/// Most tenants of one server: one per API key at most.
pub const TENANTS_MAX: usize = 1000;

/// The tenants; a clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Tenants(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether those there are are all.
    are_listed: bool,
    accounts: Mutex<BTreeMap<Arc<str>, Arc<Account>>>,
}

/// Why a name is no tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTenant(pub String);

// === impl Tenants ===

impl Tenants {
    /// Those that the operator lists, and no others; an empty list is no list.
    pub fn listed(quotas: BTreeMap<Arc<str>, Quota>) -> Self {
        let are_listed = !quotas.is_empty();
        let account = |(name, quota): (Arc<str>, Quota)| (name.clone(), Arc::new(Account::new(name, quota)));
        let accounts = Mutex::new(quotas.into_iter().map(account).collect());
        Self(Arc::new(Inner { are_listed, accounts }))
    }

    /// The tenant of that name.
    ///
    /// # Errors
    /// There is none, in words.
    pub fn find(&self, name: &str) -> Result<Arc<dyn Tenant>, UnknownTenant> {
        let mut accounts = self.0.accounts.lock();
        if let Some(account) = accounts.get(name) {
            return Ok(account.clone());
        }
        if self.0.are_listed {
            let known: Vec<&str> = accounts.keys().map(|name| &**name).collect();
            return Err(UnknownTenant(format!("nereid.toml lists no tenant '{name}', only {}", known.join(", "))));
        }
        if accounts.len() >= TENANTS_MAX {
            return Err(UnknownTenant(format!("there are {TENANTS_MAX} tenants already, the most")));
        }
        let account = Arc::new(Account::new(name.into(), Quota::default()));
        accounts.insert(name.into(), account.clone());
        Ok(account)
    }

    /// What every tenant used, ordered by name.
    pub fn readings(&self) -> Vec<TenantReading> {
        self.0.accounts.lock().values().map(|account| account.reading()).collect()
    }
}

#[cfg(test)]
mod tests;
