//! What the frontend serves, and every limit it keeps.

use std::{sync::Arc, time::Duration};

use nereid_access::{Policy, Tls};
use nereid_inference::{Diagnostics, InferenceService, ModelControl};
use nereid_protocol::HeaderPattern;
use nereid_shared_memory::SharedMemory;

/// Triton's limit for one body: 64 MiB. An image batch fits, a mistaken upload does not.
pub(crate) const INPUT_BYTES_MAX: usize = 64 << 20;

/// A client that cannot send a request head in this time is stalled. The same time is given to a connection that is
/// kept alive between requests, hence the 75 s that proxies commonly allow.
pub(crate) const HEAD_READ_MAX: Duration = Duration::from_secs(75);

/// A body that makes no progress for this long is given up: thirty seconds outlast a TCP retransmission back-off.
pub(crate) const BODY_IDLE_MAX: Duration = Duration::from_secs(30);

/// A whole body takes at most this long: 64 MiB at 2 Mbit/s. It ends clients that send one byte at a time.
pub(crate) const BODY_READ_MAX: Duration = Duration::from_secs(300);

/// Connections at one time; the next ones wait in the listen queue. Each costs about 16 KiB and one descriptor.
pub(crate) const CONNECTIONS_MAX: usize = 4096;

/// Who answers.
#[derive(Clone)]
pub struct HttpFrontend {
    pub service: Arc<dyn InferenceService>,
    pub control: Arc<dyn ModelControl>,
    pub diagnostics: Arc<dyn Diagnostics>,
    pub shared_memory: SharedMemory,
    pub settings: HttpSettings,
}

/// How the server introduces itself, and its limits.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// `--id`.
    pub server_id: String,
    pub server_version: String,
    /// `--http-max-input-size`: bytes of one body, and of one tensor given as JSON.
    pub input_bytes_max: usize,
    pub head_read_max: Duration,
    pub body_idle_max: Duration,
    pub body_read_max: Duration,
    pub connections_max: usize,
    /// Who may use which routes.
    pub policy: Policy,
    /// Headers that become request parameters.
    pub forwarded_headers: Option<HeaderPattern>,
    /// Encrypts every connection; without it none is.
    pub tls: Option<Tls>,
}

// === impl HttpSettings ===

impl HttpSettings {
    /// The named server with every limit at its default, open to everybody and not encrypted.
    pub fn new(server_id: impl Into<String>, server_version: impl Into<String>) -> Self {
        Self {
            server_id: server_id.into(),
            server_version: server_version.into(),
            input_bytes_max: INPUT_BYTES_MAX,
            head_read_max: HEAD_READ_MAX,
            body_idle_max: BODY_IDLE_MAX,
            body_read_max: BODY_READ_MAX,
            connections_max: CONNECTIONS_MAX,
            policy: Policy::open(),
            forwarded_headers: None,
            tls: None,
        }
    }
}
