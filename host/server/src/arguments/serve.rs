//! Flags of `nereid serve`, in tritonserver's words.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction, Args};
use nereid_backend_python::PythonSettings;
use nereid_inference::{LogFormat, LogSettings};
use nereid_protocol::HeaderPattern;
use nereid_shared_memory::SharedMemorySettings;
use nereid_telemetry::MetricsSettings;

use crate::arguments::{
    AccessArguments, ArgumentError, CacheArguments, TraceArguments,
    gpu::GpuArguments,
    grpc::GrpcArguments,
    hints::HintArguments,
    instances::InstanceArguments,
    limits::LimitArguments,
    metrics_config::MetricsSetting,
    values::{self, BackendSetting, ControlMode},
};
use crate::limits::Limits;

pub(crate) const EXAMPLES: &str = "\
BOOL is true, false, on, off, 1 or 0. Flags may be written --flag=value or --flag value.

Examples:
  nereid serve --model-repository=model_repository
  nereid serve --model-repository=/models --model-control-mode=explicit --load-model=digits_cnn
  nereid serve --model-repository=/models --http-address=127.0.0.1 --http-port=9000 --allow-grpc=false";

/// Everything that `nereid serve` is told.
#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    #[command(flatten)]
    pub models: ModelArguments,
    #[command(flatten)]
    pub instances: InstanceArguments,
    #[command(flatten)]
    pub gpu: GpuArguments,
    #[command(flatten)]
    pub services: ServiceArguments,
    #[command(flatten)]
    pub grpc: GrpcArguments,
    #[command(flatten)]
    pub hints: HintArguments,
    #[command(flatten)]
    pub access: AccessArguments,
    #[command(flatten)]
    pub backends: BackendArguments,
    #[command(flatten)]
    pub cache: CacheArguments,
    #[command(flatten)]
    pub limits: LimitArguments,
    #[command(flatten)]
    pub log: LogArguments,
    #[command(flatten)]
    pub trace: TraceArguments,
}

/// Which models, and what a failing one means.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Models")]
pub struct ModelArguments {
    /// Directory whose sub-directories are models; may be given several times
    #[arg(long = "model-repository", visible_alias = "model-store", value_name = "DIR", action = ArgAction::Append)]
    pub model_repositories: Vec<PathBuf>,

    /// Who decides which models are loaded: 'none' loads all of them at the start, 'poll' those too and then
    /// what changes in the directories, 'explicit' those named by --load-model, and then the repository API,
    /// 'ondemand' each by its first request, and the least recently used make room (--limit ondemand-models)
    #[arg(long, value_name = "MODE", default_value = "none")]
    pub model_control_mode: ControlMode,

    /// Time between two looks at the directories in the poll mode, in seconds; 0 never looks again
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub repository_poll_secs: u32,

    /// Model to load at the start in the explicit and ondemand modes; may be given several times; '*' for all
    #[arg(long = "load-model", value_name = "NAME", action = ArgAction::Append)]
    pub load_models: Vec<String>,

    /// End with exit code 1 when a model fails to load, instead of serving the others
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub exit_on_error: bool,

    /// Report 'ready' only when every model is ready
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub strict_readiness: bool,

    /// Take each config.pbtxt as it is written instead of completing it from the model file
    #[arg(long)]
    pub disable_auto_complete_config: bool,

    /// How many models may be loaded at the same time
    #[arg(long, value_name = "COUNT", default_value = "4")]
    pub model_load_thread_count: NonZeroUsize,

    /// How often a model version that fails to load is tried again at once
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub model_load_retry_count: usize,

    /// Read configs/NAME.pbtxt in place of config.pbtxt in the models that have it
    #[arg(long, value_name = "NAME", value_parser = values::plain_name)]
    pub model_config_name: Option<String>,

    /// Let models in different repositories have the same name: the repository's path is their namespace. A name that
    /// several have is refused; ensembles prefer models of their own repository
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub model_namespacing: bool,

    /// Memory that models and requests may take together: a number of bytes, or one with KiB, MiB, GiB (or k, M, G).
    /// What a load would take is known from its files and from the last time, what it took is measured; one that would
    /// pass the budget is refused, or makes the least recently used models go (ondemand). Whatever there is unless given
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub memory_budget: Option<NonZeroU64>,

