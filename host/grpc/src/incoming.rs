//! Connections as they arrive.
//!
//! Promises: an error of one connection, or of the whole machine (no more file descriptors), never ends the server; it
//! is logged and accepting goes on.

use std::{io, time::Duration};

use futures_util::{Stream, stream::unfold};
use nereid_access::{Connection, Handshakes, Tls};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// Pause after an error that is likely to last; without it the loop would spin until a descriptor is free.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Every connection to `listener`, small writes sent at once and vanished peers noticed by the kernel.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Tls>,
    tcp_keepalive: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    unfold((listener, Handshakes::new(tls)), move |(listener, mut handshakes)| async move {
        let connection = next(&listener, &mut handshakes, tcp_keepalive).await;
        Some((Ok(connection), (listener, handshakes)))
    })
}

/// Accepts while handshakes are under way. Neither branch loses anything when the other one wins.
async fn next(listener: &TcpListener, handshakes: &mut Handshakes, tcp_keepalive: Duration) -> Connection {
    loop {
        let has_room = handshakes.has_room();
        tokio::select! {
            connection = handshakes.next() => return connection,
            stream = accept(listener, tcp_keepalive), if has_room => {
                if let Some(connection) = handshakes.begin(stream) {
                    return connection;
                }
            }
        }
    }
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
