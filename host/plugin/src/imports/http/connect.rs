//! A connection to a granted server: names looked up, every address checked, then one of them connected to.

use std::{net::SocketAddr, time::Duration};

use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::{self, SendRequest};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::{Error, WasiBody, io::TokioIo};

use crate::{
    http_grant::{Destination, DestinationHost, Reach},
    http_tls::HttpTls,
};

/// Addresses of one name that are tried; nobody waits for a hundred of them.
const ADDRESSES_TRIED_MAX: usize = 4;

/// A connection, and what moves it on until it is dropped.
pub(super) struct Connection {
    pub(super) sender: SendRequest<WasiBody>,
    pub(super) driver: AbortOnDropJoinHandle<()>,
}

/// Connects within this time, names and TLS included.
pub(super) async fn connect(
    destination: &Destination,
    reach: Reach,
    tls: &HttpTls,
    time_max: Duration,
) -> Result<Connection, Error> {
    let connecting = async {
        let stream = tcp(destination, reach).await?;
        if !destination.is_tls {
            return handshake(stream).await;
        }
        let name = match &destination.host {
            DestinationHost::Address(address) => ServerName::from(*address),
            DestinationHost::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?
            }
        };
        let config = tls.config().map_err(|problem| Error::InternalError(Some(problem)))?;
        handshake(TlsConnector::from(config).connect(name, stream).await.map_err(Error::Tls)?).await
    };
    timeout(time_max, connecting).await.unwrap_or(Err(Error::ConnectionTimeout))
}

async fn tcp(destination: &Destination, reach: Reach) -> Result<TcpStream, Error> {
    let mut failure = Error::DestinationIpProhibited;
    for address in addresses(destination, reach).await?.into_iter().take(ADDRESSES_TRIED_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = Error::Connect(error),
        }
    }
    Err(failure)
}

/// Where the host may be reached: an address that is granted as such, or those of a name that it may stand for.
async fn addresses(destination: &Destination, reach: Reach) -> Result<Vec<SocketAddr>, Error> {
    match &destination.host {
        DestinationHost::Address(address) => Ok(vec![SocketAddr::new(*address, destination.port)]),
        DestinationHost::Name(name) => {
            let failed =
                |_| Error::DnsError { rcode: Some("the name cannot be looked up".to_owned()), info_code: None };
            let found = lookup_host((name.as_str(), destination.port)).await.map_err(failed)?;
            Ok(found.filter(|address| reach.includes(address.ip())).collect())
        }
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Connection, Error> {
    let (sender, connection) =
        http1::Builder::new().handshake::<_, UnsyncBoxBody<_, Error>>(TokioIo::new(stream)).await?;
    let driver = spawn(async move {
        // What went wrong is told to whoever waits for the answer.
        drop(connection.await);
    });
    Ok(Connection { sender, driver })
}