    /// Put weights of ONNX, LibTorch and OpenVINO models into huge pages after the load, where the kernel has them: runs
    /// that read many weights take less time
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub huge_pages: bool,
}

/// Where the services listen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Services")]
pub struct ServiceArguments {
    /// Name of this server in its metadata; clients written for Triton find what they expect
    #[arg(long, value_name = "NAME", default_value = "triton")]
    pub id: String,

    /// Serve HTTP
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_http: bool,
    /// Port of the HTTP service; 0 takes a free one and logs it
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    pub http_port: u16,
    /// Address the HTTP service listens at
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub http_address: String,
    /// Share the HTTP port with other servers that say the same; the kernel deals out the connections
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub reuse_http_port: bool,
    /// Headers whose names this regular expression meets anywhere, in any case, become text parameters of inference
    /// requests; write (?-i) in front to tell the cases apart
    #[arg(long, value_name = "PATTERN", value_parser = HeaderPattern::parse)]
    pub http_header_forward_pattern: Option<HeaderPattern>,
    /// Largest HTTP request body, in bytes; 67108864 unless given. The same as --limit http-body=BYTES
    #[arg(long, value_name = "BYTES")]
    pub http_max_input_size: Option<NonZeroUsize>,

    /// Serve Prometheus metrics at /metrics
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_metrics: bool,
    /// Port of the metrics service; 0 takes a free one and logs it
    #[arg(long, value_name = "PORT", default_value_t = 8002)]
    pub metrics_port: u16,
    /// Address the metrics service listens at; that of HTTP unless given
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_address: Option<String>,
    /// Show processor and memory usage of the machine among the metrics
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_cpu_metrics: bool,
    /// Show use, memory, power and energy of the GPUs among the metrics
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub allow_gpu_metrics: bool,
    /// Which latency metrics are kept (KEY=VALUE); may be given several times. Known are 'counter_latencies=BOOL' (on),
    /// 'histogram_latencies=BOOL' (off), 'summary_latencies=BOOL' (off) and 'summary_quantiles=QUANTILE:ERROR,…'
    #[arg(long = "metrics-config", value_name = "SETTING", action = ArgAction::Append)]
    pub metrics_config: Vec<MetricsSetting>,
    /// How often usage of the processor, the memory and the GPUs is read, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value = "2000")]
    pub metrics_interval_ms: NonZeroU64,

    /// Let clients register system shared memory for tensors. They can then have the server read and write every
    /// shared memory object that it may open: for clients that are trusted
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "false", action = ArgAction::Set)]
    pub allow_client_shm: bool,

    /// How long requests under way may take after SIGINT or SIGTERM, in seconds; a second signal ends at once
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub exit_timeout_secs: u32,
}

/// What backends and plugins are told.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Backends and plugins")]
pub struct BackendArguments {
    /// Setting of one backend (BACKEND,KEY=VALUE) or of all (KEY=VALUE); may be given several times. Known are
    /// 'onnxruntime,library=PATH' (also of pytorch, openvino and tensorflow) and 'default-max-batch-size=COUNT'
    #[arg(long = "backend-config", value_name = "SETTING", action = ArgAction::Append)]
    pub backend_settings: Vec<BackendSetting>,

    /// Where backends written in Python are: DIR/NAME/model.py serves the models whose configuration says backend: "NAME".
    /// Other backends are built in
    #[arg(long, value_name = "DIR", default_value = PythonSettings::BACKEND_DIRECTORY)]
    pub backend_directory: PathBuf,

    /// What plugins and tenants may have: a file in TOML, nereid.toml by custom; without it plugins reach nothing outside
    /// of their own model but the models that their plugin.toml lists
    #[arg(long, value_name = "FILE")]
    pub server_config: Option<PathBuf>,

    /// Where compiled plugins are kept from one start to the next; ~/.cache/nereid unless given
    #[arg(long, value_name = "DIR")]
    pub plugin_cache_directory: Option<PathBuf>,

    /// The key that compiled plugins are sealed with, made when there is none; DIR.key beside the cache directory unless given.
    /// Keep it where nobody writes who writes into the cache
    #[arg(long, value_name = "FILE")]
    pub plugin_cache_key_file: Option<PathBuf>,

