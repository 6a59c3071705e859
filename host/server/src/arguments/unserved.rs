//! Flags of tritonserver that this server knows and does not serve yet, each with what to do instead.
//!
//! Refusing them by name is kinder than ignoring them: a limit or a lock that the operator believes to be set would not
//! be there.

/// Why the flag (written `--name`) is refused; `None` for one that tritonserver does not have either.
pub(crate) fn reason(flag: &str) -> Option<&'static str> {
    let name = flag.strip_prefix("--")?;
    UNSERVED.iter().find(|(names, _)| names.contains(&name)).map(|(_, reason)| *reason)
}

const UNSERVED: &[(&[&str], &str)] = &[
    (
        &["backend-directory"],
        "backends are built in; name a native library with --backend-config=onnxruntime,library=PATH",
    ),
    (
        &["http-thread-count", "grpc-infer-thread-count", "buffer-manager-thread-count"],
        "the server has one thread per processor for all services; leave the flag out",
    ),
    (
        &["http-restricted-api", "grpc-restricted-protocol"],
        "access is not restricted by this server; put a proxy that checks the header in front, and leave the flag out",
    ),
    (&["http-header-forward-pattern", "grpc-header-forward-pattern"], "headers are not forwarded to models"),
    (&["reuse-http-port", "reuse-grpc-port"], "one process owns a port; leave the flag out"),
    (
        &["grpc-use-ssl", "grpc-use-ssl-mutual", "grpc-server-cert", "grpc-server-key", "grpc-root-cert"],
        "connections are not encrypted by this server; put a proxy in front that does",
    ),
    (
        &[
            "grpc-infer-allocation-pool-size",
            "grpc-max-response-pool-size",
            "grpc-infer-response-compression-level",
            "grpc-keepalive-permit-without-calls",
            "grpc-http2-max-pings-without-data",
            "grpc-http2-min-recv-ping-interval-without-data",
            "grpc-http2-max-ping-strikes",
            "grpc-max-connection-age",
            "grpc-max-connection-age-grace",
        ],
        "gRPC connections are not tuned by flags; leave the flag out",
    ),
    (&["model-load-retry-count"], "a model that fails to load is not tried again; leave the flag out"),
    (&["model-config-name"], "only config.pbtxt is read"),
    (&["rate-limit-resource"], "instances are not rate limited"),
    (&["cache-config", "cache-directory", "response-cache-byte-size"], "responses are not cached"),
    (&["metrics-config"], "histograms and summaries are not kept; counters are always on"),
    (
        &["trace-config", "trace-file", "trace-level", "trace-rate", "trace-count", "trace-log-frequency"],
        "requests are not traced",
    ),
    (&["repoagent-directory"], "there are no repository agents"),
    (
        &[
            "pinned-memory-pool-byte-size",
            "cuda-memory-pool-byte-size",
            "cuda-virtual-address-size",
            "min-supported-compute-capability",
            "model-load-gpu-limit",
            "enable-peer-access",
        ],
        "models run on the processor only; leave the flag out",
    ),
    (&["host-policy"], "instances are not bound to cores or memory nodes"),
    (&["strict-model-config"], "it is tritonserver's old flag; use --disable-auto-complete-config for 'true'"),
    (
        &[
            "allow-sagemaker",
            "sagemaker-port",
            "sagemaker-safe-port-range",
            "sagemaker-thread-count",
            "allow-vertex-ai",
            "vertex-ai-port",
            "vertex-ai-thread-count",
            "vertex-ai-default-model",
        ],
        "these endpoints do not exist here",
    ),
];
