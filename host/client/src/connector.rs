//! How connections to a server are made, for both protocols: over TCP, encrypted where its address says so.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Makes connections to whatever address it is given.
#[derive(Clone)]
pub(crate) struct Connector(pub(crate) Option<Arc<ClientConfig>>);

/// A connection, encrypted or not.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Connection for Box<dyn Socket> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

// === impl Connector ===

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Socket>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(connect(self.0.clone(), uri))
    }
}

async fn connect(encryption: Option<Arc<ClientConfig>>, uri: Uri) -> io::Result<TokioIo<Box<dyn Socket>>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("'{uri}' names no host and port"));
    // An IPv6 address stands in brackets in addresses of this kind, and in no other.
    let host = uri.host().ok_or_else(invalid)?.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().ok_or_else(invalid)?)).await?;
    stream.set_nodelay(true)?;
    let Some(encryption) = encryption else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid())?;
    let stream = TlsConnector::from(encryption).connect(name, stream).await?;
    Ok(TokioIo::new(Box::new(stream)))
}
