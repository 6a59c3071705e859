//! Certificates that are made here, used over real sockets, exchanged, and refused.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::Handshakes;

/// An authority, and what it has signed so far.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }
}

impl Pair {
    fn write(&self, folder: &Path) -> TlsFiles {
        let files =
            TlsFiles { certificate: folder.join("server.crt"), key: folder.join("server.key"), client_roots: None };
        fs::write(&files.certificate, &self.certificate).unwrap();
        fs::write(&files.key, &self.key).unwrap();
        files
    }
}

/// Connects to a server that sends one byte to whoever has finished the handshake; the byte, or why there is none.
async fn greeting(tls: &Tls, roots: RootCertStore, shown: Option<&Pair>) -> io::Result<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = tls.clone();
    let server = tokio::spawn(async move {
        let mut connection = tls.accept(listener.accept().await.unwrap().0).await?;
        connection.write_all(&[7]).await?;
        connection.shutdown().await
    });
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots);
    let mut client = match shown {
        None => client.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            client.with_client_auth_cert(chain, key).unwrap()
        }
    };
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let greeting = async {
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        stream.read_u8().await
    };
    let greeting = greeting.await;
    let _ = server.await.unwrap();
    greeting
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_through_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = Tls::load(authority.sign("localhost").write(folder.path()), &["h2"]).unwrap();
    assert_eq!(greeting(&tls, authority.roots(), None).await.unwrap(), 7);
    assert!(greeting(&tls, Authority::new().roots(), None).await.is_err());
}

#[tokio::test]
async fn a_mutual_server_lets_in_only_clients_of_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let mut files = authority.sign("localhost").write(folder.path());
    let roots = folder.path().join("root.crt");
    fs::write(&roots, authority.0.pem()).unwrap();
    files.client_roots = Some(roots);
    let tls = Tls::load(files, &["h2"]).unwrap();
    assert_eq!(greeting(&tls, authority.roots(), Some(&authority.sign("client"))).await.unwrap(), 7);
    assert!(greeting(&tls, authority.roots(), None).await.is_err());
    assert!(greeting(&tls, authority.roots(), Some(&other.sign("client"))).await.is_err());
}

#[tokio::test]
async fn new_files_serve_new_connections_and_half_of_a_pair_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.sign("localhost").write(folder.path());
    let tls = Tls::load(files.clone(), &["h2"]).unwrap();
    let next = new.sign("localhost");
    fs::write(&files.certificate, &next.certificate).unwrap();
    let Look::Refused(reason) = tls.look(false) else { panic!("half a pair was taken") };
    assert!(reason.starts_with("the key '") && reason.contains("does not belong to the certificate '"), "{reason}");
    assert_eq!(greeting(&tls, old.roots(), None).await.unwrap(), 7);
    fs::write(&files.key, &next.key).unwrap();
    assert_eq!(tls.look(false), Look::Renewed);
    assert_eq!(greeting(&tls, new.roots(), None).await.unwrap(), 7);
    assert!(greeting(&tls, old.roots(), None).await.is_err());
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new().sign("localhost");
    let files = pair.write(folder.path());
    let refused = |files: TlsFiles| Tls::load(files, &[]).unwrap_err().to_string();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty"), "").unwrap();
    fs::write(at("torn"), "-----BEGIN CERTIFICATE-----\nMIIB\n").unwrap();
    fs::write(at("noise"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (file, expected) in [
        ("absent", "the certificate '{}' cannot be read: No such file"),
        ("empty", "'{}' has no certificate in PEM form: expected a line '-----BEGIN CERTIFICATE-----'"),
        ("server.key", "'{}' has no certificate in PEM form"),
        ("torn", "the certificate '{}' is broken: "),
        ("noise", "the certificate '{}' is broken: "),
    ] {
        let error = refused(TlsFiles { certificate: at(file), ..files.clone() });
        assert!(error.starts_with(&expected.replace("{}", &at(file).display().to_string())), "{error}");
    }
    let error = refused(TlsFiles { key: at("server.crt"), ..files.clone() });
    assert!(
        error.contains("has no unencrypted private key in PEM form: expected a line '-----BEGIN PRIVATE KEY-----'")
    );
    let error = refused(TlsFiles { client_roots: Some(at("absent")), ..files.clone() });
    assert!(error.starts_with("the root certificate '"), "{error}");
    fs::write(at("other.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = refused(TlsFiles { key: at("other.key"), ..files });
    assert!(error.contains("does not belong to the certificate '"), "{error}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::load(Authority::new().sign("localhost").write(folder.path()), &["h2"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stream = listener.accept().await.unwrap().0;
    let error = tls.accept_within(Duration::from_millis(10), stream).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::TimedOut, "no handshake within 10ms".to_owned()));
}

#[tokio::test]
async fn a_handshake_that_stalls_does_not_keep_the_next_one_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let tls = Tls::load(authority.sign("localhost").write(folder.path()), &["h2"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut handshakes = Handshakes::new(Some(tls));
    let silent = TcpStream::connect(address).await.unwrap();
    assert!(handshakes.begin(listener.accept().await.unwrap().0).is_none());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(authority.roots()).with_no_client_auth();
    let speaking = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    });
    assert!(handshakes.begin(listener.accept().await.unwrap().0).is_none());
    let connection = handshakes.next().await;
    let client = speaking.await.unwrap().unwrap();
    assert_eq!(connection.tcp().peer_addr().unwrap(), client.get_ref().0.local_addr().unwrap());
    drop(silent);
}

#[tokio::test]
async fn without_tls_a_connection_is_ready_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let ready = Handshakes::new(None).begin(listener.accept().await.unwrap().0);
    assert!(matches!(ready, Some(Connection::Plain(_))));
}
