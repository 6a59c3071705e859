//! How the frontend names itself, how its connections live, and what it limits.

use std::time::Duration;

use nereid_access::{Policy, Tls};
use nereid_protocol::HeaderPattern;

use crate::limits::GrpcLimits;

/// Silence after which a connection is probed; Triton's default.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2 * 60 * 60);

/// How long the answer to a probe may take; Triton's default.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel probes a connection, so that vanished hosts do not hold requests for ever.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Everything that the frontend is told.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// The server's name in its metadata.
    pub server_id: String,
    /// The server's version in its metadata.
    pub server_version: String,
    pub limits: GrpcLimits,
    pub connections: ConnectionSettings,
    /// Metadata that becomes request parameters.
    pub forwarded_headers: Option<HeaderPattern>,
    /// Responses are packed with gzip for clients that take it.
    pub compress_responses: bool,
    /// The reflection service is there.
    pub reflection: bool,
    /// Who may use which RPCs.
    pub policy: Policy,
    /// Encrypts every connection; without it none is.
    pub tls: Option<Tls>,
}

/// How long connections live, and how it is found out that they are dead.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Silence after which a connection is probed with an HTTP/2 ping.
    pub keepalive_interval: Duration,
    /// How long the answer to that ping may take.
    pub keepalive_timeout: Duration,
    /// Silence after which the kernel probes a connection.
    pub tcp_keepalive: Duration,
    /// Age at which a connection is asked to go; `None` lets it grow old.
    pub age_max: Option<Duration>,
    /// How long RPCs under way may take then; `None` waits for them.
    pub age_grace: Option<Duration>,
}

// === impl GrpcSettings ===

impl GrpcSettings {
    /// The settings of a server of this name and version, with every limit at its default, open to everybody and not encrypted.
    pub fn new(server_id: impl Into<String>, server_version: impl Into<String>) -> Self {
        Self {
            server_id: server_id.into(),
            server_version: server_version.into(),
            limits: GrpcLimits::default(),
            connections: ConnectionSettings::default(),
            forwarded_headers: None,
            compress_responses: false,
            reflection: false,
            policy: Policy::open(),
            tls: None,
        }
    }
}

// === impl ConnectionSettings ===

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            tcp_keepalive: TCP_KEEPALIVE,
            age_max: None,
            age_grace: None,
        }
    }
}
