//! Handshakes beside an accept loop: a client that stalls in its own does not keep the next one waiting.
//!
//! For frontends that want finished connections one after the other. Dropping it ends the handshakes under way.

use tokio::{net::TcpStream, task::JoinSet};

use crate::{Connection, Tls};

/// Handshakes at one time; beyond it connections stay in the listen queue. Each costs one descriptor and about 10 KiB,
/// and ends by itself.
pub const HANDSHAKES_MAX: usize = 1024;

/// Handshakes under way, of a service that may do without any.
#[derive(Debug)]
pub struct Handshakes {
    tls: Option<Tls>,
    under_way: JoinSet<Option<Connection>>,
}

// === impl Handshakes ===

impl Handshakes {
    pub fn new(tls: Option<Tls>) -> Self {
        Self { tls, under_way: JoinSet::new() }
    }

    /// Whether another connection may be accepted.
    pub fn has_room(&self) -> bool {
        self.under_way.len() < HANDSHAKES_MAX
    }

    /// Takes in an accepted connection; without TLS it is ready at once. Needs the runtime.
    pub fn begin(&mut self, stream: TcpStream) -> Option<Connection> {
        let Some(tls) = self.tls.clone() else { return Some(Connection::Plain(stream)) };
        self.under_way.spawn(async move {
            let peer = stream.peer_addr();
            let outcome = tls.accept(stream).await;
            outcome.inspect_err(|error| tracing::debug!("no TLS connection with {peer:?}: {error}")).ok()
        });
        None
    }

    /// The next connection whose handshake has succeeded. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Connection {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(Some(connection))) => return connection,
                // A failed handshake was told, and a panic in one has its own line.
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}
