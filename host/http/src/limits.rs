//! Every limit of the frontend, its unit and why it is what it is.

use std::time::Duration;

nereid_inference::limits! {
    /// What one client, or all of them, may take of this frontend.
    pub struct HttpLimits {
        /// Bytes of one body, and of one tensor given as JSON.
        input_bytes_max: Bytes = 64 << 20,
            "http-body", "HTTP request body, unpacked, binary tensors included; the same as `--http-max-input-size`";
        /// Pieces of a body of unknown length.
        chunks_max: Count = 65_536,
            "http-chunks", "pieces in which a chunked body arrives; Triton's number";
        /// From the connection, or the last answer, to the end of a request head.
        head_read_max: Time = Duration::from_secs(75),
            "http-head", "time for a request head, and between requests; what proxies commonly allow";
        /// A body that makes no progress for this long is given up.
        body_idle_max: Time = Duration::from_secs(30),
            "http-body-idle", "silence in a body; outlasts a TCP retransmission";
        /// A whole body takes at most this long.
        body_read_max: Time = Duration::from_secs(300),
            "http-body-time", "time for a whole body; 64 MiB at 2 Mbit/s";
        /// The body of a request that was denied, which is only read to be dropped.
        denied_body_read_max: Time = Duration::from_secs(10),
            "http-denied-body-time", "time for the body of a request that was denied; enough to get to the answer";
        /// Connections at one time; the next ones wait in the listen queue.
        connections_max: Count = 4096,
            "http-connections", "HTTP connections at one time; the next ones wait";
        /// Requests at one time on one HTTP/2 connection.
        connection_streams_max: Count = 256, in 1..=u32::MAX as usize,
            "http-connection-streams", "requests open on one HTTP/2 connection; enough for a proxy";
        /// JSON that is read or written without a thread of its own.
        json_inline_bytes_max: Bytes = 64 << 10,
            "http-json-inline", "JSON handled where it arrives; what is larger gets a thread, so that others need not wait";
    }
}
