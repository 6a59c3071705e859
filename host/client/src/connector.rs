//! How connections to a server are made, for both protocols: over TCP, encrypted where its address says so.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
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

/// An encrypted connection that knows why a server ended it. A server refuses a client's certificate after the client has
/// finished its part of the handshake, with an alert: who writes first only finds a closed connection, and the alert lies
/// unread (TLS 1.3: RFC 8446, section 4.4.2.4).
struct Encrypted {
    stream: TlsStream<TcpStream>,
    /// Why nothing could be written, until it is known what the server said last.
    unwritten: Option<io::Error>,
}

// === impl Encrypted ===

impl Encrypted {
    /// Writes, or says why the server closed the connection before.
    fn attempt<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TlsStream<TcpStream>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.unwritten.is_none() {
            match write(Pin::new(&mut self.stream), cx) {
                Poll::Ready(Err(error)) if is_closed(&error) => self.unwritten = Some(error),
                done => return done,
            }
        }
        // Its last words may be in the socket and not be announced yet; that it is closed will be.
        let mut bytes = [0; 1];
        let heard = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut bytes)));
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let unwritten = self.unwritten.take().unwrap_or_else(closed);
        Poll::Ready(Err(heard.err().filter(|alert| !is_closed(alert)).unwrap_or(unwritten)))
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Encrypted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().attempt(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().attempt(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().attempt(cx, AsyncWrite::poll_shutdown)
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
    Ok(TokioIo::new(Box::new(Encrypted { stream, unwritten: None })))
}
