//! Encrypted connections: who trusts the server gets through, and a mutual one asks for the client's certificate.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use hyper_util::rt::TokioIo;
use nereid_access::{Tls, TlsFiles};
use nereid_grpc::generated::grpc_inference_service_client::GrpcInferenceServiceClient;
use nereid_protocol::grpc::proto::ServerLiveRequest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};
use tonic::transport::Endpoint;

use crate::fixture::{Fixture, within};

/// The client's side: whom it trusts, and what it can show.
struct World {
    roots: RootCertStore,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// A server with a certificate of an authority, and a client of the same one.
async fn encrypted(folder: &Path, is_mutual: bool) -> (Fixture, World) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let sign = |name: &str| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap(), key)
    };
    let (server, server_key) = sign("localhost");
    let write = |name: &str, pem: String| {
        fs::write(folder.join(name), pem).unwrap();
        folder.join(name)
    };
    let root = write("root.crt", authority.pem());
    let files = TlsFiles {
        certificate: write("server.crt", server.pem()),
        key: write("server.key", server_key.serialize_pem()),
        client_roots: is_mutual.then_some(root),
    };
    let tls = Tls::load(files, &["h2"]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let (certificate, key) = sign("client");
    (Fixture::start_with(|settings| settings.tls = Some(tls)).await, World { roots, certificate, key })
}

// === impl World ===

impl World {
    fn config(&self, shows: bool) -> Arc<ClientConfig> {
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(self.roots.clone());
        let mut client = match shows {
            false => client.with_no_client_auth(),
            true => {
                let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
                client.with_client_auth_cert(vec![self.certificate.der().clone()], key).unwrap()
            }
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(client)
    }

    /// Whether a new connection is told that the server lives.
    async fn is_live(&self, address: SocketAddr, shows: bool) -> bool {
        let config = self.config(shows);
        let connector = tower::service_fn(move |_| {
            let config = config.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").unwrap();
                Ok::<_, io::Error>(TokioIo::new(TlsConnector::from(config).connect(name, stream).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let Ok(channel) = within(endpoint.connect_with_connector(connector)).await else { return false };
        let answer = within(GrpcInferenceServiceClient::new(channel).server_live(ServerLiveRequest {})).await;
        answer.is_ok_and(|answer| answer.into_inner().live)
    }
}

#[tokio::test]
async fn an_encrypted_server_answers_who_trusts_it_and_nobody_in_cleartext() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fixture, world) = encrypted(folder.path(), false).await;
    let _silent = TcpStream::connect(fixture.address).await.unwrap();
    assert!(world.is_live(fixture.address, false).await);
    assert!(world.is_live(fixture.address, true).await);
    within(fixture.client.server_live(ServerLiveRequest {})).await.unwrap_err();
    let stranger = World { roots: RootCertStore::empty(), ..world };
    assert!(!stranger.is_live(fixture.address, false).await);
}

#[tokio::test]
async fn a_mutual_server_answers_only_clients_that_show_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (fixture, world) = encrypted(folder.path(), true).await;
    assert!(world.is_live(fixture.address, true).await);
    assert!(!world.is_live(fixture.address, false).await);
}
