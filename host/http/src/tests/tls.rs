//! Encrypted connections on 127.0.0.1: both versions of HTTP, and a server that asks for the client's certificate.

use std::{fs, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use nereid_access::{Category, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};

use super::access::restricted;
use crate::serve;

/// No step of these tests takes long; a step that hangs fails instead of waiting for ever.
const STEP_MAX: Duration = Duration::from_secs(20);

/// An authority and a client that it has signed.
struct World {
    roots: RootCertStore,
    client: (rcgen::Certificate, KeyPair),
    folder: tempfile::TempDir,
}

// === impl World ===

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap(), key)
        };
        let (certificate, key) = sign("localhost");
        let write = |name: &str, pem: String| fs::write(folder.path().join(name), pem).unwrap();
        write("server.crt", certificate.pem());
        write("server.key", key.serialize_pem());
        write("root.crt", authority.pem());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        Self { roots, client: sign("client"), folder }
    }

    /// A server whose inference is restricted, and where it listens.
    async fn serve(&self, is_mutual: bool) -> SocketAddr {
        let at = |name: &str| self.folder.path().join(name);
        let client_roots = is_mutual.then(|| at("root.crt"));
        let files = TlsFiles { certificate: at("server.crt"), key: at("server.key"), client_roots };
        let mut frontend = restricted(&[Category::Inference]);
        frontend.settings.tls = Some(Tls::load(files, &["h2", "http/1.1"]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, frontend, std::future::pending()));
        address
    }

    async fn connect(&self, address: SocketAddr, protocol: &str, shows: bool) -> io::Result<TlsStream<TcpStream>> {
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(self.roots.clone());
        let mut client = match shows {
            false => client.with_no_client_auth(),
            true => {
                let key = PrivateKeyDer::Pkcs8(self.client.1.serialize_der().into());
                client.with_client_auth_cert(vec![self.client.0.der().clone()], key).unwrap()
            }
        };
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// What a client that speaks HTTP/1.1 gets for one request.
    async fn ask(&self, address: SocketAddr, line: &str, shows: bool) -> io::Result<String> {
        let mut stream = self.connect(address, "http/1.1", shows).await?;
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(STEP_MAX, step).await.unwrap()
}

#[tokio::test]
async fn an_encrypted_connection_serves_both_versions_of_http_behind_the_same_check() {
    let world = World::new();
    let address = world.serve(false).await;
    let answer = within(world.ask(address, "GET /v2/health/live", false)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = within(world.ask(address, "POST /v2/models/m/infer", false)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("expecting header 'key'"), "{answer}");
    let mut stream = within(world.connect(address, "h2", false)).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut frame_head = [0_u8; 9];
    within(stream.read_exact(&mut frame_head)).await.unwrap();
    assert_eq!(frame_head[3], 4, "the first frame of a server is SETTINGS");
}

#[tokio::test]
async fn a_mutual_server_answers_only_clients_that_show_a_certificate() {
    let world = World::new();
    let address = world.serve(true).await;
    let answer = within(world.ask(address, "GET /v2/health/live", true)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    within(world.ask(address, "GET /v2/health/live", false)).await.unwrap_err();
}

#[tokio::test]
async fn cleartext_and_silence_get_nothing_and_keep_nobody_waiting() {
    let world = World::new();
    let address = world.serve(false).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut cleartext = TcpStream::connect(address).await.unwrap();
    cleartext.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    // The server may close before it has read everything, which this side sees as a reset.
    let _ = within(cleartext.read_to_end(&mut got)).await;
    assert!(!got.starts_with(b"HTTP"), "{got:?}");
    within(world.ask(address, "GET /v2/health/live", false)).await.unwrap();
}
