//! All tenants of a server.
//!
//! An operator who lists tenants has all of them known: a key of another one is a slip of the pen that would have no quota. Who
//! lists none may name tenants in keys alone, to have them counted. The list may change while the server runs: quotas are those
//! of the new list from the next request on, and a tenant that it lacks is admitted nothing.

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
struct Inner(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether those there are are all.
    are_listed: bool,
    accounts: BTreeMap<Arc<str>, Arc<Account>>,
}

/// Why a name is no tenant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTenant(pub String);

// === impl Tenants ===

impl Tenants {
    /// Those that the operator lists, and no others; an empty list is no list.
    pub fn listed(quotas: BTreeMap<Arc<str>, Quota>) -> Self {
        let tenants = Self::default();
        tenants.change(quotas);
        tenants
    }

    /// From now on the operator lists these. What they used, and what they have under way, goes on counting.
    pub fn change(&self, quotas: BTreeMap<Arc<str>, Quota>) {
        let mut known = self.0.0.lock();
        known.are_listed = !quotas.is_empty();
        for (name, account) in &known.accounts {
            let unlisted = (!known.are_listed).then(Quota::default);
            account.set_quota(quotas.get(name).copied().or(unlisted));
        }
        for (name, quota) in quotas {
            known.accounts.entry(name.clone()).or_insert_with(|| Arc::new(Account::new(name, quota)));
        }
        // One that is not listed, and that no key and no request has: nobody will ask for it again.
        known.accounts.retain(|_, account| account.is_listed() || Arc::strong_count(account) > 1);
    }

    /// The tenant of that name.
    ///
    /// # Errors
    /// There is none, in words.
    pub fn find(&self, name: &str) -> Result<Arc<dyn Tenant>, UnknownTenant> {
        let mut known = self.0.0.lock();
        if let Some(account) = known.accounts.get(name).filter(|account| account.is_listed()) {
            return Ok(account.clone());
        }
        if known.are_listed {
            let listed = known.accounts.iter().filter(|(_, account)| account.is_listed());
            let listed: Vec<&str> = listed.map(|(name, _)| &**name).collect();
            return Err(UnknownTenant(format!("nereid.toml lists no tenant '{name}', only {}", listed.join(", "))));
        }
        if known.accounts.len() >= TENANTS_MAX {
            return Err(UnknownTenant(format!("there are {TENANTS_MAX} tenants already, the most")));
        }
        let account = Arc::new(Account::new(name.into(), Quota::default()));
        known.accounts.insert(name.into(), account.clone());
        Ok(account)
    }

    /// What every tenant used, ordered by name.
    pub fn readings(&self) -> Vec<TenantReading> {
        self.0.0.lock().accounts.values().map(|account| account.reading()).collect()
    }
}

#[cfg(test)]
mod tests;
