//! One plugin, loaded as a server loads it, with stand-ins around it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nereid_backend_wasm::{PluginPolicy, PluginPorts, PluginSettings, WasmBackend};
use nereid_client::RemoteModels;
use nereid_inference::{
    InferRequest, InferResponse, InferenceService, ModelControl, ModelState, ServedModel, ServiceHandle,
};
use nereid_pipeline::{InstanceRules, Loader, LoaderSettings, PipelineLimits};
use nereid_plugin::{CallListener, CallReport};
use nereid_repository::{ControlMode, Repository, RepositoryLimits, RepositorySettings};
use nereid_telemetry::{MetricsSettings, Telemetry};
use tokio::{
    runtime::Handle,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

use crate::{case::Case, error::RehearsalError, stand_in_control::StandInControl, stand_ins::StandIns};

/// A guest whose last answer is there returns soon after; a plugin that goes on computing is not waited for longer.
const REPORT_WAIT: Duration = Duration::from_secs(5);

/// With what a plugin is loaded.
pub struct StageSettings {
    /// Where compiled plugins are kept; `None` compiles anew.
    pub cache_directory: Option<PathBuf>,
    /// What the operator of the server would allow.
    pub policy: PluginPolicy,
    /// Whose models answer where a case says nothing.
    pub server: Option<RemoteModels>,
}

/// The plugin, ready to be called.
pub struct Stage {
    model: Arc<dyn ServedModel>,
    stand_ins: Arc<StandIns>,
    control: Arc<StandInControl>,
    reports: UnboundedReceiver<CallReport>,
    /// How long it took from the files to the first guest.
    pub loaded_in: Duration,
    // Keeps the model.
    _repository: Arc<Repository>,
}

/// What came of one request.
pub(crate) struct Answered {
    pub(crate) responses: Vec<Result<InferResponse, String>>,
    /// From the request to its last response.
    pub(crate) took: Duration,
    /// The guest's calls, most often one; empty when no guest was reached.
    pub(crate) reports: Vec<CallReport>,
}

// === impl Stage ===

impl Stage {
    /// Loads the plugin in `folder`, whose name is the model's. Blocks: compiling may take seconds.
    ///
    /// # Errors
    /// There is no plugin, or a server could not load it.
    pub fn open(folder: &Path, settings: StageSettings, runtime: &Handle) -> Result<Self, RehearsalError> {
        let folder =
            fs::canonicalize(folder).map_err(|source| RehearsalError::Read { path: folder.to_owned(), source })?;
        check_folder(&folder)?;
        let absent = || RehearsalError::NoModel { folder: folder.clone() };
        let name = folder.file_name().and_then(|name| name.to_str()).ok_or_else(absent)?;
        let parent = folder.parent().ok_or_else(absent)?;

        let server = settings.server.map(Arc::new);
        let stand_ins = StandIns::new(server.clone(), runtime.clone());
        let control = StandInControl::new(server, runtime.clone());
        let (heard, reports) = unbounded_channel();
        let listener = CallListener::new(move |report| {
            // Nobody listens any more when the stage is gone.
            let _ = heard.send(report);
        });
        let backend = backend(settings.cache_directory, settings.policy, listener, (&stand_ins, &control));
        let started = Instant::now();
        let repository = Repository::new(repository_settings(parent, name), loader(backend, runtime));
        let report = repository.start()?;
        if let Some(row) = report.rows.iter().find(|row| row.model == name && row.state != ModelState::Ready) {
            return Err(RehearsalError::Load { model: name.to_owned(), reason: row.reason.clone() });
        }
        let model = repository.model(name, None)?;
        Ok(Self { model, stand_ins, control, reports, loaded_in: started.elapsed(), _repository: repository })
    }

    /// The plugin's model: its name, signature and configuration.
    pub fn model(&self) -> &Arc<dyn ServedModel> {
        &self.model
    }

    /// Sets the stand-ins up for a case.
    pub(crate) fn play(&self, case: &Case) {
        self.stand_ins.play(&case.models);
        self.control.play(case.control.as_ref());
    }

    /// Sends a request and waits for all that comes of it.
    pub(crate) async fn answer(&mut self, request: InferRequest) -> Answered {
        while self.reports.try_recv().is_ok() {}
        let request = InferRequest { received: Instant::now(), ..request };
        let started = Instant::now();
        let mut stream = self.model.infer(request);
        let mut responses = Vec::new();
        while let Some(delivery) = stream.next().await {
            responses.extend(delivery.response.map(|answer| answer.map_err(|error| error.message().to_owned())));
            if delivery.last {
                break;
            }
        }
        let took = started.elapsed();
        let reports = self.heard(responses.iter().all(Result::is_ok)).await;
        Answered { responses, took, reports }
    }

    /// What the guest used; an error may come from in front of it, and is not waited for.
    async fn heard(&mut self, reached_guest: bool) -> Vec<CallReport> {
        let mut reports = Vec::new();
        if reached_guest {
            reports.extend(timeout(REPORT_WAIT, self.reports.recv()).await.ok().flatten());
        }
        while let Ok(report) = self.reports.try_recv() {
            reports.push(report);
        }
        reports
    }
}

fn check_folder(folder: &Path) -> Result<(), RehearsalError> {
    let is_model = folder.join("config.pbtxt").is_file();
    if is_model && !has_version(folder) {
        return Err(RehearsalError::NotBuilt { folder: folder.to_owned(), file: "1/model.wasm".into() });
    }
    if is_model { Ok(()) } else { Err(RehearsalError::NoModel { folder: folder.to_owned() }) }
}

fn has_version(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok()))
}

fn backend(
    cache_directory: Option<PathBuf>,
    policy: PluginPolicy,
    listener: CallListener,
    (stand_ins, control): (&Arc<StandIns>, &Arc<StandInControl>),
) -> WasmBackend {
    let ports = PluginPorts::default();
    ports.service.set(&(stand_ins.clone() as Arc<dyn InferenceService>));
    ports.control.set(&(control.clone() as Arc<dyn ModelControl>));
    let settings =
        PluginSettings { policy: policy.into(), listener: Some(listener), ..PluginSettings::new(cache_directory) };
    WasmBackend::new(settings, ports)
}

fn loader(backend: WasmBackend, runtime: &Handle) -> Arc<Loader> {
    Loader::new(LoaderSettings {
        backends: vec![Arc::new(backend)],
        telemetry: Telemetry::new(MetricsSettings::default()),
        service: ServiceHandle::default(),
        rules: InstanceRules::default(),
        runtime: runtime.clone(),
        limits: PipelineLimits::default(),
        cache: None,
        memory: None,
        huge_pages: None,
        agents: None,
        strategies: None,
    })
}

fn repository_settings(parent: &Path, name: &str) -> RepositorySettings {
    RepositorySettings {
        paths: vec![parent.to_owned()],
        has_namespaces: false,
        control_mode: ControlMode::Explicit,
        load_models: vec![name.to_owned()],
        auto_complete: true,
        strict_readiness: true,
        load_thread_count: 1,
        load_retry_count: 0,
        config_name: None,
        limits: RepositoryLimits::default(),
    }
}
