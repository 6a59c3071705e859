//! Encrypted connections: certificate, key, and whose clients are let in.
//!
//! Versions 1.2 and 1.3, through rustls with ring. The files are followed: new connections get the newest ones that fit
//! together, and a pair that is only half written changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    InconsistentKeys, RootCertStore, ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{Error as PemError, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{
    Connection,
    key_file::read_bytes,
    reload::{Followed, Look, Reload},
};

/// A handshake is two round trips and some arithmetic; ten seconds are enough across any network that works.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// The files of one service, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those between it and a root that clients know.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// Whose certificates clients must show; without it they need none.
    pub client_roots: Option<PathBuf>,
}

/// Makes encrypted connections. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Followed<ServerConfig, TlsError>>);

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} '{}' cannot be read: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("'{}' has no {what} in PEM form: expected a line '-----BEGIN {label}-----'", path.display())]
    Missing { what: &'static str, label: &'static str, path: PathBuf },
    #[error("the {what} '{}' is broken: {problem}", path.display())]
    Broken { what: &'static str, path: PathBuf, problem: String },
    #[error("the key '{}' does not belong to the certificate '{}'", key.display(), certificate.display())]
    Mismatch { key: PathBuf, certificate: PathBuf },
}

// === impl Tls ===

impl Tls {
    /// Reads the files for the first time; `protocols` are offered in this order.
    ///
    /// # Errors
    /// A file that is missing or holds something else, a key of another certificate.
    pub fn load(files: TlsFiles, protocols: &[&str]) -> Result<Self, TlsError> {
        let name = format!("certificate '{}'", files.certificate.display());
        let mut watched = vec![files.certificate.clone(), files.key.clone()];
        watched.extend(files.client_roots.clone());
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let read = move || server_config(&files, protocols.clone());
        Ok(Self(Arc::new(Followed::new(name, watched, read)?)))
    }

    /// The server's side of a handshake, with the newest files.
    ///
    /// # Errors
    /// The client breaks off, is too slow, speaks something else, or shows no certificate that is asked for.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Connection> {
        self.accept_within(HANDSHAKE_MAX, stream).await
    }

    async fn accept_within(&self, time_max: Duration, stream: TcpStream) -> io::Result<Connection> {
        let handshake = TlsAcceptor::from(self.0.current()).accept(stream);
        let too_slow = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no handshake within {time_max:?}"));
        let stream = tokio::time::timeout(time_max, handshake).await.map_err(too_slow)??;
        Ok(Connection::Tls(Box::new(stream)))
    }
}

impl Reload for Tls {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn look(&self, forced: bool) -> Look {
        self.0.look(forced)
    }
}

fn server_config(files: &TlsFiles, protocols: Vec<Vec<u8>>) -> Result<ServerConfig, TlsError> {
    let certificates = certificates("certificate", &files.certificate)?;
    let key = private_key(&files.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |error: rustls::Error| TlsError::broken("certificate", &files.certificate, error);
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(broken)?;
    let builder = match &files.client_roots {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(client_verifier(roots, provider)?),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }
        }
        error => broken(error),
    })?;
    config.alpn_protocols = protocols;
    Ok(config)
}

fn client_verifier(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    const WHAT: &str = "root certificate";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(WHAT, path)? {
        roots.add(certificate).map_err(|error| TlsError::broken(WHAT, path, error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| TlsError::broken(WHAT, path, error))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(what, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| TlsError::broken(what, path, error))?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { what, label: "CERTIFICATE", path: path.to_owned() });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        PemError::NoItemsFound => {
            TlsError::Missing { what: "unencrypted private key", label: "PRIVATE KEY", path: path.to_owned() }
        }
        error => TlsError::broken("key", path, error),
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_bytes(path).map_err(|source| TlsError::File { what, path: path.to_owned(), source })
}

// === impl TlsError ===

impl TlsError {
    fn broken(what: &'static str, path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::Broken { what, path: path.to_owned(), problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests;
