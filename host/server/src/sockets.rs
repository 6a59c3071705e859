//! Ports: taken before the models are loaded, opened after.
//!
//! A busy port is found in the first second instead of after a minute of loading. Between the two moments a client's
//! connection is refused, as it is by a server that is not there yet, rather than left hanging.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::error::ServerError;

/// Which service a port is for, in the words of Triton's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Http,
    Grpc,
    Metrics,
}

/// A port that somebody asked for; the host is an address or a name that resolves to one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedPort<'a> {
    pub(crate) service: Service,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// Other processes may listen at it too.
    pub(crate) is_shared: bool,
}

/// A port that is ours and not open yet.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    pub(crate) service: Service,
    pub(crate) address: SocketAddr,
    socket: TcpSocket,
}

/// Connections that wait to be accepted; the kernel's own default limit is of the same size.
const BACKLOG: u32 = 4_096;

/// Takes a port for each service.
///
/// # Errors
/// An address that means nothing here, a port that is in use, or two services that ask for the same one.
pub(crate) fn reserve(wanted: &[WantedPort<'_>]) -> Result<Vec<ReservedPort>, ServerError> {
    let mut reserved: Vec<ReservedPort> = Vec::new();
    for &WantedPort { service, host, port, is_shared } in wanted {
        let address = resolve(host, port).map_err(|source| socket_error(service, format!("{host}:{port}"), source))?;
        if let Some(other) = reserved.iter().find(|other| overlaps(other.address, address)) {
            return Err(ServerError::PortCollision { first: other.service, second: service, address });
        }
        reserved.push(ReservedPort::new(service, address, is_shared)?);
    }
    Ok(reserved)
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut addresses = (host.trim_start_matches('[').trim_end_matches(']'), port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Whether a connection to one could be meant for the other. Port 0 is a different free port each time.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let same_address = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_address
}

fn socket_error(service: Service, address: String, source: io::Error) -> ServerError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortBusy { service, address },
        _ => ServerError::Socket { service, address, source },
    }
}

// === impl Service ===

impl Service {
    /// The name in `failed to start … service`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "GRPC",
            Self::Metrics => "Metrics",
        }
    }

    /// The name in `Started … at`.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Http => "HTTPService",
            Self::Grpc => "GRPCInferenceService",
            Self::Metrics => "Metrics Service",
        }
    }

    /// The flag that chooses its port.
    pub(crate) fn port_flag(self) -> &'static str {
        match self {
            Self::Http => "--http-port",
            Self::Grpc => "--grpc-port",
            Self::Metrics => "--metrics-port",
        }
    }
}

// === impl ReservedPort ===

impl ReservedPort {
    fn new(service: Service, address: SocketAddr, is_shared: bool) -> Result<Self, ServerError> {
        let bound = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Lets a restarted server have its port back while old connections linger; a listening one still excludes us.
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(is_shared)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Self { service, address, socket })
        };
        bound().map_err(|source| socket_error(service, address.to_string(), source))
    }

    /// Opens the port. Needs the runtime.
    ///
    /// # Errors
    /// Another process was quicker.
    pub(crate) fn listen(self) -> Result<TcpListener, ServerError> {
        let Self { service, address, socket } = self;
        socket.listen(BACKLOG).map_err(|source| socket_error(service, address.to_string(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(service: Service, host: &str, port: u16) -> WantedPort<'_> {
        WantedPort { service, host, port, is_shared: false }
    }

    #[test]
    fn a_port_that_somebody_listens_at_is_refused_in_tritons_words() {
        let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = busy.local_addr().unwrap().port();
        let error = reserve(&[wanted(Service::Http, "127.0.0.1", port)]).unwrap_err();
        let expected = format!("failed to start HTTP service: Unavailable - Socket '127.0.0.1:{port}' already in use");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn two_services_cannot_share_a_port() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for second in ["127.0.0.1", "0.0.0.0"] {
            let error =
                reserve(&[wanted(Service::Http, "127.0.0.1", port), wanted(Service::Grpc, second, port)]).unwrap_err();
            let expected = format!(
                "the HTTP and the GRPC service cannot both listen at {second}:{port}; change --http-port or --grpc-port"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn free_ports_differ_and_are_known_before_they_are_opened() {
        let ports = [
            wanted(Service::Http, "127.0.0.1", 0),
            wanted(Service::Grpc, "localhost", 0),
            wanted(Service::Metrics, "::1", 0),
        ];
        // A machine without IPv6 has no `::1`; the others are asked for alone then.
        let reserved = reserve(&ports).or_else(|_| reserve(&ports[..2])).unwrap();
        assert!(reserved.iter().all(|reserved| reserved.address.port() != 0));
    }

    #[test]
    fn an_address_that_is_not_ours_is_named() {
        let error = reserve(&[wanted(Service::Metrics, "192.0.2.1", 8002)]).unwrap_err().to_string();
        assert!(error.starts_with("failed to start Metrics service: Unavailable - Socket '192.0.2.1:8002'"), "{error}");
    }

    #[tokio::test]
    async fn a_reserved_port_refuses_connections_until_it_is_opened() {
        let reserved = reserve(&[wanted(Service::Http, "127.0.0.1", 0)]).unwrap().remove(0);
        let address = reserved.address;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        let listener = reserved.listen().unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        tokio::net::TcpStream::connect(address).await.unwrap();
    }

    #[tokio::test]
    async fn a_shared_port_can_be_taken_by_all_who_share_it_and_by_nobody_else() {
        let shared = |port| WantedPort { is_shared: true, ..wanted(Service::Http, "127.0.0.1", port) };
        let first = reserve(&[shared(0)]).unwrap().remove(0);
        let port = first.address.port();
        let first = first.listen().unwrap();
        let second = reserve(&[shared(port)]).unwrap().remove(0).listen().unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
        let alone = reserve(&[wanted(Service::Http, "127.0.0.1", port)]).unwrap_err();
        assert!(alone.to_string().ends_with("already in use"), "{alone}");
    }
}
