//! Every limit of the frontend, its unit and why it is what it is.

use std::time::Duration;

/// The largest message that protobuf and other servers of this protocol take.
const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// Enough to keep every instance of a model busy from one stream; each request may hold a whole message in memory.
const STREAM_REQUESTS_IN_FLIGHT_MAX: usize = 256;

/// RPCs open at once on one connection; load generators share one connection between thousands of callers.
const CONNECTION_STREAMS_MAX: u32 = 4096;

/// Bytes of one RPC that a client may send ahead: an image tensor of 600 KB passes without waiting for an update.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of all RPCs of one connection that a client may send ahead: eight large requests at once.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Payload of one HTTP/2 frame: at 64 KiB the cost per frame no longer shows for large tensors.
const FRAME_BYTES_MAX: u32 = 64 << 10;

/// Names and values of a request's metadata together; the default of most gRPC implementations is 8 KiB to 16 KiB.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// Silence after which a connection is probed; Triton's default.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2 * 60 * 60);

/// How long the answer to a probe may take; Triton's default.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Silence after which the kernel probes a connection, so that vanished hosts do not hold requests for ever.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// How the frontend names itself, and its limits.
#[derive(Clone, Debug)]
pub struct GrpcSettings {
    /// The server's name in its metadata.
    pub server_id: String,
    /// The server's version in its metadata.
    pub server_version: String,
    /// Largest message in either direction, after decompression.
    pub message_bytes_max: usize,
    /// Requests of one inference stream that are not answered yet; beyond it the stream is not read.
    pub stream_requests_in_flight_max: usize,
    /// RPCs open at once on one connection.
    pub connection_streams_max: u32,
    /// Flow-control window of one RPC.
    pub stream_window_bytes: u32,
    /// Flow-control window of one connection.
    pub connection_window_bytes: u32,
    /// Largest HTTP/2 frame that clients may send.
    pub frame_bytes_max: u32,
    /// Largest metadata of a request.
    pub header_bytes_max: u32,
    /// Silence after which a connection is probed with an HTTP/2 ping.
    pub keepalive_interval: Duration,
    /// How long the answer to that ping may take.
    pub keepalive_timeout: Duration,
    /// Silence after which the kernel probes a connection.
    pub tcp_keepalive: Duration,
}

// === impl GrpcSettings ===

impl GrpcSettings {
    /// The settings of a server of this name and version, with every limit at its default.
    pub fn new(server_id: impl Into<String>, server_version: impl Into<String>) -> Self {
        Self {
            server_id: server_id.into(),
            server_version: server_version.into(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            stream_requests_in_flight_max: STREAM_REQUESTS_IN_FLIGHT_MAX,
            connection_streams_max: CONNECTION_STREAMS_MAX,
            stream_window_bytes: STREAM_WINDOW_BYTES,
            connection_window_bytes: CONNECTION_WINDOW_BYTES,
            frame_bytes_max: FRAME_BYTES_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            tcp_keepalive: TCP_KEEPALIVE,
        }
    }
}
