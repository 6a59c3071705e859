//! `nereid serve`: from the command line to a running server, and back down again.
//!
//! Order of the start: log, repositories exist, keys and certificates read, ports taken, models loaded, tables, ports opened. What can fail quickly
//! fails before the models are loaded. Order of the end: health says so, ports closed, requests under way answered,
//! models dropped, traces written.

use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_grpc::{GrpcFrontend, GrpcSettings};
use nereid_http::{HttpFrontend, HttpSettings, MetricsPage};
use nereid_inference::{Diagnostics, InferError};
use nereid_telemetry::{LogControl, ServerDiagnostics, Telemetry, TenantSource, Traces, init_logging, log_panics};
use tokio::{
    net::TcpListener,
    runtime,
    task::{JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

use crate::{
    access::{Access, Door},
    arguments::{CompressionLevel, ServeArguments},
    error::ServerError,
    gpus,
    host::Host,
    memory_budget, metrics_service,
    operator_rules::OperatorRules,
    polling, response_cache,
    services::Services,
    signals::Signals,
    sockets::{self, ReservedPort, Service, WantedPort},
    summary,
};

/// The version in the server's metadata and in `nereid --version`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Dropping idle models takes milliseconds; they get this long even when the requests took all the time there was.
const UNLOAD_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Serves until a signal. Returns once every request is answered.
pub(crate) fn serve(arguments: &ServeArguments) -> Result<(), ServerError> {
    let log = init_logging(arguments.log.settings())?;
    log_panics();
    arguments.hints.log();
    arguments.instances.log();
    for remark in arguments.cache.remarks() {
        tracing::warn!("{remark}");
    }
    for deprecation in arguments.trace.deprecations() {
        tracing::warn!("{deprecation}");
    }
    for path in &arguments.models.model_repositories {
        path.read_dir().map_err(|error| ServerError::repository(path, &error))?;
    }
    let operator = OperatorRules::load(arguments.backends.server_config.as_deref())?;
    let access = Access::assemble(&arguments.access, &operator)?;
    let ports = sockets::reserve(&wanted_ports(arguments))?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().thread_name("nereid-worker").build();
    let runtime = runtime.map_err(ServerError::Runtime)?;
    let outcome = runtime.block_on(run(arguments, (access, log, operator), ports));
    // What is still running was given up on: it ends with the process.
    runtime.shutdown_background();
    outcome
}

async fn run(
    arguments: &ServeArguments,
    (access, log, operator): (Access, Arc<LogControl>, OperatorRules),
    ports: Vec<ReservedPort>,
) -> Result<(), ServerError> {
    let mut signals = Signals::new().map_err(ServerError::Runtime)?;
    let telemetry = Telemetry::new(arguments.services.metrics_settings());
    access.follow(&telemetry).map_err(ServerError::Runtime)?;
    let traces = Traces::start(arguments.trace.options()?)?;
    let diagnostics: Arc<dyn Diagnostics> = Arc::new(ServerDiagnostics { traces: Arc::clone(&traces), log });
    let cache = response_cache::start(arguments).await?;
    let memory = memory_budget::start(arguments, &telemetry)?;
    let gpus = gpus::discover(&arguments.gpu);
    if arguments.services.allow_metrics && arguments.services.allow_gpu_metrics {
        gpus::show(&gpus, &telemetry, arguments.services.metrics_interval());
    }
    let tenants = operator.tenants.clone();
    telemetry.show_tenants(TenantSource(Arc::new(move || tenants.readings())));
    let host = Host::assemble(arguments, &telemetry, diagnostics, (cache, memory, gpus), operator.plugins)?;
    let report = tokio::select! {
        report = host.load() => report?,
        signal = signals.next() => return Err(ServerError::StoppedWhileLoading { signal }),
    };
    summary::log(&host.backends, &report);
    if arguments.models.exit_on_error && !report.is_success() {
        return Err(InferError::internal("failed to load all models").into());
    }

    let mut running = Running::open((arguments, &access), ports, &host, &telemetry)?;
    let outcome = tokio::select! {
        signal = signals.next() => {
            tracing::info!("Signal {signal} received.");
            Ok(())
        },
        error = running.requests.ended() => Err(error),
        error = running.metrics.ended() => Err(error),
    };
    host.repository.begin_exit();
    tracing::info!("Waiting for in-flight requests to complete.");
    let closed = running.close(host, arguments.services.exit_timeout(), &mut signals).await;
    // Also when requests were given up on: the traces of the others are complete.
    if let Err(error) = spawn_blocking(move || traces.close()).await {
        tracing::error!("the last traces may not be written: {error}");
    }
    closed.and(outcome)
}

/// The services in two groups: metrics can be read until the last request is answered.
struct Running {
    requests: Services,
    metrics: Services,
    /// Ends when requests are no longer accepted.
    polling: Option<JoinHandle<()>>,
}

fn wanted_ports(arguments: &ServeArguments) -> Vec<WantedPort<'_>> {
    let ServeArguments { services, grpc, .. } = arguments;
    let wanted = |service, host, port, is_shared| WantedPort { service, host, port, is_shared };
    let ports = [
        (grpc.allow_grpc, wanted(Service::Grpc, &*grpc.grpc_address, grpc.grpc_port, grpc.reuse_grpc_port)),
        (
            services.allow_http,
            wanted(Service::Http, &*services.http_address, services.http_port, services.reuse_http_port),
        ),
        (services.allow_metrics, wanted(Service::Metrics, services.metrics_address(), services.metrics_port, false)),
    ];
    ports.into_iter().filter_map(|(allowed, port)| allowed.then_some(port)).collect()
}

async fn sample_host_usage(telemetry: Arc<Telemetry>, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        telemetry.sample_host();
    }
}

