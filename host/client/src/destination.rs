//! Which server is spoken to, what it is told of who asks, and how it is recognised.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{arguments::HeaderArgument, endpoint::Endpoint, error::ClientError};

/// A server and the way to it.
#[derive(Clone, Debug)]
pub struct Destination {
    pub endpoint: Endpoint,
    /// Sent with every request.
    pub headers: Vec<HeaderArgument>,
    pub tls: TlsFiles,
}

/// Files in PEM for encrypted connections; none is needed for a server whose certificate the machine trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Roots that are trusted in the place of the machine's.
    pub roots: Option<PathBuf>,
    /// Who asks, for servers that want to know by certificate.
    pub identity: Option<Identity>,
}

/// A certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

// === impl Destination ===

impl Destination {
    /// A server that asks for nothing.
    pub fn open(endpoint: Endpoint) -> Self {
        Self { endpoint, headers: Vec::new(), tls: TlsFiles::default() }
    }

    /// What its connections are encrypted with; `None` for an address that says that they are not.
    ///
    /// # Errors
    /// A file cannot be used, or one is given for an address that is not encrypted.
    pub(crate) fn encryption(&self, protocol: &str) -> Result<Option<Arc<ClientConfig>>, ClientError> {
        if self.endpoint.is_encrypted {
            return self.tls.config(protocol).map(Some);
        }
        if self.tls == TlsFiles::default() {
            return Ok(None);
        }
        Err(ClientError::Arguments(format!(
            "{} is not encrypted, and certificates are given for it: write https:// or grpcs://",
            self.endpoint
        )))
    }
}

impl HeaderArgument {
    /// The header that shows the API key in this file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn of_key_file(path: &Path) -> Result<Self, ClientError> {
        let key = fs::read_to_string(path).map_err(|source| unreadable("API key", path, &source))?;
        let header = format!("authorization=Bearer {}", key.trim());
        let is_key = !key.trim().is_empty() && !key.trim().contains(char::is_whitespace);
        header.parse().ok().filter(|_| is_key).ok_or_else(|| {
            ClientError::Arguments(format!("'{}' holds no API key: expected one word, nothing else", path.display()))
        })
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn config(&self, protocol: &str) -> Result<Arc<ClientConfig>, ClientError> {
        let broken = |error: rustls::Error| ClientError::Arguments(format!("the certificates cannot be used: {error}"));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(broken)?;
        let builder = builder.with_root_certificates(self.roots()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = certificates("client certificate", certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("private key", key, &error))?;
                builder.with_client_auth_cert(chain, key).map_err(broken)?
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, ClientError> {
        let trusted = match &self.roots {
            Some(path) => certificates("root certificate", path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(trusted);
        if added == 0 {
            let text = "there is no certificate to recognise a server by: install ca-certificates, or give --ca-file";
            return Err(ClientError::Arguments(text.to_owned()));
        }
        Ok(roots)
    }
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| unreadable(what, path, &error))?;
    if found.is_empty() {
        return Err(unreadable(what, path, &io::Error::other("there is no 'BEGIN CERTIFICATE' in it")));
    }
    Ok(found)
}

fn unreadable(what: &str, path: &Path, problem: &dyn std::fmt::Display) -> ClientError {
    ClientError::Arguments(format!("the {what} '{}' cannot be read: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn destination(url: &str, tls: TlsFiles) -> Destination {
        Destination { tls, ..Destination::open(url.parse().unwrap()) }
    }

    #[track_caller]
    fn check_refused(destination: &Destination, expected: &str) {
        let problem = destination.encryption("h2").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(problem.contains(expected), "expected {expected:?} in {problem:?}");
    }

    #[test]
    fn certificates_are_for_encrypted_addresses_and_must_be_some() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.pem");
        let roots = |path: &Path| TlsFiles { roots: Some(path.to_owned()), identity: None };
        assert!(destination("http://x", TlsFiles::default()).encryption("http/1.1").unwrap().is_none());
        check_refused(
            &destination("grpc://x", roots(&path)),
            "grpc://x:8001 is not encrypted, and certificates are given",
        );
        check_refused(&destination("grpcs://x", roots(&path)), "the root certificate '");
        fs::write(&path, "nothing").unwrap();
        check_refused(&destination("https://x", roots(&path)), "there is no 'BEGIN CERTIFICATE' in it");
    }

    #[test]
    fn a_key_file_holds_one_word() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        assert!(HeaderArgument::of_key_file(&path).unwrap_err().to_string().starts_with("the API key '"));
        for (content, value) in [("abc\n", Some("Bearer abc")), ("\n", None), ("a b", None)] {
            fs::write(&path, content).unwrap();
            let header = HeaderArgument::of_key_file(&path).ok();
            assert_eq!(header.as_ref().map(|header| header.value.as_str()), value, "{content:?}");
            assert!(header.is_none_or(|header| header.name == "authorization"));
        }
    }
}
