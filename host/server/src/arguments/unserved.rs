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
