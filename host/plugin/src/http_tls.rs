//! How plugins' requests recognise servers: by the certificates that this machine trusts, and by those that the operator names.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// See the file's head. The machine's certificates are read at the first request that needs them.
#[derive(Default)]
pub struct HttpTls {
    named: Vec<CertificateDer<'static>>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

// === impl HttpTls ===

impl HttpTls {
    /// Trusts the certificates of this file besides the machine's.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    pub fn with_file(path: &Path) -> Result<Self, String> {
        let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let named =
            certificates.map_err(|error| format!("'{}' cannot be read as certificates: {error}", path.display()))?;
        if named.is_empty() {
            return Err(format!("'{}' holds no certificate", path.display()));
        }
        Ok(Self { named, config: OnceLock::new() })
    }

    /// What connections are made with.
    ///
    /// # Errors
    /// There is nothing to trust.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        self.config.get_or_init(|| self.make()).clone()
    }

    fn make(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        let machine = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(machine.certs.into_iter().chain(self.named.iter().cloned()));
        if added == 0 {
            return Err("there is no certificate to trust: install ca-certificates, or name a file at [plugins] http_ca_file in nereid.toml".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for HttpTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpTls({} named)", self.named.len())
    }
}
