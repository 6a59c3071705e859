//! Connections as they arrive.
//!
//! Promises: an error of one connection, or of the whole machine (no more file descriptors), never ends the server; it
//! is logged and accepting goes on.

use std::{io, time::Duration};

use futures_util::{Stream, stream::unfold};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// Pause after an error that is likely to last; without it the loop would spin until a descriptor is free.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Every connection to `listener`, small writes sent at once and vanished peers noticed by the kernel.
pub(crate) fn incoming(listener: TcpListener, tcp_keepalive: Duration) -> impl Stream<Item = io::Result<TcpStream>> {
    unfold(listener, move |listener| async move {
        let connection = accept(&listener, tcp_keepalive).await;
        Some((Ok(connection), listener))
    })
}

async fn accept(listener: &TcpListener, tcp_keepalive: Duration) -> TcpStream {
    loop {
        match listener.accept().await.and_then(|(connection, _)| prepare(connection, tcp_keepalive)) {
            Ok(connection) => return connection,
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!("a gRPC connection was lost before it was accepted: {error}");
            }
            Err(error) => {
                tracing::warn!("cannot accept a gRPC connection, trying again in {ACCEPT_RETRY_DELAY:?}: {error}");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

fn prepare(connection: TcpStream, tcp_keepalive: Duration) -> io::Result<TcpStream> {
    connection.set_nodelay(true)?;
    SockRef::from(&connection).set_tcp_keepalive(&TcpKeepalive::new().with_time(tcp_keepalive))?;
    Ok(connection)
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}
