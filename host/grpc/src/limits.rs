//! Every limit of the frontend, its unit and why it is what it is.

use std::time::Duration;

nereid_inference::limits! {
    /// What one client, or all of them, may take of this frontend.
    pub struct GrpcLimits {
        /// Largest message in either direction, after decompression.
        message_bytes_max: Bytes = i32::MAX as usize, in 1024..=i32::MAX as usize,
            "grpc-message", "gRPC message in either direction, unpacked; as much as protobuf takes, as upstream";
        /// Requests of one inference stream that are not answered yet; beyond it the stream is not read.
        stream_requests_in_flight_max: Count = 256,
            "grpc-stream-requests", "requests under way on one stream; each may hold a whole message in memory";
        /// Connections at one time; the next ones wait in the listen queue.
        connections_max: Count = 4096,
            "grpc-connections", "gRPC connections at one time; the next ones wait";
        /// From a connection's first byte to the first one that says HTTP/2.
        greeting_max: Time = Duration::from_secs(20),
            "grpc-greeting", "time for a new gRPC connection to say anything";
        /// RPCs open at once on one connection.
        connection_streams_max: Count = 4096, in 1..=u32::MAX as usize,
            "grpc-connection-streams", "RPCs open on one connection; load generators share one between thousands";
        /// Bytes of one RPC that a client may send ahead.
        stream_window_bytes: Bytes = 1 << 20, in 65_535..=i32::MAX as usize,
            "grpc-stream-window", "sent ahead on one RPC; an image of 600 KB passes without waiting";
        /// Bytes of all RPCs of one connection that a client may send ahead.
        connection_window_bytes: Bytes = 8 << 20, in 65_535..=i32::MAX as usize,
            "grpc-connection-window", "sent ahead on one connection; eight large requests at once";
        /// Payload of one HTTP/2 frame that clients may send.
        frame_bytes_max: Bytes = 64 << 10, in 16_384..=(1 << 24) - 1,
            "grpc-frame", "one HTTP/2 frame; at this size its cost no longer shows";
        /// Names and values of a request's metadata together.
        header_bytes_max: Bytes = 16 << 10, in 1024..=1 << 24,
            "grpc-metadata", "names and values of a request's metadata; others allow 8 to 16 KiB";
    }
}
