//! Flags by which tritonserver is tuned and which mean nothing here: accepted, so that start scripts need no change, and
//! answered in the log with what is done instead.
//!
//! Only what changes no answer and breaks no promise belongs here; a lock or a limit that is not served is refused
//! (`unserved.rs`).

use clap::{ArgAction, Args};

use crate::arguments::values;

/// Each flag as it was written, if it was.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct HintArguments {
    #[arg(long, hide = true, value_parser = values::at_least_one)]
    pub http_thread_count: Option<u64>,
    #[arg(long, hide = true, value_parser = values::between_2_and_128)]
    pub grpc_infer_thread_count: Option<u64>,
    #[arg(long, hide = true)]
    pub buffer_manager_thread_count: Option<u64>,
    #[arg(long, hide = true)]
    pub grpc_infer_allocation_pool_size: Option<u64>,
    #[arg(long, hide = true, value_parser = values::at_least_one)]
    pub grpc_max_response_pool_size: Option<u64>,
    #[arg(long, hide = true, value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          action = ArgAction::Set)]
    pub grpc_keepalive_permit_without_calls: Option<bool>,
    #[arg(long, hide = true)]
    pub grpc_http2_max_pings_without_data: Option<u64>,
    #[arg(long, hide = true)]
    pub grpc_http2_min_recv_ping_interval_without_data: Option<u64>,
    #[arg(long, hide = true)]
    pub grpc_http2_max_ping_strikes: Option<u64>,
    #[arg(long, hide = true)]
    pub cuda_virtual_address_size: Option<String>,
    #[arg(long, hide = true, value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          action = ArgAction::Set)]
    pub enable_peer_access: Option<bool>,
}

const THREADS: &str = "the server has one thread per processor for all services";
const POOLS: &str = "requests and responses are made when they are needed and bounded by the server's limits";
const PINGS: &str = "a client's pings are always answered, and the server's own are not counted";
const GPU_ADDRESSES: &str = "the CUDA driver grows the pool of each GPU by itself";
const PEERS: &str = "the CUDA driver copies between GPUs by the best way there is";

// === impl HintArguments ===

impl HintArguments {
    /// The flags that were given, each with what is done instead.
    pub fn given(&self) -> Vec<(&'static str, &'static str)> {
        let hints = [
            (self.http_thread_count.is_some(), "http-thread-count", THREADS),
            (self.grpc_infer_thread_count.is_some(), "grpc-infer-thread-count", THREADS),
            (self.buffer_manager_thread_count.is_some(), "buffer-manager-thread-count", THREADS),
            (self.grpc_infer_allocation_pool_size.is_some(), "grpc-infer-allocation-pool-size", POOLS),
            (self.grpc_max_response_pool_size.is_some(), "grpc-max-response-pool-size", POOLS),
            (
                self.grpc_keepalive_permit_without_calls.is_some(),
                "grpc-keepalive-permit-without-calls",
                "silent connections are probed whether they have calls or not",
            ),
            (self.grpc_http2_max_pings_without_data.is_some(), "grpc-http2-max-pings-without-data", PINGS),
            (
                self.grpc_http2_min_recv_ping_interval_without_data.is_some(),
                "grpc-http2-min-recv-ping-interval-without-data",
                PINGS,
            ),
            (self.grpc_http2_max_ping_strikes.is_some(), "grpc-http2-max-ping-strikes", PINGS),
            (self.cuda_virtual_address_size.is_some(), "cuda-virtual-address-size", GPU_ADDRESSES),
            (self.enable_peer_access.is_some(), "enable-peer-access", PEERS),
        ];
        hints.into_iter().filter_map(|(given, flag, instead)| given.then_some((flag, instead))).collect()
    }

    /// Says so in the log.
    pub(crate) fn log(&self) {
        for (flag, instead) in self.given() {
            tracing::info!("--{flag} has no effect here: {instead}");
        }
    }
}
