//! Flags of the gRPC service.

use std::{num::NonZeroU64, str::FromStr, time::Duration};

use clap::{ArgAction, Args};
use nereid_grpc::ConnectionSettings;
use nereid_protocol::HeaderPattern;

use crate::arguments::values;

/// Where and how gRPC is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "gRPC")]
pub struct GrpcArguments {
    /// Serve gRPC
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_grpc: bool,
    /// Port of the gRPC service; 0 takes a free one and logs it
    #[arg(long, value_name = "PORT", default_value_t = 8001)]
    pub grpc_port: u16,
    /// Address the gRPC service listens at
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub grpc_address: String,
    /// Share the gRPC port with other servers that say the same; the kernel deals out the connections
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub reuse_grpc_port: bool,

    /// Metadata whose names this regular expression meets anywhere, in any case, becomes text parameters of requests;
    /// write (?-i) in front to tell the cases apart
    #[arg(long, value_name = "PATTERN", value_parser = HeaderPattern::parse)]
    pub grpc_header_forward_pattern: Option<HeaderPattern>,

    /// Pack responses for clients that take gzip: 'none', 'low', 'medium' or 'high'; all but 'none' mean the same
    #[arg(long, value_name = "LEVEL", default_value = "none")]
    pub grpc_infer_response_compression_level: CompressionLevel,

    /// Offer the reflection service, by which grpcurl and the like see what there is
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub grpc_reflection: bool,

    /// Silence after which a gRPC connection is probed, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value = "7200000")]
    pub grpc_keepalive_time: NonZeroU64,
    /// How long a gRPC connection may take to answer the probe, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value = "20000")]
    pub grpc_keepalive_timeout: NonZeroU64,
    /// Age at which a gRPC connection is asked to go, a tenth more or less, in milliseconds; 0 for never
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub grpc_max_connection_age: u64,
    /// How long requests under way may take then, in milliseconds; 0 waits for them
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub grpc_max_connection_age_grace: u64,
}

/// How much effort a response is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionLevel {
    None,
    Low,
    Medium,
    High,
}

// === impl GrpcArguments ===

impl GrpcArguments {
    /// How connections live.
    pub fn connections(&self) -> ConnectionSettings {
        let unless_zero = |milliseconds| (milliseconds > 0).then(|| Duration::from_millis(milliseconds));
        ConnectionSettings {
            keepalive_interval: Duration::from_millis(self.grpc_keepalive_time.get()),
            keepalive_timeout: Duration::from_millis(self.grpc_keepalive_timeout.get()),
            age_max: unless_zero(self.grpc_max_connection_age),
            age_grace: unless_zero(self.grpc_max_connection_age_grace),
            ..ConnectionSettings::default()
        }
    }
}

// === impl CompressionLevel ===

impl FromStr for CompressionLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            _ => Err("expected 'none', 'low', 'medium' or 'high'".to_owned()),
        }
    }
}
