//! The operator's file as a running server follows it.
//!
//! Promises: what counts is the last good content of the file. Quotas count from the next request on, limits and grants from the
//! next load of a plugin on; a content that is wrong changes nothing.

use std::{path::Path, sync::Arc};

use nereid_access::{Followed, Reload};
use nereid_backend_wasm::SharedPolicy;
use nereid_tenants::Tenants;

use crate::{error::ServerError, operator_file::OperatorFile};

/// What the operator says now. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct OperatorRules {
    pub(crate) plugins: SharedPolicy,
    pub(crate) tenants: Tenants,
    /// Where there is a file.
    pub(crate) file: Option<Arc<dyn Reload>>,
}

// === impl OperatorRules ===

impl OperatorRules {
    /// The rules of this file, or the defaults without one.
    ///
    /// # Errors
    /// It cannot be read or says something wrong.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ServerError> {
        let rules = Self::default();
        let Some(path) = path else { return Ok(rules) };
        let (owned, plugins, tenants) = (path.to_owned(), rules.plugins.clone(), rules.tenants.clone());
        let read = move || -> Result<(), ServerError> {
            let OperatorFile { plugins: policy, quotas } = OperatorFile::load(Some(&owned))?;
            plugins.set(policy);
            tenants.change(quotas);
            Ok(())
        };
        let name = format!("server configuration '{}'", path.display());
        let file: Arc<dyn Reload> = Arc::new(Followed::new(name, vec![path.to_owned()], read)?);
        Ok(Self { file: Some(file), ..rules })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nereid_access::Look;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_last_good_content_counts() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("nereid.toml");
        fs::write(&path, "[plugins.limits]\nmemory_mib = 64\n[tenants.acme.quota]\nconcurrent_requests = 1\n").unwrap();
        let rules = OperatorRules::load(Some(&path)).unwrap();
        let file = rules.file.clone().unwrap();
        let memory_mib = || rules.plugins.get().ceiling.limits.memory_bytes_max >> 20;
        let acme = rules.tenants.find("acme").unwrap();
        let held = acme.admit(0).unwrap();
        assert!(acme.admit(0).is_err() && memory_mib() == 64 && file.look(false) == Look::Unchanged);
        fs::write(&path, "[plugins.limits]\nmemory_mib = 32\n[tenants.acme.quota]\nconcurrent_request = 2\n").unwrap();
        let Look::Refused(why) = file.look(false) else { panic!("a key that does not exist") };
        assert!(why.contains("unknown field `concurrent_request`"), "{why}");
        assert!(acme.admit(0).is_err() && memory_mib() == 64, "nothing of it counts");
        fs::write(&path, "[plugins.limits]\nmemory_mib = 32\n[tenants.acme.quota]\nconcurrent_requests = 2\n").unwrap();
        assert_eq!(file.look(false), Look::Renewed);
        assert!(acme.admit(0).is_ok() && memory_mib() == 32);
        drop(held);
    }

    #[test]
    fn without_a_file_there_are_the_defaults_and_nothing_to_follow() {
        let rules = OperatorRules::load(None).unwrap();
        assert!(rules.file.is_none() && rules.tenants.find("whoever").is_ok());
    }
}