// === impl Running ===

impl Running {
    fn open(
        (arguments, access): (&ServeArguments, &Access),
        ports: Vec<ReservedPort>,
        host: &Host,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, ServerError> {
        let mut running = Self { requests: Services::new(), metrics: Services::new(), polling: None };
        for port in ports {
            let (service, address) = (port.service, port.address);
            let listener = port.listen()?;
            match service {
                Service::Http => {
                    let serving =
                        serve_http((arguments, &access.http), listener, (host, telemetry), running.requests.stopped())?;
                    running.requests.start(service, address, serving);
                }
                Service::Grpc => {
                    let serving = serve_grpc((arguments, &access.grpc), listener, host, running.requests.stopped())?;
                    running.requests.start(service, address, serving);
                }
                Service::Metrics => {
                    let stopped = running.metrics.stopped();
                    let serving = metrics_service::serve(listener, &access.metrics, Arc::clone(telemetry), stopped);
                    running.metrics.start(service, address, serving);
                    if arguments.services.allow_cpu_metrics {
                        let every = arguments.services.metrics_interval();
                        tokio::spawn(sample_host_usage(Arc::clone(telemetry), every));
                    }
                }
            }
        }
        running.polling = arguments.models.poll_interval().map(|every| {
            let stopped = running.requests.stopped();
            tokio::spawn(polling::poll(Arc::clone(&host.repository), every, stopped))
        });
        Ok(running)
    }

    async fn close(mut self, host: Host, timeout: Duration, signals: &mut Signals) -> Result<(), ServerError> {
        let deadline = Instant::now() + timeout;
        self.requests.drain(timeout, signals.next()).await?;
        tracing::info!("All requests are answered, unloading models");
        let unload_timeout = deadline.saturating_duration_since(Instant::now()).max(UNLOAD_TIMEOUT_MIN);
        let unload = async {
            // A poll under way keeps the models alive.
            if let Some(polling) = self.polling
                && let Err(error) = polling.await
            {
                tracing::error!("polling the model repository ended early: {error}");
            }
            host.unload().await;
        };
        tokio::select! {
            () = unload => {},
            signal = signals.next() => return Err(ServerError::StoppedTwice { signal }),
            () = tokio::time::sleep(unload_timeout) => return Err(ServerError::ExitTimeout),
        }
        // A scraper that keeps its connection open is not worth waiting for.
        drop(self.metrics);
        Ok(())
    }
}

fn serve_http(
    (arguments, door): (&ServeArguments, &Door),
    listener: TcpListener,
    (host, telemetry): (&Host, &Arc<Telemetry>),
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = io::Result<()>> + Send + 'static, ServerError> {
    let telemetry = Arc::clone(telemetry);
    let settings = HttpSettings {
        limits: arguments.limits()?.http,
        forwarded_headers: arguments.services.http_header_forward_pattern.clone(),
        metrics_page: Some(MetricsPage(Arc::new(move || telemetry.render()))),
        policy: door.policy.clone(),
        tls: door.tls.clone(),
        ..HttpSettings::new(&arguments.services.id, VERSION)
    };
    let (service, control) = host.ports();
    let diagnostics = Arc::clone(&host.diagnostics);
    let shared_memory = host.shared_memory.clone();
    Ok(nereid_http::serve(listener, HttpFrontend { service, control, diagnostics, shared_memory, settings }, stopped))
}

fn serve_grpc(
    (arguments, door): (&ServeArguments, &Door),
    listener: TcpListener,
    host: &Host,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = io::Result<()>> + Send + 'static, ServerError> {
    let grpc = &arguments.grpc;
    let settings = GrpcSettings {
        limits: arguments.limits()?.grpc,
        connections: grpc.connections(),
        forwarded_headers: grpc.grpc_header_forward_pattern.clone(),
        compress_responses: grpc.grpc_infer_response_compression_level != CompressionLevel::None,
        reflection: grpc.grpc_reflection,
        policy: door.policy.clone(),
        tls: door.tls.clone(),
        ..GrpcSettings::new(&arguments.services.id, VERSION)
    };
    let (service, control) = host.ports();
    let diagnostics = Arc::clone(&host.diagnostics);
    let shared_memory = host.shared_memory.clone();
    Ok(nereid_grpc::serve(listener, GrpcFrontend { service, control, diagnostics, shared_memory, settings }, stopped))
}