    /// Where repository agents are: DIR/NAME/agent.wasm, with a plugin.toml like any plugin's
    #[arg(long = "repoagent-directory", value_name = "DIR")]
    pub agent_directory: Option<PathBuf>,

    /// Where the batching strategies of backends are: DIR/BACKEND/batchstrategy.wasm forms the batches of every model of that
    /// backend that has none of its own
    #[arg(long, value_name = "DIR")]
    pub batch_strategy_directory: Option<PathBuf>,
}

/// What is logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct LogArguments {
    /// 0 for none; 1 logs every inference request, and more; 2 everything
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "1", default_value_t = 0)]
    pub log_verbose: u32,
    /// Log what happens
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub log_info: bool,
    /// Log what looks wrong
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub log_warning: bool,
    /// Log what failed
    #[arg(long, value_name = "BOOL", value_parser = values::boolean, num_args = 0..=1, default_missing_value = "true",
          default_value = "true", action = ArgAction::Set)]
    pub log_error: bool,
    /// 'default' or 'ISO8601'
    #[arg(long, value_name = "FORMAT", default_value = "default")]
    pub log_format: LogFormat,
    /// File to append the log to; standard error unless given
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

// === impl ServeArguments ===

impl ServeArguments {
    /// Every limit as the flags change it.
    ///
    /// # Errors
    /// A setting that means nothing.
    pub fn limits(&self) -> Result<Limits, ArgumentError> {
        let mut limits = self.limits.limits()?;
        if let Some(input_bytes_max) = self.services.http_max_input_size {
            limits.http.input_bytes_max = input_bytes_max.get();
        }
        Ok(limits)
    }

    /// What one flag means for another.
    pub(crate) fn validate(&self) -> Result<(), ArgumentError> {
        if self.models.model_repositories.is_empty() {
            return Err(ArgumentError::new(
                "--model-repository is missing: it names the directory whose models to serve",
            ));
        }
        let by_name = matches!(self.models.model_control_mode, ControlMode::Explicit | ControlMode::OnDemand);
        if !by_name && !self.models.load_models.is_empty() {
            return Err(ArgumentError::new("--load-model needs --model-control-mode=explicit or ondemand"));
        }
        if !self.services.allow_http && !self.grpc.allow_grpc {
            return Err(ArgumentError::new("--allow-http=false with --allow-grpc=false leaves nobody to serve"));
        }
        self.trace.options()?;
        self.limits()?;
        self.cache.choice(|_| None)?;
        self.access.validate()
    }
}

// === impl ModelArguments ===

impl ModelArguments {
    /// Time between two looks at the directories; `None` when they are not followed.
    pub fn poll_interval(&self) -> Option<Duration> {
        let polled = self.model_control_mode == ControlMode::Poll && self.repository_poll_secs > 0;
        polled.then(|| Duration::from_secs(self.repository_poll_secs.into()))
    }
}

// === impl ServiceArguments ===

impl ServiceArguments {
    /// Where metrics are served.
    pub fn metrics_address(&self) -> &str {
        self.metrics_address.as_deref().unwrap_or(&self.http_address)
    }

    /// How long requests under way may take at the end.
    pub fn exit_timeout(&self) -> Duration {
        Duration::from_secs(self.exit_timeout_secs.into())
    }

    /// What clients may share.
    pub fn shared_memory(&self) -> SharedMemorySettings {
        SharedMemorySettings::new(self.allow_client_shm)
    }

    /// What is kept for the metrics page.
    pub fn metrics_settings(&self) -> MetricsSettings {
        let mut settings = MetricsSettings { host_usage: self.allow_cpu_metrics, ..MetricsSettings::default() };
        for setting in &self.metrics_config {
            setting.apply(&mut settings);
        }
        settings
    }

    /// Time between two readings of the machine's usage.
    pub fn metrics_interval(&self) -> Duration {
        Duration::from_millis(self.metrics_interval_ms.get())
    }
}

// === impl LogArguments ===

impl LogArguments {
    /// The same in the words of the log.
    pub fn settings(&self) -> LogSettings {
        LogSettings {
            info: self.log_info,
            warning: self.log_warning,
            error: self.log_error,
            verbose_level: self.log_verbose,
            format: self.log_format,
            file: self.log_file.as_ref().map(|path| path.display().to_string()),
        }
    }
}
