//! On whose account a request goes, from the check in front of its route to where it is executed.

use http::Extensions;
use nereid_inference::SharedTenant;

/// In the extensions of a request that is a tenant's.
#[derive(Clone, Debug)]
pub struct OnAccount(SharedTenant);

impl OnAccount {
    /// Notes what [`crate::Policy::check`] said. Costs nothing for requests that are nobody's.
    pub fn note(tenant: SharedTenant, extensions: &mut Extensions) {
        if tenant.is_some() {
            extensions.insert(Self(tenant));
        }
    }

    /// What was noted.
    pub fn of(extensions: &Extensions) -> SharedTenant {
        extensions.get::<Self>().and_then(|Self(tenant)| tenant.clone())
    }
}
