//! gRPC messages and conversions (to be written).
